"""A listening socket, served by the reactor."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Final

from oxllm.gateway.reactor.reactor import READ, Reactor
from oxllm.gateway.reactor.stream import Stream
from oxllm.gateway.reactor.watched import Watched
from oxllm.gateway.shortage import SHORTAGES
from oxllm.gateway.transport import Peer

RETRY_S = 1.0
"""Seconds without accepting after the system has run out of room for connections; as in asyncio."""

BROKEN: Final = frozenset(
    (
        errno.ECONNABORTED,
        errno.ENETDOWN,
        errno.EPROTO,
        errno.ENOPROTOOPT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETUNREACH,
        errno.EPERM,
    )
)
"""Errors that accept(2) passes on from a connection that broke before it was accepted, or that a firewall forbids."""


class Listener(Watched):
    """Accepts connections, at most `batch` a turn, so that excess ones can be closed before more are accepted."""

    __slots__ = ("_batch", "_make", "_reactor", "_sock", "_watching")

    def __init__(self, reactor: Reactor, sock: socket.socket, make: Callable[[], Peer], batch: int) -> None:
        self._reactor = reactor
        self._sock = sock
        self._make = make
        self._batch = batch
        self._watching = False
        self._watch()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening socket; none once closed."""
        return (self._sock,) if self._sock.fileno() >= 0 else ()

    def close(self) -> None:
        """Stop accepting."""
        self._unwatch()
        self._sock.close()

    def ready(self, mask: int) -> None:
        for _ in range(self._batch):
            if not self._accept():
                return

    def fail(self, error: Exception) -> None:
        """Keep listening: one connection's failure says nothing about the next."""

    def drop(self) -> None:
        self._sock.close()

    def _accept(self) -> bool:
        """Accept one connection. Returns whether there may be another."""
        try:
            sock, _ = self._sock.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno in BROKEN:
                return True
            return self._pause(error)
        sock.setblocking(False)
        try:
            stream = Stream(self._reactor, sock, self._make())
        except OSError as error:
            return self._pause(error)
        stream.begin()
        return True

    def _pause(self, error: OSError) -> bool:
        """The system has no room for a connection: leave the rest in the kernel's queue for RETRY_S. Returns False."""
        if error.errno not in SHORTAGES:
            raise error
        loop = self._reactor.loop
        assert loop is not None
        self._unwatch()
        loop.call_exception_handler({"message": "accept() is out of a system resource", "exception": error})
        loop.call_later(RETRY_S, self._go_on)
        return False

    def _go_on(self) -> None:
        try:
            self._watch()
        except OSError as error:
            self._pause(error)

    def _watch(self) -> None:
        """Register with epoll. Raises OSError if that has no room."""
        fd = self._sock.fileno()
        if fd >= 0:
            self._reactor.epoll.register(fd, READ)
            self._reactor.watched[fd] = self
            self._watching = True

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            fd = self._sock.fileno()
            self._reactor.watched.pop(fd)
            self._reactor.epoll.unregister(fd)
