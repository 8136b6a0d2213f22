"""What the requests in flight share: the loop and its clock, the rng, connections, budgets, and the running config."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from oxllm import plan as plans
from oxllm.core.budget.bodies import BodyBudget
from oxllm.core.budget.retry import RetryBudget
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.protocols.registry import EndpointTable
from oxllm.core.request import headers
from oxllm.core.request.facts import RequestFacts
from oxllm.core.routing.owners import Owners
from oxllm.core.routing.route import Candidate
from oxllm.core.routing.router import Router
from oxllm.gateway.access import Access
from oxllm.gateway.clock import Grace, clock_of
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.upstream.pool import Pool

SWEEP_S: Final = 0.1
"""Seconds between sweeps over the deadlines of all requests in flight."""


class Generation:
    """A config and its run-time state. A request keeps the generation that it started with until it ends."""

    __slots__ = ("_heads", "access", "endpoints", "plan", "retry_budget", "router")

    def __init__(self, plan: plans.Plan, router: Router) -> None:
        self.plan = plan
        self.router = router
        self.access = Access(plan.server)
        self.retry_budget = RetryBudget(plan.retry.budget)
        self.endpoints = EndpointTable({name for provider in plan.providers for name in provider.protocols})
        self._heads: dict[tuple[str, Endpoint, bool], bytes] = {}

    def upstream_head(self, candidate: Candidate, facts: RequestFacts) -> bytes:
        """The request head for a provider. Cached for each kind of request, unless it is about a single answer."""
        key = candidate.state.provider.name, facts.endpoint, facts.stream
        head = self._heads.get(key)
        if head is None:
            head = headers.upstream_head(candidate.plan, facts.protocol, facts.endpoint, facts.stream)
            if not facts.endpoint.answer:
                self._heads[key] = head
        return head


class Current:
    """Holds the generation that new requests start with; a reload replaces it."""

    __slots__ = ("generation",)

    def __init__(self, generation: Generation) -> None:
        self.generation = generation


class Alarmed(Protocol):
    """A request in flight, as the sweep, a drain and the operator see it."""

    @property
    def wake_at(self) -> float:
        """Its next deadline, in loop time."""

    def arm(self) -> None:
        """Its deadline comes before the next sweep: set a timer."""

    def expire(self) -> None:
        """The process is ending: answer with whatever can be said by now, and stop."""

    @property
    def id(self) -> str:
        """The request's id."""


class Runtime:
    """What the requests in flight share."""

    __slots__ = (
        "bodies",
        "current",
        "grace",
        "held",
        "journal",
        "loop",
        "next_sweep",
        "now",
        "owners",
        "pool",
        "relays",
        "rng",
        "tidy",
        "wall",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        current: Current,
        pool: Pool,
        journal: Journal,
        rng: random.Random,
        wall: Callable[[], float],
    ) -> None:
        self.loop = loop
        self.pool = pool
        self.journal = journal
        self.rng = rng
        self.wall = wall
        """Seconds since the epoch, for dates in headers and log lines; everything else uses the loop's clock."""
        self.now = clock_of(loop)
        self.next_sweep = inf
        """When all relays' deadlines are next checked, in loop time."""
        self.tidy: Callable[[], None] | None = None
        """Called at each sweep."""
        self.grace = Grace()
        self.bodies = BodyBudget(current.generation.plan.server.max_buffered_bytes)
        self.held = pool.held
        self.owners = Owners()
        self.current = current
        self.relays: dict[Alarmed, None] = {}
        """Requests in flight, oldest first. No set, whose order would differ from run to run."""

    def watch(self, relay: Alarmed) -> None:
        """Check the relay's deadlines until it is taken out of `relays`."""
        self.relays[relay] = None
        if self.next_sweep == inf:
            self._sweep_later()

    def in_grace(self) -> bool:
        """Whether deadlines wait, since all of us stood still."""
        return self.grace.lasts(self.now(), self.next_sweep)

    def _sweep_later(self) -> None:
        self.next_sweep = self.now() + SWEEP_S
        self.loop.call_at(self.next_sweep, self._sweep)

    def _sweep(self) -> None:
        """Set a timer for each relay whose deadline comes before the next sweep.

        A timer per request would cost more: nearly all requests end before any of their deadlines.
        """
        if not self.relays:
            self.next_sweep = inf
            return
        self.in_grace()
        self._sweep_later()
        if self.tidy is not None:
            self.tidy()
        if self.held.contended:
            self.held.look()
        for relay in self.relays:
            if relay.wake_at < self.next_sweep:
                relay.arm()

    def adopt(self, plan: plans.Plan) -> None:
        """Switch to another config. Requests in flight keep the one they started with."""
        self.current.generation = Generation(plan, Router(plan, self.rng, self.current.generation.router))
        for holder in self.bodies.resize(plan.server.max_buffered_bytes):
            self.loop.call_soon(holder.granted)
        self.pool.retain(plan.providers)
