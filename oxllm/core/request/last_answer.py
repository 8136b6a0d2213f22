"""What the client gets when no target is left: a target's own refusal, or an error of ours."""

from __future__ import annotations

from typing import Final

import msgspec

from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import RULES, Cause, Kind, Last, Outcome
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.headers import weight
from oxllm.core.request.refusal import Tried, describe, refuse, sealed_elsewhere
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.shape import Value
from oxllm.core.wire.errors import ApiError, api_error

REPEATED: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 on which the SDKs retry."""


class Received(Value, frozen=True):
    """A provider's refusal that may go to the client unchanged."""

    status: int
    fields: Headers
    body: bytes


class Refusal(Value, frozen=True):
    """A target's refusal, and how the client may be told."""

    attempt: Attempt
    result: Outcome
    words: Received | ApiError
    """As it came; in our own words if that cannot be."""


class LastAnswer:
    """What each tried target said, and the refusal, if any, that helps the client more than words of ours."""

    __slots__ = ("_refusal", "final", "tried")

    def __init__(self) -> None:
        self.tried: tuple[Tried, ...] = ()
        """The candidates that failed, and how."""
        self.final = False
        """No other target would do better: none is asked, and the refusal stands, even if a hedge fails after it."""
        self._refusal: Refusal | None = None

    def __repr__(self) -> str:
        return f"<LastAnswer {[describe(result) for _, result in self.tried]}{' final' if self.final else ''}>"

    @property
    def kept(self) -> int:
        """Bytes of a refusal that may yet be passed on."""
        words = None if self._refusal is None else self._refusal.words
        return len(words.body) + weight(words.fields) if isinstance(words, Received) else 0

    def failed(self, candidate: Candidate, result: Outcome) -> None:
        """A target has failed; a second try's result replaces the first's. A target that the request was not sent to
        does not count as tried: why it is unusable says more."""
        if result.kind is not Kind.WITHHELD:
            self.tried = (*(one for one in self.tried if one[0] is not candidate), (candidate, result))

    def keep(self, refusal: Refusal) -> None:
        """Keep this refusal instead of the one before, unless that one is final."""
        if not self.final:
            self._refusal = refusal

    def drop(self) -> None:
        """Another target has an answer: pass no refusal on."""
        self._refusal = None

    def shorten(self) -> None:
        """Memory is short: keep what the refusal means, in our own words."""
        kept = self._refusal
        if kept is not None:
            self._refusal = Refusal(kept.attempt, kept.result, in_our_words(kept.attempt, kept.result))

    def refusal(self, route: Route, stored: bool, now: float) -> Refusal | None:
        """The refusal to pass on; None if words of ours say more.

        `stored`: the request is about an answer that some provider keeps, so a target that was not asked may have it.
        """
        if self.final:
            return self._refusal
        if stored:
            asked = {candidate.state for candidate, _ in self.tried}
            if any(candidate.state not in asked for candidate in route.candidates):
                return None
        if sealed_elsewhere(self.tried, route.recovery(now)):
            return None
        alike = all(RULES[result.kind].last is Last.AS_RECEIVED for _, result in self.tried)
        return self._refusal if alike else None

    def error(self, route: Route, late: bool, stored: bool, now: float) -> ApiError:
        """An error of ours. `late`: the deadline has passed."""
        return refuse(route.name, self.tried, route.recovery(now), late, stored)

    @property
    def cause(self) -> Cause | None:
        """Whom to blame for it."""
        return next((RULES[result.kind].cause for _, result in reversed(self.tried)), Cause.CAPACITY)


def in_our_words(attempt: Attempt, result: Outcome) -> ApiError:
    """A provider's refusal that cannot be passed on as it came: its status, and what it means."""
    status = result.status or attempt.status
    error = api_error(status, f"the provider answered {describe(result)}", result.code)
    return msgspec.structs.replace(error, should_retry=False) if is_futile(result, status) else error


def is_futile(result: Outcome, status: int) -> bool:
    """The SDKs retry on this status, though the request itself was refused: a prompt that is too long stays too long,
    even with a 500. An error that nobody could read is left to its status."""
    return result.kind is not Kind.CLIENT_ERROR and (status >= 500 or status in REPEATED)
