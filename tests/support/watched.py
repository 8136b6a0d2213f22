"""The real router, with a record of what it decided and of how each attempt ended."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from oxllm import plan as plans
from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.routing.balancer import Balancer, Skips
from oxllm.core.routing.change import Change
from oxllm.core.routing.results import Results
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.router import Router
from oxllm.core.routing.ticket import Ticket


class Choice(msgspec.Struct, frozen=True):
    """A decision of the router, and the candidates that were possible."""

    at: float
    route: str
    tried: frozenset[str]
    chosen: Candidate | None
    usable: tuple[Candidate, ...]
    """All candidates that could have been asked then and had not been tried."""


class Begun(msgspec.Struct):
    """An attempt's ticket."""

    at: float
    provider: str
    model: str
    probe: bool
    state: str
    """The breaker's state before it."""
    generation: int
    resort: bool = False
    """It was the last resort: its request had no other candidate."""
    result: Outcome | None = None
    ended: float | None = None
    stale: bool = False
    """The breaker was of another generation when it ended."""
    others: bool = False
    """Others of its generation were under way when it ended."""
    halves: tuple[int, int] = (0, 0)
    """Consecutive failures before and after its end, in halves."""
    after: str = ""
    """The breaker's state after its end."""
    before: str = ""

    @property
    def unread(self) -> bool:
        """It was called off: nobody has read what its provider may have said at that moment."""
        return self.result is not None and self.result.kind in (Kind.LOST, Kind.GONE)


class WatchedBalancer(Balancer):
    """A balancer that records its decisions."""

    def __init__(self) -> None:
        self.choices: list[Choice] = []
        self.begun: list[Begun] = []
        self.open: dict[Ticket, Begun] = {}
        self._resort: Candidate | None = None

    def choose(self, route: Route, tried: Any, now: float) -> tuple[Candidate | None, Skips]:
        usable = tuple(c for c in route.candidates if c.state not in tried and c.state.skip(now) is None)
        chosen, skips = super().choose(route, tried, now)
        self.choices.append(Choice(now, route.name, frozenset(state.name for state in tried), chosen, usable))
        return chosen, skips

    def last_resort(self, route: Route, tried: Any, now: float) -> Candidate | None:
        assert not route.usable(now, tried)
        self._resort = super().last_resort(route, tried, now)
        return self._resort

    def begin(self, route: Route, candidate: Candidate, tried: Any, now: float, by_session: bool = False) -> Ticket:
        provider = candidate.state.provider
        state = provider.breaker.state(now).value
        ticket = super().begin(route, candidate, tried, now, by_session)
        resort = candidate is self._resort
        begun = Begun(now, provider.name, candidate.state.model, ticket.probe, state, ticket.generation, resort)
        self._resort = None
        self.begun.append(begun)
        self.open[ticket] = begun
        return ticket


class WatchedResults(Results):
    """Results of attempts, with a record of them."""

    def __init__(self, rng: random.Random, predictive: bool, balancer: WatchedBalancer) -> None:
        super().__init__(rng, predictive)
        self._balancer = balancer

    def end(self, ticket: Ticket, outcome: Outcome, now: float, halves: int = 2) -> Sequence[Change]:
        breaker = ticket.candidate.state.provider.breaker
        begun = self._balancer.open.pop(ticket)
        begun.result, begun.ended = outcome, now
        begun.stale = ticket.generation != breaker.generation
        peers = (begun.provider, begun.generation)
        begun.others = any((one.provider, one.generation) == peers for one in self._balancer.open.values())
        begun.before, before = breaker.state(now).value, breaker.halves
        changes = super().end(ticket, outcome, now, halves)
        begun.after, begun.halves = breaker.state(now).value, (before, breaker.halves)
        return changes


class WatchedRouter(Router):
    """The router, with a record of its decisions."""

    def __init__(self, plan: plans.Plan, rng: random.Random, previous: Router | None = None) -> None:
        super().__init__(plan, rng, previous)
        balancer = WatchedBalancer()
        self.balancer = balancer
        self.results = WatchedResults(rng, plan.server.predictive_cooldown, balancer)
        self.choices, self.begun = balancer.choices, balancer.begun
