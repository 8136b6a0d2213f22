"""What one gateway process holds, and what one config's life adds to it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from math import inf
from typing import TYPE_CHECKING

from oxllm import plan as plans
from oxllm.core import headers
from oxllm.core.budget import BodyBudget, RetryBudget
from oxllm.core.exchange import Facts
from oxllm.core.protocols.registry import EndpointTable
from oxllm.core.routing import Router
from oxllm.gateway.observe.log import Log
from oxllm.gateway.observe.records import Record, Records
from oxllm.gateway.upstream.pool import Pool
from oxllm.gateway.wheel import Wheel

if TYPE_CHECKING:
    from oxllm.gateway.client.server import Server
    from oxllm.gateway.observe.telemetry import Telemetry
    from oxllm.gateway.relay import Relay

SWEEP_S = 0.1
"""Seconds between two looks at the clocks of all requests under way."""
FUTURE_ITERATORS = 255


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's clock without the Python around it, if it is the usual one (a test's loop has its own)."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time


class Generation:
    """One config's run: requests keep the generation that they started with until they end."""

    __slots__ = ("_heads", "endpoints", "plan", "retry_budget", "router")

    def __init__(self, plan: plans.Plan, router: Router) -> None:
        self.plan = plan
        self.router = router
        self.retry_budget = RetryBudget(plan.retry.budget)
        self.endpoints = EndpointTable({name for provider in plan.providers for name in provider.protocols})
        self._heads: dict[tuple[str, str, bool], bytes] = {}

    def upstream_head(self, provider: plans.Provider, facts: Facts) -> bytes:
        """The request head for `provider`, made once for each kind of request."""
        key = (provider.name, facts.endpoint.path, facts.asked.stream)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = headers.upstream_head(
                provider, facts.protocol, facts.endpoint, facts.asked.stream
            )
        return head


class Runtime:
    """Everything that outlives a request: loop, timers, connections, budgets, the current generation."""

    __slots__ = (
        "_iterators",
        "addresses",
        "bodies",
        "created",
        "generation",
        "held",
        "log",
        "loop",
        "next_sweep",
        "now",
        "observers",
        "pool",
        "records",
        "refusals",
        "relays",
        "rng",
        "server",
        "started",
        "telemetry",
        "wall",
        "wheel",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        plan: plans.Plan,
        pool: Pool,
        wheel: Wheel,
        log: Log,
        rng: random.Random,
        wall: Callable[[], float],
    ) -> None:
        self.loop = loop
        self.wheel = wheel
        self.pool = pool
        self.log = log
        self.rng = rng
        self.wall = wall
        """Seconds since the epoch, for dates in headers and log lines; all else runs on the loop's clock."""
        self.now = clock_of(loop)
        self.next_sweep = inf
        """When the clocks of all relays are looked at next, in loop time."""
        self.started = loop.time()
        self.created = int(wall())
        """Start of the process, seconds since the epoch; /v1/models shows it."""
        self.bodies = BodyBudget(plan.server.max_buffered_bytes)
        self.held = pool.held
        self.generation = Generation(plan, Router(plan, rng))
        self._iterators = self._future_iterators()
        self.relays: dict[Relay, None] = {}
        """Requests under way, the oldest first: the order of a set would differ from run to run."""
        self.server: Server | None = None
        """The HTTP server, once it listens."""
        self.addresses: tuple[str, ...] = ()
        """Where it listens, as URLs."""
        self.records = Records()
        self.telemetry: Telemetry | None = None
        """Set while there is a collector."""
        self.refusals: dict[int, int] = {}
        """Answers made without asking a provider, by status."""
        self.observers: list[Callable[[Record], None]] = [self.records.append, log.request]

    def watch(self, relay: Relay) -> None:
        """Have the relay's clocks looked at until it is taken out of `relays`."""
        self.relays[relay] = None
        if self.next_sweep == inf:
            self._sweep_later()

    def _sweep_later(self) -> None:
        self.next_sweep = self.now() + SWEEP_S
        self.loop.call_at(self.next_sweep, self._sweep)

    def _sweep(self) -> None:
        """Set an alarm for each relay that wants one before the next sweep.

        A timer a request would cost more than this: nearly all requests end before any of their clocks.
        """
        if not self.relays:
            self.next_sweep = inf
            return
        self._sweep_later()
        if self.held.contended:
            self.held.look()
        for relay in self.relays:
            if relay.exchange.wake_at < self.next_sweep:
                relay.arm()

    def load(self) -> int:
        """How many requests and connections there are now."""
        connections = self.server.connections if self.server is not None else 0
        return len(self.relays) + connections + self.pool.open

    def compact(self) -> None:
        """Make what is remembered anew, so that it does not keep the memory around it (see `memory.Trimmer`)."""
        self.records.pack()
        burst = self._future_iterators()
        self._iterators.clear()  # asyncio keeps these ...
        burst.clear()  # ... and so has no room for those
        self._iterators = self._future_iterators()

    def _future_iterators(self) -> list[Iterator[None]]:
        """All that asyncio keeps of them for the next `await` (_asynciomodule.c, FI_FREELIST_MAXLEN).

        Small objects from the middle of a burst, kept for good: unless those of start-up take their place.
        """
        future: asyncio.Future[None] = self.loop.create_future()
        return [iter(future) for _ in range(FUTURE_ITERATORS)]

    def adopt(self, plan: plans.Plan) -> None:
        """Go on with another config. What runs keeps the one it has."""
        self.generation = Generation(plan, Router(plan, self.rng, self.generation.router))
        self.bodies.limit = plan.server.max_buffered_bytes
        self.pool.retain(plan.providers)

    def observe(self, relay: Relay) -> None:
        """A request has ended: remember it and tell whoever counts."""
        exchange = relay.exchange
        relay.route.counters.end(exchange.cause, rescued=exchange.error is None and exchange.attempts > 1)
        record = self._record(relay)
        if record.first_content is not None:
            relay.route.counters.ttft.observe(record.first_content)
        for observer in self.observers:
            observer(record)
        if self.telemetry is not None:
            self.telemetry.request(relay.trace, record)
        for change in relay.exchange.changes:
            self.log.change(change)

    def _record(self, relay: Relay) -> Record:
        exchange = relay.exchange
        winner = exchange.winner
        now = self.loop.time()
        started = relay.request.started
        content = winner.content_at if winner is not None else None
        usage = exchange.usage
        return Record(
            id=relay.request.id,
            time=self.wall(),
            model=relay.route.name,
            stream=relay.facts.asked.stream,
            status=exchange.status,
            provider=winner.candidate.state.provider.name if winner is not None else None,
            upstream_model=winner.candidate.state.model if winner is not None else None,
            attempts=exchange.attempts,
            first_content=None if content is None else content - started,
            total=now - started,
            prompt_tokens=usage.prompt_tokens if usage is not None else None,
            completion_tokens=usage.completion_tokens if usage is not None else None,
            error=exchange.error,
            steps=tuple(exchange.steps),
            skips=exchange.skips,
            protocol=relay.facts.protocol.name,
        )
