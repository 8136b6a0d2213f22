"""One form for every state machine of the program: a table of transitions, and one method that makes one.

    class State(machine.State):         the states
    class Event(machine.Event):         what can happen
    TABLE: Final = Table({
        (State.OPEN, Event.CLOSE): State.CLOSED,
    })
    self.state = TABLE.move(self.state, Event.CLOSE)

What is not in the table cannot happen: a move that is not there is a bug of ours, and raises AssertionError.
"""

from __future__ import annotations

from enum import Enum
from typing import Generic, TypeVar

from oxllm.core.native import mypyc_attr


class State(Enum):
    """Base of a machine's states. Hashed by identity: on 3.11 an Enum hashes its name, in Python, at each look-up."""

    __hash__ = object.__hash__


class Event(Enum):
    """Base of a machine's events, hashed by identity too."""

    __hash__ = object.__hash__


S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)


@mypyc_attr(allow_interpreted_subclasses=True)
class Table(Generic[S, E]):
    """All transitions: (state, event) -> next state."""

    __slots__ = ("_ways", "rows")

    def __init__(self, rows: dict[tuple[S, E], S]) -> None:
        self.rows = rows
        self._ways: dict[S, dict[E, S]] = {}
        """The same by state: two look-ups cost half as much as one by a pair, which has to be built and hashed."""
        for (state, event), after in rows.items():
            self._ways.setdefault(state, {})[event] = after

    def move(self, state: S, event: E) -> S:
        """The state that `event` leads to from `state`."""
        try:
            return self._ways[state][event]
        except KeyError:
            raise AssertionError(f"{event} while {state}") from None

    def moves(self) -> frozenset[tuple[S, S]]:
        """Each pair of a state and its possible successor, for tests and diagrams."""
        return frozenset((before, after) for (before, _), after in self.rows.items())
