"""What all connections of a loop are made with: names, sockets, certificates, buffers. `opening` makes one."""

from __future__ import annotations

import asyncio

from oxllm.core.budget.answers import HeldBudget
from oxllm.gateway.transport import Connecting, Done, Peer
from oxllm.gateway.upstream import proxy
from oxllm.gateway.upstream.connection import SLICE, UpstreamConnection
from oxllm.gateway.upstream.dial import Dial
from oxllm.gateway.upstream.origin import OriginConnections
from oxllm.gateway.upstream.proxy import Tunnel
from oxllm.gateway.upstream.resolver import Address, Resolver
from oxllm.gateway.upstream.tls import RECORD, Contexts, TlsTransport


class Connector:
    """The means of one event loop. `every` holds all connections that are open."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resolver: Resolver, dial: Dial, held: HeldBudget) -> None:
        self.loop = loop
        self.resolver = resolver
        self._dial = dial
        self._held = held
        self._contexts = Contexts()
        self._view = memoryview(bytearray(SLICE))
        self._ciphertext = memoryview(bytearray(RECORD))
        self.every: set[UpstreamConnection] = set()

    def forget_certificates(self) -> None:
        """Reread CA files when they are next needed."""
        self._contexts.clear()

    def connection(self, connections: OriginConnections) -> UpstreamConnection:
        """One that is not connected yet."""
        return UpstreamConnection(self._view, self._held, connections.closed, connections.absolute)

    def dial(
        self, connection: UpstreamConnection, connections: OriginConnections, address: Address, port: int, done: Done
    ) -> Connecting:
        """Connect it to `address`, with TLS and a tunnel beneath it as needed. Raises OSError."""
        return self._dial(address, port, self._stack(connection, connections), done)

    def _stack(self, connection: UpstreamConnection, connections: OriginConnections) -> Peer:
        """The transport's peer."""
        origin = connections.origin
        if not origin.tls:
            return connection
        context = self._contexts.get(origin.ca_file)
        tls = TlsTransport(connection, context, origin.host, self._ciphertext, connections.handshakes)
        if origin.proxy is None:
            return tls
        return Tunnel(tls, proxy.connect(origin.authority, origin.proxy.authorization), self._ciphertext)
