"""Advice: a sentence for each setting that cost time or answers, with the key and the value to write.

    30 % waited 5 s for `openai` to connect: `timeouts.connect = 1` would have saved 412 s

Advice can be tried: `applied` makes a plan that follows it, and the same seed plays the same faults again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from oxllm.plan import HoldBack, Plan, Provider, Target, Timeouts, VirtualModel
from oxllm.sim.rehearsal.card import Card, Spread
from oxllm.sim.rehearsal.waits import CLOCKS, Cause, Wait
from oxllm.sim.rehearsal.words import duration
from oxllm.words import count

FEWEST = 2
"""Fewest waits that are worth a sentence: one is bad luck."""
CONNECT_S = 1.0
"""A handshake half-way round the world takes a third of this."""
IDLE_S = 5.0
"""No healthy model pauses for so long between two tokens, unless it reasons silently."""
ROOM = 5
"""A limit is this many times the slowest healthy answer."""
LEAST_S = 2.0
HEDGE_S = 0.5
"""Least wait before a hedge."""
WORTH_S = 1.0
"""Least saving, in seconds, that is worth advice."""
HELD_MAX = 50
"""Most tokens to hold back: with more, clients notice a slow first token."""
SLOW_BACK_S = 5.0
"""A recovered provider should be asked sooner than this."""
BUDGET = 0.5
_WAITED = {
    Cause.CONNECT: "for `{provider}` to connect",
    Cause.FIRST_BYTE: "for a first token of `{provider}` that never came",
    Cause.ANSWER: "for an answer of `{provider}` that never came",
    Cause.IDLE: "for a next token of `{provider}` that never came",
}


class Change(msgspec.Struct, frozen=True):
    """A new value for one key: in a provider's `timeouts`, a virtual model, `breaker` or `retry`."""

    table: str
    """providers, virtual_models, breaker or retry."""
    name: str
    """The provider or virtual model; "" for the other tables."""
    key: str
    value: float | int | HoldBack


class Advice(msgspec.Struct, frozen=True):
    """A sentence, and the change to the config, if it can be tried."""

    text: str
    change: Change | None = None
    saved: float = 0.0
    """Seconds."""


def advise(plan: Plan, card: Card, waits: Sequence[Wait]) -> list[Advice]:
    """What would have helped; what saves the most time comes first."""
    by_provider: dict[tuple[str, Cause], list[Wait]] = defaultdict(list)
    by_model: dict[tuple[str, Cause], list[Wait]] = defaultdict(list)
    for wait in waits:
        (by_provider if wait.cause in CLOCKS else by_model)[
            wait.provider if wait.cause in CLOCKS or wait.cause is Cause.HINT else wait.model, wait.cause
        ].append(wait)
    timed = [*_clocks(plan, card, by_provider), *_models(plan, card, by_model)]
    timed.sort(key=lambda advice: -advice.saved)
    return [*timed, *_breaker(plan, card), *_alone(card)]


def _clocks(plan: Plan, card: Card, found: dict[tuple[str, Cause], list[Wait]]) -> Iterator[Advice]:
    """Advice about a provider's timeouts."""
    clocks = {provider.name: provider.timeouts for provider in plan.providers}
    for (provider, cause), waits in found.items():
        limit = _limit(cause, card)
        saved = sum(max(0.0, wait.seconds - limit) for wait in waits)
        given = getattr(clocks.get(provider, Timeouts()), cause.value)
        if len(waits) < FEWEST or limit >= given or saved < WORTH_S:
            continue
        waited = f"{_waited(card, waits)} {_WAITED[cause].format(provider=provider)}"
        text = f"{waited}: `timeouts.{cause.value} = {limit:g}` would have saved {duration(saved)}"
        yield Advice(text, Change("providers", provider, cause.value, limit), saved)


def _limit(cause: Cause, card: Card) -> float:
    """The time that a healthy provider needs, with some room."""
    if cause in (Cause.CONNECT, Cause.IDLE):
        return CONNECT_S if cause is Cause.CONNECT else IDLE_S
    healthy: Spread = card.ttft_perfect if cause is Cause.FIRST_BYTE else card.total_perfect
    return max(LEAST_S, float(math.ceil(ROOM * (healthy.p99 or LEAST_S))))


def _waited(card: Card, waits: Sequence[Wait]) -> str:
    """`30 % waited 5 s`."""
    mean = sum(wait.seconds for wait in waits) / len(waits)
    return f"{100 * len(waits) / max(1, card.requests):.2g} % waited {duration(mean)}"


def _models(plan: Plan, card: Card, found: dict[tuple[str, Cause], list[Wait]]) -> Iterator[Advice]:
    """Advice about a virtual model, retries, or a provider that asks for long waits."""
    models = {model.name: model for model in plan.virtual_models}
    for (name, cause), waits in found.items():
        if cause is Cause.HINT:
            yield _long_wait(name, waits)
        elif len(waits) >= FEWEST and cause is Cause.REFUSED:
            yield from _second_try(plan, card, waits)
        elif len(waits) >= FEWEST and name in models and len({t.provider for t in models[name].targets}) > 1:
            yield from _held(models[name], waits) if cause is Cause.BROKEN else _hedged(models[name], card, waits)


def _held(model: VirtualModel, waits: Sequence[Wait]) -> Iterator[Advice]:
    """Answers that broke after a few tokens: had they been held back, another provider would have given them."""
    early = sorted(wait.tokens for wait in waits if wait.tokens < HELD_MAX)
    if model.hold_back != HoldBack() or len(early) < FEWEST:
        return
    tokens = early[-1] + 1
    text = (
        f"{count(len(early), 'answer')} of `{model.name}` broke within {tokens} tokens: "
        f'`hold_back = "{tokens} tokens"` would have let another provider give them, for a later first token'
    )
    yield Advice(text, Change("virtual_models", model.name, "hold_back", HoldBack(tokens=tokens)))


def _hedged(model: VirtualModel, card: Card, waits: Sequence[Wait]) -> Iterator[Advice]:
    """Late first tokens, while another provider might have been faster."""
    after = max(HEDGE_S, round(ROOM * (card.ttft_perfect.p99 or HEDGE_S), 1))
    saved = sum(max(0.0, wait.seconds - after) for wait in waits)
    if model.hedge_after is not None or saved < WORTH_S:
        return
    waited = f"{_waited(card, waits)} for a first token of `{model.name}` that came late"
    text = f"{waited}: `hedge_after = {after:g}` would have saved up to {duration(saved)}"
    yield Advice(text, Change("virtual_models", model.name, "hedge_after", after), saved)


def _second_try(plan: Plan, card: Card, waits: Sequence[Wait]) -> Iterator[Advice]:
    """Requests refused after one try, although the failure is retried at the same target while the budget allows."""
    key, value = ("same_target", 1) if plan.retry.same_target == 0 else ("budget", BUDGET)
    if getattr(plan.retry, key) >= value:
        return
    refused = count(len({wait.number for wait in waits}), "request")
    text = f"{refused} of {card.requests} had no second try: `retry.{key} = {value:g}` would have given one"
    yield Advice(text, Change("retry", "", key, value))


def _long_wait(provider: str, waits: Sequence[Wait]) -> Advice:
    """No key shortens the wait that a provider asks for, but an operator can."""
    asked = duration(max(wait.seconds for wait in waits))
    return Advice(
        f"`{provider}` asked for a wait of {asked}, and gets it, up to an hour: `oxllm provider reset {provider}` "
        "ends it when you know better"
    )


def _breaker(plan: Plan, card: Card) -> Iterator[Advice]:
    """Providers that had recovered long before they were asked again."""
    late = card.recovery.p99 or 0.0
    value = max(1.0, round(SLOW_BACK_S / 2, 1))
    if not card.outages or late < SLOW_BACK_S or plan.breaker.cooldown_max <= value:
        return
    text = (
        f"a provider that was back was asked {duration(late)} later: `breaker.cooldown_max = {value:g}` would have had "
        "it tried sooner"
    )
    yield Advice(text, Change("breaker", "", "cooldown_max", value))


def _alone(card: Card) -> Iterator[Advice]:
    """Models with a single provider, whose requests were refused for it."""
    for name, provider in card.single_points.items():
        refused = card.lanes[name].refused if name in card.lanes else 0
        if refused:
            yield Advice(
                f"`{name}` was refused {count(refused, 'time')}, since only `{provider}` is behind it: "
                "give it a second provider, or add the protocol to the `protocols` of one that speaks it"
            )


def applied(plan: Plan, advices: Sequence[Advice]) -> Plan:
    """The plan with all changes that can be tried."""
    for advice in advices:
        if advice.change is not None:
            plan = _changed(plan, advice.change)
    return plan


def _changed(plan: Plan, change: Change) -> Plan:
    replace, value = msgspec.structs.replace, {change.key: change.value}
    if change.table == "retry":
        return replace(plan, retry=replace(plan.retry, **value))
    if change.table == "breaker":
        cooldown = min(plan.breaker.cooldown, float(str(change.value)))
        return replace(plan, breaker=replace(plan.breaker, cooldown=cooldown, **value))
    if change.table == "virtual_models":
        models = (replace(model, **value) if model.name == change.name else model for model in plan.virtual_models)
        return replace(plan, virtual_models=tuple(models))

    def heeding(one: Provider | Target, name: str) -> Provider | Target:
        return replace(one, timeouts=replace(one.timeouts, **value)) if name == change.name else one

    providers = tuple(heeding(one, one.name) for one in plan.providers)
    models = (
        replace(model, targets=tuple(heeding(one, one.provider) for one in model.targets))
        for model in plan.virtual_models
    )
    return replace(plan, providers=providers, virtual_models=tuple(models))
