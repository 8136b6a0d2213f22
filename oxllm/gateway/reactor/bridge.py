"""The reactor's interface on top of asyncio's own transports: for systems other than Linux, and to compare the two."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from typing import Any, cast

from oxllm.gateway.reactor.stream import NOBODY
from oxllm.gateway.transport import Done, Peer, SocketAddress, Transport


def connecting(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, address: SocketAddress, peer: Peer, done: Done
) -> Awaited:
    """Connects `sock`, and puts `peer` on it. If that fails or is given up, the socket is closed."""
    making = Awaited(loop, _connected(loop, sock, address, peer), done)
    making.task.add_done_callback(lambda task: sock.close() if task.cancelled() or task.exception() else None)
    return making


async def _connected(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, address: SocketAddress, peer: Peer
) -> Transport:
    await loop.sock_connect(sock, address)
    _, bridge = await loop.create_connection(lambda: Bridge(peer), sock=sock)
    return bridge


class Awaited:
    """A `Connecting` whose connection is made by a coroutine."""

    def __init__(self, loop: asyncio.AbstractEventLoop, making: Coroutine[Any, Any, Transport], done: Done) -> None:
        self._done: Done | None = done
        self.task = loop.create_task(making)
        self.task.add_done_callback(self._ended)

    def cancel(self) -> None:
        """Give up."""
        self._done = None
        self.task.cancel()

    def _ended(self, task: asyncio.Task[Transport]) -> None:
        if task.cancelled():
            return
        error, done = task.exception(), self._done
        if done is None:
            if error is None:  # it was too late to give up
                task.result().abort()
        elif error is None:
            done(task.result())
        elif isinstance(error, Exception):
            done(error)


class Bridge(asyncio.BufferedProtocol):
    """A protocol to asyncio's transport, a transport to the peer."""

    __slots__ = ("_lower", "_peer")

    _lower: asyncio.Transport

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lower = cast(asyncio.Transport, transport)
        self._peer.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        peer, self._peer = self._peer, NOBODY  # it refers to us: breaking the cycle frees everything at once
        peer.connection_lost(exc)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._peer.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        self._peer.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        return self._peer.eof_received()

    def pause_writing(self) -> None:
        self._peer.pause_writing()

    def resume_writing(self) -> None:
        self._peer.resume_writing()

    # The peer's side

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._peer is NOBODY:
            return  # asyncio fails here if the connection was lost while it was closing
        lower = self._lower
        before = lower.get_write_buffer_size()
        lower.write(data)
        if not before and lower.get_write_buffer_size():
            self._peer.unsent()

    def pause_reading(self) -> None:
        self._lower.pause_reading()

    def resume_reading(self) -> None:
        self._lower.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._lower.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._lower.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._lower.get_extra_info(name, default)

    def set_protocol(self, protocol: Peer) -> None:
        self._peer = protocol

    def is_closing(self) -> bool:
        return self._lower.is_closing()

    def write_eof(self) -> None:
        self._lower.write_eof()

    def close(self) -> None:
        self._lower.close()

    def abort(self) -> None:
        if self._peer is not NOBODY:  # as in `write`
            self._lower.abort()

    def read_last(self, peer: Peer) -> None:
        try:  # of its socket, asyncio exposes only the file number
            count = os.readv(self._lower.get_extra_info("socket").fileno(), [peer.get_buffer(-1)])
        except OSError:
            return
        if count:
            peer.buffer_updated(count)
