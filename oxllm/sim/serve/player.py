"""Plays a script on a transport: the only place where steps become bytes, pauses and resets.

Needs a loop's `time()` and `call_at()`, and a transport, real or in memory. An in-memory transport that distinguishes a
reset from an EOF has a method `reset()`. On a socket a reset is SO_LINGER(1, 0) and close, since `abort()` alone sends
the peer an EOF.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Protocol

from oxllm.sim.provider.ledger import COMPLETE, GONE
from oxllm.sim.provider.reply import Piece
from oxllm.sim.provider.steps import Await, Fin, Forget, Gate, Hang, Rst, Send, Step, Truncate, Wait
from oxllm.sim.serve.engine import Script

LINGER_S = 2.0
"""How long after a Fin the peer has to close before we do. Closing at once with unread bytes would cause a reset."""


WRITE_MAX = 65536
"""Bytes to collect in one write, after which we check whether the peer still reads."""


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The part of an event loop that a player needs."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...


class Gates:
    """Gates that scripts wait at, opened by name. An open gate stays open."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def wait(self, name: str, passed: Callable[[], None]) -> bool:
        """True if the gate is open; else `passed` will be called when it opens."""
        if name in self._open:
            return True
        self._waiting.setdefault(name, []).append(passed)
        return False

    def open(self, name: str) -> int:
        """Open a gate for good; returns how many were waiting."""
        self._open.add(name)
        waiting = self._waiting.pop(name, [])
        for passed in waiting:
            passed()
        return len(waiting)


def reset(transport: asyncio.Transport) -> None:
    """Close so that the peer gets a reset, not an EOF."""
    in_memory = getattr(transport, "reset", None)
    if in_memory is not None:
        in_memory()
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def truncate(transport: asyncio.Transport) -> None:
    """End TCP with a FIN, but without a close_notify of TLS."""
    sock = transport.get_extra_info("socket")
    if transport.get_extra_info("ssl_object") is None or sock is None:
        transport.close()
        return
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
    transport.abort()


def finish(transport: asyncio.Transport, clock: Clock) -> Timer | None:
    """Close so that the peer reads an EOF, even if it is still sending. The returned timer completes the close."""
    if not transport.can_write_eof():
        transport.close()
        return None
    transport.write_eof()
    return clock.call_at(clock.time() + LINGER_S, transport.close)


class Player:
    """One script on one transport. `done` is called when the connection is free for the next request."""

    __slots__ = (
        "_answering",
        "_clock",
        "_done",
        "_gates",
        "_next",
        "_paused",
        "_pieces",
        "_start",
        "_steps",
        "_timer",
        "_transport",
        "forgotten",
        "record",
    )

    def __init__(
        self,
        clock: Clock,
        gates: Gates,
        transport: asyncio.Transport,
        script: Script,
        start: float,
        done: Callable[[], None],
    ) -> None:
        self.record = script.record
        self._answering = script.answering
        if self._answering is not None:
            self._answering.count += 1
        self._steps: Iterator[Step] = iter(script) if script.reply is None else iter(())
        self._clock = clock
        self._gates = gates
        self._transport = transport
        self._start = start
        self._done = done
        self._paused = False
        self._timer: Timer | None = None
        self._pieces = None if script.reply is None else script.reply.pieces()
        """The pieces of a healthy answer, which needs no steps."""
        self._next: Piece | None = None
        self.forgotten = False
        """The connection is only open from the peer's point of view."""

    def run(self) -> None:
        """Take steps until one must wait."""
        self._timer = None
        if self._pieces is not None:
            self._flow(self._pieces)
            return
        while not self._paused:
            step = next(self._steps, None)
            if step is None:
                self._end(COMPLETE)
                self._done()
                return
            if not self._take(step):
                return

    def _flow(self, pieces: Iterator[Piece]) -> None:
        """Write all that is due, in as few writes as possible."""
        now = self._clock.time()
        due: list[bytes] = []
        size = 0
        while not self._paused:
            piece = self._next or next(pieces, None)
            self._next = None
            if piece is None:
                self._write(b"".join(due), now)
                self._end(COMPLETE)
                self._done()
                return
            if piece.at > now:
                self._next = piece
                if due:
                    self._write(b"".join(due), now)
                self._timer = self._clock.call_at(piece.at, self.run)
                return
            due.append(piece.data)
            size += len(piece.data)
            if size >= WRITE_MAX:
                self._write(b"".join(due), now)
                due, size = [], 0

    def pause(self) -> None:
        """The write buffer is full: stop writing."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._timer is None:
            self.run()

    def gone(self) -> None:
        """The connection is lost: stop."""
        if self._timer is not None:
            self._timer.cancel()
        self._steps, self._pieces = iter(()), None
        if self.record.end is None:
            self._end(GONE)

    def _take(self, step: Step) -> bool:
        """True if the next step may follow at once."""
        match step:
            case Send(data):
                self._write(data, self._clock.time())
                return True
            case Wait(until):
                return self._wait(until)
            case Gate(name):
                return self._gates.wait(name, self.run)
            case Await(source):
                return source.wait(self.run)
            case Hang():
                return False
            case Forget():
                self._end(COMPLETE)
                self.forgotten = True
            case Fin():
                self._end("fin")
                self._timer = finish(self._transport, self._clock)
            case Truncate():
                self._end("truncate")
                truncate(self._transport)
            case Rst():
                self._end("rst")
                reset(self._transport)
        return False

    def _wait(self, until: float) -> bool:
        if until <= self._clock.time():
            return True
        self._timer = self._clock.call_at(until, self.run)
        return False

    def _write(self, data: bytes, now: float) -> None:
        self.record.last = now - self._start
        if self.record.began is None:
            self.record.began = self.record.last
            self.record.status = int(data[9:12]) if data.startswith(b"HTTP/1.1 ") else None
        self.record.sent += len(data)
        if not self._transport.is_closing():  # else asyncio would log that a write has failed
            self._transport.write(data)

    def _end(self, how: str) -> None:
        if self._answering is not None:
            self._answering.count -= 1
        self.record.end = how
        self.record.ended = self._clock.time() - self._start
