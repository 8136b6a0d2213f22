"""Those that hold parts of answers, and the line in which readers wait while memory for them is short."""

from __future__ import annotations

from enum import Enum
from typing import Final

from oxllm.core.native import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class HeldHolder:
    """Holds a part of an answer. Methods that a subclass does not override are never called on it."""

    __slots__ = ()

    def measure(self) -> int:
        """Bytes that it holds now."""
        raise NotImplementedError

    def commit_early(self) -> None:
        """Pass on to the client what is held back, if that is possible."""

    def pause(self) -> None:
        """Stop reading the provider until `resume`."""

    def resume(self) -> None:
        """Resume reading."""


class ReaderState(Enum):
    """Of a reader in the line."""

    READING = "it reads"
    PAUSED = "it waits"
    RESUMED = "it may read again, and has not yet: memory is set aside for one read of it"


READING: Final[ReaderState] = ReaderState.READING  # on 3.11 each look at an Enum's member takes 0.1 µs
PAUSED: Final[ReaderState] = ReaderState.PAUSED
RESUMED: Final[ReaderState] = ReaderState.RESUMED


class Line:
    """Readers that hold much, in the order in which they came to. Knows their states; `HeldBudget` decides on them."""

    __slots__ = ("_states", "paused", "resumed")

    def __init__(self) -> None:
        self._states: dict[HeldHolder, ReaderState] = {}
        self.paused = 0
        """How many are PAUSED."""
        self.resumed = 0
        """How many are RESUMED."""

    def state(self, reader: HeldHolder) -> ReaderState | None:
        """Its state; None if it is not in the line."""
        return self._states.get(reader)

    def in_order(self) -> tuple[HeldHolder, ...]:
        """All, as they stand now."""
        return tuple(self._states)

    def has_read(self, reader: HeldHolder) -> ReaderState | None:
        """It has read: who is not in the line goes to its end. Returns the state before."""
        before = self._states.get(reader)
        if before is not PAUSED:  # a read under way is still delivered to one that is
            self.move(reader, READING)
        return before

    def move(self, reader: HeldHolder, state: ReaderState) -> None:
        """It is in this state now."""
        self._count(self._states.get(reader), -1)
        self._states[reader] = state
        self._count(state, 1)

    def leave(self, reader: HeldHolder) -> ReaderState | None:
        """Take it out of the line, if it is there. Returns the state before."""
        before = self._states.pop(reader, None)
        self._count(before, -1)
        return before

    def nothing_to_read(self) -> None:
        """Those that were resumed have found nothing to read."""
        for reader, state in self._states.items():
            if state is RESUMED:
                self._states[reader] = READING
        self.resumed = 0

    def _count(self, state: ReaderState | None, by: int) -> None:
        if state is PAUSED:
            self.paused += by
        elif state is RESUMED:
            self.resumed += by
