"""An answer that is not random but given: by a script, or by a schema in the request."""

from __future__ import annotations

import re

import msgspec

PIECE = 6
"""Characters of JSON in a token."""


class Said(msgspec.Struct, frozen=True):
    """The answer, one piece per token. `tool`: the function whose arguments it is."""

    pieces: tuple[str, ...]
    tool: str | None = None


def text(said: str) -> Said:
    """A text, split into words, each with the blanks before it."""
    return Said(tuple(re.findall(r"\s*\S+|\s+$", said)) or ("",))


def data(value: object, tool: str | None = None) -> Said:
    """A value as JSON, split into pieces."""
    whole = msgspec.json.encode(value).decode()
    return Said(tuple(whole[at : at + PIECE] for at in range(0, len(whole), PIECE)), tool)
