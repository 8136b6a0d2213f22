"""A provider's port: open, refusing (bound but not listening) or a black hole (handshakes never completed).

Refusing keeps the port: a new socket is bound to it without listening, so nobody else can take it. A black hole listens
with a backlog of 0 that two connections of our own keep full. The kernel then drops every SYN, just as a client sees it
behind a dead route.
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
"""Where to look for a free port: below the ephemeral ports, which begin at 32768 or 49152."""
TRIES = 50


def free_port() -> int:
    """A loopback port that is not in use, and that no outgoing connection will get by chance."""
    for port in random.SystemRandom().sample(FREE, TRIES):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class State(Enum):
    """What a connecting client finds."""

    OPEN = "open"
    REFUSING = "refusing"
    BLACKHOLE = "black hole"
    CLOSED = "closed"


class Port:
    """One listening address and its state. `make` creates the protocol of a connection."""

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
        """The IP address."""
        return str(self._address[0])

    @property
    def number(self) -> int:
        return int(self._address[1])

    async def turn(self, state: State) -> None:
        """Change to `state`."""
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
        """Let connections that were just accepted get their transports: if the server is closed before, asyncio drops
        them, open and unanswered."""
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
        # With an explicit IPPROTO_TCP, since asyncio sets TCP_NODELAY for such sockets only. Without it a client with
        # delayed ACKs would get the second event of each answer 40 ms late.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
        bound.setblocking(False)
        return bound
