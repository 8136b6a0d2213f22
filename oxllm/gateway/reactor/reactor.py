"""Serves sockets straight from epoll: no handle, no ready queue, no context between a read and its connection.

A turn is one batch of events, then its end:

    1. what is ready is read (or accepted, or written on), each socket once
    2. what was written meanwhile is sent: one `send` a connection, all in a row, so that a peer that the first of
       them wakes is still awake at the last
    3. connections that were closed meanwhile are told so, and their sockets closed; that may write and close more,
       so again from 2 until there is nothing left

Sockets are closed in step 3 alone: no number is used again while a batch that knew the old one is under way.
"""

from __future__ import annotations

import asyncio
import select
import time
from math import inf
from typing import Final

from oxllm.gateway.reactor.watched import Watched

NOW: Final = time.monotonic

READ: Final = 0x001  # EPOLLIN; numbers here, since select has them on Linux alone
WRITE: Final = 0x004  # EPOLLOUT
HANGUP: Final = 0x018  # EPOLLERR and EPOLLHUP, which come unasked
READABLE: Final = READ | HANGUP
WRITABLE: Final = WRITE | HANGUP

EVENTS_MAX: Final = 80
"""Events taken in one turn. Each may bring a write that waits for the end of the turn: at 60 µs each, 5 ms. Room for so
many, 12 bytes each, is asked of malloc each time: up to 1 KB glibc has some at hand, for more it searches its heap."""


class Reactor:
    """All sockets of one event loop that asyncio does not serve."""

    __slots__ = ("_asyncio_fd", "ended", "epoll", "interrupted", "loop", "watched", "writers")

    def __init__(self, asyncio_fd: int) -> None:
        """`asyncio_fd`: the file number of asyncio's own epoll, which is waited for like a socket."""
        self.epoll = select.epoll()
        self.epoll.register(asyncio_fd, READ)
        self.loop: asyncio.AbstractEventLoop | None = None
        """Whose exception handler hears of faults in callbacks."""
        self.watched: dict[int, Watched] = {}
        """By file number."""
        self.writers: list[Watched] = []
        """Those that have gathered something to send."""
        self.ended: list[Watched] = []
        """Closed, but the peers have not heard."""
        self.interrupted = False
        """asyncio has been given something to do while we serve."""
        self._asyncio_fd = asyncio_fd

    def serve(self, timeout: float | None) -> bool:
        """Serve until asyncio has something to do, or `timeout` seconds have gone. Whether its epoll is ready."""
        until = inf if timeout is None else NOW() + timeout
        self.interrupted = False
        self._end_turn()  # of what timers and tasks have written and closed
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
        """One turn. Whether asyncio's epoll is ready."""
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
            for one in self.writers:  # those that it makes write come behind it
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
        """A callback of `one` has failed: that is a bug, which ends this one and no other."""
        self._report(error)
        one.fail(error)

    def _report(self, error: Exception) -> None:
        assert self.loop is not None
        self.loop.call_exception_handler({"message": "a connection's callback failed", "exception": error})

    def close(self) -> None:
        """Close all sockets; nobody is told, as the loop has ended."""
        for one in (*self.watched.values(), *self.ended):
            one.drop()
        self.watched.clear()
        self.writers.clear()
        self.ended.clear()
        self.epoll.close()
