"""The one place that builds a gateway: creates everything that outlives a request, and hands each part what it uses.

`process` builds one on the real loop, clock and network; tests build the same on a virtual clock and in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from random import Random

from oxllm import plan as plans
from oxllm.core.budget.answers import HeldBudget
from oxllm.core.routing.router import Router
from oxllm.gateway.client.server import Server
from oxllm.gateway.dispatch import Dispatcher
from oxllm.gateway.drain import Drain
from oxllm.gateway.life import Life
from oxllm.gateway.memory import FutureIterators
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.observe.log import Log
from oxllm.gateway.observe.vitals import Vitals
from oxllm.gateway.operator.admin import Admin
from oxllm.gateway.reload import Reloader
from oxllm.gateway.runtime import Current, Generation, Runtime
from oxllm.gateway.service import Service
from oxllm.gateway.upstream.dial import Dial, dial
from oxllm.gateway.upstream.pool import Pool
from oxllm.gateway.upstream.resolver import Resolver
from oxllm.gateway.wheel import Wheel


class Gateway:
    """One gateway. It serves every transport whose peer `server.protocol` makes."""

    __slots__ = (
        "_iterators",
        "_log",
        "_loop",
        "_rng",
        "_wall",
        "admin",
        "current",
        "drain",
        "journal",
        "life",
        "pool",
        "reloader",
        "resolver",
        "runtime",
        "server",
        "service",
        "vitals",
        "wheel",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        plan: plans.Plan,
        log: Log,
        rng: Random,
        wall: Callable[[], float],
        dialler: Dial = dial,
        connections: int | None = None,
        router: Router | None = None,
        held: HeldBudget | None = None,
    ) -> None:
        """`connections` replaces the plan's `max_connections` where the limit on open files allows fewer."""
        self._loop, self._log, self._rng, self._wall = loop, log, rng, wall
        self._iterators = FutureIterators(loop)
        self.life = Life()
        self.wheel = Wheel(loop)
        self.resolver = Resolver(loop)
        self.pool = Pool(loop, self.wheel, self.resolver, held or HeldBudget(), dialler)
        self.journal = Journal(log)
        current = self.current = Current(Generation(plan, router or Router(plan, rng)))
        runtime = self.runtime = Runtime(loop, current, self.pool, self.journal, rng, wall)
        self.vitals = Vitals(runtime, self.wheel, self.life)
        self.admin = Admin(self.vitals)
        self.service = Service(loop, current, Dispatcher(runtime), self.journal, self.admin, self.vitals.created)
        self.server = self.vitals.server = Server(
            loop,
            self.service,
            plan.server,
            self.wheel,
            runtime.bodies,
            runtime.held,
            rng,
            wall,
            self.life,
            connections,
        )
        self.drain = Drain(loop, self.life, self.server, runtime.relays, self._close_upstream, log)
        self.reloader: Reloader | None = None
        """Set by `reload_from`."""
        self._export()

    def reload_from(self, env: Mapping[str, str], adopt: Callable[[plans.Plan], None]) -> Reloader:
        """Enable reloads. `adopt` gets each new Plan, and must call our own `adopt` with it."""
        reloads = self.vitals.reloads
        reloader = Reloader(self._loop, self._log, reloads, self.life, self.running, adopt, env)
        self.reloader = self.admin.reloader = reloader
        return reloader

    def running(self) -> plans.Plan:
        """The running config."""
        return self.current.generation.plan

    def adopt(self, plan: plans.Plan, connections: int | None = None) -> None:
        """Switch to another config. Requests in flight keep the one they started with."""
        self.runtime.adopt(plan)
        self.server.limits = plan.server
        self.server.max_connections = plan.server.max_connections if connections is None else connections
        self._export()

    def load(self) -> int:
        """How many requests and connections there are now."""
        return len(self.runtime.relays) + self.server.connections + self.pool.open

    def loading(self) -> bool:
        """Whether another thread may be loading code just now."""
        return self.resolver.busy

    def compact(self) -> None:
        """Copy what is remembered, so that it does not pin the pages of a burst (see `memory.Trimmer`)."""
        self.journal.records.pack()
        self.runtime.owners.pack()
        self.server.known.clear()
        self._iterators.renew()

    def _export(self) -> None:
        """Start, move or stop the export to the collector that the config names. Telemetry is only loaded if needed."""
        endpoint, telemetry = self.running().server.otel_endpoint, self.journal.telemetry
        if telemetry is not None:
            if endpoint is None:
                telemetry.stop()
                self.journal.telemetry = None
            elif endpoint != telemetry.endpoint:
                telemetry.export_to(endpoint)
        elif endpoint is not None:
            from oxllm.gateway.observe.telemetry import Telemetry  # noqa: PLC0415

            self.journal.telemetry = Telemetry(
                endpoint, self._loop, self.pool, self.journal, self._rng, self._wall, self.vitals.created, self._router
            )

    def _close_upstream(self, done: Callable[[], None]) -> None:
        """Flush telemetry, then close the connections to providers, then call `done`."""

        def close() -> None:
            self.pool.close()
            done()

        if self.journal.telemetry is None:
            close()
        else:
            self.journal.telemetry.close(close)

    def _router(self) -> Router:
        return self.current.generation.router
