"""Bytes that came before their turn: behind the request being served, or of its body while that has no room."""

from __future__ import annotations

from oxllm.gateway.client.shared import BACKLOG_TOTAL, Shared

BACKLOG_MAX = 64 * 1024
"""Bytes that one connection may have waiting behind the request being served; then it is not read."""


class Backlog:
    """Of one connection."""

    __slots__ = ("_shared", "data")

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.data: bytearray | None = None

    def keep(self, buffer: bytearray, at: int, end: int) -> bool:
        """Add `buffer[at:end]`. Whether the connection may be read on."""
        if self.data is not None:
            self.data += buffer[at:end]
        elif buffer is self._shared.buffer:
            self.data = buffer[at:end]
        else:  # what was taken from here before
            del buffer[:at]
            self.data = buffer
        self._shared.backlog_grew(end - at)
        return len(self.data) < BACKLOG_MAX and self._shared.backlog < BACKLOG_TOTAL

    def take(self) -> bytearray | None:
        """All of it, whose turn has come."""
        data, self.data = self.data, None
        if data is not None:
            self._shared.backlog_grew(-len(data))
        return data
