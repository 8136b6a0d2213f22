"""An event loop run by hand, with connections whose other end is a plain socket: the same events each time.

On the loopback interface, whatever one end sends has arrived when `send` returns, so nothing needs a wait.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oxllm.gateway.reactor.sockets import connect, loop_maker
from oxllm.gateway.transport import Peer, Transport

BUFFER = 64 * 1024
"""Buffer size of each socket: a few hundred kilobytes never fit, a few hundred bytes always do."""
RESET = struct.pack("ii", 1, 0)
TURNS = 6


class Told(Peer):
    """A peer that records its events. Subclasses answer."""

    def __init__(self) -> None:
        self.transport: Transport
        self.view = memoryview(bytearray(8192))
        self.told: list[str] = []
        """The events, without the reads."""
        self.data = b""

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self.told.append("made")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(f"lost: {type(exc).__name__}")

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.view

    def buffer_updated(self, nbytes: int) -> None:
        self.data += bytes(self.view[:nbytes])

    def eof_received(self) -> bool | None:
        self.told.append("eof")
        return None

    def unsent(self) -> None:
        pass

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")


@contextmanager
def turning(choice: str = "") -> Iterator[asyncio.AbstractEventLoop]:
    """A loop; at the end it is closed, with all that `joined` made. Errors that it reports fail the test, unless
    taken out of `loop.complaints`."""
    loop = loop_maker(choice)()
    complaints: list[dict[str, Any]] = []
    joints: list[tuple[Peer, socket.socket]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    loop.complaints, loop.joints = complaints, joints  # type: ignore[attr-defined]
    try:
        yield loop
    finally:
        for peer, far in joints:
            far.close()
            if hasattr(peer, "transport") and not loop.is_closed():
                peer.transport.abort()
        if not loop.is_closed():
            turn(loop)
            loop.close()
    assert not complaints


class _Full:
    """An epoll that keeps watching what it has, and accepts nothing more."""

    def __init__(self, real: select.epoll) -> None:
        self._real = real

    def register(self, fd: int, mask: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@contextmanager
def no_room_in_epoll(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """As if this user already watched as many sockets as allowed (epoll(7), max_user_watches)."""
    reactor = loop.reactor  # type: ignore[attr-defined]
    real, reactor.epoll = reactor.epoll, _Full(reactor.epoll)
    try:
        yield
    finally:
        reactor.epoll = real


def turn(loop: asyncio.AbstractEventLoop, times: int = TURNS) -> None:
    """Let it go round `times` times, without waiting for anything."""
    for _ in range(times):
        loop.call_soon(loop.stop)
        loop.run_forever()


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection over loopback, non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.socket()
        near.connect(server.getsockname())
        return _end(near), _end(server.accept()[0])


def joined(loop: asyncio.AbstractEventLoop, peer: Peer) -> socket.socket:
    """Puts `peer` on one end of a connection over loopback, and returns the other. `turning` closes both."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = _end(socket.socket())
        loop.run_until_complete(_connected(near, server.getsockname(), peer))
        far = _end(server.accept()[0])
    loop.joints.append((peer, far))  # type: ignore[attr-defined]
    return far


async def _connected(sock: socket.socket, address: tuple[str, int], peer: Peer) -> None:
    over: asyncio.Future[Transport | Exception] = asyncio.get_running_loop().create_future()
    connect(sock, address, peer, over.set_result)
    assert not isinstance(await over, Exception)


def _end(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def take(sock: socket.socket, most: int = 1 << 30) -> tuple[bytes, str]:
    """What has come, and what comes after it: nothing yet (""), the "end", or an error, by its name."""
    data = bytearray()
    while len(data) < most:
        try:
            piece = sock.recv(min(most - len(data), 1 << 20))
        except BlockingIOError:
            break
        except OSError as error:
            return bytes(data), type(error).__name__
        if not piece:
            return bytes(data), "end"
        data += piece
    return bytes(data), ""


def reset(sock: socket.socket) -> None:
    """Close with an RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.close()
