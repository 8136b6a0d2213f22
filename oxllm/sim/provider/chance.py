"""Order-independent chance: every draw is a hash of where it is used, so nothing that runs before can change it.

A draw is `blake2b(seed / provider / key / purpose)`; for the key of a request see `Provider._key`. There is no shared
generator, so concurrency, retries and PYTHONHASHSEED cannot change a fate: a request of `alpha` with the same key under
seed 7 has the same one in every run.
"""

from __future__ import annotations

import math
import struct
from hashlib import blake2b


def digest(*coordinates: object, size: int = 8) -> bytes:
    """`size` bytes (64 at most) that depend only on the coordinates."""
    return blake2b("/".join(map(str, coordinates)).encode(), digest_size=size).digest()


class Chance:
    """The draws of one request (or connection) at one provider."""

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
        """An endless series of draws, for the tokens of a stream."""
        return Series(f"{self._place}/{purpose}")


class Series:
    """An endless series of numbers in [0, 1), eight from each hash. `random.Random` would have 2.5 KB of state in each
    of five thousand streams."""

    __slots__ = ("_block", "_left", "_place")

    def __init__(self, place: str) -> None:
        self._place = place
        self._block = 0
        self._left: list[int] = []

    def random(self) -> float:
        """The next number."""
        if not self._left:
            drawn = blake2b(f"{self._place}/{self._block}".encode(), digest_size=64).digest()
            self._left.extend(struct.unpack(">8Q", drawn))
            self._block += 1
        return (self._left.pop() >> 11) / 2**53


def normal(series: Series) -> float:
    """A standard normal number (Box-Muller on two draws)."""
    return math.sqrt(-2.0 * math.log(1.0 - series.random())) * math.cos(2.0 * math.pi * series.random())
