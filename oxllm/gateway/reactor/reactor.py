"""Serves sockets straight from epoll: no handle, no ready queue, no context between a read and its connection.

A turn is one batch of events, then its end:

    1. each ready socket is read from, accepted on or written to, once
    2. what was written meanwhile is sent: one `send` per connection, all in a row, so that a peer that the first of
       them wakes is still awake at the last
    3. the peers of connections that were closed meanwhile are told, and the sockets closed; that may cause more writes
       and closes, so repeat from 2 until nothing is left

Sockets are closed only in step 3: no file number is reused while a batch of events that knew the old one is handled.
"""

from __future__ import annotations

import asyncio
import select
import time
from math import inf
from typing import Final

from oxllm.gateway.reactor.watched import Watched

NOW: Final = time.monotonic

READ: Final = 0x001  # EPOLLIN; as numbers, since `select` has the names only on Linux
WRITE: Final = 0x004  # EPOLLOUT
HANGUP: Final = 0x018  # EPOLLERR and EPOLLHUP, which are always reported
READABLE: Final = READ | HANGUP
WRITABLE: Final = WRITE | HANGUP

EVENTS_MAX: Final = 80
"""Events handled in one turn. Each may cause a write that waits for the end of the turn: at 60 µs each, 5 ms. Their
array, 12 bytes each, is allocated every time: glibc keeps blocks of up to 1 KB at hand, for more it searches its heap.
"""


class Reactor:
    """Serves all sockets of one event loop that asyncio does not serve itself."""

    __slots__ = ("_asyncio_fd", "ended", "epoll", "interrupted", "loop", "watched", "writers")

    def __init__(self, asyncio_fd: int) -> None:
        """`asyncio_fd`: the file number of asyncio's own epoll, which is polled like a socket."""
        self.epoll = select.epoll()
        self.epoll.register(asyncio_fd, READ)
        self.loop: asyncio.AbstractEventLoop | None = None
        """The loop whose exception handler is told of errors in callbacks."""
        self.watched: dict[int, Watched] = {}
        """By file number."""
        self.writers: list[Watched] = []
        """Streams with queued writes, to be flushed at the end of the turn."""
        self.ended: list[Watched] = []
        """Streams that have ended, but whose peers have not been told yet."""
        self.interrupted = False
        """asyncio has been given something to do in the meantime."""
        self._asyncio_fd = asyncio_fd

    def serve(self, timeout: float | None) -> bool:
        """Serve until asyncio has something to do or `timeout` s have passed. Returns whether its epoll is ready."""
        until = inf if timeout is None else NOW() + timeout
        self.interrupted = False
        self._end_turn()  # for what timers and tasks have written and closed
        wait = timeout
        while True:
            if self.interrupted:
                wait = 0.0
            asyncio_ready = self._serve(self.epoll.poll(wait, EVENTS_MAX))
            if asyncio_ready or self.interrupted:
                return asyncio_ready
            if wait is not None:
                wait = until - NOW()
                if wait <= 0.0:
                    return False

    def _serve(self, events: list[tuple[int, int]]) -> bool:
        """One turn. Returns whether asyncio's epoll is ready."""
        asyncio_ready = False
        watched = self.watched
        for fd, mask in events:
            one = watched.get(fd)
            if one is not None:
                try:
                    one.ready(mask)
                except Exception as error:  # noqa: BLE001  whatever it is, the others must go on
                    self.fail(one, error)
            elif fd == self._asyncio_fd:
                asyncio_ready = True
        if self.writers or self.ended:
            self._end_turn()
        return asyncio_ready

    def _end_turn(self) -> None:
        while self.writers or self.ended:
            for one in self.writers:  # grows while flushing makes others write
                try:
                    one.flush()
                except Exception as error:  # noqa: BLE001
                    self.fail(one, error)
            self.writers.clear()
            if not self.ended:
                return
            ended, self.ended = self.ended, []
            for one in ended:
                try:
                    one.close_socket()
                except Exception as error:  # noqa: BLE001
                    self._report(error)

    def fail(self, one: Watched, error: Exception) -> None:
        """A callback of `one` has failed. That is a bug; it ends this socket and no other."""
        self._report(error)
        one.fail(error)

    def _report(self, error: Exception) -> None:
        assert self.loop is not None
        self.loop.call_exception_handler({"message": "a connection's callback failed", "exception": error})

    def close(self) -> None:
        """Close all sockets. No peer is told, since the loop has ended."""
        for one in (*self.watched.values(), *self.ended):
            one.drop()
        self.watched.clear()
        self.writers.clear()
        self.ended.clear()
        self.epoll.close()
