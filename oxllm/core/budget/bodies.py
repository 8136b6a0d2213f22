"""Memory for request bodies, which are held to be sent again.

Says yes, or puts in line: who stands there is named by the call that makes room for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

STEP: Final = 64 * 1024
"""Bytes by which a large body is counted; a body of up to one step is a small one."""
GRAIN: Final = 1024
"""Bytes by which a small body is counted: by whole steps, 128 chat requests of 4 KB would fill the bound."""
HEADS_FREE: Final = 64 * 1024
"""Bytes of heads that take nothing from the bodies."""
RESERVE: Final = 1024 * 1024
"""Bytes kept for small bodies: a chat request is a few KB, and must not wait behind uploads."""


class BodyHolder(Protocol):
    """Whoever receives a body, as the budget knows it."""

    def granted(self) -> None:
        """It may have now what `admit` has refused."""


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

    __slots__ = ("_asks", "_held", "_promised", "_whole", "heads", "limit", "total", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """Bytes."""
        self.total = 0
        """Bytes of bodies held now, in whole steps."""
        self.heads = 0
        """Bytes of whole heads."""
        self._held: dict[BodyHolder, int] = {}
        """In order of age."""
        self._whole: dict[BodyHolder, int] = {}
        """Declared lengths of the large ones, 0 if unknown."""
        self._promised: dict[BodyHolder, int] = {}
        self._asks: dict[BodyHolder, int] = {}
        """Those in line: the size that each wants to grow to."""
        self.waiting = 0
        """How many stand in line."""

    def admit(self, holder: BodyHolder, size: int, length: int | None = None) -> bool:
        """May `holder`'s body, of `length` bytes if that is declared, grow to `size` bytes?

        If not, it stands in line until a `release` names it.
        """
        large = size > STEP or (length or 0) > STEP
        size = _counted(size)
        if not large and not self._asks and holder not in self._held and self.total + size <= self._room:
            self._held[holder] = size  # most requests
            self.total += size
            return True
        if size <= self._held.setdefault(holder, 0):
            return True
        if large:
            self._whole[holder] = _counted(length or 0)
        if self._asks or not self._grant(holder, size, begin=True):
            self._asks[holder] = size
            return holder in self._serve()
        return True

    def admit_head(self, size: int) -> bool:
        """A whole head, all of which is there already, has `size` bytes. May it stay? It cannot wait."""
        if self.total + self.heads + size > self.limit:
            return False
        self.heads += size
        return True

    @property
    def _room(self) -> int:
        """For bodies. Some heads are free, so that the largest body fits beside its own."""
        return self.limit - max(0, self.heads - HEADS_FREE)

    def settle(self, holder: BodyHolder, size: int) -> Sequence[BodyHolder]:
        """`holder`'s body is whole and has `size` bytes: what it was granted beyond that goes to who waits."""
        size = min(self._held.get(holder, 0), _counted(size))
        self._resize(holder, size)
        if holder in self._whole:
            self._whole[holder] = size
        return self._serve()

    def lapse(self, holder: BodyHolder) -> Sequence[BodyHolder]:
        """`holder`'s body comes slowly: what it was promised and has not got goes to who waits."""
        self._promised.pop(holder, None)
        return self._serve()

    def release(self, holder: BodyHolder, head_size: int = 0) -> Sequence[BodyHolder]:
        """Take back all that `holder` has, its place in line, and `head_size` bytes of a head.

        Returns those who now have what they asked for.
        """
        self.heads -= head_size
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
        """Let a body grow to `size`, if that is possible now. `begin`: a large one may begin.

        1. There is no room at all: no.
        2. It is small, or has been promised as much: yes.
        3. Its length is known, and there is room for all of it beside the others: it is promised that, and yes.
        4. It has not begun, and its length is known (then it waits for the promise) or another large one waits: no.
        5. Step by step: yes, if there is room beside the promises, and all without one can still finish.
        """
        has = self._held[holder]
        if self.total - has + size > self._room:
            return False  # 1
        if holder in self._whole and size > self._promised.get(holder, 0):  # else 2
            whole = self._whole[holder]
            may_be_promised = not self._asks if has else begin
            if whole and may_be_promised and self._beside(holder, whole):
                self._promised[holder] = whole  # 3
            elif not has and (whole or not begin):
                return False  # 4
            elif not self._beside(holder, size) or not self._safe(holder, size):
                return False  # 5
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
