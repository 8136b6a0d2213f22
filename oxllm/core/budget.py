"""What may be spent: extra attempts as a share of traffic, and memory for bodies and for what is held of answers.

Three budgets, each a ledger that says yes or no and never waits itself. Who is told no by a memory budget stands in
line, and is named by the call that makes room for it.
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
    """The bound on all request bodies held, counted as they arrive.

    The oldest body goes first, so that bodies get done one after another instead of all getting half way. A body
    that is larger than what the reserve leaves gets the reserve too while it is the only large one: every body
    that `max_body_bytes` lets in can be served.
    """

    __slots__ = ("_asks", "_held", "_large", "limit", "total", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes."""
        self.total = 0
        """Bytes held now, in whole steps."""
        self._large = 0
        self._held: dict[BodyHolder, int] = {}
        """In order of age."""
        self._asks: dict[BodyHolder, int] = {}
        """Those in line: the size that each wants to grow to."""
        self.waiting = 0
        """How many stand in line."""

    def take(self, holder: BodyHolder, size: int) -> bool:
        """May `holder`'s body grow to `size` bytes in all? If not, it stands in line until a `release` names it."""
        grain = GRAIN if size <= STEP else STEP
        size = -(-size // grain) * grain
        if size <= self._held.setdefault(holder, 0):
            return True
        if not self._asks and self._fits(holder, size):
            self._resize(holder, size)
            return True
        self._asks[holder] = size
        return holder in self._serve()

    def settle(self, holder: BodyHolder, size: int) -> Sequence[BodyHolder]:
        """`holder`'s body is whole and has `size` bytes: what it was granted beyond that goes to who waits."""
        grain = GRAIN if size <= STEP else STEP
        self._resize(holder, min(self._held.get(holder, 0), -(-size // grain) * grain))
        return self._serve()

    def release(self, holder: BodyHolder) -> Sequence[BodyHolder]:
        """Take back all that `holder` has, and its place in line. Returns those who now have what they asked for."""
        self._resize(holder, 0)
        self._held.pop(holder, None)
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
        """Grant what can be granted, the oldest first. Behind a large one that has to wait only small ones pass."""
        if not self._asks:
            return []
        granted = []
        stopped = False
        for holder in [holder for holder in self._held if holder in self._asks]:
            size = self._asks[holder]
            if (stopped and size > STEP) or not self._fits(holder, size):
                stopped = stopped or size > STEP
                continue
            del self._asks[holder]
            self._resize(holder, size)
            granted.append(holder)
        self.waiting = len(self._asks)
        return granted

    def _fits(self, holder: BodyHolder, size: int) -> bool:
        has = self._held[holder]
        if self.total - has + size > self.limit:
            return False
        others = self._large - (has if has > STEP else 0)
        return size <= STEP or others == 0 or others + size <= self.limit - RESERVE

    def _resize(self, holder: BodyHolder, size: int) -> None:
        has = self._held.get(holder, 0)
        self._held[holder] = size
        self.total += size - has
        self._large += (size if size > STEP else 0) - (has if has > STEP else 0)


HELD_LIMIT = 2 * 1024 * 1024
"""Bytes of answers that all streams and held answers share."""
HELD_FREE = 1024
"""Bytes that each may hold whatever the others do: most events are shorter, so most streams never wait."""

Holder = TypeVar("Holder", bound=Hashable)


class HeldBudget(Generic[Holder]):
    """The bound on what is held of answers: partial events, hold-back, whole answers being checked, unsent output.

    It never ends a request. When it is full, whoever is told no asks `largest` to commit early, and reads on when
    a `give` names it.
    """

    __slots__ = ("_asks", "_held", "limit", "total")

    def __init__(self, limit: int = HELD_LIMIT) -> None:
        self.limit = limit
        self.total = 0
        """Bytes held now."""
        self._held: dict[Holder, int] = {}
        self._asks: dict[Holder, int] = {}

    def take(self, holder: Holder, size: int) -> bool:
        """Let `holder` hold `size` bytes more. If not, it has none of them and stands in line for them."""
        assert size > 0
        # Whoever fits before those in line would keep the large ones there for ever.
        if (not self._asks or self.held(holder) + size <= HELD_FREE) and self._grant(holder, size):
            return True
        self._asks[holder] = size
        return False

    def give(self, holder: Holder, size: int) -> Sequence[Holder]:
        """Take `size` bytes back. Returns those in line who now have what they asked for."""
        left = self._held[holder] - size
        assert left >= 0
        self.total -= size
        if left:
            self._held[holder] = left
        else:
            del self._held[holder]
        return self._serve() if self._asks else ()

    def drop(self, holder: Holder) -> Sequence[Holder]:
        """Take back all that `holder` has, and its place in the line. Returns as `give` does."""
        self._asks.pop(holder, None)
        self.total -= self._held.pop(holder, 0)
        return self._serve() if self._asks else ()

    def largest(self) -> Holder | None:
        """Who holds most; None if nobody holds anything."""
        return max(self._held, key=self._held.__getitem__, default=None)

    def held(self, holder: Holder) -> int:
        """Bytes that `holder` has."""
        return self._held.get(holder, 0)

    def _grant(self, holder: Holder, size: int) -> bool:
        has = self.held(holder) + size
        if self.total + size > self.limit and has > HELD_FREE:
            return False
        self._held[holder] = has
        self.total += size
        return True

    def _serve(self) -> list[Holder]:
        """First come, first served; who does not fit stops those behind, or a large one would never be served."""
        granted = []
        for holder, size in tuple(self._asks.items()):
            if not self._grant(holder, size):
                break
            del self._asks[holder]
            granted.append(holder)
        return granted
