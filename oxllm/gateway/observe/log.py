"""The log: one line a request, one a change of state. It never blocks and never holds a secret.

Lines are gathered for a moment and written together (`sink`). A reader that is slow (a full pipe, a
stopped terminal) makes the queue grow to 256 KiB; after that lines are dropped and counted, as are those that a full
disk loses, and the count is the first line when there is room again. Text that comes from outside is escaped, so that a
model name cannot forge a line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec

from oxllm.core.reading.outcome import SUCCESS
from oxllm.core.routing.change import Change
from oxllm.gateway.observe.records import Record
from oxllm.gateway.observe.sink import Sink
from oxllm.words import printable, seconds

QUEUE_MAX: Final = 256 * 1024
"""Bytes that wait for a slow reader."""
FLUSH_S: Final = 0.05
"""How long lines are gathered: one system call for all of them."""
CLOSE_S: Final = 0.5
"""What the last lines may take."""
RETRY_S: Final = 0.1
"""How long to wait before the next try at a full pipe."""

_json = msgspec.json.Encoder()


class Log:
    """Writes lines to a file descriptor that must not make the gateway wait."""

    __slots__ = (
        "_dropped",
        "_format",
        "_loop",
        "_lost",
        "_queue",
        "_scheduled",
        "_second",
        "_sink",
        "_size",
        "_stamp",
        "_told",
        "_wall",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sink: Sink, wall: Callable[[], float], json: bool = False
    ) -> None:
        self._loop = loop
        self._sink = sink
        self._wall = wall
        self._format = self._as_json if json else self._as_text
        self._queue: list[bytes] = []
        self._size = 0
        self._dropped = 0
        """Lines that did not fit, since the start."""
        self._told = 0
        """Lines lost that a line has told of."""
        self._lost = 0
        """Lines that the sink had lost at the last look."""
        self._scheduled = False
        self._second = -1
        self._stamp = ""

    @property
    def dropped(self) -> int:
        """Lines lost that no line has told of yet."""
        return self.dropped_in_all - self._told

    @property
    def dropped_in_all(self) -> int:
        """Lines lost since the start."""
        return self._dropped + self._sink.lost

    def request(self, record: Record) -> None:
        """A request has ended."""
        self._put(self._format(record))

    def change(self, change: Change) -> None:
        """A breaker, a cooldown or a mark has changed."""
        where = change.provider if change.model is None else f"{change.provider}/{change.model}"
        self.event("change", f"{where}: {change.text}")

    def event(self, kind: str, text: str) -> None:
        """Anything else worth a line: start, reload, drain, a warning."""
        if self._format == self._as_json:
            self._put(_json.encode({"time": self._wall(), "event": kind, "message": text}))
        else:
            self._put(f"{self._clock(self._wall())} {kind}: {printable(text)}".encode())

    def refused(self, status: int, message: str, request_id: str, peer: str = "") -> None:
        """A request has been answered without asking a provider."""
        if self._format == self._as_json:
            fields = {"time": self._wall(), "event": "refused", "id": request_id, "status": status, "message": message}
            self._put(_json.encode({**fields, "peer": peer or None}))
        else:
            self.event("refused", f"{status}{f' to {peer}' if peer else ''}: {message}, {request_id}")

    def flush(self) -> None:
        """Write what the reader takes now."""
        self._scheduled = True  # so that what follows schedules nothing
        works = self._sink.lost == self._lost  # else the line that tells of it would be lost as well
        self._lost = self._sink.lost
        dropped = self.dropped
        if dropped and works and self._size < QUEUE_MAX // 2:
            self._told += dropped
            self.event("log", f"{dropped} lines were dropped: the reader is slow, or the disk full")
        data = b"".join(self._queue)
        self._queue.clear()
        self._size = 0
        self._scheduled = False
        written = self._sink.write(data) if data else 0
        if written < len(data):
            self._queue.append(data[written:])
            self._size = len(data) - written
            self._schedule(RETRY_S)

    def close(self) -> None:
        """The process ends: write what can be written, without waiting long."""
        self.flush()
        self._sink.close(CLOSE_S)
        self.flush()
        self._sink.close(CLOSE_S)

    def _put(self, line: bytes) -> None:
        if self._size + len(line) >= QUEUE_MAX:
            self._dropped += 1
            return
        self._queue.append(line + b"\n")
        self._size += len(line) + 1
        if not self._scheduled:
            self._schedule(FLUSH_S)

    def _schedule(self, delay: float) -> None:
        self._scheduled = True
        self._loop.call_later(delay, self.flush)

    def _clock(self, wall: float) -> str:
        second = int(wall)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        return self._stamp

    def _as_json(self, record: Record) -> bytes:
        failed = [step for step in record.steps if step.result != SUCCESS.reason]
        return _json.encode(
            {
                "time": record.time,
                "event": "request",
                "id": record.id,
                "protocol": record.protocol,
                "model": record.model,
                "status": record.status,
                "provider": record.provider,
                "upstream_model": record.upstream_model,
                "attempts": record.attempts,
                "stream": record.stream,
                "first_content_ms": None if record.first_content is None else round(record.first_content * 1000, 1),
                "total_ms": round(record.total * 1000, 1),
                "prompt_tokens": record.prompt_tokens,
                "completion_tokens": record.completion_tokens,
                "cached_tokens": record.cached_tokens,
                "end": record.error or "ok",
                "failed": [f"{step.target}: {step.result}" for step in failed],
                "failed_status": [step.status for step in failed],
            }
        )

    def _as_text(self, record: Record) -> bytes:
        served = after = first = tokens = ended = ""
        provider, steps, error, made = record.provider, record.steps, record.error, record.completion_tokens
        if provider is not None:
            served = f" -> {provider}/{record.upstream_model}"
        if len(steps) > 1 or error is not None:
            failed = ", ".join(f"{s.target}: {s.result}" for s in steps if s.result != SUCCESS.reason)
            if failed:
                after = f" after [{failed}]"
            elif error is not None:
                ended = f" ended: {error}"
        if record.stream and record.first_content is not None:
            first = f" first {seconds(record.first_content)},"
        if made is not None:
            known = record.cached_tokens
            cached = f", {known} cached" if known else ""
            tokens = f" ({record.prompt_tokens}+{made} tokens{cached})"
        return printable(
            f"{self._clock(record.time)} {record.status or '---'} {record.protocol} {record.model}{served}{after}"
            f"{first} total {seconds(record.total)}{tokens}{ended} {record.id}"
        ).encode()
