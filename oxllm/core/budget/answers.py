"""Memory for held parts of answers: counts what is held, and pauses and resumes the readers."""

from __future__ import annotations

from typing import Final

from oxllm.core.budget.readers import PAUSED, READING, RESUMED, HeldHolder, Line
from oxllm.core.native import mypyc_attr

HELD_LIMIT: Final = 2 * 1024 * 1024
"""Bytes of answers that may be held for all streams, held-back answers and slow clients together."""
HELD_FREE: Final = 1024
"""Bytes that each may hold whatever the others do: most events are shorter, so most streams never wait."""
HELD_READ: Final = 64 * 1024
"""The most that one read brings while memory is plentiful."""
HELD_TURN: Final = 1024 * 1024 + 2 * HELD_READ
"""Reserved for the reader that has the turn: the largest event, what precedes it, and one more read. So one reader can
always finish."""


@mypyc_attr(allow_interpreted_subclasses=True)
class HeldBudget:
    """The bound on held parts of answers: partial events, hold-back, whole answers being checked, unsent output.

    It never ends a request. Only holders of more than HELD_FREE are counted. While it is `full`

    - a read brings at most what its stream still lacks to HELD_FREE (`room`), so small holders go on as usual;
    - those that can commit early do so (`grew`), the largest first, until it is no longer full;
    - readers that still need more than HELD_FREE are paused and queued, in the order in which they exceeded it. One
      resumes when memory is plentiful again, or when it gets the turn. Only one reader at a time has the turn, which
      comes with memory of its own: otherwise a hundred partial events could wait for each other.

    When memory is plentiful again, only as many resume as can make one read each, and the next ones when these have; a
    newcomer that needs more than HELD_FREE queues behind those that wait (`tight`). Otherwise the fastest would take it
    all, though their answers may be minutes away, while others wait whose answers are there.

    It is full before the limit is reached: the difference is one read, and the turn's memory.
    """

    __slots__ = (
        *("_early", "_held", "_line", "_read", "_turn", "_turn_had", "_turn_size"),
        *("full", "limit", "mark", "tight", "total"),
    )

    def __init__(self, limit: int = HELD_LIMIT, turn: int = HELD_TURN, read: int = HELD_READ) -> None:
        self.limit = limit
        self.mark = limit - turn - read
        """Bytes beyond which it is full."""
        self.total = 0
        """Bytes held now by those that hold more than HELD_FREE."""
        self.full = False
        self.tight = False
        """It is full, or a reader waits: reads may be limited (`room`)."""
        self._turn_size = turn
        self._read = read
        self._held: dict[HeldHolder, int] = {}
        """Bytes of each that holds more than HELD_FREE."""
        self._early: dict[HeldHolder, None] = {}
        """Those of them that may be able to commit early."""
        self._line = Line()
        """Those of them that are readers."""
        self._turn: HeldHolder | None = None
        self._turn_had = 0
        """Bytes that the reader with the turn held at the last `look`."""

    def hold(self, holder: HeldHolder, size: int) -> None:
        """`holder` now holds `size` bytes. It is never paused for them (see `grew`)."""
        before = self._held.get(holder, 0)
        if size > HELD_FREE:
            self._held[holder] = size
        elif before:
            size = 0
            self._forget(holder)
        else:
            return
        self.total += size - before
        self._note()
        if not self.full:
            self._turn = None
        if size < before:
            self._resume()

    def grew(self, reader: HeldHolder, size: int, early: bool) -> None:
        """As `hold`, after a read: the reader may be paused. `early`: it may be able to commit early."""
        self.hold(reader, size)
        if size <= HELD_FREE:
            return
        if early:
            self._early[reader] = None
        else:
            self._early.pop(reader, None)
        before = self._line.has_read(reader)
        if self.tight:
            self._commit_early()
            if self._must_wait(reader, new=before is None):
                self._line.move(reader, PAUSED)
                self._note()
                reader.pause()
                self._resume()
        if before is RESUMED and not self.full:
            self._resume()  # what was set aside for its read is used, or is left

    def drop(self, holder: HeldHolder) -> None:
        """`holder` is done, and holds nothing more."""
        if holder in self._held:
            self._line.leave(holder)
            self.hold(holder, 0)

    def room(self, reader: HeldHolder, size: int) -> int:
        """Bytes, at least 1, that a read may now bring to a stream that holds `size`."""
        if reader is self._turn or not (self.full or (self._line.paused and self._line.state(reader) is None)):
            return HELD_READ
        return max(1, HELD_FREE - size)

    @property
    def contended(self) -> bool:
        """Whether a reader waits: then `look` must be called from time to time."""
        return self._line.paused > 0

    def look(self) -> None:
        """Find out what has shrunk unreported, such as output that a client has taken.

        A reader that has not used its turn between two looks keeps what it holds but passes the turn on, since its
        provider may be silent for a minute; not if it has used the memory that comes with the turn.
        """
        for holder in tuple(self._held):
            if holder in self._held:
                self.hold(holder, holder.measure())
        if self._turn is not None:
            has = self._held[self._turn]
            if has == self._turn_had and self.total + self._turn_size <= self.limit:
                self._turn = None
            self._turn_had = has
        self._line.nothing_to_read()
        self._resume()

    def _note(self) -> None:
        """The total has changed, or how many wait."""
        self.full = self.total > self.mark
        self.tight = self.full or self._line.paused > 0

    def _forget(self, holder: HeldHolder) -> None:
        """It holds no more than is free."""
        del self._held[holder]
        self._early.pop(holder, None)
        if self._line.leave(holder) is PAUSED:
            holder.resume()
        if holder is self._turn:
            self._turn = None

    def _commit_early(self) -> None:
        """Have the largest do so that can, until it is no longer full."""
        while self.full and self._early:
            largest = max(self._early, key=self._held.__getitem__)
            del self._early[largest]
            largest.commit_early()

    def _must_wait(self, reader: HeldHolder, new: bool) -> bool:
        """Any but the one with the turn while it is full, and new ones while others wait."""
        waits = self.full or (new and self._line.paused > 0)
        return waits and reader in self._held and reader is not self._turn

    def _resume(self) -> None:
        """Resume those that wait, in order, as long as there is memory for what they read next."""
        if not self._line.paused:
            return
        for reader in self._line.in_order():
            if self._line.state(reader) is not PAUSED:
                continue
            if self.full:
                if not self._take_turn(reader):
                    return
            elif self.total + self._read * self._line.resumed > self.mark:
                return
            self._line.move(reader, READING if self.full else RESUMED)
            self._note()
            reader.resume()

    def _take_turn(self, reader: HeldHolder) -> bool:
        """Give the turn to a reader, if nobody has it and its memory is free. If that is not, those that are not paused
        will make room, by finishing or going away; if all are paused, nobody else can."""
        fits = self.total - self._held[reader] + self._turn_size <= self.limit
        if self._turn is not None or not (fits or self._line.paused == len(self._held)):
            return False
        self._turn, self._turn_had = reader, 0
        return True
