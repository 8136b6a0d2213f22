"""What dialects share: the error that each says in its own words, the window that each tells in its own headers."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode

CREATED = 1_750_000_000
"""`created` of everything: a run can be had again byte for byte."""


class Error(msgspec.Struct, frozen=True):
    """What went wrong, in no dialect."""

    word: str
    """rate, quota, spend (a cap on what may be spent), toobig, server, overloaded, auth, missing or invalid."""
    status: int
    hint: float | None = None
    """Seconds after which a retry is worth while."""
    dimension: str = "tokens"
    """What ran out: requests or tokens."""
    message: str | None = None
    param: str | None = None
    code: str | None = None
    model: str = "sim-1"
    limit: int = 0
    """Of the window that the request does not fit into, and what of it was used."""
    used: int = 0
    requested: int = 1


class Level(msgspec.Struct, frozen=True):
    """One window as a header would tell it: allowed, left, and seconds until it is empty again."""

    limit: int
    remaining: int
    reset: float


class Words(msgspec.Struct, frozen=True):
    """How a dialect says an error. `text` may hold fields of `Error`, and `{unit}` (RPM, TPM) and `{again}`."""

    kind: str | None
    code: str | int | None
    text: str

    def said(self, error: Error) -> str:
        """The sentence, with the numbers of this error."""
        if error.message is not None:
            return error.message
        fields = {name: getattr(error, name) for name in ("model", "dimension", "limit", "used", "requested")}
        again = f" Please try again in {short(error.hint)}." if error.hint is not None else ""
        seconds = 0 if error.hint is None else up(error.hint)
        return self.text.format(**fields, unit=f"{error.dimension[0].upper()}PM", again=again, seconds=seconds)


def up(seconds: float) -> int:
    """Whole seconds, never fewer than were meant."""
    return -int(-seconds // 1)


def short(hint: float) -> str:
    """`18.642s`, `644ms`: how OpenAI's messages tell a time."""
    return f"{round(hint * 1000)}ms" if hint < 1 else f"{hint:.3f}".rstrip("0").rstrip(".") + "s"


def encode(value: object) -> bytes:
    return _encode(value)


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % _encode(value)
