"""Memory for incomplete request heads: counts them, and names the one that must be dropped."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

HEADS_LIMIT: Final = 1024 * 1024
"""Bytes of all incomplete heads together. Nearly all heads come in one read and never count; 500 that take two reads
may have 2 KiB each."""
Half = TypeVar("Half", bound=Hashable)


class HeadBudget(Generic[Half]):
    """The bound on incomplete request heads: without it, 4,096 slow senders of 32 KiB each would take 128 MB."""

    __slots__ = ("_heads", "total")

    def __init__(self) -> None:
        self.total = 0
        self._heads: dict[Half, tuple[int, float]] = {}
        """Bytes of each, and when its first came."""

    def grew(self, holder: Half, size: int, now: float) -> None:
        """`holder` now has `size` bytes of a head."""
        has, since = self._heads.get(holder, (0, now))
        self._heads[holder] = size, since
        self.total += size - has

    def drop(self, holder: Half) -> None:
        """`holder`'s head is complete, or given up."""
        self.total -= self._heads.pop(holder, (0, 0.0))[0]

    def excess(self, now: float) -> Half | None:
        """The holder to drop if the bound is exceeded: the one with the most bytes times seconds.

        Not the oldest, which may be small and on a slow line, nor the largest, which may have come just now.
        """
        if self.total <= HEADS_LIMIT:
            return None
        return max(self._heads, key=lambda holder: self._heads[holder][0] * (now - self._heads[holder][1] + 0.01))
