"""One origin: what two requests must agree in to go over the same connection, and its connections that are idle."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from oxllm import plan
from oxllm.gateway.clock import clock_of
from oxllm.gateway.upstream import proxy
from oxllm.gateway.upstream.connection import UpstreamConnection
from oxllm.gateway.upstream.tls import HandshakeQueue
from oxllm.gateway.wheel import Wheel

IDLE_S: Final = 30.0
"""Seconds. Below the 60 s after which common load balancers close, so that it is mostly us who do, and half
of the 60 s in which the memory of a burst is to be given back."""

IDLE_MAX: Final = 512
"""Idle connections of one origin. When a crowd of clients is answered at once all of theirs are, for a moment: whatever
is closed then has to be made anew for their next requests. One takes 1 KB."""

TLS_IDLE_MAX: Final = 64
"""The same over TLS, where one takes 25 KB; nginx's documentation suggests 16-32 a worker."""

DISTRUST_S: Final = 60.0
"""Seconds for which an origin that has sent bytes unasked gets each request on a new connection: such bytes, if they
came a moment later, would be taken for the answer to the next request, which may be another client's."""


class Origin(NamedTuple):
    """What two requests must agree in to go over the same connection."""

    host: str
    port: int
    tls: bool
    proxy: plan.Proxy | None
    ca_file: str | None

    @property
    def authority(self) -> str:
        """Host and port, as CONNECT and absolute-form want it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def origin_of(provider: plan.Provider) -> Origin:
    """Where the provider's requests go, and how."""
    return Origin(provider.host, provider.port, provider.tls, provider.proxy, provider.ca_file)


class OriginConnections:
    """The connections of one origin. Of several idle ones the youngest is used, so that the others can expire."""

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
        """`every`: all connections that are open, of all origins."""
        self.clock = clock_of(loop)
        self.closed = self._closed
        """Called of each connection that is closed, by whomever. Bound once: all of them hold it."""
        self._timer = wheel.timer(self._expire)
        self._all = every
        self._idle_max = TLS_IDLE_MAX if origin.tls else IDLE_MAX
        self.origin = origin
        self.absolute = origin.proxy is not None and not origin.tls
        """Whether requests go to a proxy in plain HTTP."""
        self.handshakes = HandshakeQueue(loop)
        """Of its TLS connections that are being made."""
        self.idle: list[UpstreamConnection] = []
        """Oldest first."""
        self.retired = False
        """Whether the config no longer names it: nothing is put back."""
        self.trusted_from = 0.0
        """Loop time before which nothing is put back either."""

    def __repr__(self) -> str:
        retired = " retired" if self.retired else ""
        return f"<OriginConnections {self.origin.authority} {len(self.idle)} idle{retired}>"

    def rewrite(self, head: bytes) -> bytes:
        """The request head as the proxy wants it."""
        assert self.origin.proxy is not None
        return proxy.absolute(head, self.origin.authority, self.origin.proxy.authorization)

    def borrow(self) -> UpstreamConnection | None:
        """The youngest idle connection that is still open, and has been silent."""
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                if connection.quiet:
                    return connection
                connection.close()
        return None

    def put_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose response is whole."""
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
        """Close what is idle."""
        self._timer.clear()
        for connection in tuple(self.idle):
            connection.close()

    def _expire(self) -> None:
        due = self.clock() - IDLE_S
        while self.idle and self.idle[0].idle_since <= due:
            self.idle[0].close()
        if self.idle:
            self._timer.set(self.idle[0].idle_since + IDLE_S)
