"""What a client's `model` may name: exact names, and patterns in which `*` stands for any text, even none.

An exact name wins, then the pattern with the longest literal part; `*` alone is the last resort.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from oxllm.plan import ANY

T = TypeVar("T")


class Pattern:
    """A name with ANY (`*`) in it."""

    __slots__ = ("_first", "_last", "_middle", "rank")

    def __init__(self, text: str) -> None:
        parts = text.split(ANY)
        self._first, *self._middle, self._last = parts
        self.rank = max(map(len, parts)), sum(map(len, parts))
        """How specific it is: the length of its longest literal part, then of all of them."""

    def matches(self, name: str) -> bool:
        """Whether it matches `name`. Linear, whatever the pattern."""
        at, end = len(self._first), len(name) - len(self._last)
        if at > end or not name.startswith(self._first) or not name.endswith(self._last):
            return False
        for part in self._middle:
            found = name.find(part, at, end)
            if found < 0:
                return False
            at = found + len(part)
        return True


class Names(Generic[T]):
    """What each name means."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self, meanings: Mapping[str, T]) -> None:
        self._exact = meanings
        patterns = [(Pattern(name), meaning) for name, meaning in meanings.items() if ANY in name]
        self._patterns = sorted(patterns, key=lambda one: one[0].rank, reverse=True)
        """The most specific first; equally specific ones in the order given."""

    def find(self, name: str) -> T | None:
        """What `name` means; None if it means nothing."""
        meaning = self._exact.get(name)
        if meaning is None:
            for pattern, other in self._patterns:
                if pattern.matches(name):
                    return other
        return meaning
