"""One origin: what two requests must have in common to share a connection, and its idle connections."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from oxllm import plan
from oxllm.gateway.clock import clock_of
from oxllm.gateway.upstream import proxy
from oxllm.gateway.upstream.connection import UpstreamConnection
from oxllm.gateway.upstream.handshakes import HandshakeQueue
from oxllm.gateway.wheel import Wheel
from oxllm.words import bracketed

IDLE_S: Final = 30.0
"""Seconds that an idle connection is kept. Below the 60 s of common load balancers, so that it is mostly us who close,
and half of the 60 s within which the memory of a burst is to be given back."""

IDLE_MAX: Final = 512
"""Idle connections per origin. When a crowd of clients is answered at once, all their connections are briefly idle, and
any that are closed then must be made again for the next requests. One takes 1 KB."""

TLS_IDLE_MAX: Final = 64
"""The same over TLS, where one takes 25 KB; nginx's documentation suggests 16-32 per worker."""

DISTRUST_S: Final = 60.0
"""Seconds for which an origin that has sent unsolicited bytes gets a new connection for each request: had such bytes
come a moment later, they would have passed for the response to the next request, which may be another client's."""


class Origin(NamedTuple):
    """What two requests must have in common to share a connection."""

    host: str
    port: int
    tls: bool
    proxy: plan.Proxy | None
    ca_file: str | None

    @property
    def authority(self) -> str:
        """Host and port, as CONNECT and absolute-form need them."""
        return f"{bracketed(self.host)}:{self.port}"


def origin_of(provider: plan.Provider) -> Origin:
    """The origin that the provider's requests go to."""
    return Origin(provider.host, provider.port, provider.tls, provider.proxy, provider.ca_file)


class OriginConnections:
    """The connections of one origin. The most recently used idle one is lent first, so that the others can expire."""

    __slots__ = (
        "_all",
        "_idle_max",
        "_timer",
        "absolute",
        "clock",
        "closed",
        "handshakes",
        "idle",
        "origin",
        "retired",
        "trusted_from",
    )

    def __init__(
        self, origin: Origin, loop: asyncio.AbstractEventLoop, wheel: Wheel, every: set[UpstreamConnection]
    ) -> None:
        """`every`: all open connections, of all origins."""
        self.clock = clock_of(loop)
        self.closed = self._closed
        """Called with each connection that has closed, whoever closed it. Bound once, since all of them hold it."""
        self._timer = wheel.timer(self._expire)
        self._all = every
        self._idle_max = TLS_IDLE_MAX if origin.tls else IDLE_MAX
        self.origin = origin
        self.absolute = origin.proxy is not None and not origin.tls
        """Whether requests go to a proxy in plain HTTP."""
        self.handshakes = HandshakeQueue(loop)
        """The queue of its TLS handshakes."""
        self.idle: list[UpstreamConnection] = []
        """Oldest first."""
        self.retired = False
        """The config no longer names it: no connection is kept after use."""
        self.trusted_from = 0.0
        """Loop time until which no connection is kept after use (see DISTRUST_S)."""

    def __repr__(self) -> str:
        retired = " retired" if self.retired else ""
        return f"<OriginConnections {self.origin.authority} {len(self.idle)} idle{retired}>"

    def rewrite(self, head: bytes) -> bytes:
        """The request head in the form that the proxy needs."""
        assert self.origin.proxy is not None
        return proxy.absolute(head, self.origin.authority, self.origin.proxy.authorization)

    def borrow(self) -> UpstreamConnection | None:
        """The most recently used idle connection that is still open and has stayed quiet."""
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                if connection.quiet:
                    return connection
                connection.close()
        return None

    def put_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection as idle, its response being complete, or close it."""
        now = self.clock()
        if self.retired or now < self.trusted_from:
            connection.close()
            return
        if len(self.idle) == self._idle_max:
            self.idle[0].close()
        connection.idle_since = now
        self.idle.append(connection)
        if len(self.idle) == 1:
            self._timer.set(now + IDLE_S)

    def _closed(self, connection: UpstreamConnection) -> None:
        self._all.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
            if not self.idle:
                self._timer.clear()
        if connection.spoke_unasked:
            self.trusted_from = self.clock() + DISTRUST_S
            self.clear()

    def clear(self) -> None:
        """Close the idle connections."""
        self._timer.clear()
        for connection in tuple(self.idle):
            connection.close()

    def _expire(self) -> None:
        due = self.clock() - IDLE_S
        while self.idle and self.idle[0].idle_since <= due:
            self.idle[0].close()
        if self.idle:
            self._timer.set(self.idle[0].idle_since + IDLE_S)
