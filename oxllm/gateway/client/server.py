"""The client's side: what all client connections share, and what they need from the rest of the gateway.

`connection` reads and answers, `request` is what a service gets, `http1_request` parses, `http1_response` renders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Protocol

from oxllm.core.budget import BodyBudget, HeadBudget, HeldBudget
from oxllm.core.errors import ApiError
from oxllm.gateway.client.connection import (
    HEAD_READ_BYTES,
    NARROW_READ_BYTES,
    RAW_BYTES_TOTAL,
    READ_BYTES,
    ClientConnection,
)
from oxllm.gateway.client.hangup import Hangups
from oxllm.gateway.client.request import Handler, Request
from oxllm.gateway.client.response_head import http_date
from oxllm.gateway.life import Life
from oxllm.gateway.wheel import Wheel
from oxllm.plan import Server as Limits

__all__ = ["Handler", "Request", "Server", "Service"]

REQUEST_ID_MAX = 128


class Service(Protocol):
    """Who serves the requests. Its methods may respond before they return."""

    def head(self, request: Request) -> None:
        """The head is there, no body yet. May respond at once; otherwise the body is read and `serve` called."""

    def serve(self, request: Request) -> None:
        """Head and body are there. Respond now or later."""

    def operator_route(self, request: Request) -> bool:
        """Whether this one is served though there are too many connections."""

    def refused(self, request: Request, error: ApiError) -> None:
        """The connection is about to answer `error` by itself. `head` may not have been called; of a broken head
        `method` and `path` are empty."""

    def answer(self, request: Request, error: ApiError) -> None:
        """Answer `error`, in the words of the API that was called."""


class Server:
    """What all client connections share."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        service: Service,
        limits: Limits,
        wheel: Wheel,
        bodies: BodyBudget,
        rng: Random,
        max_connections: int | None = None,
        wall: Callable[[], float] | None = None,
        held: HeldBudget | None = None,
        life: Life | None = None,
    ) -> None:
        """`max_connections` stands in for the one in `limits` where fewer files may be open.

        `wall` gives Unix time for the Date header; without it there is none (RFC 9110: no clock, no Date).
        """
        self.loop = loop
        self.now = loop.time
        self.service = service
        self.limits = limits
        self.max_connections = limits.max_connections if max_connections is None else max_connections
        self.wheel = wheel
        self.bodies = bodies
        self.held = held or HeldBudget()
        """Counts what waits for clients."""
        self.buffer = bytearray(READ_BYTES)
        self.body_view = memoryview(self.buffer)
        self.head_view = self.body_view[:HEAD_READ_BYTES]
        """For reads while no body is due."""
        self.open: set[ClientConnection] = set()
        self.raw_bytes = 0
        """Held unparsed, by all connections."""
        self.heads: HeadBudget[ClientConnection] = HeadBudget()
        self.hangups = Hangups(loop)
        self.life = life or Life()
        self._rng = rng
        self._wall = wall
        self._date = b""
        self._date_second = -1

    def protocol(self) -> ClientConnection:
        """For `loop.create_server`."""
        return ClientConnection(self)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.open)

    def drain(self) -> None:
        """`life` is draining: idle connections close, the others after the response under way, which says so if it
        still can."""
        for connection in list(self.open):
            connection.drain()

    def expire(self) -> None:
        """Whoever has no answer yet gets a 503."""
        for connection in list(self.open):
            connection.expire()

    def close_all(self) -> None:
        """Close every connection, answered or not. What was written is still sent while the loop runs."""
        for connection in list(self.open):
            connection.close()

    def keep_raw(self, change: int) -> None:
        """So many bytes more, or less, are held unparsed. When they are too many, a read brings little."""
        self.raw_bytes += change
        size = HEAD_READ_BYTES if self.raw_bytes < RAW_BYTES_TOTAL else NARROW_READ_BYTES
        if size != len(self.head_view):
            self.head_view = self.body_view[:size]

    def request_id(self, request: Request) -> str:
        """The client's own if it can stand in a header and a log, else a new one (SPEC 4)."""
        own = request.get(b"x-request-id")
        if own and len(own) <= REQUEST_ID_MAX and own.isascii():
            text = own.decode("ascii")
            if text.isprintable():
                return text
        return f"oxllm-{self._rng.getrandbits(64):016x}"

    def date(self) -> bytes:
        """`date: ...` with its line end, made anew once a second."""
        if self._wall is None:
            return b""
        second = int(self.now())
        if second != self._date_second:
            self._date_second = second
            self._date = b"date: %b\r\n" % http_date(self._wall())
        return self._date
