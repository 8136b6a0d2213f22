"""A machine's table that notes which of its rows have been used.

noted = Noted(breaker.TABLE)
monkeypatch.setattr(breaker, "TABLE", noted)
...
assert noted.used == set(breaker.TABLE)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from oxllm.core.machine import Event, State, Table

S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)


class Noted(Mapping[tuple[S, E], S], Generic[S, E]):
    """The same table. `used`: its rows that have led somewhere."""

    def __init__(self, table: Table[S, E]) -> None:
        self._table = table
        self.used: set[tuple[S, E]] = set()

    def __getitem__(self, row: tuple[S, E]) -> S:
        after = self._table[row]
        self.used.add(row)
        return after

    def __iter__(self) -> Iterator[tuple[S, E]]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)
