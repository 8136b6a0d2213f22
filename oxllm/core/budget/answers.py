"""Memory for what is held of answers: it counts what is there, and pauses and resumes those who read."""

from __future__ import annotations

from typing import Final

from oxllm.core.native import mypyc_attr

HELD_LIMIT: Final = 2 * 1024 * 1024
"""Bytes of answers that all streams, held answers and slow clients share."""
HELD_FREE: Final = 1024
"""Bytes that each may hold whatever the others do: most events are shorter, so most streams never wait."""
HELD_READ: Final = 64 * 1024
"""The most that one read brings while there is plenty."""
HELD_TURN: Final = 1024 * 1024 + 2 * HELD_READ
"""Kept for whose turn it is: the largest event, what stands before it, and a read behind it. So one can always finish.
"""


@mypyc_attr(allow_interpreted_subclasses=True)
class HeldHolder:
    """Whoever holds a part of an answer; what a subclass does not override, it is never asked for."""

    __slots__ = ()

    def measure(self) -> int:
        """Bytes that it holds now."""
        raise NotImplementedError

    def commit_early(self) -> None:
        """Pass on to the client what there is, if that is possible."""

    def pause(self) -> None:
        """Read no more from the provider until `resume`."""

    def resume(self) -> None:
        """Read on."""


@mypyc_attr(allow_interpreted_subclasses=True)
class HeldBudget:
    """The bound on what is held of answers: partial events, hold-back, whole answers being checked, unsent output.

    It never ends a request. Only holders of more than HELD_FREE count. While it is `full`

    - a read brings no more than what its stream lacks to HELD_FREE (`room`), so who holds little goes on as ever;
    - the largest of those that can commit early do (`grew`), until it is full no more;
    - who still needs more than HELD_FREE is paused and stands in line, first who has held so much for longest, and goes
      on when there is plenty again, or when it is its turn. There is one turn at a time, with memory of its own: else a
      hundred partial events could wait for each other.

    When there is plenty again, only as many go on as may each read once, and the next ones when these have; who comes
    meanwhile and needs more than HELD_FREE stands behind those who wait (`tight`). Else the fastest would take it all,
    whose answers may be minutes away, and those waiting whose answers are there.

    It is full before the limit is reached: what lies between is one read, and the turn's memory.
    """

    __slots__ = (
        *("_early", "_going", "_held", "_line", "_paused", "_read", "_turn", "_turn_had", "_turn_size"),
        *("full", "limit", "mark", "tight", "total"),
    )

    def __init__(self, limit: int = HELD_LIMIT, turn: int = HELD_TURN, read: int = HELD_READ) -> None:
        self.limit = limit
        self.mark = limit - turn - read
        """Bytes; it is full past them."""
        self.total = 0
        """Bytes held now by those who hold more than HELD_FREE."""
        self.full = False
        self.tight = False
        """It is full, or somebody waits: not every read may bring what it likes."""
        self._turn_size = turn
        self._read = read
        self._held: dict[HeldHolder, int] = {}
        self._early: dict[HeldHolder, None] = {}
        """Those that may be able to commit early."""
        self._line: dict[HeldHolder, bool] = {}
        """Readers that hold more than HELD_FREE, in the order in which they came to -> whether they are paused."""
        self._paused = 0
        """How many of them are."""
        self._going: set[HeldHolder] = set()
        """Those that go on and have not read since."""
        self._turn: HeldHolder | None = None
        self._turn_had = 0

    def hold(self, holder: HeldHolder, size: int) -> None:
        """`holder` has `size` bytes now, all of which it has already."""
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
        """As `hold`, for bytes that were read. `early`: it might be able to commit. It may be paused."""
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
        """Have a reader wait if it has to: all but whose turn it is while it is full, new ones while others wait."""
        waits = self.full or (self._paused > 0 and new)
        if waits and reader in self._held and reader is not self._turn:
            if not self._line.get(reader):
                self._paused += 1
                self.tight = True
            self._line[reader] = True
            reader.pause()
            self._serve()

    def drop(self, holder: HeldHolder) -> None:
        """`holder` has come to its end."""
        if holder in self._held:
            self._leave(holder)
            self.hold(holder, 0)

    def room(self, reader: HeldHolder, size: int) -> int:
        """The most that a read may bring now to a stream that has `size` bytes; at least one."""
        if reader is self._turn or not (self.full or (self._paused and reader not in self._line)):
            return HELD_READ
        return max(1, HELD_FREE - size)

    @property
    def contended(self) -> bool:
        """Whether somebody waits: then `look` from time to time."""
        return self._paused > 0

    def look(self) -> None:
        """Find out what has become less without a word: a client takes what waits for it.

        Who has the turn and has not used it between two looks keeps what it has, and leaves it to the next,
        unless it has used the memory that goes with it: its provider may be silent for a minute.
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
        """Out of the line. Whether it was paused."""
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

        1. Somebody has it: no.
        2. The memory that goes with it is free: yes.
        3. It is not, but some holder is not paused: no. It will get done, or be gone.
        4. All are paused, so that nobody else can make room: yes.
        """
        if self._turn is not None:
            return False  # 1
        fits = self.total - self._held[reader] + self._turn_size <= self.limit
        if not fits and not all(self._line.get(holder) for holder in self._held):
            return False  # 3
        self._turn, self._turn_had = reader, 0  # 2, 4
        return True
