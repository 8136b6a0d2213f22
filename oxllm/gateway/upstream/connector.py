"""Makes a connection to an origin: name resolution, Happy Eyeballs over the addresses (RFC 8305), proxy, TLS.

Nothing here has a deadline: the caller cancels when it has waited long enough, and nothing half-made is left behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain, zip_longest

from oxllm.core.budget.answers import HeldBudget
from oxllm.core.reading.outcome import Failure
from oxllm.gateway.transport import Peer, Transport
from oxllm.gateway.upstream import proxy
from oxllm.gateway.upstream.connection import SLICE, UpstreamConnection
from oxllm.gateway.upstream.dial import Dial
from oxllm.gateway.upstream.failure import Broken, broken
from oxllm.gateway.upstream.origin import OriginConnections
from oxllm.gateway.upstream.proxy import Tunnel
from oxllm.gateway.upstream.resolver import Address, Resolver
from oxllm.gateway.upstream.tls import RECORD, Contexts, TlsTransport

STAGGER_S = 0.25
"""Seconds between two connection attempts (RFC 8305 section 8, Connection Attempt Delay)."""

SAYS_LITTLE = {Failure.LOCAL: 1, Failure.UNREACHABLE: 2}
"""Of several addresses' errors the most telling is reported: those not listed first, and last that of an address family
which this machine lacks."""

_Reached = tuple[Transport, UpstreamConnection]
"""A connected transport, and the connection on top of it, whose TLS or proxy handshake may still be ahead."""


class Connector:
    """Makes the connections of one event loop. `every` holds all that are open."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resolver: Resolver, dial: Dial, held: HeldBudget) -> None:
        self.loop = loop
        self._resolver = resolver
        self._dial = dial
        self._held = held
        self._contexts = Contexts()
        self._view = memoryview(bytearray(SLICE))
        self._ciphertext = memoryview(bytearray(RECORD))
        self.every: set[UpstreamConnection] = set()

    def forget_certificates(self) -> None:
        """Reread CA files when they are next needed."""
        self._contexts.clear()

    async def connect(self, connections: OriginConnections) -> UpstreamConnection:
        """A new connection, ready for a request. Raises Broken; leaves nothing behind when cancelled."""
        origin = connections.origin
        hop = origin.proxy or origin
        transport: Transport | None = None
        try:
            addresses = await self._resolver.resolve(hop.host)
            transport, connection = await self._race(connections, interleave(addresses), hop.port)
            await connection.opened()
        except BaseException as error:
            self._resolver.doubt(hop.host)
            if transport is not None:
                transport.abort()
            elif isinstance(error, OSError):
                raise _blame(broken(error), hop is not origin) from None
            raise
        connection.socket = transport.get_extra_info("socket")
        self.every.add(connection)
        return connection

    async def _race(self, connections: OriginConnections, addresses: list[Address], port: int) -> _Reached:
        """Connect to the first address that accepts, as in RFC 8305 section 5. Raises OSError."""
        if len(addresses) == 1:
            return await self._reach(connections, addresses[0], port)
        tasks: list[asyncio.Task[_Reached]] = []
        running: set[asyncio.Task[_Reached]] = set()
        errors: list[Broken] = []
        winner: asyncio.Task[_Reached] | None = None
        try:
            while addresses or running:
                if addresses:
                    tasks.append(self.loop.create_task(self._reach(connections, addresses.pop(0), port)))
                    running.add(tasks[-1])
                patience = STAGGER_S if addresses else None
                done, running = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        winner = task
                        return task.result()
                    if not isinstance(error, OSError):
                        raise error
                    errors.append(broken(error))
        finally:
            for task in tasks:
                if task is not winner:
                    task.cancel()
                    task.add_done_callback(_discard)
        raise min(errors, key=lambda error: SAYS_LITTLE.get(error.failure, 0))

    async def _reach(self, connections: OriginConnections, address: Address, port: int) -> _Reached:
        connection = UpstreamConnection(self._view, connections.closed, connections.absolute, self._held)
        return await self._dial(address, port, self._stack(connection, connections)), connection

    def _stack(self, connection: UpstreamConnection, connections: OriginConnections) -> Peer:
        """The transport's peer: `connection`, with TLS and a tunnel beneath it as needed."""
        origin = connections.origin
        if not origin.tls:
            return connection
        context = self._contexts.get(origin.ca_file)
        tls = TlsTransport(connection, context, origin.host, self._ciphertext, connections.handshakes)
        if origin.proxy is None:
            return tls
        return Tunnel(tls, proxy.connect(origin.authority, origin.proxy.authorization), self._ciphertext)


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Alternates the address families, beginning with that of the first address (RFC 8305 section 4)."""
    same = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    return [address for address in chain.from_iterable(zip_longest(same, other)) if address is not None]


def _blame(error: Broken, proxied: bool) -> Broken:
    """Blame a proxy for whatever keeps us from reaching it, but not for the TLS behind it, nor for this machine."""
    if not proxied or error.failure in {Failure.PROXY, Failure.TLS, Failure.LOCAL}:
        return error
    return Broken(Failure.PROXY, error.detail or error.failure.value)


def _discard(task: asyncio.Task[_Reached]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result()[0].abort()
