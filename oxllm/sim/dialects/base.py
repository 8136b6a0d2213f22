"""What dialects share: an error, which each words in its own way, and a window, which each has its own headers for."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode

CREATED = 1_750_000_000
"""`created` of everything, so that a run can be reproduced byte for byte."""


class Error(msgspec.Struct, frozen=True):
    """An error, independent of dialect."""

    word: str
    """rate, quota, spend (a spending cap), toobig, server, overloaded, auth, missing or invalid."""
    status: int
    hint: float | None = None
    """Seconds after which to retry."""
    dimension: str = "tokens"
    """What ran out: requests or tokens."""
    message: str | None = None
    param: str | None = None
    code: str | None = None
    model: str = "sim-1"
    limit: int = 0
    """Size of the window that the request does not fit into; `used` is how much of it was used."""
    used: int = 0
    requested: int = 1


class Level(msgspec.Struct, frozen=True):
    """One window as headers report it: allowed, remaining, and seconds until it is empty again."""

    limit: int
    remaining: int
    reset: float


class Words(msgspec.Struct, frozen=True):
    """How a dialect words an error. `text` may use fields of `Error`, `{unit}` (RPM, TPM), `{again}`, `{seconds}`."""

    kind: str | None
    code: str | int | None
    text: str

    def said(self, error: Error) -> str:
        """The sentence with this error's numbers."""
        if error.message is not None:
            return error.message
        fields = {name: getattr(error, name) for name in ("model", "dimension", "limit", "used", "requested")}
        again = f" Please try again in {short(error.hint)}." if error.hint is not None else ""
        seconds = 0 if error.hint is None else up(error.hint)
        return self.text.format(**fields, unit=f"{error.dimension[0].upper()}PM", again=again, seconds=seconds)


def up(seconds: float) -> int:
    """Round up to whole seconds."""
    return -int(-seconds // 1)


def short(hint: float) -> str:
    """`18.642s`, `644ms`: times as in OpenAI's messages."""
    return f"{round(hint * 1000)}ms" if hint < 1 else f"{hint:.3f}".rstrip("0").rstrip(".") + "s"


def encode(value: object) -> bytes:
    return _encode(value)


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % _encode(value)
