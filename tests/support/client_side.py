"""The client's side of the gateway without sockets and without an event loop: a clock to move, a transport to inspect.

`Bench` is a `client.server.Server` on them, with a service that records what it is asked.
"""

from __future__ import annotations

import asyncio
import heapq
import socket
from collections import deque
from collections.abc import Callable
from itertools import count
from random import Random
from typing import cast

from oxllm.core.budget.answers import HeldBudget
from oxllm.core.budget.bodies import BodyBudget
from oxllm.core.wire.errors import ApiError
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.server import Server
from oxllm.gateway.client.shared import Service
from oxllm.gateway.client.states import ConnectionState
from oxllm.gateway.life import CLOSE, SIGNAL, Life
from oxllm.gateway.wheel import Wheel
from oxllm.plan import Server as Limits
from tests.support.virtual import MemoryTransport


class Clock:
    """The part of an event loop that the client's side uses: `time`, `call_soon`, `call_at`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._soon: deque[Callable[[], object]] = deque()
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[..., object], *args: object) -> None:
        self._soon.append(lambda: callback(*args))

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> object:
        entry = (when, next(self._number), lambda: callback(*args))
        heapq.heappush(self._later, entry)
        return entry

    def settle(self) -> None:
        """Run what is due now."""
        while self._soon:
            self._soon.popleft()()

    def advance(self, seconds: float) -> None:
        """Let time pass, and run whatever falls due on the way."""
        end = self.now + seconds
        self.settle()
        while self._later and self._later[0][0] <= end:
            when, _, callback = heapq.heappop(self._later)
            self.now = max(self.now, when)
            callback()
            self.settle()
        self.now = end


class Recorder(Service):
    """A service that keeps the requests, and answers as it is told."""

    def __init__(self) -> None:
        self.heads: list[Request] = []
        self.served: list[Request] = []
        self.errors: list[ApiError] = []
        self.gone = 0
        self.ended_requests = 0
        self.crashes: list[Exception] = []
        self.pressure: list[str] = []
        self.on_head: Callable[[Request], object] = lambda request: None
        self.on_serve: Callable[[Request], object] = lambda request: request.respond(200, [], b"ok")

    def operator_route(self, request: Request) -> bool:
        return request.path == b"/status"

    def refused(self, request: Request, error: ApiError) -> None:
        self.errors.append(error)

    def answer(self, request: Request, error: ApiError) -> None:
        request.respond(error.status, error.headers(), error.body())

    def crashed(self, request: Request | None, error: Exception) -> None:
        self.crashes.append(error)

    def needs(self, name: bytes) -> bool:
        return name.startswith(b"x-needed")

    def ended(self, request: Request) -> None:
        self.ended_requests += 1

    def head(self, request: Request) -> None:
        self.heads.append(request)
        self.on_head(request)

    def serve(self, request: Request) -> None:
        self.served.append(request)
        request.watch(Watcher(self))
        self.on_serve(request)

    def keep_waiting(self) -> None:
        """From now on requests stay unanswered until the test answers them."""
        self.on_serve = lambda request: None


class Watcher:
    """A handler that records its calls."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def gone(self) -> None:
        self._recorder.gone += 1

    def pause_writing(self) -> None:
        self._recorder.pressure.append("paused")

    def resume_writing(self) -> None:
        self._recorder.pressure.append("resumed")


class Client:
    """One client of a `Bench`."""

    def __init__(
        self,
        bench: Bench,
        peer: str = "192.0.2.7",
        local: str = "127.0.0.1",
        sock: socket.socket | None = None,
    ) -> None:
        """`sock` shows what waits to be read; nothing is read from it."""
        self._bench = bench
        self.connection = bench.server.protocol()
        self.transport = MemoryTransport(
            bench.clock, self.connection, peername=(peer, 50000), sockname=(local, 8080), sock=sock, strict=True
        )
        self.connection.connection_made(self.transport)
        self._backlog = bytearray()
        bench.clock.settle()

    def send(self, data: bytes, piece: int = 1 << 30) -> None:
        """Have `data` arrive, at most `piece` bytes per read; what the server does not read now it reads later."""
        self._backlog += data
        self.pump(piece)

    def pump(self, piece: int = 1 << 30) -> None:
        """Let the server read what it may."""
        while self._backlog and not self.transport.paused and not self.transport.closing:
            self.transport.read(self._backlog, min(piece, len(self._backlog)))
            self._bench.clock.settle()

    def half_close(self) -> None:
        """Send EOF."""
        if not self.transport.closing:
            self.connection.eof_received()
        self._bench.clock.settle()

    @property
    def output(self) -> bytes:
        """What the client has read since the last look at this."""
        data = bytes(self.transport.written)
        self.transport.written.clear()
        return data

    @property
    def state(self) -> ConnectionState:
        return self.connection.turns.state

    def paused(self) -> bool:
        """Whether the server has stopped reading."""
        return self.transport.paused

    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self.transport.closing

    @property
    def ended(self) -> bool:
        """Whether the server has finished with the connection: closed it, or shut its side for good."""
        return self.transport.closing or self.transport.eof_written


def server(
    loop: asyncio.AbstractEventLoop,
    service: Service,
    limits: Limits,
    wheel: Wheel | None = None,
    wall: Callable[[], float] = lambda: 784111777.0,
) -> Server:
    """A server with nothing behind it but `service`."""
    bodies = BodyBudget(limits.max_buffered_bytes)
    return Server(loop, service, limits, wheel or Wheel(loop), bodies, HeldBudget(), Random(1), wall, Life())


class Bench:
    """A server without sockets."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.service = Recorder()
        self.limits = limits or Limits()
        loop = cast(asyncio.AbstractEventLoop, self.clock)
        self.wheel = Wheel(loop)
        self.server = server(loop, self.service, self.limits, self.wheel)
        self.bodies = self.server.bodies

    def client(self) -> Client:
        return Client(self)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def drain(self) -> None:
        """As when the process stops."""
        if not self.server.life.stopping:
            self.server.life.move(SIGNAL)
            self.server.life.move(CLOSE)
        self.server.drain()

    def undrain(self) -> None:
        """Undo `drain`."""
        self.server.life = Life()


def get(path: str = "/", *headers: str) -> bytes:
    """A request without a body."""
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: here", *headers, "", "")).encode()


def post(body: bytes, *headers: str) -> bytes:
    """A request with a body of declared length."""
    head = ("POST /v1/chat/completions HTTP/1.1", "Host: here", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(head).encode() + body


def chunked(*parts: bytes) -> bytes:
    """A request whose body comes in chunks."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"
