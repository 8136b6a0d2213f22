"""A provider's port: open, refusing (bound, nobody listens) or a black hole (handshakes never completed).

Refusing keeps the port: a new socket is bound to it and does not listen, so nobody else can take it. A black hole
listens with an empty queue that two connections of our own keep full; the kernel then drops every SYN, which is all
that a client behind a dead route would see of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import Callable
from enum import Enum

BACKLOG = 2048
_FILLERS = 2
FREE = range(20_000, 32_000)
"""Where one is looked for that is free: systems give those from 32768 on, or 49152, to connections that go out."""
TRIES = 50


def free_port() -> int:
    """A loopback port that nobody uses, and that no connection gets by chance before it is used."""
    for port in random.SystemRandom().sample(FREE, TRIES):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class State(Enum):
    """What a client that connects meets."""

    OPEN = "open"
    REFUSING = "refusing"
    BLACKHOLE = "black hole"
    CLOSED = "closed"


class Port:
    """One listening address and its state. `make` makes the protocol of a connection."""

    def __init__(
        self, host: str, port: int, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext | None
    ) -> None:
        self._make = make
        self._context = context
        self._turning = asyncio.Lock()
        self._held: list[socket.socket] = []
        self._server: asyncio.Server | None = None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._bound = self._bind(family, (host, port))
        self._address = self._bound.getsockname()[:2]
        self.state = State.REFUSING

    @property
    def address(self) -> str:
        """Without the port."""
        return str(self._address[0])

    @property
    def number(self) -> int:
        return int(self._address[1])

    async def turn(self, state: State) -> None:
        """Become `state`."""
        async with self._turning:
            if state is not self.state:
                await self._turn(state)

    async def _turn(self, state: State) -> None:
        if self._server is not None:
            await self._stop_accepting()
        self._release()
        self.state = state
        if state is State.CLOSED:
            self._bound.close()
            return
        if self._bound.fileno() == -1:
            self._bound = self._bind(self._bound.family, self._address)
        if state is State.OPEN:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._make, sock=self._bound, ssl=self._context, backlog=BACKLOG)
        elif state is State.BLACKHOLE:
            self._fill()

    async def _stop_accepting(self) -> None:
        """Let what was just accepted get its transport: asyncio drops such a connection, open and unanswered, when the
        server is closed in between."""
        asyncio.get_running_loop().remove_reader(self._bound.fileno())
        for _ in range(2):
            await asyncio.sleep(0)

    def _fill(self) -> None:
        self._bound.listen(0)
        for _ in range(_FILLERS):
            filler = socket.socket(self._bound.family, socket.SOCK_STREAM)
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(self._address)
            self._held.append(filler)

    def _release(self) -> None:
        """Leave the state; the port stays bound only if it was refusing."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for filler in self._held:
            filler.close()
        self._held.clear()
        if self.state is not State.REFUSING:
            self._bound.close()

    @staticmethod
    def _bind(family: int, address: tuple[str, int]) -> socket.socket:
        # With its protocol named, since asyncio turns Nagle's algorithm off for such sockets only, and a client that
        # delays its ACKs would get the second event of each answer 40 ms late.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
        bound.setblocking(False)
        return bound
