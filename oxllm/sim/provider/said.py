"""An answer that somebody has decided: by a script, or by a schema that the client asked for."""

from __future__ import annotations

import re

import msgspec

PIECE = 6
"""Characters of JSON that make a token."""


class Said(msgspec.Struct, frozen=True):
    """What is answered, in pieces that are tokens. `tool`: the function whose arguments they are."""

    pieces: tuple[str, ...]
    tool: str | None = None


def text(said: str) -> Said:
    """Words, each with the blank before it."""
    return Said(tuple(re.findall(r"\s*\S+|\s+$", said)) or ("",))


def data(value: object, tool: str | None = None) -> Said:
    """A value as JSON."""
    whole = msgspec.json.encode(value).decode()
    return Said(tuple(whole[at : at + PIECE] for at in range(0, len(whole), PIECE)), tool)
