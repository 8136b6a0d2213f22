"""What the client gets when nobody is left to be asked: a target's own refusal, or an error of ours."""

from __future__ import annotations

from typing import Final

import msgspec

from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import RULES, Cause, Kind, Last, Outcome
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.refusal import Tried, describe, refuse, sealed_elsewhere
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.shape import Value
from oxllm.core.wire.errors import ApiError, api_error

REPEATED: Final = frozenset({408, 409, 425, 429})
"""Statuses below 500 at which the SDKs ask again."""


class Received(Value, frozen=True):
    """A provider's refusal that may go to the client as it is."""

    status: int
    fields: Headers
    body: bytes


class Refusal(Value, frozen=True):
    """What a target has refused, and how the client may be told."""

    attempt: Attempt
    result: Outcome
    words: Received | ApiError
    """As it came; in our words if not all of it was kept."""


class LastAnswer:
    """What each target that was tried said, and the refusal that is worth more to the client than words of ours."""

    __slots__ = ("_refusal", "final", "tried")

    def __init__(self) -> None:
        self.tried: tuple[Tried, ...] = ()
        """Candidates that have failed, and how."""
        self.final = False
        """It is the client's own fault: nobody else is asked, and the refusal stands, whoever fails behind it."""
        self._refusal: Refusal | None = None

    def __repr__(self) -> str:
        return f"<LastAnswer {[describe(result) for _, result in self.tried]}{' final' if self.final else ''}>"

    @property
    def kept(self) -> int:
        """Bytes of a refusal that may yet be passed on."""
        words = None if self._refusal is None else self._refusal.words
        return len(words.body) if isinstance(words, Received) else 0

    def failed(self, candidate: Candidate, result: Outcome) -> None:
        """A target has failed; a second try's result takes the place of the first's. One that the request did not go
        out to was not tried: what stands in its way says more."""
        if result.kind is not Kind.WITHHELD:
            self.tried = (*(one for one in self.tried if one[0] is not candidate), (candidate, result))

    def keep(self, refusal: Refusal) -> None:
        """The newest refusal takes the place of the one before."""
        if not self.final:
            self._refusal = refusal

    def drop(self) -> None:
        """Another target has an answer: none is passed on."""
        self._refusal = None

    def shorten(self) -> None:
        """There is no memory for it: keep what it means, in our own words."""
        kept = self._refusal
        if kept is not None:
            self._refusal = Refusal(kept.attempt, kept.result, in_our_words(kept.attempt, kept.result))

    def refusal(self, route: Route, stored: bool, now: float) -> Refusal | None:
        """The target's refusal to pass on; None if words of ours say more.

        `stored`: the request is about an answer that some provider keeps, so that whoever was not asked may be the one
        that has it.
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
        """Words of ours. `late`: the client's time is over."""
        return refuse(route.name, self.tried, route.recovery(now), late, stored)

    @property
    def cause(self) -> Cause | None:
        """Whom to blame for them."""
        return next((RULES[result.kind].cause for _, result in reversed(self.tried)), Cause.CAPACITY)


def in_our_words(attempt: Attempt, result: Outcome) -> ApiError:
    """A provider's refusal of which not all was kept: its status and what it means."""
    status = result.status or attempt.status
    error = api_error(status, f"the provider answered {describe(result)}", result.code)
    return msgspec.structs.replace(error, should_retry=False) if is_futile(result, status) else error


def is_futile(result: Outcome, status: int) -> bool:
    """The SDKs would ask again, as `status` has it, though it is their own request that was refused: a prompt that is
    too long stays so under a 500, too. What nobody could read is left to its status."""
    return result.kind is not Kind.CLIENT_ERROR and (status >= 500 or status in REPEATED)
