"""Notices that a client has gone while its socket is not read.

Without reading one sees no end of file, and unread bytes may come before it. Linux tells all the same: EPOLLRDHUP is
the peer's FIN, and together with EPOLLERR its RST, however much is unread (epoll_ctl(2)). An epoll can itself be polled
like a socket, so the event loop has one more to watch, and only while some client is watched. On other systems such a
client is noticed when its socket is read again.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable


class Hangups:
    """The sockets of one event loop that are watched."""

    __slots__ = ("_epoll", "_gone", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll: select.epoll | None = None
        self._gone: dict[int, Callable[[], None]] = {}

    def __len__(self) -> int:
        """How many sockets are watched."""
        return len(self._gone)

    def watch(self, fd: int, gone: Callable[[], None]) -> None:
        """Call `gone` once if the peer of `fd` hangs up before `forget`."""
        if not hasattr(select, "epoll"):
            return
        with contextlib.suppress(OSError):  # out of file descriptors: then it is noticed later
            if self._epoll is None:
                self._epoll = select.epoll()
                self._loop.add_reader(self._epoll.fileno(), self._look)
            self._epoll.register(fd, select.EPOLLRDHUP)
            self._gone[fd] = gone

    def forget(self, fd: int) -> None:
        """Stop watching `fd`. Must be called before it is closed."""
        epoll = self._epoll
        if epoll is not None and self._gone.pop(fd, None) is not None:
            epoll.unregister(fd)
            if not self._gone:
                self._loop.remove_reader(epoll.fileno())
                epoll.close()
                self._epoll = None

    def _look(self) -> None:
        if self._epoll is not None:
            for fd, _ in self._epoll.poll(0):
                gone = self._gone.get(fd)
                if gone is not None:
                    self.forget(fd)
                    gone()
