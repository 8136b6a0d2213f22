"""Opens sockets on whichever loop is running: ours where there is epoll, asyncio's elsewhere."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from oxllm.gateway.transport import Connecting, Done, Peer, SocketAddress

if TYPE_CHECKING:
    from oxllm.gateway.reactor.loop import Loop

CHOICES = ("reactor", "asyncio")
"""What can serve the sockets; the first is the default where it is available."""

CLIENT_VANISHED_S = 60
"""Seconds without an acknowledgement; as long as a client that does acknowledge may take nothing (`client.pace`)."""


class Listening(Protocol):
    """Accepts connections until it is closed."""

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """The listening sockets."""

    def close(self) -> None:
        """Stop accepting; accepted connections stay."""


def loop_maker(choice: str = "") -> Callable[[], asyncio.AbstractEventLoop]:
    """A maker of event loops whose sockets are served by `choice`. Raises ValueError for an unknown name."""
    if choice and choice not in CHOICES:
        raise ValueError(f"sockets are served by {' or '.join(CHOICES)}, not by {choice!r}")
    if choice == "asyncio" or not hasattr(select, "epoll"):
        return asyncio.new_event_loop
    from oxllm.gateway.reactor.loop import Loop  # noqa: PLC0415  Linux only

    return Loop


def _ours(loop: asyncio.AbstractEventLoop) -> Loop | None:
    return loop if hasattr(loop, "reactor") else None  # type: ignore[return-value]


def notice_vanished(sock: socket.socket, seconds: int) -> None:
    """Give up on a peer that has acknowledged nothing for `seconds` (tcp(7), TCP_USER_TIMEOUT): it has vanished.

    A laptop sleeps, a tunnel goes down, a balancer dies: nothing comes back, not even a reset. macOS lacks the option.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)


async def accept(sock: socket.socket, make: Callable[[], Peer], batch: int, backlog: int) -> Listening:
    """Accept TCP connections on `sock`, at most `batch` in one turn of the loop, and give each a peer."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what is accepted inherits it on Linux and macOS
    notice_vanished(sock, CLIENT_VANISHED_S)  # likewise
    loop = asyncio.get_running_loop()
    ours = _ours(loop)
    if ours is not None:
        from oxllm.gateway.reactor.listener import Listener  # noqa: PLC0415

        sock.listen(backlog)
        return Listener(ours.reactor, sock, make, batch)
    from oxllm.gateway.reactor.bridge import Bridge  # noqa: PLC0415

    server = await loop.create_server(lambda: Bridge(make()), sock=sock, backlog=batch)
    sock.listen(backlog)  # asyncio takes one number for both
    return server


def connect(sock: socket.socket, address: SocketAddress, peer: Peer, done: Done) -> Connecting:
    """Connect a non-blocking TCP socket to `address`, and put `peer` on it. Raises OSError if it cannot even begin."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop = asyncio.get_running_loop()
    ours = _ours(loop)
    if ours is not None:
        from oxllm.gateway.reactor.connect import Connect  # noqa: PLC0415

        return Connect(ours.reactor, sock, address, peer, done)
    from oxllm.gateway.reactor.bridge import connecting  # noqa: PLC0415

    return connecting(loop, sock, address, peer, done)
