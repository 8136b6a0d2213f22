"""Ids for requests that come without one."""

from __future__ import annotations

from random import Random
from typing import Final

DIGITS: Final = 16
"""Hexadecimal digits of an id: 64 random bits."""
BATCH: Final = 64
"""Ids drawn and formatted at once: one by one takes five times as long."""


class RequestIds:
    """Makes ids: `oxllm-` and 64 random bits."""

    __slots__ = ("_at", "_digits", "_rng")

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._digits = ""
        self._at = 0
        """Where in `_digits` the next id begins."""

    def new(self) -> str:
        """A new id."""
        at = self._at
        if at == len(self._digits):
            self._digits = f"{self._rng.getrandbits(4 * DIGITS * BATCH):0{DIGITS * BATCH}x}"
            at = 0
        self._at = at + DIGITS
        return "oxllm-" + self._digits[at : at + DIGITS]
