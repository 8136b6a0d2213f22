"""The simulator on real sockets: each provider on its own port, scenes by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.provider.upstream import REAL
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve.connection import ProviderProtocol
from oxllm.sim.serve.engine import Provider, providers
from oxllm.sim.serve.player import Gates
from oxllm.sim.serve.ports import Port, State
from oxllm.sim.serve.tls import Authority
from oxllm.sim.serve.wheel import Wheel
from oxllm.words import bracketed, reached_at

NOWHERE = "provider.invalid"
"""Host name of a provider that the `dns` fault strikes (RFC 6761 section 6.4)."""
if TYPE_CHECKING:
    import httpx

Control = Callable[["Live"], Callable[[], asyncio.Protocol]]


class Live:
    """A running scenario. Must be created inside its loop; `await start()` binds and opens the ports."""

    def __init__(
        self,
        scenario: Scenario,
        host: str = "127.0.0.1",
        ports: Mapping[str, int] | None = None,
        authority: Authority | None = None,
        control: Control | None = None,
        before: str | None = None,
    ) -> None:
        """`before`: the base URL of a real provider, whose answers the scenario's only provider passes on."""
        self.scenario = scenario
        self.host = host
        self.authority = authority
        self.gates = Gates()
        self.ports: dict[str, Port] = {}
        self._loop = asyncio.get_running_loop()
        self._clock = Wheel(self._loop)
        self._client: httpx.AsyncClient | None = None
        self.providers = providers(scenario, self._loop.time(), time.time()) if before is None else self._real(before)
        self._wanted = ports or {}
        self._control = control(self) if control is not None else None
        self._connections: set[asyncio.BaseTransport] = set()
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._changed = {name: asyncio.Event() for name in self.providers}

    async def start(self) -> None:
        """Bind all ports and begin; the scenes count from here. Raises OSError."""
        for name, provider in self.providers.items():
            self.ports[name] = self._port(name, provider)
        for name, provider in self.providers.items():
            provider.start = self._loop.time()
            await self._follow(name)
            self._watchers[name] = asyncio.create_task(self._watch(name))

    async def leave(self) -> None:
        """Accept no more connections. Open ones continue."""
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        for port in self.ports.values():
            await port.turn(State.CLOSED)

    @property
    def under_way(self) -> int:
        """Number of answers that have not ended; those that hang never do."""
        ledgers = (provider.ledger for provider in self.providers.values())
        return sum(record.end is None for ledger in ledgers for record in ledger.records)

    async def stop(self) -> None:
        """Close every port and connection."""
        await self.leave()
        for transport in list(self._connections):
            transport.close()
        if self.authority is not None:
            self.authority.close()
        if self._client is not None:
            await self._client.aclose()

    @property
    def address(self) -> str:
        """The IP address it listens on."""
        return next(iter(self.ports.values())).address

    def url(self, name: str) -> str:
        """Base URL of a provider, with `/v1`; on loopback if it listens on all addresses."""
        if any(scene.nameless and name in scene.on for scene in self.scenario.scenes):
            return f"http{'s' if self.authority else ''}://{NOWHERE}:{self.ports[name].number}/v1"
        host = bracketed(reached_at(self.host))
        return f"http{'s' if self.authority else ''}://{host}:{self.ports[name].number}/v1"

    async def changed(self, name: str) -> None:
        """Update the port of a provider that was patched."""
        await self._follow(name)
        self._changed[name].set()

    @property
    def now(self) -> float:
        return self._loop.time()

    def _real(self, url: str) -> dict[str, Provider]:
        """The provider in front of a real one, whose answers have no timeout."""
        import httpx

        from oxllm.sim.serve.before import Before

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=30.0), limits=limits)
        return {REAL: Before(self.scenario, self._loop.time(), url, self._client, time.time())}

    def _port(self, name: str, provider: Provider) -> Port:
        def protocol() -> asyncio.Protocol:
            return ProviderProtocol(provider, self._clock, self.gates, self._control, self._connections)

        def handshake() -> Fault | None:
            return provider.handshake(self._loop.time())

        context = self.authority.context(handshake) if self.authority is not None else None
        return Port(self.host, self._wanted.get(name, 0), protocol, context)

    async def _follow(self, name: str) -> float:
        """Put the port into the state that the scenes want; returns when that may next change."""
        provider, now = self.providers[name], self._loop.time()
        fault = provider.listener(now)
        edge = provider.next_change(now)
        states = {"refuse": State.REFUSING, "blackhole": State.BLACKHOLE}
        await self.ports[name].turn(states[fault.kind] if fault is not None else State.OPEN)
        return edge

    async def _watch(self, name: str) -> None:
        """Follow the scenes of one provider from edge to edge."""
        changed = self._changed[name]
        while True:
            edge = await self._follow(name)
            changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if edge == FOREVER else edge):
                    await changed.wait()
