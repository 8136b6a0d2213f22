"""The fields of one request's head, and what is looked for in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from oxllm.core.request.headers import along


class Fields:
    """Names in lower case, values without white space around them. Of a head that is known they are made once."""

    __slots__ = ("all", "along", "first")

    def __init__(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        self.all = fields
        """In order."""
        self.first: dict[bytes, bytes] = dict(reversed(fields))
        """The first value of each, by its name."""
        self.along = along(fields)
        """Those that a provider gets, too: most clients send none."""


NO_FIELDS: Final = Fields(())
"""What all requests share that need theirs no more."""
