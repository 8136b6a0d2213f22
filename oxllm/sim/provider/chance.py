"""Chance without order: every draw is a hash of where it is used, so nothing that runs before it can change it.

A draw is `blake2b(seed / provider / key / purpose)`, where the key is a request's ordinal at its provider, or the
id that the request carries. There is no generator to share, so concurrency, retries and PYTHONHASHSEED cannot
change a fate: request 412 of `alpha` under seed 7 is the same request in every run.
"""

from __future__ import annotations

import math
import random
from hashlib import blake2b


def digest(*coordinates: object, size: int = 8) -> bytes:
    """`size` bytes (64 at most) that depend on nothing but the coordinates."""
    return blake2b("/".join(map(str, coordinates)).encode(), digest_size=size).digest()


class Chance:
    """All the chance of one request (or connection) at one provider."""

    __slots__ = ("_place",)

    def __init__(self, seed: int, provider: str, key: int | str) -> None:
        self._place = f"{seed}/{provider}/{key}"

    def draw(self, purpose: str) -> float:
        """A number in [0, 1)."""
        return int.from_bytes(digest(self._place, purpose), "big") / 2**64

    def between(self, purpose: str, low: float, high: float) -> float:
        return low + (high - low) * self.draw(purpose)

    def hexadecimal(self, purpose: str, length: int) -> str:
        """`length` hex digits (128 at most), for ids."""
        return digest(self._place, purpose, size=(length + 1) // 2).hex()[:length]

    def series(self, purpose: str) -> random.Random:
        """A generator of its own for as many numbers as a stream has tokens. Only its `random()` is stable across
        Python versions, so use nothing else of it."""
        return random.Random(int.from_bytes(digest(self._place, purpose), "big"))


def normal(series: random.Random) -> float:
    """A standard normal number (Box-Muller on two draws)."""
    return math.sqrt(-2.0 * math.log(1.0 - series.random())) * math.cos(2.0 * math.pi * series.random())
