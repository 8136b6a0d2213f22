"""The log: one line per request, and one per change of state. It never blocks and never contains a secret.

Lines are gathered for a moment, or until there are many, and written together (`sink`). With a slow reader (a full
pipe, a stopped terminal) the queue grows to 256 KiB; beyond that lines are dropped and counted, as are those that a
full disk loses, and once there is room again a line reports the count. `lines` renders them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from oxllm.core.routing.change import Change
from oxllm.gateway.observe.ended import Ended
from oxllm.gateway.observe.lines import JsonLines, Lines, TextLines
from oxllm.gateway.observe.sink import Sink

QUEUE_MAX: Final = 256 * 1024
"""Bytes that wait for a slow reader."""
FLUSH_S: Final = 0.05
"""How long lines are gathered: one system call for all of them."""
EVENTS_MAX: Final = 100
"""Lines that are told of one thing: more than anybody reads, and a small part of the queue."""
GATHER_MAX: Final = 32 * 1024
"""Bytes to gather, or to add to those that wait for a slow reader, before the next write: half of what a pipe takes."""
CLOSE_S: Final = 0.5
"""How long each of the two last writes may take."""
RETRY_S: Final = 0.1
"""How long to wait before the next try at a full pipe."""


class Log:
    """Writes lines to a file descriptor that must not make the gateway wait."""

    __slots__ = (
        "_dropped",
        "_lines",
        "_loop",
        "_lost",
        "_queue",
        "_scheduled",
        "_sink",
        "_size",
        "_told",
        "_try_at",
        "_wall",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sink: Sink, wall: Callable[[], float], json: bool = False
    ) -> None:
        self._loop = loop
        self._sink = sink
        self._wall = wall
        self._lines: Lines = JsonLines() if json else TextLines()
        self._queue: list[bytes] = []
        self._size = 0
        self._try_at = GATHER_MAX
        """The size at which to write, without waiting for the timer."""
        self._dropped = 0
        """Lines that did not fit, since the start."""
        self._told = 0
        """Lost lines that the log itself has reported."""
        self._lost = 0
        """`Sink.lost` at the last write."""
        self._scheduled = False

    @property
    def dropped(self) -> int:
        """Lost lines that the log has not reported yet."""
        return self.dropped_in_all - self._told

    @property
    def dropped_in_all(self) -> int:
        """Lines lost since the start."""
        return self._dropped + self._sink.lost

    def request(self, ended: Ended) -> None:
        """A request has ended."""
        self._put(self._lines.request(ended))

    def change(self, change: Change) -> None:
        """A breaker, a cooldown or a mark has changed."""
        where = change.provider if change.model is None else f"{change.provider}/{change.model}"
        self.event("change", f"{where}: {change.text}")

    def event(self, kind: str, text: str) -> None:
        """Anything else worth a line: start, reload, drain, a warning."""
        self._put(self._lines.event(self._wall(), kind, text))

    def events(self, kind: str, texts: Sequence[str]) -> None:
        """What is wrong with a config, say. Of very many only the first: all at once would drive out the requests."""
        for text in texts[:EVENTS_MAX]:
            self.event(kind, text)
        if len(texts) > EVENTS_MAX:
            self.event(kind, f"and {len(texts) - EVENTS_MAX} more: `oxllm validate` lists them all")

    def refused(self, status: int, message: str, request_id: str, peer: str = "") -> None:
        """A request was answered without asking a provider."""
        self._put(self._lines.refused(self._wall(), status, message, request_id, peer))

    def flush(self) -> None:
        """Write what the reader takes now; if that is not all, try again in a moment."""
        self._scheduled = False
        self._write()
        if self._queue and not self._scheduled:
            self._schedule(RETRY_S)

    def close(self) -> None:
        """The process is ending: write what can be written without waiting long."""
        self.flush()
        self._sink.close(CLOSE_S)
        self.flush()
        self._sink.close(CLOSE_S)

    def _put(self, line: bytes) -> None:
        if self._size + len(line) > QUEUE_MAX:
            self._dropped += 1
            return
        self._queue.append(line)
        self._size += len(line)
        if self._size >= self._try_at:
            self._write()
        if self._queue and not self._scheduled:
            self._schedule(FLUSH_S)

    def _write(self) -> None:
        self._tell_of_dropped()
        data = b"".join(self._queue)
        written = self._sink.write(data) if data else 0
        self._queue = [data[written:]] if written < len(data) else []
        self._size = len(data) - written
        self._try_at = self._size + GATHER_MAX

    def _tell_of_dropped(self) -> None:
        works = self._sink.lost == self._lost  # if not, the line that reports it would be lost, too
        self._lost = self._sink.lost
        dropped = self.dropped
        if dropped and works and self._size < QUEUE_MAX // 2:
            self._told += dropped
            words = f"{dropped} lines were dropped: the reader is slow, or the disk full"
            self._queue.append(self._lines.event(self._wall(), "log", words))

    def _schedule(self, delay: float) -> None:
        self._scheduled = True
        self._loop.call_later(delay, self.flush)
