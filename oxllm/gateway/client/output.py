"""Writes to one client: counts what is unsent, watches for a stalled client, and applies backpressure.

A client that takes nothing for 60 s is considered gone. While memory for answers is short the high-water mark is
lowered, so that the provider is paused earlier.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Final

from oxllm.core.budget.answers import HELD_FREE
from oxllm.core.budget.readers import HeldHolder
from oxllm.gateway.client.pace import LOOK_S, Stall
from oxllm.gateway.client.request import Writer
from oxllm.gateway.client.shared import Shared, nothing
from oxllm.gateway.transport import Transport

UNSENT_BYTES_HIGH: Final = 64 * 1024
"""High-water mark: with more than this unsent, the provider is not read. The same as asyncio's own."""

RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, with a timeout of 0: close() sends RST instead of FIN."""


class Output(HeldHolder, Writer):
    """The output to one client."""

    __slots__ = ("_gone", "_head", "_lowered", "_shared", "_transport", "blocked", "closed", "stall")

    def __init__(self, shared: Shared, transport: Transport, gone: Callable[[], None]) -> None:
        """`gone` is called when the client has left, or has taken nothing for too long."""
        self._shared = shared
        self._transport = transport
        self._gone = gone
        self._head = b""
        """A deferred response head, to go out with the first piece of its body."""
        self.stall: Stall | None = None
        self._lowered = False
        self.blocked = False
        """The unsent output is over the high-water mark."""
        self.closed = False
        """Nothing more will be sent."""
        transport.set_write_buffer_limits(high=UNSENT_BYTES_HIGH)

    def defer(self, head: bytes) -> None:
        """Send `head` along with what follows it, or alone at the end of this turn of the loop."""
        self._head = head
        self._shared.loop.call_soon(self.send, b"")

    def send(self, data: bytes) -> None:
        """Write `data`, and count what stays unsent."""
        if self._head:
            data = self._head + data
            self._head = b""
        if not data or self.closed:
            return
        stall = self.stall
        if len(data) <= UNSENT_BYTES_HIGH:
            self._transport.write(data)
            if stall is None:
                return
        else:
            self._write(data)
        if self.stall is not None:
            if stall is not None:
                stall.added += len(data)
            self._count(self.measure())

    def unsent(self) -> None:
        """Output has started to wait: watch for a client that has stalled."""
        if self.stall is None:
            now, unsent = self._shared.now(), self.measure()
            self.stall = Stall(self._shared.wheel.timer(self._look), now, unsent)
            self.stall.timer.set(now + LOOK_S)
            self._count(unsent)

    def measure(self) -> int:
        """Bytes that are unsent."""
        return self._transport.get_write_buffer_size()

    def unblock(self) -> bool:
        """The output is below the mark again. False if memory is short and the output exceeds the lowered mark."""
        self.blocked = False
        self._count(self.measure())
        return not self.blocked

    def address(self, end: str) -> str:
        """The IP address of `peername` or `sockname`, with a v4-mapped one as IPv4; empty when the client has gone."""
        address = self._transport.get_extra_info(end)
        shown = str(address[0]) if isinstance(address, tuple) else ""
        return shown.removeprefix("::ffff:") if "." in shown else shown

    def shut(self) -> None:
        """Half-close: nothing more follows, and the client sees that at once. It may still send."""
        try:
            self._transport.write_eof()
        except OSError:
            self._gone()

    def reset(self) -> None:
        """Close with a RST, so that the client cannot take a partial response for a whole one."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._gone()

    def close(self) -> None:
        """The connection has closed."""
        self.closed = True
        self._gone = nothing  # it refers to the connection: breaking the cycle frees the memory at once
        if self.stall is not None:
            self.stall.timer.clear()
            self.stall = None
        self._shared.held.drop(self)

    def _write(self, data: bytes) -> None:
        """Write in pieces: a transport keeps each unsent piece whole until its last byte is sent."""
        for start in range(0, len(data), UNSENT_BYTES_HIGH):
            self._transport.write(data[start : start + UNSENT_BYTES_HIGH])

    def _count(self, unsent: int) -> None:
        """Count what is unsent; while memory is short, lower the mark so that the provider is paused earlier."""
        held = self._shared.held
        held.hold(self, unsent)
        if self._lowered != held.full and (unsent > HELD_FREE or self._lowered):
            self._lowered = held.full
            self._transport.set_write_buffer_limits(HELD_FREE if self._lowered else UNSENT_BYTES_HIGH)

    def _look(self) -> None:
        stall, now = self.stall, self._shared.now()
        assert stall is not None
        unsent = self.measure()
        self._count(unsent)
        if not unsent:
            self.stall = None
        elif stall.over(now, unsent):
            self._gone()
        else:
            stall.timer.set(now + LOOK_S)
