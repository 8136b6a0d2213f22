"""What dialects share: the error that each says in its own words, the window that each tells in its own headers."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]
_encode = msgspec.json.Encoder().encode

CREATED = 1_750_000_000
"""`created` of everything: a run can be had again byte for byte."""


class Error(msgspec.Struct, frozen=True):
    """What went wrong, in no dialect. `word` is one of rate, quota, toobig, server, overloaded, auth, missing,
    invalid, and `hint` the seconds after which a retry is worth while."""

    word: str
    status: int
    hint: float | None = None
    dimension: str = "tokens"
    message: str | None = None
    param: str | None = None


class Level(msgspec.Struct, frozen=True):
    """One window as a header would tell it: allowed, left, and seconds until it is empty again."""

    limit: int
    remaining: int
    reset: float


def encode(value: object) -> bytes:
    return _encode(value)


def event(value: object) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % _encode(value)
