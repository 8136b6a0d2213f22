"""Memory for held parts of answers: counts what is held, and pauses and resumes the readers."""

from __future__ import annotations

from typing import Final

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
        *("_early", "_going", "_held", "_line", "_paused", "_read", "_turn", "_turn_had", "_turn_size"),
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
        self._early: dict[HeldHolder, None] = {}
        """Those that may be able to commit early."""
        self._line: dict[HeldHolder, bool] = {}
        """Readers that hold more than HELD_FREE -> whether they are paused, in the order in which they exceeded it."""
        self._paused = 0
        """How many of them are paused."""
        self._going: set[HeldHolder] = set()
        """Readers that were resumed and have not read since."""
        self._turn: HeldHolder | None = None
        self._turn_had = 0

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
        self.full = self.total > self.mark
        self.tight = self.full or self._paused > 0
        if not self.full:
            self._turn = None
        if size < before and self._paused:
            self._serve()

    def grew(self, reader: HeldHolder, size: int, early: bool) -> None:
        """As `hold`, after a read: the reader may be paused. `early`: it may be able to commit early."""
        self.hold(reader, size)
        went_on, new = reader in self._going, reader not in self._line
        self._going.discard(reader)
        if early and size > HELD_FREE:
            self._early[reader] = None
        else:
            self._early.pop(reader, None)
        if size > HELD_FREE:
            if new:
                self._line[reader] = False
            if self.tight:
                self._relieve()
                self._line_up(reader, new)
        if went_on and self._paused and not self.full:
            self._serve()

    def _line_up(self, reader: HeldHolder, new: bool) -> None:
        """Pause a reader if need be: any but the one with the turn while it is full, new ones while others wait."""
        waits = self.full or (self._paused > 0 and new)
        if waits and reader in self._held and reader is not self._turn:
            if not self._line.get(reader):
                self._paused += 1
                self.tight = True
            self._line[reader] = True
            reader.pause()
            self._serve()

    def drop(self, holder: HeldHolder) -> None:
        """`holder` is done, and holds nothing more."""
        if holder in self._held:
            self._leave(holder)
            self.hold(holder, 0)

    def room(self, reader: HeldHolder, size: int) -> int:
        """Bytes, at least 1, that a read may now bring to a stream that holds `size`."""
        if reader is self._turn or not (self.full or (self._paused and reader not in self._line)):
            return HELD_READ
        return max(1, HELD_FREE - size)

    @property
    def contended(self) -> bool:
        """Whether a reader waits: then `look` must be called from time to time."""
        return self._paused > 0

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
        self._going.clear()  # there was nothing for them to read
        self._serve()

    def _forget(self, holder: HeldHolder) -> None:
        del self._held[holder]
        self._early.pop(holder, None)
        if self._leave(holder):
            holder.resume()
        if holder is self._turn:
            self._turn = None

    def _leave(self, holder: HeldHolder) -> bool:
        """Take it out of the line. Returns whether it was paused."""
        self._going.discard(holder)
        paused = self._line.pop(holder, False)
        self._paused -= paused
        return paused

    def _relieve(self) -> None:
        while self.full and self._early:
            largest = max(self._early, key=self._held.__getitem__)
            del self._early[largest]
            largest.commit_early()

    def _serve(self) -> None:
        for reader, paused in tuple(self._line.items()):
            if paused and self._line.get(reader):
                if self.full:
                    if not self._take_turn(reader):
                        return
                elif self.total + self._read * len(self._going) > self.mark:
                    return
                else:
                    self._going.add(reader)
                self._line[reader] = False
                self._paused -= 1
                self.tight = self.full or self._paused > 0
                reader.resume()

    def _take_turn(self, reader: HeldHolder) -> bool:
        """Give the turn to a reader, if that is possible now.

        1. Another has it: no.
        2. The memory that comes with it is free: yes.
        3. It is not, but some holder is not paused: no. That one will finish, or go away.
        4. All are paused, so none of them can make room: yes.
        """
        if self._turn is not None:
            return False  # 1
        fits = self.total - self._held[reader] + self._turn_size <= self.limit
        if not fits and not all(self._line.get(holder) for holder in self._held):
            return False  # 3
        self._turn, self._turn_had = reader, 0  # 2, 4
        return True
