"""A socket that is connecting, served by the reactor: without a task, whose frames take 5 KB."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

from oxllm.gateway.reactor.reactor import WRITE, Reactor
from oxllm.gateway.reactor.stream import Stream
from oxllm.gateway.reactor.watched import Watched
from oxllm.gateway.transport import Done, Peer, SocketAddress

UNDER_WAY: Final = (BlockingIOError, InterruptedError)
"""What connect(2) raises on a non-blocking socket whose connection is being made."""


class Connect(Watched):
    """Becomes a `Stream`, or an error."""

    __slots__ = ("_done", "_peer", "_reactor", "_sock")

    def __init__(
        self,
        reactor: Reactor,
        sock: socket.socket,
        address: SocketAddress,
        peer: Peer,
        done: Done,
    ) -> None:
        """Raises OSError if it cannot even begin; the socket is then still the caller's."""
        self._reactor = reactor
        self._sock = sock
        self._peer = peer
        self._done: Done | None = done
        """To be called once; None when it has been, or will not be."""
        with contextlib.suppress(*UNDER_WAY):
            sock.connect(address)
        reactor.epoll.register(sock.fileno(), WRITE)
        reactor.watched[sock.fileno()] = self

    def cancel(self) -> None:
        """Give up, and close the socket. No effect once it is connected."""
        if self._done is not None:
            self._done = None
            self._leave()
            self._reactor.ended.append(self)

    def ready(self, mask: int) -> None:
        done = self._done
        assert done is not None
        self._done = None
        self._leave()
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._reactor.ended.append(self)
            done(OSError(error, os.strerror(error)))
            return
        try:
            stream = Stream(self._reactor, self._sock, self._peer)
        except OSError as no_room:
            done(no_room)
            return
        stream.begin()
        done(stream)

    def close_socket(self) -> None:
        self._sock.close()

    def fail(self, error: Exception) -> None:
        """Nothing left to do: what has failed is `done`."""

    def drop(self) -> None:
        self._sock.close()

    def _leave(self) -> None:
        fd = self._sock.fileno()
        self._reactor.watched.pop(fd)
        self._reactor.epoll.unregister(fd)
