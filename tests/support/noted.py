"""The table of a state machine that records which of its rows have been used.

noted = Noted(breaker.TABLE)
monkeypatch.setattr(breaker, "TABLE", noted)
...
assert noted.used == set(breaker.TABLE.rows)
"""

from __future__ import annotations

from typing import TypeVar

from oxllm.core.machine import Event, State, Table

S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)


class Noted(Table[S, E]):
    """Moves as the table does. `used`: the rows that have been taken."""

    def __init__(self, table: Table[S, E]) -> None:
        super().__init__(table.rows)
        self.used: set[tuple[S, E]] = set()

    def move(self, state: S, event: E) -> S:
        """As `Table.move`."""
        after = super().move(state, event)
        self.used.add((state, event))
        return after
