"""What one attempt came to: an Outcome, and how to make one of what a provider or the network did.

What a Kind leads to is in `rules`; how an error's words lead to a Kind is in `reading`. Text of providers is searched,
never passed on: a `reason` is always in our own words, and of theirs only a code that looks like one is kept.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from oxllm.core import reading
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.rules import RULES, Cause, Effect, Kind, Last, Rule
from oxllm.core.shape import Value

__all__ = (
    "BUG",
    "GONE",
    "LOST",
    "RULES",
    "STOPPING",
    "SUCCESS",
    "Cause",
    "Effect",
    "Failure",
    "Kind",
    "Last",
    "Outcome",
    "Rule",
    "classify",
    "in_band",
    "network",
)
"""With the rules: who has an outcome asks what follows."""


class Outcome(Value, frozen=True):
    """How one attempt ended, ready to be acted upon and to be shown."""

    kind: Kind
    reason: str
    """In our own words, short: "HTTP 502", "connection refused", "no content within 60 s"."""
    status: int | None = None
    """The provider's."""
    code: str | None = None
    """The provider's error code or, without one, its error type."""
    retry_after: float | None = None
    """Its hint in seconds from now."""
    same_target: bool = False
    """This very failure may be retried at the same target: 500, 502, reset or EOF before any response byte."""
    of_target: bool = False
    """Of QUOTA: it holds for this target alone, since it names a model or comes through a relay."""
    in_band: bool = False
    """It was said inside a 2xx: `status` is the one that the error names, and nothing can be passed on as received."""
    grounds: tuple[tuple[str, ...], ...] = ()
    """Words of the provider on which this rests: each a run of words in lower case."""
    otherwise: Outcome | None = None
    """What it is if one of those runs is the client's own, and only repeated."""
    counts: bool | None = None
    """Whether it counts as a failure of the provider, where that does not follow from its kind alone: a deadline may
    have left the attempt its own limit, a time-out may be that of a host whose heartbeats show that it is alive."""

    @property
    def rule(self) -> Rule:
        """The row of the table."""
        return RULES[self.kind]

    @property
    def is_failure(self) -> bool:
        """Counts as a failure of the provider."""
        return RULES[self.kind].breaker if self.counts is None else self.counts


SUCCESS: Final = Outcome(Kind.SUCCESS, "complete")
GONE: Final = Outcome(Kind.GONE, "client went away")
LOST: Final = Outcome(Kind.LOST, "another target was faster")
BUG: Final = Outcome(Kind.STOPPED, "internal error")
STOPPING: Final = Outcome(Kind.STOPPED, "the gateway is shutting down")


class Failure(Enum):
    """How the network failed."""

    DNS = "name not found"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    TLS = "TLS failed"
    PROXY = "proxy refused"
    RESET = "connection reset"
    EOF = "connection closed"
    PROTOCOL = "not HTTP"
    LOCAL = "not possible from here"
    """This machine is short of something (files, ports, memory), or forbids it. The provider was not reached."""
    WITHHELD = "not to be asked any more when there was a connection"
    """It did not fail: the exchange has told the connection's owner not to send."""


def network(failure: Failure, before_response: bool, detail: str = "") -> Outcome:
    """A connection that failed. `before_response`: not one byte of an answer had come."""
    reason = f"{failure.value}: {_printable(detail)}" if detail else failure.value
    if failure is Failure.WITHHELD:
        return Outcome(Kind.WITHHELD, reason)
    if failure is Failure.LOCAL:
        return Outcome(Kind.LOCAL, reason)
    may_repeat = before_response and failure in {Failure.RESET, Failure.EOF}
    return Outcome(Kind.NETWORK, reason, same_target=may_repeat)


WORDS: Final = {
    Kind.BAD_ANSWER: "not an answer",
    Kind.RATE_LIMITED: "rate limited",
    Kind.QUOTA: "out of quota or credit",
    Kind.TOO_LARGE: "request too large",
    Kind.AUTH: "key refused",
    Kind.FORBIDDEN: "forbidden",
    Kind.MISSING: "model or path not found",
    Kind.NOT_FOUND: "not found",
    Kind.CONTEXT_LENGTH: "context length exceeded",
    Kind.UNSUPPORTED: "lacks what the request needs",
    Kind.CONTENT_REFUSED: "content refused",
    Kind.FOREIGN_STATE: "foreign state",
    Kind.LOADING: "model not ready",
}
"""What a reason says beside the status, where the status alone would not say it."""


TYPE_HEADERS: Final[tuple[bytes, ...]] = (b"x-amzn-errortype", b"x-ms-error-code")
"""Where AWS and Azure name the type of an error; AWS puts a URL behind it."""


def classify(status: int, headers: Headers, body: bytes, now_wall: float) -> Outcome:
    """The meaning of a whole response that is no answer (its first 64 KiB will do). Never raises."""
    error = reading.read(body)
    error.types += [value.partition(b":")[0].decode("latin-1") for name, value in headers if name in TYPE_HEADERS]
    return _outcome(status, error, reading.judge(status, headers, error, now_wall))


def in_band(payload: bytes, now_wall: float, otherwise: str = "an error in the answer") -> Outcome:
    """The meaning of an error inside a 2xx, in its body or in an event: that of the HTTP error which it names.

    `otherwise`: our own words for one that names none, which is a BAD_ANSWER. Never raises.
    """
    error = reading.read(payload)
    status = reading.named_status(error)
    if status is None:
        return Outcome(Kind.BAD_ANSWER, otherwise, code=_shown(error))
    return _outcome(status, error, reading.judge(status, (), error, now_wall), otherwise)


def _outcome(status: int, error: reading.Error, found: reading.Verdict, place: str = "") -> Outcome:
    """`place`: where in a 2xx it was said."""
    words = WORDS.get(found.kind)
    reason = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    return Outcome(
        found.kind,
        f"{place}: {reason}" if place else reason,
        status,
        _without_secrets(status, _shown(error)),
        found.hint,
        same_target=status in {500, 502} and found.kind is Kind.SERVER_ERROR and not place,
        of_target=found.of_target,
        in_band=bool(place),
        grounds=found.grounds,
        otherwise=_outcome(status, error, found.otherwise, place) if found.otherwise is not None else None,
    )


_CODE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_PLAIN_CODE: Final = re.compile(r"\d{1,5}|[A-Za-z_]{1,64}")


def _shown(error: reading.Error) -> str | None:
    """Its code; if that is only a number, its type, and else that number. Prose in their place is not passed on."""
    codes = [code for code in error.codes if _CODE.fullmatch(code)]
    words = [code for code in codes if not code.isdigit()]
    types = [kind for kind in error.types if _CODE.fullmatch(kind)]
    return next(iter([*words, *types, *codes]), None)


def _without_secrets(status: int, code: str | None) -> str | None:
    """Who refuses a key may quote it: of a 401 or 403 only a code of letters or a number is shown."""
    if code is not None and status in {401, 403} and not _PLAIN_CODE.fullmatch(code):
        return None
    return code


def _printable(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text[:100])
