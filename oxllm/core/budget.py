"""What may be spent: extra attempts as a share of traffic, and memory for bodies and for what is held of answers.

Four budgets, none of which waits itself. Two say yes or no; who is told no for a body stands in line, and is named by
the call that makes room for it. Two count what is there already: of heads, who has to go is named; of answers, those
who read them are stopped and woken.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

WINDOW_S = 10
"""Seconds of traffic that a retry budget looks back on, as finagle and linkerd do."""
ALWAYS = 3
"""Extra attempts allowed in a window whatever the traffic: one failing request may be all there is."""
TICKS = WINDOW_S * 10 + 1
"""Slots of 100 ms. One more than the window has, since the oldest may be only partly in it: 10.0 to 10.1 s count."""


class RetryBudget:
    """At most `share` extra attempts per client request over the last ten seconds, but always three.

    Retries at the same target and hedges are extra; failing over to another target is not. What it prevents is a
    gateway that doubles the load of providers that fail because of load.
    """

    __slots__ = ("_extras", "_extras_in_window", "_requests", "_requests_in_window", "_tick", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self._requests = [0] * TICKS
        self._extras = [0] * TICKS
        self._requests_in_window = 0
        self._extras_in_window = 0
        self._tick = 0

    def request(self, now: float) -> None:
        """A client request has come."""
        tick = int(now * 10)
        if tick != self._tick:
            self._advance(tick)
        self._requests[self._tick % TICKS] += 1
        self._requests_in_window += 1

    def spend(self, now: float) -> bool:
        """Take one extra attempt, if there is one left."""
        self._advance(int(now * 10))
        # A share of 0.29 of 100 requests is 28.999999999999996 of them.
        if self._extras_in_window + 1 > max(ALWAYS, int(self.share * self._requests_in_window + 1e-9)):
            return False
        self._extras[self._tick % TICKS] += 1
        self._extras_in_window += 1
        return True

    def _advance(self, tick: int) -> None:
        """Empty the slots that have left the window. A clock that stands or steps back empties none."""
        for stale in range(self._tick + 1, min(tick, self._tick + TICKS) + 1):
            slot = stale % TICKS
            self._requests_in_window -= self._requests[slot]
            self._extras_in_window -= self._extras[slot]
            self._requests[slot] = self._extras[slot] = 0
        self._tick = max(self._tick, tick)


STEP = 64 * 1024
"""Bytes by which a large body is counted; a body of up to one step is a small one."""
GRAIN = 1024
"""Bytes by which a small body is counted: by whole steps, 128 chat requests of 4 KB would fill the bound."""
RESERVE = 1024 * 1024
"""Bytes kept for small bodies: a chat request is a few KB, and must not wait behind uploads."""


class BodyHolder(Protocol):
    """Whoever receives a body, as the budget knows it."""

    def room(self) -> None:
        """What `take` refused is granted now."""


class BodyBudget:
    """The bound on all request bodies held, counted as they arrive, and on the heads that came with them.

    First come, first finished: a large body whose length is declared begins when there is room for all of it beside
    what was promised to the others, so that bodies get done one after another instead of all getting half way. Who
    does not come on at a good pace loses the promise (`lapse`): it goes on step by step, while there is room beside
    the promises, and only as long as there stays an order in which all those without one can finish (Dijkstra's
    banker). Of a chunked body nobody knows the length; it has no promise from the start, and chunked ones can wait for
    each other (`deadlocked`).

    RESERVE is kept for small bodies. A body that is larger than what that leaves gets the reserve too while it is the
    only large one: every body that `max_body_bytes` lets in can be served.
    """

    __slots__ = ("_asks", "_held", "_promised", "_whole", "limit", "total", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes."""
        self.total = 0
        """Bytes held now, in whole steps."""
        self._held: dict[BodyHolder, int] = {}
        """In order of age."""
        self._whole: dict[BodyHolder, int] = {}
        """Declared lengths of the large ones, 0 if unknown."""
        self._promised: dict[BodyHolder, int] = {}
        self._asks: dict[BodyHolder, int] = {}
        """Those in line: the size that each wants to grow to."""
        self.waiting = 0
        """How many stand in line."""

    def take(self, holder: BodyHolder, size: int, length: int | None = None, head: int = 0) -> bool:
        """May `holder`'s body, of `length` bytes if that is declared, grow to `size` bytes, beside a head of `head`?

        If not, it stands in line until a `release` names it.
        """
        large = size > STEP or (length or 0) > STEP
        size = self._with_head(size, head)
        if not large and not self._asks and holder not in self._held and self.total + size <= self.limit:
            self._held[holder] = size  # most requests
            self.total += size
            return True
        if size <= self._held.setdefault(holder, 0):
            return True
        if large:
            self._whole[holder] = self._with_head(length, head) if length else 0
        if self._asks or not self._grant(holder, size, begin=True):
            self._asks[holder] = size
            return holder in self._serve()
        return True

    def _with_head(self, size: int, head: int) -> int:
        """The two in whole steps. A head never takes a body past the limit that alone is within it."""
        size = _counted(size)
        return max(size, min(size + _counted(head), self.limit))

    def settle(self, holder: BodyHolder, size: int, head: int = 0) -> Sequence[BodyHolder]:
        """`holder`'s body is whole and has `size` bytes: what it was granted beyond that goes to who waits."""
        size = min(self._held.get(holder, 0), self._with_head(size, head))
        self._resize(holder, size)
        if holder in self._whole:
            self._whole[holder] = size
        return self._serve()

    def lapse(self, holder: BodyHolder) -> Sequence[BodyHolder]:
        """`holder`'s body comes slowly: what it was promised and has not got goes to who waits."""
        self._promised.pop(holder, None)
        return self._serve()

    def release(self, holder: BodyHolder) -> Sequence[BodyHolder]:
        """Take back all that `holder` has, and its place in line. Returns those who now have what they asked for."""
        if not self._asks and holder not in self._whole:
            self.total -= self._held.pop(holder, 0)
            return []
        self._resize(holder, 0)
        self._held.pop(holder, None)
        self._whole.pop(holder, None)
        self._promised.pop(holder, None)
        if self._asks.pop(holder, None) is not None:
            self.waiting = len(self._asks)
        return self._serve()

    def deadlocked(self) -> BodyHolder | None:
        """Who has to give way at once, since all that is held is held by those in line; None if somebody can move.

        The youngest: it has the least to lose. Refuse it and `release` it.
        """
        if any(size and holder not in self._asks for holder, size in self._held.items()):
            return None
        return next((holder for holder, size in reversed(self._held.items()) if size and holder in self._asks), None)

    def _serve(self) -> list[BodyHolder]:
        """Grant what can be granted, the oldest first. No large one begins before an older one that has to wait."""
        if not self._asks:
            return []
        granted = []
        begin = True
        for holder in [holder for holder in self._held if holder in self._asks]:
            if self._grant(holder, self._asks[holder], begin):
                del self._asks[holder]
                granted.append(holder)
            elif holder in self._whole:
                begin = False
        self.waiting = len(self._asks)
        return granted

    def _grant(self, holder: BodyHolder, size: int, begin: bool) -> bool:
        has = self._held[holder]
        if self.total - has + size > self.limit:
            return False
        if holder in self._whole and size > self._promised.get(holder, 0):
            whole = self._whole[holder]
            if whole and (not self._asks if has else begin) and self._beside(holder, whole):
                self._promised[holder] = whole
            elif (not has and (whole or not begin)) or not self._beside(holder, size) or not self._safe(holder, size):
                return False
        self._resize(holder, size)
        return True

    def _beside(self, holder: BodyHolder, size: int) -> bool:
        """Whether there is room for so large a body beside what the other large ones have and were promised."""
        others = [
            other for other in self._whole if other is not holder and (self._held[other] or other in self._promised)
        ]
        claims = sum(max(self._held[other], self._promised.get(other, 0)) for other in others)
        return not others or claims + size <= self.limit - RESERVE

    def _safe(self, holder: BodyHolder, size: int) -> bool:
        """Whether, if `holder` grows to `size`, those without a promise can still finish one after another.

        As far as one knows: what a chunked body needs counts as nothing.
        """
        held = {other: self._held[other] for other in self._whole if other not in self._promised and self._held[other]}
        held[holder] = size
        free = self.limit - RESERVE - sum(held.values())
        needs = sorted((max(self._whole[other] - has, 0), has) for other, has in held.items())
        for need, has in needs[:-1]:  # the last one has the reserve too
            if need > free:
                return False
            free += has
        return True

    def _resize(self, holder: BodyHolder, size: int) -> None:
        self.total += size - self._held.get(holder, 0)
        self._held[holder] = size


def _counted(size: int) -> int:
    """`size` in whole steps."""
    grain = GRAIN if size <= STEP else STEP
    return -(-size // grain) * grain


HEADS_LIMIT = 1024 * 1024
"""Bytes of all heads that are not whole. Nearly all come in one read and never count: of 500 that come in two, each
may have 2 KiB."""
Half = TypeVar("Half", bound=Hashable)


class HeadBudget(Generic[Half]):
    """The bound on request heads that have come in part: 4,096 dribblers of 32 KiB would have 128 MB."""

    __slots__ = ("_heads", "limit", "total")

    def __init__(self, limit: int = HEADS_LIMIT) -> None:
        self.limit = limit
        self.total = 0
        self._heads: dict[Half, tuple[int, float]] = {}
        """Bytes, and since when."""

    def grew(self, holder: Half, size: int, now: float) -> None:
        """`holder` has `size` bytes of a head."""
        has, since = self._heads.get(holder, (0, now))
        self._heads[holder] = size, since
        self.total += size - has

    def drop(self, holder: Half) -> None:
        """Its head is whole, or given up."""
        self.total -= self._heads.pop(holder, (0, 0.0))[0]

    def excess(self, now: float) -> Half | None:
        """Who has to go, if the bound is passed: who has held most for longest, in bytes times seconds.

        Not the oldest, which may be small and on a slow line, nor the largest, which may have come this moment.
        """
        if self.total <= self.limit:
            return None
        return max(self._heads, key=lambda holder: self._heads[holder][0] * (now - self._heads[holder][1] + 0.01))


HELD_LIMIT = 2 * 1024 * 1024
"""Bytes of answers that all streams, held answers and slow clients share."""
HELD_FREE = 1024
"""Bytes that each may hold whatever the others do: most events are shorter, so most streams never wait."""
HELD_READ = 64 * 1024
"""The most that one read brings while there is plenty."""
HELD_TURN = 1024 * 1024 + 2 * HELD_READ
"""Kept for whose turn it is: the largest event, what stands before it, and a read behind it. So one can always finish.
"""


class HeldHolder:
    """Whoever holds a part of an answer; what a subclass does not override, it is never asked for."""

    __slots__ = ()

    def measure(self) -> int:
        """Bytes that it holds now."""
        raise NotImplementedError

    def commit_early(self) -> None:
        """Pass on to the client what there is, if that is possible."""

    def stop(self) -> None:
        """Read no more from the provider until `go_on`."""

    def go_on(self) -> None:
        """Read on."""


class HeldBudget:
    """The bound on what is held of answers: partial events, hold-back, whole answers being checked, unsent output.

    It never ends a request. Only holders of more than HELD_FREE count. While it is `full`

    - a read brings no more than what its stream lacks to HELD_FREE (`room`), so who holds little goes on as ever;
    - the largest of those that can commit early do (`grew`), until it is full no more;
    - who still needs more than HELD_FREE is stopped and stands in line, the oldest need first, and goes on when
      there is plenty again, or when it is its turn. There is one turn at a time, with memory of its own: else a
      hundred partial events could wait for each other.

    It is full before the limit is reached: what lies between is one read, and the turn's memory.
    """

    __slots__ = ("_early", "_held", "_line", "_turn", "_turn_had", "_turn_size", "full", "limit", "mark", "total")

    def __init__(self, limit: int = HELD_LIMIT, turn: int = HELD_TURN, read: int = HELD_READ) -> None:
        self.limit = limit
        self.mark = limit - turn - read
        """Bytes; it is full past them."""
        self.total = 0
        """Bytes held now by those who hold more than HELD_FREE."""
        self.full = False
        self._turn_size = turn
        self._held: dict[HeldHolder, int] = {}
        self._early: dict[HeldHolder, None] = {}
        """Those that may be able to commit early."""
        self._line: dict[HeldHolder, bool] = {}
        """Those that were stopped at some time and still hold more than HELD_FREE -> whether they are stopped now."""
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
        if not self.full:
            self._turn = None
        if size < before and self._line:
            self._serve()

    def grew(self, reader: HeldHolder, size: int, early: bool) -> None:
        """As `hold`, for bytes that were read. `early`: it might be able to commit. It may be stopped."""
        self.hold(reader, size)
        if early and size > HELD_FREE:
            self._early[reader] = None
        else:
            self._early.pop(reader, None)
        if self.full and size > HELD_FREE:
            self._relieve()
            self._line_up(reader)

    def _line_up(self, reader: HeldHolder) -> None:
        if self.full and reader in self._held and reader is not self._turn:
            self._line[reader] = True
            reader.stop()
            self._serve()

    def drop(self, holder: HeldHolder) -> None:
        """`holder` has come to its end."""
        if holder in self._held:
            self._line.pop(holder, None)
            self.hold(holder, 0)

    def room(self, reader: HeldHolder, size: int) -> int:
        """The most that a read may bring now to a stream that has `size` bytes; at least one."""
        return HELD_READ if not self.full or reader is self._turn else max(1, HELD_FREE - size)

    @property
    def contended(self) -> bool:
        """Whether somebody waits, or did and may again: then `look` from time to time."""
        return bool(self._line)

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
        self._serve()

    def _forget(self, holder: HeldHolder) -> None:
        del self._held[holder]
        self._early.pop(holder, None)
        if self._line.pop(holder, False):
            holder.go_on()
        if holder is self._turn:
            self._turn = None

    def _relieve(self) -> None:
        while self.full and self._early:
            largest = max(self._early, key=self._held.__getitem__)
            del self._early[largest]
            largest.commit_early()

    def _serve(self) -> None:
        for reader, stopped in tuple(self._line.items()):
            if stopped and self._line.get(reader):
                if self.full and not self._take_turn(reader):
                    return
                self._line[reader] = False
                reader.go_on()

    def _take_turn(self, reader: HeldHolder) -> bool:
        if self._turn is not None:
            return False
        fits = self.total - self._held[reader] + self._turn_size <= self.limit
        if not fits and not all(self._line.get(holder) for holder in self._held):
            return False  # who is not stopped will get done, or be gone
        self._turn, self._turn_had = reader, 0
        return True
