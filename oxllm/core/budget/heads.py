"""Memory for request heads that have come in part: it counts what is there, and names who has to go."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Generic, TypeVar

HEADS_LIMIT: Final = 1024 * 1024
"""Bytes of all heads that are not whole. Nearly all come in one read and never count: of 500 that come in two, each
may have 2 KiB."""
Half = TypeVar("Half", bound=Hashable)


class HeadBudget(Generic[Half]):
    """The bound on request heads that have come in part: 4,096 dribblers of 32 KiB would have 128 MB."""

    __slots__ = ("_heads", "limit", "total")

    def __init__(self, limit: int = HEADS_LIMIT) -> None:
        self.limit = limit
        self.total = 0
        self._heads: dict[Half, tuple[int, float]] = {}
        """Bytes, and since when."""

    def grew(self, holder: Half, size: int, now: float) -> None:
        """`holder` has `size` bytes of a head."""
        has, since = self._heads.get(holder, (0, now))
        self._heads[holder] = size, since
        self.total += size - has

    def drop(self, holder: Half) -> None:
        """Its head is whole, or given up."""
        self.total -= self._heads.pop(holder, (0, 0.0))[0]

    def excess(self, now: float) -> Half | None:
        """Who has to go, if the bound is passed: who has held most for longest, in bytes times seconds.

        Not the oldest, which may be small and on a slow line, nor the largest, which may have come this moment.
        """
        if self.total <= self.limit:
            return None
        return max(self._heads, key=lambda holder: self._heads[holder][0] * (now - self._heads[holder][1] + 0.01))
