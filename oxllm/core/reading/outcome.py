"""How one attempt ended: an Outcome, made from what a provider or the network did.

What follows from a Kind is in `rules`; how an error's words lead to a Kind is in `reading`. Providers' texts are only
searched: a `reason` is always in our own words, and of theirs only what looks like an error code is kept.
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
"""With the names of `rules`: whoever has an outcome asks what follows from it."""


class Outcome(Value, frozen=True):
    """How one attempt ended, ready to act on and to show."""

    kind: Kind
    reason: str
    """In our own words, short: "HTTP 502", "connection refused", "no content within 60 s"."""
    status: int | None = None
    """The provider's status, or the one that an error inside a 2xx names."""
    code: str | None = None
    """The provider's error code or, without one, its error type."""
    retry_after: float | None = None
    """The provider's hint, in seconds from now."""
    same_target: bool = False
    """May be retried at the same target: a 500 or 502, or a reset or EOF before any byte of the response."""
    of_target: bool = False
    """For QUOTA: it holds for this target alone, since it names a model or comes through a relay."""
    grounds: tuple[tuple[str, ...], ...] = ()
    """The provider's words on which this rests: runs of words in lower case."""
    otherwise: Outcome | None = None
    """The outcome if one of those runs is only quoted from the request."""
    counts: bool | None = None
    """Whether it counts as a failure of the provider, if the kind alone does not decide that: an attempt may have had
    its own full limit before the deadline, or a host that timed out may be alive, as its heartbeats show."""

    @property
    def is_failure(self) -> bool:
        """Whether it counts as a failure of the provider."""
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
    """Not a failure: the exchange decided not to send the request on this connection."""


def network(failure: Failure, before_response: bool, detail: str = "") -> Outcome:
    """The outcome of a connection that failed. `before_response`: not one byte of the response had come."""
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
"""What a reason adds to the status, if the status alone does not say it."""


TYPE_HEADERS: Final[tuple[bytes, ...]] = (b"x-amzn-errortype", b"x-ms-error-code")
"""Where AWS and Azure name the type of an error; AWS appends a URL."""


def classify(status: int, headers: Headers, body: bytes, now_wall: float) -> Outcome:
    """The outcome of an error response (only the first 64 KiB of its body matter). Never raises."""
    error = reading.read(body)
    error.types += [value.partition(b":")[0].decode("latin-1") for name, value in headers if name in TYPE_HEADERS]
    return _outcome(status, error, reading.judge(status, headers, error, now_wall))


def in_band(payload: bytes, now_wall: float, otherwise: str = "an error in the answer") -> Outcome:
    """The outcome of an error inside a 2xx, in its body or in an event: that of the HTTP error that it names.

    One that names none is a BAD_ANSWER, with `otherwise` as its reason. Never raises.
    """
    error = reading.read(payload)
    status = reading.named_status(error)
    if status is None:
        return Outcome(Kind.BAD_ANSWER, otherwise, code=_shown(error))
    return _outcome(status, error, reading.judge(status, (), error, now_wall), otherwise)


def _outcome(status: int, error: reading.Error, found: reading.Verdict, place: str = "") -> Outcome:
    """`place`: where in a 2xx the error came; empty if not in one."""
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
        grounds=found.grounds,
        otherwise=_outcome(status, error, found.otherwise, place) if found.otherwise is not None else None,
    )


_CODE: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_PLAIN_CODE: Final = re.compile(r"\d{1,5}|[A-Za-z_]{1,64}")


def _shown(error: reading.Error) -> str | None:
    """The error's code; if that is only a number, its type, or else the number. Prose is not passed on."""
    codes = [code for code in error.codes if _CODE.fullmatch(code)]
    words = [code for code in codes if not code.isdigit()]
    types = [kind for kind in error.types if _CODE.fullmatch(kind)]
    return next(iter([*words, *types, *codes]), None)


def _without_secrets(status: int, code: str | None) -> str | None:
    """A refusal of a key may quote it: from a 401 or 403 only a code of letters or a number is shown."""
    if code is not None and status in {401, 403} and not _PLAIN_CODE.fullmatch(code):
        return None
    return code


def _printable(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text[:100])
