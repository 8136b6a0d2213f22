"""What the requests under way share: a loop and its clock, chance, connections, budgets, the config that runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from oxllm import plan as plans
from oxllm.core.budget.bodies import BodyBudget
from oxllm.core.budget.retry import RetryBudget
from oxllm.core.protocols.base import Endpoint
from oxllm.core.protocols.registry import EndpointTable
from oxllm.core.request import headers
from oxllm.core.request.facts import RequestFacts
from oxllm.core.routing.owners import Owners
from oxllm.core.routing.route import Candidate
from oxllm.core.routing.router import Router
from oxllm.gateway.clock import clock_of
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.upstream.pool import Pool

SWEEP_S: Final = 0.1
"""Seconds between two looks at the clocks of all requests under way."""


class Generation:
    """One config's run: requests keep the generation that they started with until they end."""

    __slots__ = ("_heads", "endpoints", "plan", "retry_budget", "router")

    def __init__(self, plan: plans.Plan, router: Router) -> None:
        self.plan = plan
        self.router = router
        self.retry_budget = RetryBudget(plan.retry.budget)
        self.endpoints = EndpointTable({name for provider in plan.providers for name in provider.protocols})
        self._heads: dict[tuple[str, Endpoint, bool], bytes] = {}

    def upstream_head(self, candidate: Candidate, facts: RequestFacts) -> bytes:
        """The request head for a provider, made once for each kind of request, and anew for each single answer."""
        key = candidate.state.provider.name, facts.endpoint, facts.stream
        head = self._heads.get(key)
        if head is None:
            head = headers.upstream_head(candidate.plan, facts.protocol, facts.endpoint, facts.stream)
            if not facts.endpoint.answer:
                self._heads[key] = head
        return head


class Current:
    """The config that runs. A request keeps the generation that it began with."""

    __slots__ = ("generation",)

    def __init__(self, generation: Generation) -> None:
        self.generation = generation


class Alarmed(Protocol):
    """A request under way, as the sweep over all of them sees it."""

    @property
    def wake_at(self) -> float:
        """When one of its clocks is due, in loop time."""

    def arm(self) -> None:
        """It is due before the next sweep: set an alarm."""

    def expire(self) -> None:
        """The process ends: answer with what can be said, and stop."""

    @property
    def id(self) -> str:
        """Of the request."""


class Runtime:
    """What the requests under way share."""

    __slots__ = (
        "bodies",
        "current",
        "held",
        "journal",
        "loop",
        "next_sweep",
        "now",
        "owners",
        "pool",
        "relays",
        "rng",
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
        """Seconds since the epoch, for dates in headers and log lines; all else runs on the loop's clock."""
        self.now = clock_of(loop)
        self.next_sweep = inf
        """When the clocks of all relays are looked at next, in loop time."""
        self.bodies = BodyBudget(current.generation.plan.server.max_buffered_bytes)
        self.held = pool.held
        self.owners = Owners()
        self.current = current
        self.relays: dict[Alarmed, None] = {}
        """Requests under way, the oldest first: the order of a set would differ from run to run."""

    def watch(self, relay: Alarmed) -> None:
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
            if relay.wake_at < self.next_sweep:
                relay.arm()

    def adopt(self, plan: plans.Plan) -> None:
        """Go on with another config. What runs keeps the one it has."""
        self.current.generation = Generation(plan, Router(plan, self.rng, self.current.generation.router))
        self.bodies.limit = plan.server.max_buffered_bytes
        self.pool.retain(plan.providers)
