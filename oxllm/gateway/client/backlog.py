"""Bytes that came before their turn: pipelined behind the request being served, or of a body that has no room yet.

When there are too many, reading the socket is paused. A paused socket shows no end of file, so `hangup` then watches
for a client that leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from oxllm.gateway.client.shared import BACKLOG_TOTAL, Shared, nothing
from oxllm.gateway.transport import Transport

BACKLOG_MAX: Final = 64 * 1024
"""Unparsed bytes that one connection may have waiting; from then on it is not read."""


class Backlog:
    """The backlog of one connection."""

    __slots__ = ("_gone", "_paused", "_shared", "_transport", "data")

    def __init__(self, shared: Shared, transport: Transport, gone: Callable[[], None]) -> None:
        """`gone` is called when the client leaves while reading is paused."""
        self._shared = shared
        self._transport = transport
        self._gone = gone
        self._paused = False
        self.data: bytearray | None = None

    def append(self, buffer: bytearray, start: int, end: int) -> None:
        """Keep `buffer[start:end]`, and pause reading if that makes too much."""
        if self.data is not None:
            self.data += buffer[start:end]
        elif buffer is self._shared.buffer:
            self.data = buffer[start:end]
        else:  # `buffer` is an earlier backlog, handed out by `pop`
            del buffer[:start]
            self.data = buffer
        self._shared.backlog_grew(end - start)
        if len(self.data) >= BACKLOG_MAX or self._shared.backlog >= BACKLOG_TOTAL:
            self.pause()

    def pop(self) -> bytearray | None:
        """Take out everything kept: its turn has come, or it is to be discarded."""
        data, self.data = self.data, None
        if data is not None:
            self._shared.backlog_grew(-len(data))
        return data

    def pause(self) -> None:
        """Stop reading until `resume`."""
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
        """The connection has closed."""
        self._gone = nothing  # it refers to the connection: breaking the cycle frees the memory at once
        self.pop()
        if self._paused:
            self._unwatch()

    def _unwatch(self) -> None:
        self._paused = False
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            self._shared.hangups.forget(sock.fileno())
