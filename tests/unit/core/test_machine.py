"""One table, one way to move in it."""

from __future__ import annotations

import pytest

from oxllm.core import machine
from oxllm.core.machine import Table


class Door(machine.State):
    OPEN = "open"
    CLOSED = "closed"


class Push(machine.Event):
    SHUT = "shut"
    KNOCK = "knock"


TABLE = Table(
    {
        (Door.OPEN, Push.SHUT): Door.CLOSED,
        (Door.CLOSED, Push.KNOCK): Door.CLOSED,
    }
)


def test_the_table_says_where_an_event_leads() -> None:
    assert TABLE.move(Door.OPEN, Push.SHUT) is Door.CLOSED
    assert TABLE.moves() == {(Door.OPEN, Door.CLOSED), (Door.CLOSED, Door.CLOSED)}


def test_what_is_not_in_the_table_is_a_bug() -> None:
    with pytest.raises(AssertionError, match=r"Push\.SHUT while Door\.CLOSED"):
        TABLE.move(Door.CLOSED, Push.SHUT)


def test_a_state_is_hashed_by_identity() -> None:
    assert hash(Door.OPEN) == object.__hash__(Door.OPEN)
