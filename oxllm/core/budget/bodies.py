"""Memory for request bodies, which are held so that they can be sent again.

Admits a body or queues it; the call that makes room for a queued one returns it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

STEP: Final = 64 * 1024
"""Granularity in bytes at which a large body is counted; one of up to one step is small."""
GRAIN: Final = 1024
"""Granularity in bytes at which a small body is counted: by STEP, 128 chat requests of 4 KB would fill the bound."""
HEADS_FREE: Final = 64 * 1024
"""Bytes of heads that are not taken from the room for bodies."""
EARLY_SHARE: Final = 8
"""One part in so many of the limit is what requests that wait may take beyond it: those that are small have come whole
before it is known that there is no room, and a crowd of them is served in a second or two if it may wait."""
RESERVE: Final = 1024 * 1024
"""Bytes reserved for small bodies: a chat request is a few KB, and must not wait behind uploads."""


class BodyHolder(Protocol):
    """The receiver of a body, as the budget sees it."""

    def granted(self) -> None:
        """What `admit` refused is granted now."""


class Large:
    """A large body, or one of unknown length."""

    __slots__ = ("length", "promised")

    def __init__(self, length: int) -> None:
        self.length = length
        """Declared, and rounded up; 0 if unknown."""
        self.promised = 0
        """Bytes that it may grow to whatever the others do."""


class BodyBudget:
    """The bound on all request bodies held, counted as they arrive, and on the heads that came with them.

    First come, first finished: a large body of declared length begins when there is room for all of it on top of
    what was promised to the others, so that bodies complete one after another instead of all getting half way. One that
    does not arrive at a good pace loses its promise (`lapse`): it goes on step by step, while there is room besides
    the promises, and only as long as there remains an order in which all those without a promise can finish (Dijkstra's
    banker's algorithm). The length of a chunked body is unknown; it never has a promise, and chunked bodies can wait
    for each other (`deadlocked`).

    RESERVE is kept for bodies that are known to be small. A body that is larger than what that leaves gets the reserve
    too while it is the only large one: every body that `max_body_bytes` lets in can be served.
    """

    __slots__ = (
        *("_asks", "_claimed", "_early", "_early_total", "_held", "_large"),
        *("heads", "limit", "total", "waiting"),
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes."""
        self.total = 0
        """Bytes of bodies held now, each rounded up to its granularity."""
        self.heads = 0
        """Bytes of complete heads."""
        self._early: dict[BodyHolder, int] = {}
        """Bytes that have come of each request that waits though there was no room even for its head."""
        self._early_total = 0
        self._held: dict[BodyHolder, int] = {}
        """Bytes granted to each, the oldest first."""
        self._large: dict[BodyHolder, Large] = {}
        self._claimed: tuple[int, int] | None = None
        """What the large ones hold or were promised, and how many have either; None once that has changed. (Each
        request that comes or ends has all that wait tried again.)"""
        self._asks: dict[BodyHolder, int] = {}
        """Those in the queue -> the size that each wants to grow to."""
        self.waiting = 0
        """Length of the queue."""

    def admit(self, holder: BodyHolder, size: int, length: int | None = None) -> bool:
        """Whether `holder`'s body, of `length` bytes if that is declared, may grow to `size` bytes now.

        If not, it is queued until `settle`, `lapse`, `release` or `resize` returns it.
        """
        large = size > STEP or length is None or length > STEP
        size = _counted(size)
        if not large and not self._asks and holder not in self._held and self.total + size <= self._room:
            self._held[holder] = size  # most requests
            self.total += size
            if self._early:
                self._not_early(holder)
            return True
        if size <= self._held.setdefault(holder, 0):
            return True
        if large and holder not in self._large:
            self._large[holder] = Large(_counted(length or 0))
            self._claimed = None
        if self._asks or not self._grant(holder, size, begin=True):
            self._asks[holder] = size
            return holder in self._serve()
        return True

    def admit_head(self, holder: BodyHolder, size: int, came: int) -> bool:
        """Whether a complete head of `size` bytes may stay, which is in memory already, with `came` bytes of its body.

        If there is no room, it may wait for some, unless too much waits that has come.
        """
        if self.total + self.heads + size > self.limit:
            if self._early_total + size + came > self.limit // EARLY_SHARE:
                return False
            self._early[holder] = size + came
            self._early_total += size + came
        self.heads += size
        return True

    @property
    def _room(self) -> int:
        """Bytes for bodies. Some heads are free of charge, so that the largest body fits along with its own head."""
        return self.limit - max(0, self.heads - HEADS_FREE)

    def settle(self, holder: BodyHolder, size: int) -> Sequence[BodyHolder]:
        """`holder`'s body is complete, with `size` bytes: what it was granted beyond that goes to those that wait.

        Returns those that now have what they asked for, as `lapse`, `release` and `resize` do.
        """
        size = min(self._held.get(holder, 0), _counted(size))
        self._resize(holder, size)
        return self._serve()

    def lapse(self, holder: BodyHolder) -> Sequence[BodyHolder]:
        """`holder`'s body comes slowly: what it was promised but does not hold yet goes to those that wait."""
        if holder in self._large:
            self._large[holder].promised = 0
            self._claimed = None
        return self._serve()

    def release(self, holder: BodyHolder, head_size: int = 0) -> Sequence[BodyHolder]:
        """Take back all that `holder` has, its place in the queue, and `head_size` bytes of a head.

        Returns those that now have what they asked for.
        """
        self.heads -= head_size
        if self._early:
            self._not_early(holder)
        if not self._asks and holder not in self._large:
            self.total -= self._held.pop(holder, 0)
            return []
        self._resize(holder, 0)
        self._held.pop(holder, None)
        self._large.pop(holder, None)
        if self._asks.pop(holder, None) is not None:
            self.waiting = len(self._asks)
        return self._serve()

    def resize(self, limit: int) -> Sequence[BodyHolder]:
        """The bound is another one now, in bytes. Returns those that now have what they asked for."""
        self.limit = limit
        return self._serve()

    def deadlocked(self) -> BodyHolder | None:
        """The body to sacrifice, since every one that holds memory is waiting for more; None if some can move.

        The youngest of them: it has the least to lose. Refuse it and `release` it.
        """
        if any(size and holder not in self._asks for holder, size in self._held.items()):
            return None
        return next((holder for holder, size in reversed(self._held.items()) if size and holder in self._asks), None)

    def _serve(self) -> list[BodyHolder]:
        """Grant what can be granted, the oldest first. No large body begins before an older one that has to wait, and
        nothing at all once there is no room for a small one: of a thousand that wait not all are tried each time."""
        if not self._asks:
            return []
        granted = []
        begin = True
        for holder in self._held:
            size = self._asks.get(holder)
            if size is None:
                continue
            if self._grant(holder, size, begin):
                del self._asks[holder]
                granted.append(holder)
            elif holder in self._large:
                begin = False
            else:
                break
        self.waiting = len(self._asks)
        return granted

    def _grant(self, holder: BodyHolder, size: int, begin: bool) -> bool:
        """Let a body grow to `size`, if that is possible now. `begin`: a large one that holds nothing yet may begin."""
        if self.total - self._held[holder] + size > self._room:
            return False
        large = self._large.get(holder)
        if large is not None and not self._may_grow(holder, large, size, begin):
            return False
        self._resize(holder, size)
        return True

    def _may_grow(self, holder: BodyHolder, large: Large, size: int, begin: bool) -> bool:
        """Whether the others let a large body grow to `size`."""
        if size <= large.promised:
            return True
        if not self._held[holder]:
            if large.length:
                return begin and self._promise(holder, large)
            return begin and self._may_step(holder, size)
        if not self._asks and self._promise(holder, large):  # it had lost its promise
            return True
        return self._may_step(holder, size)

    def _promise(self, holder: BodyHolder, large: Large) -> bool:
        """Promise a body all of its length, if that is known and there is room for it besides the others."""
        if not large.length or not self._fits(holder, large.length):
            return False
        large.promised = large.length
        return True

    def _may_step(self, holder: BodyHolder, size: int) -> bool:
        """Whether a body without a promise may grow to `size`: all of these can still finish."""
        return self._fits(holder, size) and self._safe(holder, size)

    def _fits(self, holder: BodyHolder, size: int) -> bool:
        """Whether a body of `size` fits besides what the other large ones hold or were promised."""
        if self._claimed is None:
            claims = [claim for other in self._large if (claim := self._claim(other))]
            self._claimed = sum(claims), len(claims)
        claimed, claimants = self._claimed
        own = self._claim(holder)
        alone = claimants == bool(own)
        return alone or claimed - own + size <= self.limit - RESERVE

    def _claim(self, holder: BodyHolder) -> int:
        """What a large body holds or was promised."""
        return max(self._held[holder], self._large[holder].promised)

    def _safe(self, holder: BodyHolder, size: int) -> bool:
        """Whether, once `holder` has grown to `size`, all those without a promise can still finish one after another.

        As far as is known: a chunked body counts as needing nothing more.
        """
        held = {
            other: self._held[other] for other, large in self._large.items() if not large.promised and self._held[other]
        }
        held[holder] = size
        free = self.limit - RESERVE - sum(held.values())
        needs = sorted((max(self._large[other].length - has, 0), has) for other, has in held.items())
        for need, has in needs[:-1]:  # the last one has the reserve too
            if need > free:
                return False
            free += has
        return True

    def _not_early(self, holder: BodyHolder) -> None:
        """It waits no longer, or does not have to."""
        self._early_total -= self._early.pop(holder, 0)

    def _resize(self, holder: BodyHolder, size: int) -> None:
        if self._early:
            self._not_early(holder)
        self.total += size - self._held.get(holder, 0)
        self._held[holder] = size
        if holder in self._large:
            self._claimed = None


def _counted(size: int) -> int:
    """`size`, rounded up to its granularity."""
    grain = GRAIN if size <= STEP else STEP
    return -(-size // grain) * grain
