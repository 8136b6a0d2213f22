"""What is remembered of the last requests, for `explain`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from oxllm.core.request.step import Step
from oxllm.core.routing.cooldown import Skip

RING = 256
"""Requests that `explain` can still tell of."""


class Record(msgspec.Struct, frozen=True):
    """What is remembered of a request that has ended, for `explain` and the log."""

    id: str
    time: float
    """Seconds since the epoch at its end."""
    model: str
    stream: bool
    status: int
    provider: str | None
    upstream_model: str | None
    attempts: int
    first_content: float | None
    """Seconds from the request's head to its first content."""
    total: float
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str | None
    steps: tuple[Step, ...]
    skips: dict[str, Skip]
    protocol: str = "chat"
    cached_tokens: int | None = None
    """Of the prompt's."""
    response_model: str | None = None
    """Who made the answer, as its provider says."""
    finish_reasons: tuple[str, ...] = ()
    """Why each of its results ended, in the provider's words."""


class Records:
    """The last RING records, newest last."""

    __slots__ = ("_packed", "_recent", "maxlen")

    def __init__(self, maxlen: int = RING) -> None:
        self.maxlen = maxlen
        self._recent: deque[Record] = deque(maxlen=maxlen)
        self._packed = b""

    def append(self, record: Record) -> None:
        """Remember one more, and forget the oldest if there are too many."""
        self._recent.append(record)

    def __iter__(self) -> Iterator[Record]:
        return reversed(tuple(reversed(self)))

    def __reversed__(self) -> Iterator[Record]:
        yield from reversed(self._recent)
        missing = self.maxlen - len(self._recent)
        if missing and self._packed:
            yield from reversed(msgspec.json.decode(self._packed, type=list[Record])[-missing:])

    def pack(self) -> None:
        """Turn what is remembered into one piece of memory.

        A record is a dozen small objects. Made in the middle of a burst they lie among those of its streams, and
        the allocator can return no page around them: 256 records kept 10 MB.
        """
        self._packed = msgspec.json.encode(list(self))
        self._recent.clear()
