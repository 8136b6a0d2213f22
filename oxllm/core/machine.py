"""One shape for every state machine of the program: a table of moves, and one way to make one.

    class State(machine.State):         where the thing can be
    class Event(machine.Event):         what can happen to it
    TABLE: Table[State, Event] = {
        (State.OPEN, Event.CLOSE): State.CLOSED,
    }
    self.state = move(TABLE, self.state, Event.CLOSE)

What is not in the table cannot happen: if the code tries, that is a bug of ours and no fault of the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar


class State(Enum):
    """Base of a machine's states. Hashed by identity: on 3.11 an Enum hashes its name, in Python, at each look-up."""

    __hash__ = object.__hash__


class Event(Enum):
    """Base of a machine's events, hashed by identity too."""

    __hash__ = object.__hash__


S = TypeVar("S", bound=State)
E = TypeVar("E", bound=Event)
Table = Mapping[tuple[S, E], S]


def move(table: Table[S, E], state: S, event: E) -> S:
    """The state that `event` leads to from `state`."""
    try:
        return table[state, event]
    except KeyError:
        raise AssertionError(f"{event} while {state}") from None


def moves(table: Table[S, E]) -> frozenset[tuple[S, S]]:
    """Each pair of a state and one that can follow it, for tests and pictures."""
    return frozenset((before, after) for (before, _), after in table.items())
