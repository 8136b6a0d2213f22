"""What is written to one client, and what of it waits: counted, watched, and in bounds.

A client that takes nothing for 60 s is gone. While memory for answers is short, output counts as full earlier, so that
the provider is stopped earlier.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Final

from oxllm.core.budget.answers import HELD_FREE, HeldHolder
from oxllm.gateway.client.pace import LOOK_S, Stall
from oxllm.gateway.client.request import Writer
from oxllm.gateway.client.shared import Shared
from oxllm.gateway.transport import Transport

UNSENT_BYTES_HIGH: Final = 64 * 1024
"""Past so much waiting for the client the provider is not read. It is asyncio's own mark, too."""

RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, with no time: close() sends RST instead of FIN."""


def _nothing() -> None:
    pass


class Output(HeldHolder, Writer):
    """The way to one client."""

    __slots__ = ("_gone", "_head", "_lowered", "_shared", "_transport", "blocked", "closed", "stall")

    def __init__(self, shared: Shared, transport: Transport, gone: Callable[[], None]) -> None:
        """`gone` is called when the client has left, or has taken nothing for too long."""
        self._shared = shared
        self._transport = transport
        self._gone = gone
        self._head = b""
        """A response head that goes out with the first piece of its body."""
        self.stall: Stall | None = None
        self._lowered = False
        self.blocked = False
        """More waits than may."""
        self.closed = False
        """Nothing more is sent."""
        transport.set_write_buffer_limits(high=UNSENT_BYTES_HIGH)

    def defer(self, head: bytes) -> None:
        """Send `head` with what follows it, at the latest when this turn of the loop is over."""
        self._head = head
        self._shared.loop.call_soon(self.send, b"")

    def send(self, data: bytes) -> None:
        """Write, and watch whether the client takes it."""
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
        """Something waits for the client: watch whether it takes it."""
        if self.stall is None:
            now, unsent = self._shared.now(), self.measure()
            self.stall = Stall(self._shared.wheel.timer(self._look), now, unsent)
            self.stall.timer.set(now + LOOK_S)
            self._count(unsent)

    def measure(self) -> int:
        """Bytes that wait for the client."""
        return self._transport.get_write_buffer_size()

    def unblock(self) -> bool:
        """Less waits than the mark. False if memory is so short that another mark counts, and that is passed."""
        self.blocked = False
        self._count(self.measure())
        return not self.blocked

    def address(self, end: str) -> str:
        """The IP address of `peername` or `sockname`, of a v4-mapped one the IPv4 address; empty when the client has
        gone."""
        address = self._transport.get_extra_info(end)
        shown = str(address[0]) if isinstance(address, tuple) else ""
        return shown.removeprefix("::ffff:") if "." in shown else shown

    def shut(self) -> None:
        """What was sent is all. The client sees that at once, and may still send."""
        try:
            self._transport.write_eof()
        except OSError:
            self._gone()

    def reset(self) -> None:
        """Close the connection so that the client cannot take what it has for the whole."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._gone()

    def close(self) -> None:
        """The connection has come to its end."""
        self.closed = True
        self._gone = _nothing  # it refers to the connection: without a cycle the memory goes at once
        if self.stall is not None:
            self.stall.timer.clear()
            self.stall = None
        self._shared.held.drop(self)

    def _write(self, data: bytes) -> None:
        """In pieces: of what waits, a transport keeps the whole piece until its last byte is taken."""
        for start in range(0, len(data), UNSENT_BYTES_HIGH):
            self._transport.write(data[start : start + UNSENT_BYTES_HIGH])

    def _count(self, unsent: int) -> None:
        """Count what waits; while memory for that is short, have the provider stopped earlier."""
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
