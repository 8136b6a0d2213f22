"""The records of the last requests, for `explain`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from oxllm.gateway.observe.ended import Ended
from oxllm.gateway.observe.record import Record

RING: Final = 256
"""Requests that `explain` still knows."""


class Records:
    """The last RING records, newest last."""

    __slots__ = ("_packed", "_recent", "maxlen")

    def __init__(self, maxlen: int = RING) -> None:
        self.maxlen = maxlen
        self._recent: deque[Ended] = deque(maxlen=maxlen)
        self._packed = b""

    def append(self, ended: Ended) -> None:
        """Add one, and drop the oldest if there are too many."""
        self._recent.append(ended)

    def __iter__(self) -> Iterator[Record]:
        return reversed(tuple(reversed(self)))

    def __reversed__(self) -> Iterator[Record]:
        for ended in reversed(self._recent):
            yield ended.record()
        missing = self.maxlen - len(self._recent)
        if missing and self._packed:
            yield from reversed(msgspec.json.decode(self._packed, type=list[Record])[-missing:])

    def pack(self) -> None:
        """Pack the records into one piece of memory.

        A record is a dozen small objects. Made in the middle of a burst, they lie between those of its streams, and the
        allocator cannot return the pages around them: 256 records pinned 10 MB.
        """
        self._packed = msgspec.json.encode(list(self))
        self._recent.clear()
