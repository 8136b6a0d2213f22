"""The answer when nothing is left to try (docs/failures.md): which status, which words, when to come back.

The status says whose move it is: 429 wait, 504 you gave me too little time, 502 I asked and they failed, 503 there was
nobody to ask. The first rule that holds wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

from oxllm.core.reading.outcome import RULES, Kind, Last, Outcome
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.route import HOPELESS, Candidate, Outlook, Recovery
from oxllm.core.wire.errors import OWNER_UNAVAILABLE, ApiError, api_error

RETRY_AFTER_MAX: Final = 60
"""Seconds. The Node SDK ignores longer hints, and would retry sooner than one says."""

Tried = tuple[Candidate, Outcome]

_WAITS: Final[tuple[Kind, ...]] = (Kind.RATE_LIMITED, Kind.QUOTA)


def refuse(model: str, tried: Sequence[Tried], recovery: Recovery, deadline: bool, stored: bool = False) -> ApiError:
    """The error for a request to `model` whose attempts all failed.

    `deadline`: the deadline ended it. `stored`: it is about an answer that only the provider that made it has. Not
    called if a provider's own refusal is worth more to the client than our words.
    """
    soonest, states = recovery
    outcomes = {id(candidate): outcome for candidate, outcome in tried}
    unusable = [(candidate, skip, left) for candidate, skip, left in states if id(candidate) not in outcomes]
    reasons = [f"{candidate.state.name}: {describe(outcome)}" for candidate, outcome in tried]
    reasons += [f"{candidate.state.name}: {_why(skip, left)}" for candidate, skip, left in unusable]
    detail = "; ".join(reasons) or (f"{model!r} does not list it" if stored else "it has no enabled target")
    if stored and not deadline and (unusable or not tried):
        error = f"the provider that has the answer cannot be asked now: {detail}"
        return _later(503, error, OWNER_UNAVAILABLE, soonest)
    kinds = {outcome.kind for outcome in outcomes.values()}
    skips = {skip for _, skip, _ in unusable}
    if (kinds or skips) and kinds.issubset(_WAITS) and skips <= {Skip.COOLING, Skip.QUOTA}:
        quota = kinds <= {Kind.QUOTA} and skips <= {Skip.QUOTA}
        code = "insufficient_quota" if quota else "rate_limit_exceeded"
        return _later(429, f"every target of {model!r} is rate-limited: {detail}", code, soonest)
    if deadline:
        return api_error(504, f"the time for {model!r} ran out: {detail}", "deadline_exceeded")
    if tried:
        soonest = _soonest_after(outcomes, states, soonest)
        return _later(502, f"all targets of {model!r} failed: {detail}", "all_targets_failed", soonest)
    return _later(503, f"no target of {model!r} can be tried now: {detail}", "no_target_available", soonest)


def sealed_elsewhere(tried: Sequence[Tried], recovery: Recovery) -> bool:
    """Some target could not read what another has sealed, and one that may have sealed it can be asked again soon."""
    if all(outcome.kind is not Kind.FOREIGN_STATE for _, outcome in tried):
        return False
    asked = {id(candidate) for candidate, _ in tried}
    others = [(skip, left) for candidate, skip, left in recovery[1] if id(candidate) not in asked]
    return any(
        skip is not None and skip not in HOPELESS and left is not None and left <= RETRY_AFTER_MAX
        for skip, left in others
    )


def _soonest_after(outcomes: dict[int, Outcome], states: Sequence[Outlook], soonest: float | None) -> float | None:
    """The soonest recovery of a target that would not refuse this request again in the same way."""
    final = {one for one, outcome in outcomes.items() if RULES[outcome.kind].last is not Last.LATER}
    if not final:
        return soonest
    others = (left for one, skip, left in states if id(one) not in final and skip not in HOPELESS and left is not None)
    return min(others, default=None if len(final) == len(outcomes) else soonest)


def describe(outcome: Outcome) -> str:
    """An outcome in a few words: our reason, and the provider's code if it gave one."""
    return f"{outcome.reason} ({outcome.code})" if outcome.code else outcome.reason


def _later(status: int, message: str, code: str, soonest: float | None) -> ApiError:
    if soonest is None or soonest > RETRY_AFTER_MAX:
        return api_error(status, message, code, retry_after=RETRY_AFTER_MAX, should_retry=False)
    return api_error(status, message, code, retry_after=max(1, ceil(soonest)))


def _why(skip: Skip | None, left: float | None) -> str:
    if skip is None:
        return "not reached"
    return f"{skip.value}, {ceil(left)} s left" if left else skip.value
