"""A long page, sent in pieces: one a turn of the loop, and only while the client takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from oxllm.core.reading.hints import Headers
from oxllm.gateway.client.request import Request


def send(loop: asyncio.AbstractEventLoop, request: Request, fields: Headers, pieces: Iterator[bytes]) -> None:
    """Answer 200 with these pieces, of which there is at least one."""
    first = next(pieces)
    second = next(pieces, None)
    if second is None:
        request.respond(200, fields, first)
        return
    sending = _Sending(loop, request, pieces)
    request.watch(sending)
    request.begin(200, fields, None)
    request.write(first)
    request.write(second)
    sending.go_on_soon()


class _Sending:
    """One page under way. It is the request's Handler."""

    __slots__ = ("_full", "_loop", "_pieces", "_request", "_scheduled")

    def __init__(self, loop: asyncio.AbstractEventLoop, request: Request, pieces: Iterator[bytes]) -> None:
        self._loop = loop
        self._request = request
        self._pieces = pieces
        self._full = self._scheduled = False

    def gone(self) -> None:
        """The client left."""
        self._pieces = iter(())

    def pause_writing(self) -> None:
        """The client has enough for now."""
        self._full = True

    def resume_writing(self) -> None:
        """It takes more."""
        self._full = False
        self.go_on_soon()

    def go_on_soon(self) -> None:
        """Send the next piece in the next turn of the loop, unless the client is full by then."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._scheduled = False
        if self._full:
            return
        try:
            piece = next(self._pieces, None)
        except Exception:
            self._request.abort()
            raise
        if piece is None:
            self._request.end()
            return
        self._request.write(piece)
        self.go_on_soon()
