"""Gives memory back to the kernel: what start-up needed and serving does not, and what a burst has left behind.

Two things hold on to unused memory. glibc keeps what was freed until `malloc_trim` (malloc_trim(3)). And every page
of the interpreter's and OpenSSL's code that ran once, at start-up, stays mapped: 8 MB.
`madvise(MADV_DONTNEED)` (madvise(2)) unmaps pages that are unchanged from their file; those that serving needs come
back from the page cache at their next use, a few hundred soft faults in all.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator

from oxllm.gateway.libc import Libc

SOON_S = 1.0
"""Seconds to wait after code was loaded late, for its start-up to be over."""
QUIET_S = 5.0
"""Seconds between checks of the load; memory is given back when it has fallen to half of its peak or below."""
GROWN_BYTES = 4 * 1024 * 1024
"""How much the process may grow after memory was given back: beyond that, its heap is trimmed even under load. A crowd
whose first events have 60 KB leaves 50 MB of holes: what a stream keeps is cut from the hole that the last one left."""
PAGE = os.sysconf("SC_PAGE_SIZE")
FUTURE_ITERATORS = 255


def resident_bytes() -> int | None:
    """Resident set size; None where the kernel does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except OSError:
        return None


class FutureIterators:
    """Keeps asyncio's free list of future iterators, one per `await`, full (_asynciomodule.c, FI_FREELIST_MAXLEN).

    Left alone, it would fill with small objects from the middle of a burst and keep them, and their pages, for good.
    """

    __slots__ = ("_iterators", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._iterators = self._made()

    def renew(self) -> None:
        """After a burst: replace its iterators in the free list with ours."""
        burst = self._made()  # takes them out of the free list
        self._iterators.clear()  # asyncio keeps these ...
        burst.clear()  # ... and so has no room for those
        self._iterators = self._made()

    def _made(self) -> list[Iterator[None]]:
        future: asyncio.Future[None] = self._loop.create_future()
        return [iter(future) for _ in range(FUTURE_ITERATORS)]


def _libc() -> Libc | None:
    try:
        return Libc()
    except OSError:
        return None  # not glibc: musl and macOS give freed memory back by themselves


def unchanged_mappings(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """(start, length) of each read-only file mapping in /proc/PID/smaps that is unchanged from its file.

    `Anonymous: 0` proves that: a page that was changed (by relocations, say) is anonymous, and dropping it would lose
    the change.
    """
    start = end = 0
    candidate = False
    for line in smaps:
        fields = line.split()
        if not fields[0].endswith(":"):
            low, _, high = fields[0].partition("-")
            start, end = int(low, 16), int(high, 16)
            candidate = "w" not in fields[1] and len(fields) > 5 and fields[5].startswith("/")
        elif candidate and fields[0] == "Anonymous:" and fields[1] == "0":
            yield start, end - start


class Trimmer:
    """Gives memory back once ready, and then whenever the load has fallen: after a burst, and as connections expire.
    The holes in the heap also go back when the process has grown."""

    __slots__ = ("_busy", "_compact", "_libc", "_load", "_loop", "_peak", "_resident", "_size")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        load: Callable[[], int],
        compact: Callable[[], None],
        busy: Callable[[], bool] = lambda: False,
        resident: Callable[[], int | None] = resident_bytes,
    ) -> None:
        """`load`: how many requests and connections there are now. `compact`: copies what outlives a burst. `busy`:
        whether another thread may be loading code just now: a change that it makes to a page between our look at it
        and our giving it back would be lost.

        A page is returned only when nothing is left in it, and one small object made in the middle of a burst is
        enough to keep it: without `compact`, 5 MB stay after 1,000 streams.
        """
        self._loop = loop
        self._compact = compact
        self._load = load
        self._busy = busy
        self._resident = resident
        self._size = 0
        """Resident bytes when memory was last given back."""
        self._peak = 0
        """The highest load since memory was last given back."""
        self._libc = _libc()

    def start(self) -> None:
        """Give back now, and check every QUIET_S from then on."""
        if self._libc is not None:
            self._give_back(self._libc)
            self._loop.call_later(QUIET_S, self._look, self._libc)

    def soon(self) -> None:
        """Give back in a moment: code has been loaded, much of which runs once."""
        if self._libc is not None:
            self._loop.call_later(SOON_S, self._once, self._libc)

    def _once(self, libc: Libc) -> None:
        if self._busy():
            self.soon()
        else:
            self._give_back(libc)

    def _look(self, libc: Libc) -> None:
        load = self._load()
        if load <= self._peak // 2 and self._peak and not self._busy():
            self._compact()
            gc.collect()
            self._give_back(libc)
            self._peak = load
        self._peak = max(self._peak, load)
        self._loop.call_later(QUIET_S, self._look, libc)

    def tidy(self) -> None:
        """Trim the heap if the process has grown. To be called several times a second under load."""
        if self._libc is not None and (self._resident() or 0) > self._size + GROWN_BYTES:
            self._libc.trim()
            self._size = self._resident() or 0

    def _give_back(self, libc: Libc) -> None:
        sys.path_importer_cache.clear()  # cached directory listings, 0.2 MB; the next import reads them again
        try:
            with open("/proc/self/smaps", encoding="ascii", errors="replace") as smaps:
                for start, length in list(unchanged_mappings(smaps)):
                    libc.forget(start, length)
        except OSError:
            pass  # /proc may be hidden: then these pages stay
        libc.trim()
        self._size = self._resident() or 0
