"""Names for requests that have none."""

from __future__ import annotations

from random import Random
from typing import Final

DIGITS: Final = 16
"""Of one, hexadecimal: 64 random bits."""
BATCH: Final = 64
"""Drawn and written at once: one by one takes five times as long."""


class RequestIds:
    """New ones: `oxllm-` and 64 random bits."""

    __slots__ = ("_at", "_digits", "_rng")

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._digits = ""
        self._at = 0
        """Where in them the next one begins."""

    def new(self) -> str:
        """One that was not there before."""
        at = self._at
        if at == len(self._digits):
            self._digits = f"{self._rng.getrandbits(4 * DIGITS * BATCH):0{DIGITS * BATCH}x}"
            at = 0
        self._at = at + DIGITS
        return "oxllm-" + self._digits[at : at + DIGITS]
