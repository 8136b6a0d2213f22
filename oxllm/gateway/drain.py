"""Graceful shutdown: take no new work, and give what is in flight a bounded time to finish.

The stages are those of `life`. At the deadline a request that is still being read, or waits for a reload, gets a 503; a
stream gets the error event and a connection that closes without the final chunk, so that nobody takes a part for the
whole.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Collection, Sequence

from oxllm.gateway import systemd
from oxllm.gateway.client.server import Server
from oxllm.gateway.life import CLOSE, DONE, END, LAME, SIGNAL, Life
from oxllm.gateway.observe.log import Log
from oxllm.gateway.reactor.sockets import Listening
from oxllm.gateway.runtime import Alarmed
from oxllm.words import count

LOOK_S = 0.05
"""Seconds between checks whether all connections have gone."""
TURNS_MAX = 64
"""Turns of the loop that may be spent on emptying the listen queue: clients that keep coming must not hold us up."""
FLUSH_S = 0.5
"""How long, after the deadline, the last error events may take to be sent."""


class Drain:
    """The shutdown of one process. `done` is set when nothing is left to do."""

    __slots__ = (
        "_close_upstream",
        "_life",
        "_log",
        "_loop",
        "_relays",
        "_reported",
        "_server",
        "_turns",
        "done",
        "listeners",
        "report",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        life: Life,
        server: Server,
        relays: Collection[Alarmed],
        close_upstream: Callable[[Callable[[], None]], None],
        log: Log,
    ) -> None:
        """`relays`: the requests in flight. `close_upstream` closes outgoing connections, then calls its argument."""
        self._loop = loop
        self._life = life
        self._server = server
        self._relays = relays
        self._close_upstream = close_upstream
        self._log = log
        self._turns = 0
        self.listeners: Sequence[Listening] = ()
        """What accepts connections."""
        self.report: Callable[[float, int], None] = lambda seconds, requests: None
        """Called with the seconds and the requests that are left, whenever the number of requests has changed."""
        self._reported = -1
        self.done: asyncio.Future[None] = loop.create_future()

    def signal(self) -> None:
        """SIGTERM or SIGINT: the first one drains, the second ends the drain at once."""
        if self._life.stopping:
            self._expire()
            return
        self._life.move(SIGNAL)
        systemd.notify("STOPPING=1")
        limits = self._server.limits
        self._log.event("drain", f"stopping, {count(len(self._relays), 'request')} under way")
        self._life.until = self._loop.time() + limits.drain_delay + limits.drain_timeout
        self._report_progress()
        self._loop.call_later(limits.drain_delay + limits.drain_timeout, self._expire)
        if limits.drain_delay:
            self._loop.call_later(limits.drain_delay, self._close)
        else:
            self._close()

    def _report_progress(self) -> None:
        left = len(self._relays)
        if left != self._reported and self._life.until is not None:
            self._reported = left
            self.report(max(0.0, self._life.until - self._loop.time()), left)

    def _close(self) -> None:
        if self._life.stage is LAME:
            self._life.move(CLOSE)  # before the queue is emptied, so that those in it get Connection: close
        # Each turn of the loop accepts some of the kernel's queue; the listeners close after the last of it.
        self._turns += 1
        again = self._turns < TURNS_MAX and self._queued()
        self._loop.call_soon(self._close if again else self._close_listeners)

    def _queued(self) -> bool:
        """Whether the kernel's queue holds connections that have not been accepted yet."""
        poll = select.poll()
        for listener in self.listeners:
            for sock in listener.sockets:
                poll.register(sock.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        self._server.drain()
        self._loop.call_later(LOOK_S, self._check)  # what was just accepted is not counted yet

    def _check(self) -> None:
        if self._life.stage is DONE:
            return
        self._report_progress()
        if self._server.connections == 0:
            self._finish()
        else:
            self._loop.call_later(LOOK_S, self._check)

    def _expire(self) -> None:
        if self._life.stage is DONE:
            return
        if self._life.stage is LAME:
            self._life.move(CLOSE)  # before anything is answered, so that it says Connection: close
        for listener in self.listeners:
            listener.close()
        if self._relays:
            self._log.event("drain", f"cutting off {count(len(self._relays), 'request')}")
        for relay in tuple(self._relays):
            relay.expire()
        self._server.expire()
        self._check()
        self._loop.call_later(FLUSH_S, self._finish)

    def _finish(self) -> None:
        if self._life.stage is DONE:
            return
        self._life.move(END)
        self._server.close_all()
        self._close_upstream(self._end)

    def _end(self) -> None:
        self._log.event("drain", "stopped")
        self.done.set_result(None)
