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

ONE_TOO_MANY: Final = frozenset({Effect.FORBIDDEN, Effect.NOT_FOUND})
"""Effects that only count when they come twice in a row: a single one may be about its request alone."""
OF_THE_KEY: Final[tuple[Effect, ...]] = (Effect.QUOTA, Effect.AUTH, Effect.FORBIDDEN)
NOT_ASKED: Final = frozenset({Kind.WITHHELD, Kind.LOCAL})
"""Kinds of which the request was never sent."""
SAYS_NOTHING: Final = NOT_ASKED | {Kind.GONE, Kind.LOST, Kind.DEADLINE, Kind.STOPPED}
"""Kinds of our own making: the provider did not get to answer."""


def mark(ticket: Ticket, outcome: Outcome, now: float) -> Sequence[Change]:
    """Set the mark that an attempt's outcome calls for. Returns the change, if the mark was not in force before."""
    effect = RULES[outcome.kind].effect
    target = ticket.candidate.state
    if target.model == plans.ANY and effect in (Effect.MISSING, Effect.NOT_FOUND):
        return ()  # it concerns the name that one client sent
    own, shared = target.cooldown, target.provider.cooldown
    if effect in OF_THE_KEY and ticket.candidate.plan.api_key != target.provider.plan.api_key:
        return ()  # it concerns a key that a reload has replaced
    if effect not in ONE_TOO_MANY and outcome.kind not in SAYS_NOTHING:
        own.allowed()
    match effect:
        case Effect.QUOTA if outcome.of_target:
            return _changed(own.mark(Skip.QUOTA, now), target, Skip.QUOTA, own, now)
        case Effect.QUOTA:
            return _changed(shared.mark(Skip.QUOTA, now), target, Skip.QUOTA, shared, now)
        case Effect.AUTH:
            return _changed(shared.mark(Skip.AUTH, now), target, Skip.AUTH, shared, now)
        case Effect.MISSING:
            return _changed(own.mark(Skip.MISSING, now), target, Skip.MISSING, own, now)
        case Effect.FORBIDDEN:
            return _changed(own.refused(Skip.AUTH, now), target, Skip.AUTH, own, now)
        case Effect.NOT_FOUND:
            return _changed(own.refused(Skip.MISSING, now), target, Skip.MISSING, own, now)
        case Effect.RATE:
            limited = own.rate_limited(outcome.retry_after, ticket.started, now)
            return _changed(limited, target, Skip.COOLING, own, now)
        case Effect.LOADING:
            waits = own.rate_limited(outcome.retry_after, ticket.started, now, Skip.WAITING)
            return _changed(waits, target, Skip.WAITING, own, now)
        case Effect.HINT if outcome.retry_after is not None:
            waits = own.mark(Skip.WAITING, now, outcome.retry_after)
            return _changed(waits, target, Skip.WAITING, own, now)
    return ()


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
