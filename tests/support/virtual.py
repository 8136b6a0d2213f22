"""An event loop whose clock jumps, and connections that live in memory: an hour of outage in a second.

`VirtualLoop` is asyncio's own loop with two things replaced: `time()` is a number, and where the real one would
sleep until the next timer, it moves the number. Everything that runs on it is the real code, and with one seed it
does the same thing each time. A loop with nothing left to wait for raises `Stuck` instead of hanging the test.

`connect` joins two protocols by a pair of `MemoryTransport`s that behave as sockets do where it matters here:
bytes arrive later and in order, may be cut anywhere, wait while the reader has paused, push back on the
writer, and end in an EOF or a reset.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

from oxllm.gateway.transport import Peer, Transport

CHUNK = 64 * 1024
"""Bytes delivered at once at most, as one recv would."""
READS_MAX = 32
"""Reads of one connection in one turn of the loop: where bytes come singly, the loop need not turn for each."""

End = asyncio.BaseProtocol | Peer
"""What may stand on a transport: a peer of the gateway, or a protocol of a test."""


class Stuck(AssertionError):
    """Nothing is ready and no timer is set: the test waits for something that will never come."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:  # callbacks wait to be run: what other threads have to say is heard when none does
            return []
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Stuck("nothing is ready and no timer is set")
            self.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with a clock that moves only when there is nothing to do."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class MemoryTransport(asyncio.Transport, Transport):
    """One end of a connection in memory. Made in pairs by `connect`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, addresses: Mapping[str, Any], cut: Callable[[], int]) -> None:
        super().__init__(dict(addresses))
        self.loop = loop
        self.peer: MemoryTransport
        self.protocol: End
        self._cut = cut
        self._inbox = bytearray()
        self._eof_sent = self._eof_due = False
        self._paused = self._closing = self._closed = self._scheduled = False
        self._write_paused = False
        self._high, self._low = 64 * 1024, 16 * 1024
        self.written = bytearray()
        """All that this end has written: the transcript."""

    # What a protocol calls.

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closed or self._closing or self._eof_sent:
            return
        self.written += data
        first = not self.peer._inbox
        self.peer._inbox += data
        self.peer._schedule()
        if first and not isinstance(self.protocol, asyncio.BaseProtocol):
            self.protocol.unsent()
        if not self._write_paused and self.get_write_buffer_size() > self._high:
            self._write_paused = True
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.peer._inbox)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low
        if not self._write_paused and self.get_write_buffer_size() > self._high:
            self._write_paused = True
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        if not self._eof_sent:
            self._eof_sent = True
            self.peer._eof_due = True
            self.peer._schedule()

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._schedule()

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.write_eof()
            self.loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.close()

    def reset(self) -> None:
        """Close as a TCP reset does: the peer loses what it had not read yet."""
        self._closing = True
        self.loop.call_soon(self._lose, None)
        self.peer._inbox.clear()
        self.peer._closing = True
        self.loop.call_soon(self.peer._lose, ConnectionResetError(104, "Connection reset by peer"))

    # Delivery.

    def _schedule(self) -> None:
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self.loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        for _ in range(READS_MAX):
            if self._paused or self._closing or self._closed:
                return
            if not self._inbox:
                break
            self._read(max(1, min(len(self._inbox), CHUNK, self._cut())))
        else:
            self._schedule()
            return
        if self._eof_due:
            self._eof_due = False
            if not self.protocol.eof_received() and not self._closing:  # type: ignore[union-attr]
                self.close()

    def _read(self, size: int) -> None:
        """One read, of no more than the protocol's buffer has room for."""
        if not isinstance(self.protocol, asyncio.BaseProtocol):
            buffer = memoryview(self.protocol.get_buffer(size))
            size = min(size, len(buffer))
            buffer[:size] = self._inbox[:size]
            del self._inbox[:size]
            self.peer._relieve()
            self.protocol.buffer_updated(size)
        else:
            data = bytes(self._inbox[:size])
            del self._inbox[:size]
            self.peer._relieve()
            self.protocol.data_received(data)  # type: ignore[attr-defined]

    def _relieve(self) -> None:
        if self._write_paused and self.get_write_buffer_size() <= self._low and not self._closed:
            self._write_paused = False
            self.protocol.resume_writing()

    def _lose(self, error: Exception | None) -> None:
        if not self._closed:
            self._closed = True
            self._inbox.clear()
            self.protocol.connection_lost(error)
            if not self._eof_sent:
                self._eof_sent = True
                self.peer._eof_due = True
                self.peer._schedule()


def connect(
    loop: asyncio.AbstractEventLoop,
    client: End,
    server: End,
    client_address: tuple[str, int] = ("127.0.0.1", 50000),
    server_address: tuple[str, int] = ("127.0.0.1", 8080),
    cut: Callable[[], int] = lambda: CHUNK,
) -> tuple[MemoryTransport, MemoryTransport]:
    """Join two protocols. `cut` says how many bytes the next read may bring at most."""
    near = MemoryTransport(loop, {"peername": server_address, "sockname": client_address}, cut)
    far = MemoryTransport(loop, {"peername": client_address, "sockname": server_address}, cut)
    near.peer, far.peer = far, near
    near.protocol, far.protocol = client, server
    server.connection_made(far)
    client.connection_made(near)
    return near, far
