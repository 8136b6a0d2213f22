"""Notices that a client has gone while its socket is not read.

Who does not read sees no end of file, and bytes may stand before it in the socket. Linux says it all the same:
EPOLLRDHUP is the peer's FIN, and with EPOLLERR its RST, however much has not been read (epoll_ctl(2)). An epoll can be
waited for like a socket, so the event loop only has one more to look at, and only while somebody is watched.
Elsewhere such a client is noticed when it is read again.
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
        """How many are watched."""
        return len(self._gone)

    def watch(self, fd: int, gone: Callable[[], None]) -> None:
        """Call `gone` once if the peer of `fd` hangs up before `forget`."""
        if not hasattr(select, "epoll"):
            return
        with contextlib.suppress(OSError):  # no file is left: then it is noticed later
            if self._epoll is None:
                self._epoll = select.epoll()
                self._loop.add_reader(self._epoll.fileno(), self._look)
            self._epoll.register(fd, select.EPOLLRDHUP)
            self._gone[fd] = gone

    def forget(self, fd: int) -> None:
        """Watch `fd` no more. To be called before it is closed."""
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
