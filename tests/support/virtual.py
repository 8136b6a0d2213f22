"""An event loop whose clock jumps, and connections that live in memory: an hour of outage in a second.

`VirtualLoop` is asyncio's own loop with two things replaced: `time()` is a number, and where the real one would
sleep until the next timer, it moves the number. Everything that runs on it is the real code, and with one seed it
does the same thing each time. A loop with nothing left to wait for raises `Stuck` instead of hanging the test.

A `MemoryTransport` behaves as a socket does where it matters here: bytes come in order, may be cut anywhere, wait
while the reader has paused, push back on the writer, and end in an EOF or a reset. `connect` joins two protocols by a
pair of them, over which bytes arrive later; one alone has its other side in the hands of the test, at once.
"""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Callable
from typing import Any, Protocol

from oxllm.gateway.transport import HIGH, Peer, Transport

CHUNK = 64 * 1024
"""Most bytes delivered at once, as by one recv."""
READS_MAX = 32
"""Most reads of one connection in one turn of the loop, so that bytes that come singly do not need a turn each."""

TURNS = 40
"""Turns of the loop after which all chains of callbacks have ended."""

End = asyncio.BaseProtocol | Peer
"""What a transport may belong to: a peer of the gateway, or a protocol of a test."""


class Stuck(AssertionError):
    """Nothing is ready and no timer is set: the test waits for something that will never come."""


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:  # callbacks are waiting; other threads are heard once there are none
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

    @property
    def timers(self) -> int:
        """Number of timers that are set."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        return sum(not timer.cancelled() for timer in scheduled)

    def settle(self) -> None:
        """Run until nothing is left to do at this instant."""
        for _ in range(TURNS):
            self.call_soon(self.stop)
            self.run_forever()

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which nothing runs: the process was stopped, or its machine."""
        self._jumping.now += seconds

    def advance(self, seconds: float) -> None:
        """Run all that is due in the next `seconds`, and what it causes at once."""
        self.run_until_complete(asyncio.sleep(seconds))
        self.settle()


class CallsSoon(Protocol):
    """The part of a loop that a transport uses."""

    def call_soon(self, callback: Callable[..., object], *args: Any) -> object: ...


class MemoryTransport(asyncio.Transport, Transport):
    """One end of a connection in memory.

    Its other side is another end, which takes what is written as it reads; or it is the test, which sends by `deliver`,
    `eof` and `lose`, and takes everything at once, or only `room` bytes and then as many as it allows by `take`.
    """

    def __init__(
        self,
        loop: CallsSoon,
        protocol: End,
        *,
        peername: tuple[str, int] = ("192.0.2.7", 50000),
        sockname: tuple[str, int] = ("127.0.0.1", 8080),
        sock: socket.socket | None = None,
        cut: Callable[[], int] = lambda: CHUNK,
        strict: bool = False,
    ) -> None:
        """`cut` returns the most bytes that the next read from another end may bring. `strict`: nothing may be written
        once it is closed; otherwise such writes are dropped."""
        super().__init__({"peername": peername, "sockname": sockname, "socket": sock})
        self.protocol = protocol
        self._loop = loop
        self._far: MemoryTransport | None = None
        self._cut = cut
        self._scheduled = self._at_eof = False
        self.room: int | None = None
        """How many more bytes the test takes by itself; None: any number."""
        self.written = bytearray()
        """What the other side has taken."""
        self.unsent = bytearray()
        """What has been written but not taken yet."""
        self.largest_write = 0
        self._strict = strict
        self.paused = False
        """Reading is paused."""
        self.eof_written = self.closing = self.aborted = self.lost = False
        self._high, self._low, self._full = HIGH, HIGH // 4, False

    def join(self, far: MemoryTransport) -> None:
        """Make another end the other side."""
        self._far, self.room = far, 0

    # What a protocol calls.

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.closing:
            assert not self._strict, "write after close"
            return
        if self.eof_written:
            raise RuntimeError("write after write_eof")
        first = not self.unsent
        self.unsent += data
        self.largest_write = max(self.largest_write, len(data))
        self._flow()
        if self._far is not None:
            self._far.schedule()
        if first and self.unsent and not isinstance(self.protocol, asyncio.BaseProtocol):
            self.protocol.unsent()
        self._fill()

    def get_write_buffer_size(self) -> int:
        return len(self.unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH if high is None else high
        self._low = self._high // 4 if low is None else low
        self._fill()

    def _fill(self) -> None:
        if len(self.unsent) > self._high and not self._full:
            self._full = True
            self.protocol.pause_writing()

    def write_eof(self) -> None:
        self.eof_written = True
        if self._far is not None:
            self._far.schedule()

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False
        self.schedule()

    def is_reading(self) -> bool:
        return not self.paused and not self.closing

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        if self._far is not None:
            self._far.forsaken()
        if not self.unsent or (self._far is not None and self._far.closing):
            self._let_go()

    def abort(self) -> None:
        self.closing = self.aborted = True
        if self._far is None:
            self.unsent.clear()  # otherwise it is on its way
        self._let_go()

    def read_last(self, peer: Peer) -> None:
        """Nothing: all that was sent has been delivered."""

    def _let_go(self, error: Exception | None = None) -> None:
        """End the connection, but soon: never from within a call by the protocol."""
        self._loop.call_soon(self.lose, error)

    def forsaken(self) -> None:
        """The other end reads no more: what it wrote may still be read, what was sent to it is lost."""
        self.schedule()
        if self.closing:
            self._let_go()

    # What the other side does.

    def take(self, size: int) -> None:
        """The test takes `size` more bytes, of what has been written and of what will be."""
        if self.room is not None:
            self.room += size
        self._flow()

    def _flow(self) -> None:
        size = len(self.unsent) if self.room is None else min(self.room, len(self.unsent))
        if self.room is not None:
            self.room -= size
        if size:
            self.taken(size)

    def taken(self, size: int) -> None:
        """The other side has taken `size` bytes of what has been written."""
        self.written += self.unsent[:size]
        del self.unsent[:size]
        if self._full and len(self.unsent) <= self._low and not self.lost:
            self._full = False
            self.protocol.resume_writing()
        if self.closing and not self.unsent:
            self._let_go()

    def deliver(self, data: bytes) -> None:
        """It sends `data`. All of that is read now, even if reading is paused: it was on its way."""
        source = bytearray(data)
        while source and not self.closing:
            self.read(source, len(source))

    def read(self, source: bytearray, size: int) -> None:
        """One read from the front of `source`, of at most `size` bytes and at most what the protocol has room for."""
        if isinstance(self.protocol, asyncio.BaseProtocol):
            data = self._taken(source, size)
            self.protocol.data_received(data)  # type: ignore[attr-defined]
        else:
            buffer = memoryview(self.protocol.get_buffer(size))
            data = self._taken(source, min(size, len(buffer)))
            buffer[: len(data)] = data
            self.protocol.buffer_updated(len(data))

    def _taken(self, source: bytearray, size: int) -> bytes:
        data = bytes(source[:size])
        if self._far is not None:
            self._far.taken(len(data))
        else:
            del source[: len(data)]
        return data

    def eof(self) -> None:
        """It sends EOF."""
        if not self.closing and not self.protocol.eof_received():  # type: ignore[union-attr]
            self.close()

    def lose(self, error: Exception | None) -> None:
        """The connection ends, or breaks with `error`."""
        if not self.lost:
            self.closing = self.lost = True
            try:
                self.protocol.connection_lost(error)
            finally:
                if self._far is not None:
                    self._far.forsaken()

    def reset(self) -> None:
        """Both sides end as by a TCP reset: what has not been read is lost."""
        for end, error in ((self, None), (self._far, ConnectionResetError(104, "Connection reset by peer"))):
            assert end is not None
            end.closing = True
            end.unsent.clear()
            self._loop.call_soon(end.lose, error)

    # Delivery from another end.

    def schedule(self) -> None:
        """Soon read what has come."""
        if self._far is not None and not self._scheduled and not self.lost:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        far = self._far
        if far is None:
            return
        for _ in range(READS_MAX):
            if self.paused or self.closing:
                return
            if not far.unsent:
                break
            self.read(far.unsent, max(1, min(len(far.unsent), CHUNK, self._cut())))
        else:
            self.schedule()
            return
        if (far.eof_written or far.closing) and not self._at_eof:
            self._at_eof = True
            self.eof()


def connect(
    loop: CallsSoon,
    client: End,
    server: End,
    client_address: tuple[str, int] = ("127.0.0.1", 50000),
    server_address: tuple[str, int] = ("127.0.0.1", 8080),
    cut: Callable[[], int] = lambda: CHUNK,
) -> tuple[MemoryTransport, MemoryTransport]:
    """Connect two protocols. `cut` returns the most bytes that the next read may bring."""
    near = MemoryTransport(loop, client, peername=server_address, sockname=client_address, cut=cut)
    far = MemoryTransport(loop, server, peername=client_address, sockname=server_address, cut=cut)
    near.join(far)
    far.join(near)
    server.connection_made(far)
    client.connection_made(near)
    return near, far
