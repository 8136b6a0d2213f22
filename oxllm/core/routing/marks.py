"""Which mark an outcome sets, and on what: the target that it came from, or its provider.

`cooldown` says how long each lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from oxllm import plan as plans
from oxllm.core.reading.outcome import RULES, Effect, Kind, Outcome
from oxllm.core.routing.change import Change
from oxllm.core.routing.cooldown import Cooldown, Skip
from oxllm.core.routing.targets import TargetState
from oxllm.core.routing.ticket import Ticket

MARK_OF: Final = {
    Effect.QUOTA: Skip.QUOTA,
    Effect.AUTH: Skip.AUTH,
    Effect.FORBIDDEN: Skip.AUTH,
    Effect.MISSING: Skip.MISSING,
    Effect.NOT_FOUND: Skip.MISSING,
    Effect.RATE: Skip.COOLING,
    Effect.LOADING: Skip.WAITING,
    Effect.HINT: Skip.WAITING,
}
"""Which mark each effect sets."""
ONE_TOO_MANY: Final = frozenset({Effect.FORBIDDEN, Effect.NOT_FOUND})
"""Effects that only count when they come twice in a row: a single one may be about its request alone."""
LONGER_EACH_TIME: Final = frozenset({Effect.RATE, Effect.LOADING})
OF_THE_KEY: Final[tuple[Effect, ...]] = (Effect.QUOTA, Effect.AUTH, Effect.FORBIDDEN)
NOT_ASKED: Final = frozenset({Kind.WITHHELD, Kind.LOCAL})
"""Kinds of which the request was never sent."""
SAYS_NOTHING: Final = NOT_ASKED | {Kind.GONE, Kind.LOST, Kind.DEADLINE, Kind.STOPPED}
"""Kinds of our own making: the provider did not get to answer."""


def mark(ticket: Ticket, outcome: Outcome, now: float) -> Sequence[Change]:
    """Set the mark that an attempt's outcome calls for. Returns the change, if the mark was not in force before."""
    effect, target = RULES[outcome.kind].effect, ticket.candidate.state
    if target.model == plans.ANY and effect in (Effect.MISSING, Effect.NOT_FOUND):
        return ()  # it concerns the name that one client sent
    if effect in OF_THE_KEY and ticket.candidate.plan.api_key != target.provider.plan.api_key:
        return ()  # it concerns a key that a reload has replaced
    if effect not in ONE_TOO_MANY and outcome.kind not in SAYS_NOTHING:
        target.cooldown.allowed()
    skip = MARK_OF.get(effect)
    if skip is None or (effect is Effect.HINT and outcome.retry_after is None):
        return ()
    shared = effect is Effect.AUTH or (effect is Effect.QUOTA and not outcome.of_target)
    cooldown = target.provider.cooldown if shared else target.cooldown
    if effect in ONE_TOO_MANY:
        new = cooldown.refused(skip, now)
    elif effect in LONGER_EACH_TIME:
        new = cooldown.rate_limited(outcome.retry_after, ticket.started, now, skip)
    else:
        new = cooldown.mark(skip, now, outcome.retry_after if effect is Effect.HINT else None)
    return _changed(new, target, skip, cooldown, now)


def predict(target: TargetState, seconds: float, now: float) -> Sequence[Change]:
    """A success has used up its target's limit: cool it down, unless that leaves some virtual model without a target.

    A target that no virtual model lists has no substitute either, and is left alone.
    """
    if not target.listings or not all(_has_another(listed, target, now) for listed in target.listings):
        return ()
    new = target.cooldown.mark(Skip.COOLING, now, seconds)
    return _changed(new, target, Skip.COOLING, target.cooldown, now)


def _has_another(listed: frozenset[TargetState], target: TargetState, now: float) -> bool:
    """Whether other targets can take over, in every protocol that this one speaks. A half-open one does not count: it
    only takes its probe."""
    others = {
        protocol
        for other in listed
        if other is not target and other.provider.breaker.closed and other.skip(now) is None
        for protocol in other.provider.plan.protocols
    }
    return others.issuperset(target.provider.plan.protocols)


def _changed(new: bool, target: TargetState, mark: Skip, cooldown: Cooldown, now: float) -> Sequence[Change]:
    if not new:
        return ()
    model = target.model if cooldown is target.cooldown else None
    return (Change(target.provider.name, model, f"{mark.value}: not asked for {cooldown.until - now:.1f} s"),)
