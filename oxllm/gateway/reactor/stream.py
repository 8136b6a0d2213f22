"""A connected socket, served by the reactor.

A written byte passes through the queue (until the end of the turn) or the buffer (if the kernel was full) to the
kernel. At most one of the two is in use: while there is a buffer, whatever is written is appended to it.

    state     event                then
    OPEN      close                what is queued is sent, reading stops; CLOSING if there is a buffer, else ENDED
    OPEN      end of file          `eof_received`, then `close` unless the peer says that it wants to write on
    CLOSING   the buffer is empty  ENDED
    either    abort, an error      what is queued is sent if it can be; ENDED
    ENDED                          nothing is read or written; at the end of the turn `connection_lost`, and the socket
                                   is closed
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any, Final

from oxllm.core import machine
from oxllm.core.machine import Table
from oxllm.gateway.reactor.reactor import READ, READABLE, WRITABLE, WRITE, Reactor
from oxllm.gateway.reactor.watched import Watched
from oxllm.gateway.transport import HIGH, Peer

JOIN_MAX: Final = 16 * 1024
"""Bytes queued until the end of the turn, at most. Beyond this, a `send` costs by the byte rather than by the call."""

SEND: Final = os.write
"""Costs two thirds of `socket.send`, which looks for flags and a timeout first. It takes a file number, which may be
reused once our socket is closed: a stream that has ended must not send."""

NOBODY: Final = Peer()
"""The peer of a stream that has ended."""


class StreamState(machine.State):
    """How far a stream is from its end."""

    OPEN = "open"
    CLOSING = "closing"
    ENDED = "ended"


class StreamEvent(machine.Event):
    """What ends it."""

    CLOSE = "closed by its peer, with a buffer that is not empty"
    END = "closed with nothing left to send, aborted or broken"


OPEN: Final[StreamState] = StreamState.OPEN
CLOSING: Final[StreamState] = StreamState.CLOSING
ENDED: Final[StreamState] = StreamState.ENDED
CLOSE: Final[StreamEvent] = StreamEvent.CLOSE
END: Final[StreamEvent] = StreamEvent.END

TABLE: Final = Table(
    {
        (OPEN, CLOSE): CLOSING,
        (OPEN, END): ENDED,
        (CLOSING, END): ENDED,
    }
)


class Stream(Watched):
    """A connection on a socket of its own, connected and non-blocking. One class, since it is a whole Transport."""

    __slots__ = (
        "_at_end",
        "_buffer",
        "_error",
        "_fd",
        "_full",
        "_high",
        "_low",
        "_mask",
        "_peer",
        "_queue",
        "_reactor",
        "_reading",
        "_sock",
        "_state",
        "_written",
    )

    def __init__(self, reactor: Reactor, sock: socket.socket, peer: Peer) -> None:
        """Raises OSError if epoll has no room; the socket is then closed, and the peer not told anything."""
        self._reactor = reactor
        self._sock = sock
        self._fd = sock.fileno()
        self._peer = peer
        self._queue = b""
        self._buffer: bytearray | None = None
        self._high = HIGH
        self._low = HIGH // 4
        self._mask = READ
        """The events registered with epoll."""
        self._error: Exception | None = None
        """What `connection_lost` will be called with."""
        self._reading = True
        self._at_end = False
        """Whether the other side has half-closed."""
        self._state = OPEN
        self._full = False
        """Whether the peer has been told to pause."""
        self._written = False
        """Whether `write_eof` was called."""
        try:
            reactor.epoll.register(self._fd, READ)
        except OSError:
            sock.close()
            raise
        reactor.watched[self._fd] = self

    def __repr__(self) -> str:
        how = "" if self._reading else ", not read"
        return f"<Stream {self._state.name} {self._fd}{how}, {self.get_write_buffer_size()} B unsent>"

    def begin(self) -> None:
        """Call the peer's `connection_made`."""
        try:
            self._peer.connection_made(self)
        except Exception as error:  # noqa: BLE001  whoever opened it has more to open
            self._reactor.fail(self, error)

    # The reactor's side

    def ready(self, mask: int) -> None:
        if mask & READABLE and self._reading:
            self._read()
        if self._buffer is not None and mask & WRITABLE:
            self._send_buffer(self._buffer)

    def flush(self) -> None:
        queue = self._queue
        if queue:
            self._queue = b""
            self._send(queue)

    def close_socket(self) -> None:
        peer, error = self._peer, self._error
        self._peer, self._error = NOBODY, None  # they refer to us: breaking the cycle frees everything at once
        try:
            peer.connection_lost(error)
        finally:
            self._sock.close()

    def fail(self, error: Exception) -> None:
        self._end(error)

    def drop(self) -> None:
        if self._queue:
            with contextlib.suppress(OSError):
                SEND(self._fd, self._queue)
        if self._state is not ENDED:
            self._state = TABLE.move(self._state, END)
        self._queue, self._buffer, self._peer = b"", None, NOBODY
        self._sock.close()

    def _watch(self) -> None:
        """Register with epoll the events that are wanted now."""
        mask = READ if self._reading else 0
        if self._buffer is not None:
            mask |= WRITE
        before, self._mask = self._mask, mask
        if mask == before:
            return
        epoll = self._reactor.epoll
        if not before:
            try:
                epoll.register(self._fd, mask)
            except OSError as error:  # no room: nothing would ever be reported to us
                self._mask = 0
                self._end(error)
        elif mask:
            epoll.modify(self._fd, mask)
        else:
            epoll.unregister(self._fd)  # else it would report EPOLLHUP for ever

    def _read(self) -> None:
        peer = self._peer
        buffer = peer.get_buffer(-1)
        assert len(buffer), "no room to read into"
        try:
            count = self._sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.fail(error)
            return
        if count:
            peer.buffer_updated(count)
            return
        self._reading, self._at_end = False, True
        self._watch()
        if not peer.eof_received():
            self.close()

    def _send(self, data: bytes | bytearray | memoryview) -> None:
        """Send what the kernel takes, and buffer the rest. There must be no buffer yet."""
        try:  # a copy of `_send_now`, without its call: each event of a stream passes here
            count = SEND(self._fd, data)
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError as error:
            self.fail(error)
            return
        if count < len(data):
            self._buffer = bytearray(memoryview(data)[count:])
            self._watch()
            self._peer.unsent()
            self._check_high()

    def _send_now(self, data: bytes | bytearray | memoryview) -> int:
        """Send, and return how many bytes the kernel took; 0 after an error, which ends the stream."""
        try:
            return SEND(self._fd, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self.fail(error)
            return 0

    def _send_buffer(self, buffer: bytearray) -> None:
        """The kernel has room again: send from the buffer."""
        del buffer[: self._send_now(buffer)]
        if self._full and len(buffer) <= self._low and self._state is not ENDED:
            self._full = False
            self._peer.resume_writing()
        if buffer or self._state is ENDED:
            return
        self._buffer = None
        if self._state is CLOSING:
            self._end(None)
            return
        self._watch()
        if self._written:
            with contextlib.suppress(OSError):  # it has gone, as reading will show
                self._sock.shutdown(socket.SHUT_WR)

    def _check_high(self) -> None:
        buffer = self._buffer
        if buffer is not None and len(buffer) > self._high and not self._full:
            self._full = True
            self._peer.pause_writing()

    def _end(self, error: Exception | None) -> None:
        if self._state is not ENDED:
            self._state = TABLE.move(self._state, END)
            self._reading = False
            self._queue, self._buffer = b"", None
            self._error = error
            self._watch()
            reactor = self._reactor
            reactor.watched.pop(self._fd, None)
            reactor.ended.append(self)

    # The peer's side

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._written:
            raise RuntimeError("write() after write_eof()")
        if self._state is ENDED or not data:
            return
        buffer, queue = self._buffer, self._queue
        if buffer is not None:
            buffer += data
            self._check_high()
        elif len(queue) + len(data) > JOIN_MAX:
            self._queue = b""
            self._send(queue + data if queue else data)
        elif queue:
            self._queue = queue + data
        else:
            self._queue = data if isinstance(data, bytes) else bytes(data)
            self._reactor.writers.append(self)

    def pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._watch()

    def resume_reading(self) -> None:
        if not self._reading and self._state is OPEN and not self._at_end:
            self._reading = True
            self._watch()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH if high is None else high
        self._low = self._high // 4 if low is None else low
        self._check_high()

    def get_write_buffer_size(self) -> int:
        return 0 if self._buffer is None else len(self._buffer)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        sock = self._sock
        try:
            if name == "peername":
                return sock.getpeername()
            if name == "sockname":
                return sock.getsockname()
        except OSError:
            pass  # it has gone
        return sock if name == "socket" else default

    def set_protocol(self, protocol: Peer) -> None:
        self._peer = protocol

    def is_closing(self) -> bool:
        return self._state is not OPEN

    def write_eof(self) -> None:
        self.flush()
        if not self._written and self._state is OPEN:
            self._written = True
            if self._buffer is None:
                self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.flush()
        if self._state is OPEN:
            if self._buffer is None:
                self._end(None)
                return
            self._state = TABLE.move(OPEN, CLOSE)
            self._reading = False
            self._watch()

    def abort(self) -> None:
        if self._queue:
            self._send_now(self._queue)
        self._end(None)

    def read_last(self, peer: Peer) -> None:
        try:
            count = self._sock.recv_into(peer.get_buffer(-1))
        except OSError:
            return
        if count:
            peer.buffer_updated(count)
