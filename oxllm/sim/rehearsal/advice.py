"""One sentence for each thing in the config that cost time or answers, with the key and the number to write.

    30 % waited 5 s for `openai` to connect: `timeouts.connect = 1` would have saved 412 s

What is advised can be tried: `applied` makes the plan that heeds it, and the same seed plays the same faults again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from oxllm.plan import Plan, Target, Timeouts
from oxllm.sim.rehearsal.card import Card, Spread
from oxllm.sim.rehearsal.waits import Cause, Wait
from oxllm.sim.rehearsal.words import duration
from oxllm.words import count

FEWEST = 2
"""Waits that are worth a sentence: one is bad luck."""
CONNECT_S = 1.0
"""A handshake over half the world takes a third of it."""
ROOM = 5
"""How many times the slowest healthy answer a limit leaves."""
LEAST_S = 2.0
WORTH_S = 1.0
"""Seconds that an advice has to save."""
_WAITED = {
    Cause.CONNECT: "for `{provider}` to connect",
    Cause.FIRST_BYTE: "for a first token of `{provider}` that never came",
    Cause.ANSWER: "for an answer of `{provider}` that never came",
}


class Advice(msgspec.Struct, frozen=True):
    """A sentence, and the clock that it would set for a provider, if it is one that can be tried."""

    text: str
    provider: str = ""
    key: str = ""
    seconds: float = 0.0


def advise(plan: Plan, card: Card, waits: Sequence[Wait]) -> list[Advice]:
    """What would have helped, the most first."""
    found: dict[tuple[str, Cause], list[float]] = defaultdict(list)
    for wait in waits:
        found[wait.provider, wait.cause].append(wait.seconds)
    clocks = {provider.name: provider.timeouts for provider in plan.providers}
    timed = [
        (saved, advice)
        for (provider, cause), times in found.items()
        if len(times) >= FEWEST and (made := _timed(clocks.get(provider, Timeouts()), provider, cause, times, card))
        for saved, advice in [made]
    ]
    timed.sort(key=lambda pair: -pair[0])
    return [*(advice for _, advice in timed), *_alone(card)]


def _timed(
    clocks: Timeouts, provider: str, cause: Cause, times: Sequence[float], card: Card
) -> tuple[float, Advice] | None:
    """The advice about one clock of a provider, and the seconds that it saves."""
    limit = _limit(cause, card)
    saved = sum(max(0.0, time - limit) for time in times)
    if limit >= getattr(clocks, cause.value) or saved < WORTH_S:
        return None
    share = f"{100 * len(times) / max(1, card.requests):.2g} %"
    waited = f"{share} waited {duration(sum(times) / len(times))} {_WAITED[cause].format(provider=provider)}"
    text = f"{waited}: `timeouts.{cause.value} = {limit:g}` would have saved {duration(saved)}"
    return saved, Advice(text, provider, cause.value, limit)


def _limit(cause: Cause, card: Card) -> float:
    """What a healthy provider needs, with room."""
    if cause is Cause.CONNECT:
        return CONNECT_S
    healthy: Spread = card.ttft_perfect if cause is Cause.FIRST_BYTE else card.total_perfect
    return max(LEAST_S, float(math.ceil(ROOM * (healthy.p99 or LEAST_S))))


def _alone(card: Card) -> list[Advice]:
    """What has one provider only, and suffered for it."""
    hurt = {name: card.lanes[name].refused for name in card.single_points if name in card.lanes}
    return [
        Advice(
            f"`{name}` was refused {count(refused, 'time')}, since only `{card.single_points[name]}` is behind it: "
            "give it a second provider, or add the protocol to the `protocols` of one that speaks it"
        )
        for name, refused in hurt.items()
        if refused
    ]


def applied(plan: Plan, advices: Sequence[Advice]) -> Plan:
    """The plan with all clocks that are advised."""
    set_to: Mapping[str, dict[str, float]] = defaultdict(dict)
    for advice in advices:
        if advice.key:
            set_to[advice.provider][advice.key] = advice.seconds
    replace = msgspec.structs.replace
    providers = [replace(one, timeouts=replace(one.timeouts, **set_to[one.name])) for one in plan.providers]

    def heeding(target: Target) -> Target:
        return replace(target, timeouts=replace(target.timeouts, **set_to[target.provider]))

    models = [replace(model, targets=tuple(map(heeding, model.targets))) for model in plan.virtual_models]
    return replace(plan, providers=tuple(providers), virtual_models=tuple(models))
