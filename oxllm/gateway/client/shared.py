"""What all client connections share, and what they need of the rest of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Final, Protocol

from oxllm.core.budget.answers import HeldBudget
from oxllm.core.budget.bodies import BodyBudget
from oxllm.core.budget.heads import HeadBudget
from oxllm.core.native import mypyc_attr
from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway.client.hangup import Hangups
from oxllm.gateway.client.known_heads import KnownHeads
from oxllm.gateway.client.rendering import http_date
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.request_ids import RequestIds
from oxllm.gateway.clock import clock_of
from oxllm.gateway.life import Life
from oxllm.gateway.transport import Transport
from oxllm.gateway.wheel import Wheel
from oxllm.plan import Server as Limits

READ_BYTES: Final = 64 * 1024
"""Size of the shared buffer, and so of one read of a body: what a Linux socket typically has ready."""

BACKLOG_TOTAL: Final = 1024 * 1024
"""Unparsed bytes that all connections together may have waiting: pipelining is rare, and not worth more memory."""

HEAD_READ_BYTES: Final = 16 * 1024
"""The most that a read takes while no body is due. A request of usual size fits. It also bounds what can arrive of a
body along with its head, before the budget has admitted it, and wait unparsed outside the budget."""

NARROW_READ_BYTES: Final = 1024
"""The same while too much waits: 4,096 connections may still bring one such read each."""

LOOK_AT_MAX: Final = 64
"""How many quiet connections are tried, at most, to find one that can be evicted."""

REQUEST_ID_MAX: Final = 128

OVERLOAD_RETRY_S: Final = 1
"""Retry-After of our own 503s: room comes free as fast as requests end."""


def overloaded(message: str) -> ApiError:
    """A 503 with a short Retry-After."""
    return api_error(503, message, "overloaded", retry_after=OVERLOAD_RETRY_S)


def nothing() -> None:
    """Stands in for a callback of a connection that has closed: a reference to the connection would be a cycle."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Service:
    """Serves the requests. Its methods may respond before they return."""

    __slots__ = ()

    def head(self, request: Request) -> None:
        """The head has been read, the body not yet. May respond; otherwise the body is read and `serve` called."""

    def serve(self, request: Request) -> None:
        """Head and body have been read. Respond now or later."""

    def operator_route(self, request: Request) -> bool:
        """Whether this request is served even when there are too many connections."""
        raise NotImplementedError

    def needs(self, name: bytes) -> bool:
        """Whether a header of that name is still read after `head`."""
        raise NotImplementedError

    def ended(self, request: Request) -> None:
        """The request has been answered in full, or its client has gone. Called once, even if `head` was not."""

    def crashed(self, request: Request | None, error: Exception) -> None:
        """A bug of ours showed while `request` was read, served or answered."""

    def refused(self, request: Request, error: ApiError) -> None:
        """The connection is about to answer `error` itself. `head` may not have been called; with a broken head,
        `path` is empty, and so is `method` unless it is HEAD."""

    def answer(self, request: Request, error: ApiError) -> None:
        """Answer `error` in the format of the API that was called."""


class Connected(Protocol):
    """A client connection, as the others see it."""

    @property
    def transport(self) -> Transport:
        """Its transport."""

    def __hash__(self) -> int: ...

    def crash(self, error: Exception) -> None:
        """A bug of ours: end the connection, and free what it holds."""

    def drain(self) -> None:
        """Take no request after the current one."""

    def expire(self) -> None:
        """The process is ending, and cannot wait for an answer or for the rest of a request."""

    def evict(self, needed: bool) -> bool:
        """Close to make room for another. False if output is unsent, or input waits to be read; and unless that room is
        `needed`, if a request may be on its way."""

    def close(self) -> None:
        """Close once everything written has been sent."""

    def abort(self) -> None:
        """Close now; what was written may be lost."""


class Unread(Protocol):
    """The holder of an incomplete head."""

    def __hash__(self) -> int: ...

    def decline(self, error: ApiError) -> None:
        """Answer `error`, and read no further."""


class Shared:
    """What all client connections share."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        service: Service,
        limits: Limits,
        wheel: Wheel,
        bodies: BodyBudget,
        held: HeldBudget,
        rng: Random,
        wall: Callable[[], float],
        life: Life,
        max_connections: int | None = None,
    ) -> None:
        """`wall`: Unix time, for the Date header. `max_connections`: replaces the one in `limits` where the limit on
        open files allows fewer."""
        self.loop = loop
        self.now = clock_of(loop)
        self.service = service
        self.limits = limits
        self.max_connections = limits.max_connections if max_connections is None else max_connections
        self.wheel = wheel
        self.bodies = bodies
        self.held = held
        """The memory budget that counts unsent output."""
        self.buffer = bytearray(READ_BYTES)
        """All connections read into it; `buffer_updated` leaves nothing in it."""
        self.body_view = memoryview(self.buffer)
        self.head_view = self.body_view[:HEAD_READ_BYTES]
        """For reads while no body is due."""
        self.narrow = False
        """These are kept small."""
        self.open: set[Connected] = set()
        self.quiet: dict[Connected, None] = {}
        """Connections that may be evicted: new, idle, mid-head or lingering ones, the longest silent first."""
        self.backlog = 0
        """Unparsed bytes that wait, of all connections."""
        self.heads: HeadBudget[Unread] = HeadBudget()
        self.known = KnownHeads()
        self.hangups = Hangups(loop)
        self.life = life
        self._ids = RequestIds(rng)
        self._wall = wall
        self._date = b""
        self._date_second = -1

    @property
    def too_many(self) -> bool:
        """Whether there are more connections than allowed."""
        return len(self.open) > self.max_connections

    def make_room(self, needed: bool) -> bool:
        """Evict the connection that has been silent for longest, if one can be. Unless room is `needed`, not one that
        has been silent for a moment only: those that come in a crowd would throw each other out before they can ask."""
        for connection in islice(self.quiet, LOOK_AT_MAX):
            if connection.evict(needed):
                self.open.discard(connection)
                return True
        return False

    def shed(self, request: Request) -> ApiError | None:
        """The refusal for a request on a connection too many; None if there is room by now or an operator asks."""
        operators = self.service.operator_route(request)
        while self.too_many and not operators:
            if not self.make_room(needed=False):  # those that had just come before this one may be silent by now
                return overloaded("too many connections")
        return None

    def head_grew(self, reading: Unread, size: int) -> None:
        """Count an incomplete head of `size` bytes so far. When those take too much memory, some are refused."""
        now = self.now()
        self.heads.grew(reading, size, now)
        while (victim := self.heads.excess(now)) is not None:
            victim.decline(overloaded("too many requests whose heads are not whole"))

    def backlog_grew(self, change: int) -> None:
        """`change` more (or fewer) bytes wait unparsed."""
        self.backlog += change
        self.fit_reads()

    def fit_reads(self) -> None:
        """Keep reads small while too much waits unparsed, or a body waits for room: what came along would wait, too."""
        narrow = self.backlog >= BACKLOG_TOTAL or self.bodies.waiting > 0
        if narrow != self.narrow:
            self.narrow = narrow
            self.head_view = self.body_view[: NARROW_READ_BYTES if narrow else HEAD_READ_BYTES]

    def request_id(self, request: Request) -> str:
        """The client's own id if it is fit for a header and a log line, else a new one."""
        own = request.get(b"x-request-id")
        if own and len(own) <= REQUEST_ID_MAX and own.isascii():
            text = own.decode("ascii")
            if text.isprintable():
                return text
        return self._ids.new()

    def date(self) -> bytes:
        """`date: ...` with its line end, rendered once a second."""
        second = int(self.now())
        if second != self._date_second:
            self._date_second = second
            self._date = b"date: %b\r\n" % http_date(self._wall())
        return self._date
