"""Bytes that came before their turn: behind the request being served, or of its body while that has no room.

When they are too many the socket is not read. Who does not read it sees no end of file, so then `hangup` looks out for
a client that leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from oxllm.gateway.client.shared import BACKLOG_TOTAL, Shared
from oxllm.gateway.transport import Transport

BACKLOG_MAX: Final = 64 * 1024
"""Bytes that one connection may have waiting behind the request being served; then it is not read."""


def _nothing() -> None:
    pass


class Backlog:
    """Of one connection."""

    __slots__ = ("_gone", "_paused", "_shared", "_transport", "data")

    def __init__(self, shared: Shared, transport: Transport, gone: Callable[[], None]) -> None:
        """`gone` is called when the client leaves while it is not read."""
        self._shared = shared
        self._transport = transport
        self._gone = gone
        self._paused = False
        self.data: bytearray | None = None

    def append(self, buffer: bytearray, start: int, end: int) -> None:
        """Keep `buffer[start:end]`, and read no more if that is too much."""
        if self.data is not None:
            self.data += buffer[start:end]
        elif buffer is self._shared.buffer:
            self.data = buffer[start:end]
        else:  # what was kept here before
            del buffer[:start]
            self.data = buffer
        self._shared.backlog_grew(end - start)
        if len(self.data) >= BACKLOG_MAX or self._shared.backlog >= BACKLOG_TOTAL:
            self.pause()

    def pop(self) -> bytearray | None:
        """All that is kept: its turn has come, or nobody wants it."""
        data, self.data = self.data, None
        if data is not None:
            self._shared.backlog_grew(-len(data))
        return data

    def pause(self) -> None:
        """Read no more until `resume`."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                self._shared.hangups.watch(sock.fileno(), self._gone)

    def resume(self) -> None:
        """Read on."""
        if self._paused:
            self._unwatch()
            self._transport.resume_reading()

    def close(self) -> None:
        """The connection has come to its end."""
        self._gone = _nothing  # it refers to the connection: without a cycle the memory goes at once
        self.pop()
        if self._paused:
            self._unwatch()

    def _unwatch(self) -> None:
        self._paused = False
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            self._shared.hangups.forget(sock.fileno())
