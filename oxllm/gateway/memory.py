"""Giving memory back: what start-up needed and serving does not, and what a burst has left behind.

Two things keep memory that nobody uses. glibc keeps what was freed until `malloc_trim` (malloc_trim(3)). And each
page of the interpreter's and OpenSSL's code that ran once, at start-up, stays mapped, 8 MB of it.
`madvise(MADV_DONTNEED)` (madvise(2)) lets the kernel unmap the pages of a mapping that come unchanged from a file;
those that serving needs come back from the page cache at their next use, a few hundred soft faults in all.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Iterable, Iterator

from oxllm.gateway.libc import Libc

SOON_S = 1.0
"""Seconds from loading code late until its start is over."""
QUIET_S = 5.0
"""Seconds between two looks; one that finds half of the load gone, or all of it, gives back."""
PAGE = os.sysconf("SC_PAGE_SIZE")
FUTURE_ITERATORS = 255


def resident_bytes() -> int | None:
    """Resident set size, where the kernel tells."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except OSError:
        return None


class FutureIterators:
    """Fills asyncio's free list of what an `await` needs (_asynciomodule.c, FI_FREELIST_MAXLEN).

    Small objects from the middle of a burst, kept for good: unless those of start-up take their place.
    """

    __slots__ = ("_iterators", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._iterators = self._made()

    def renew(self) -> None:
        """After a burst: its own go, ours take their place."""
        burst = self._made()
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
    """(start, length) of each mapping in /proc/PID/smaps that is read-only, of a file, and wholly as in that file.

    `Anonymous: 0` is the proof of the last: a page that was changed (relocations, for one) is anonymous, and to
    drop it would lose the change.
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
    """Gives back once at ready, then whenever the load has fallen: after a burst, and as its connections expire."""

    __slots__ = ("_busy", "_compact", "_libc", "_load", "_loop", "_peak")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        load: Callable[[], int],
        compact: Callable[[], None],
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """`load`: how many requests and connections there are now. `compact`: copies what outlives a burst. `busy`:
        whether another thread may be loading code just now: a page that it changes between our look at it and our
        giving it back would be lost with the change.

        A page is returned when nothing is left in it, and one small object that was made in the middle of a burst is
        enough to keep it: without `compact`, 5 MB stay after 1,000 streams.
        """
        self._loop = loop
        self._compact = compact
        self._load = load
        self._busy = busy
        self._peak = 0
        """The highest load since the last time."""
        self._libc = _libc()

    def start(self) -> None:
        """Give back now, and look again from time to time."""
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

    @staticmethod
    def _give_back(libc: Libc) -> None:
        sys.path_importer_cache.clear()  # what files lie where, 0.2 MB; the next import looks again
        try:
            with open("/proc/self/smaps", encoding="ascii", errors="replace") as smaps:
                for start, length in list(unchanged_mappings(smaps)):
                    libc.forget(start, length)
        except OSError:
            pass  # /proc may be hidden: then these pages stay
        libc.trim()
