"""Chance without order: every draw is a hash of where it is used, so nothing that runs before it can change it.

A draw is `blake2b(seed / provider / key / purpose)`, where the key is a request's ordinal at its provider, or the
id that the request carries. There is no generator to share, so concurrency, retries and PYTHONHASHSEED cannot
change a fate: request 412 of `alpha` under seed 7 is the same request in every run.
"""

from __future__ import annotations

import math
import struct
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
        drawn = blake2b(f"{self._place}/{purpose}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") / 2**64

    def between(self, purpose: str, low: float, high: float) -> float:
        return low + (high - low) * self.draw(purpose)

    def hexadecimal(self, purpose: str, length: int) -> str:
        """`length` hex digits (128 at most), for ids."""
        return digest(self._place, purpose, size=(length + 1) // 2).hex()[:length]

    def series(self, purpose: str) -> Series:
        """As many numbers as a stream has tokens."""
        return Series(f"{self._place}/{purpose}")


class Series:
    """Numbers in [0, 1) without end, each hash giving eight of them: a generator of Python's own has 2.5 KB of state,
    which five thousand streams would feel."""

    __slots__ = ("_block", "_left", "_place")

    def __init__(self, place: str) -> None:
        self._place = place
        self._block = 0
        self._left: list[int] = []

    def random(self) -> float:
        """The next one."""
        if not self._left:
            drawn = blake2b(f"{self._place}/{self._block}".encode(), digest_size=64).digest()
            self._left.extend(struct.unpack(">8Q", drawn))
            self._block += 1
        return (self._left.pop() >> 11) / 2**53


def normal(series: Series) -> float:
    """A standard normal number (Box-Muller on two draws)."""
    return math.sqrt(-2.0 * math.log(1.0 - series.random())) * math.cos(2.0 * math.pi * series.random())
