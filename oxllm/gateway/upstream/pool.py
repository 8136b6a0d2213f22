"""Connections to providers: made when needed, kept while idle, lent to one call at a time.

`pooled_call` says what becomes of a call, `origin` which connections are kept, `connector` how one is made. There are
no deadlines here but the idle expiry: the caller cancels when it has waited long enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from oxllm import plan
from oxllm.core.budget.answers import HeldBudget
from oxllm.gateway.upstream.call import Call, Caller
from oxllm.gateway.upstream.connector import Connector
from oxllm.gateway.upstream.dial import Dial, dial
from oxllm.gateway.upstream.origin import Origin, OriginConnections, origin_of
from oxllm.gateway.upstream.pooled_call import PooledCall
from oxllm.gateway.upstream.resolver import Resolver
from oxllm.gateway.wheel import Wheel


class Pool:
    """All connections of one event loop to all providers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wheel: Wheel,
        resolver: Resolver,
        held: HeldBudget,
        dial: Dial = dial,
    ) -> None:
        self._loop = loop
        self._wheel = wheel
        self.held = held
        """The memory budget for held answers."""
        self._connector = Connector(loop, resolver, dial, self.held)
        self.connections = self._connector.every
        self.connecting: set[PooledCall] = set()
        self._origins: dict[Origin, OriginConnections] = {}
        self._by_name: dict[str, tuple[plan.Provider, OriginConnections]] = {}

    def __repr__(self) -> str:
        return f"<Pool {self.open} open, {self.idle} idle, {len(self.connecting)} connecting>"

    def request(self, provider: plan.Provider, caller: Caller) -> Call:
        """Send the request of `caller` to `provider`, and tell it of the response.

        No callback but `request` comes before this has returned, and no `connected` if the call is `reused`.
        """
        known = self._by_name.get(provider.name)
        connections = known[1] if known is not None and known[0] is provider else self._find(provider)
        call = PooledCall(self._connector, self.connecting, connections, caller)
        call.begin()
        return call

    @property
    def idle(self) -> int:
        """How many open connections are idle."""
        return sum(len(connections.idle) for connections in self._origins.values())

    @property
    def open(self) -> int:
        """How many connections are open, idle or lent."""
        return len(self.connections)

    def retain(self, providers: Iterable[plan.Provider]) -> None:
        """Keep only what these providers need: connections of other origins are closed now if idle, else after use."""
        kept = {origin_of(provider) for provider in providers}
        self._by_name.clear()
        self._connector.forget_certificates()
        for connections in self._origins.values():
            connections.handshakes.forget_session()
        for origin in self._origins.keys() - kept:
            connections = self._origins.pop(origin)
            connections.retired = True
            connections.clear()

    def close(self) -> None:
        """Close everything. Calls in flight are cancelled."""
        self.retain(())
        for call in tuple(self.connecting):
            call.cancel()
        for connection in tuple(self.connections):
            connection.drop()

    def _find(self, provider: plan.Provider) -> OriginConnections:
        origin = origin_of(provider)
        connections = self._origins.get(origin)
        if connections is None:
            connections = OriginConnections(origin, self._loop, self._wheel, self.connections)
            self._origins[origin] = connections
        self._by_name[provider.name] = (provider, connections)
        return connections
