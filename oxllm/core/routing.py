"""Which target next: tiers, smooth weighted round robin, and a reason for each one passed over.

A client's `model` names a Route: candidates in tiers, the best tier first. A candidate is one entry of one route
and holds what is its own there (tier, weight, timeouts); the TargetState behind it is shared by every route
that lists the same (provider, model), and the ProviderState behind that by all targets of the provider. So a 429
seen through one virtual model is known to all others.

A session goes where `affinity` has it. Else the choice inside a tier is nginx's smooth weighted round robin: each
usable candidate gains its weight, the richest is chosen and pays what all gained. With weights 3 and 1 that is
a a b a, never a a a b.

An attempt is a Ticket between `begin` and `end`. `end` does all that follows from its outcome: the breaker (only
if the ticket's generation is the breaker's), the marks, the counters. The probe of a half-open breaker is such a
ticket too: it decides at its commit, and goes on as an ordinary attempt of the newly closed breaker.
"""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Sequence
from itertools import groupby
from math import inf
from operator import attrgetter

from oxllm import plan as plans
from oxllm.core.affinity import score, target_number
from oxllm.core.breaker import Breaker, BreakerState
from oxllm.core.cooldown import Cooldown
from oxllm.core.cooldown import Skip as Skip  # noqa: PLC0414  exported: callers get reasons from here
from oxllm.core.names import Names
from oxllm.core.native import mypyc_attr
from oxllm.core.outcome import RULES, Effect, Kind, Outcome
from oxllm.core.owners import Owner
from oxllm.core.shape import Value
from oxllm.core.stats import (
    Counters,
    ProviderSnapshot,
    RequestCounters,
    Snapshot,
    TargetSnapshot,
    total,
)

PATIENCE_S = 2.0
"""How long a probe's client waits before the next candidate is started beside it; doubled when that one wins."""
REACH_S = 60.0
"""What recovers later than this is not worth a client's retry: SDKs honour no longer hint."""
SOON_S = 1.0
"""When a place behind a bulkhead, or a probe's verdict, may be expected: nobody knows, so soon."""
SIMILAR_MAX = 3
"""Names offered for one that does not exist."""
HOPELESS = frozenset({Skip.OFFLINE, Skip.QUOTA, Skip.AUTH, Skip.MISSING})
"""Reasons that somebody has to act upon: waiting a minute does not help."""
HEALTHY: frozenset[Skip | None] = frozenset({None, Skip.PROBING, Skip.FULL})
"""What does not take a name out of /v1/models: it is served, only not this moment."""
ONE_TOO_MANY = frozenset({Effect.FORBIDDEN, Effect.NOT_FOUND})
"""What counts only when it comes twice in a row: once may be about its request alone."""
OF_THE_KEY = (Effect.QUOTA, Effect.AUTH, Effect.FORBIDDEN)
SAYS_NOTHING = frozenset({Kind.GONE, Kind.LOST, Kind.DEADLINE, Kind.STOPPED, Kind.WITHHELD, Kind.LOCAL})
"""Ends of our own making: the provider did not get to answer."""


class Change(Value, frozen=True):
    """Something the log should tell: a breaker moved, or a mark was set."""

    provider: str
    model: str | None
    """None when it concerns the whole provider."""
    text: str


class ProviderState:
    """What is known of a provider while the process lives."""

    __slots__ = ("breaker", "cooldown", "in_flight", "limit", "name", "owner", "patience", "plan", "targets")

    def __init__(self, provider: plans.Provider, breaker: plans.Breaker) -> None:
        self.name = provider.name
        self.owner: Owner = provider.name, provider.base_url
        """What is remembered of it by the answers that it made."""
        self.breaker = Breaker(breaker)
        self.cooldown = Cooldown()
        """Marks that hold for every target."""
        self.in_flight = 0
        self.patience = PATIENCE_S
        """Seconds that the next probe gets before a hedge is started beside it."""
        self.targets: dict[str, TargetState] = {}
        """By model. One that a reload has dropped stays, for its marks and counters."""
        self.adopt(provider, breaker)

    def adopt(self, provider: plans.Provider, breaker: plans.Breaker) -> None:
        """Go on under another configuration of the same provider."""
        self.plan = provider
        self.limit = inf if provider.max_in_flight is None else provider.max_in_flight
        self.breaker.settings = breaker

    def target(self, model: str) -> TargetState:
        """The state of one of its models, made when first named."""
        state = self.targets.get(model)
        if state is None:
            state = self.targets[model] = TargetState(self, model)
        return state

    def key_changed(self) -> None:
        """Forget what was said of the old key."""
        for cooldown in self._cooldowns():
            cooldown.key_changed()

    def reset(self) -> None:
        """Operator: forget every failure and mark; stays offline if it is."""
        self.breaker.reset()
        self.patience = PATIENCE_S
        for cooldown in self._cooldowns():
            cooldown.clear()

    def impatient(self, first_byte: float) -> None:
        """A hedge beat the probe: give the next one twice the time, up to `first_byte` seconds."""
        self.patience = max(self.patience, min(self.patience * 2, first_byte))

    def _cooldowns(self) -> list[Cooldown]:
        return [self.cooldown, *(target.cooldown for target in self.targets.values())]


class TargetState:
    """What is known of one model at one provider, whoever asks for it."""

    __slots__ = ("cooldown", "counters", "model", "provider", "routes")

    def __init__(self, provider: ProviderState, model: str) -> None:
        self.provider = provider
        self.model = model
        self.cooldown = Cooldown()
        self.counters = Counters()
        self.routes: tuple[Route, ...] = ()
        """The virtual models that list it, in the newest configuration."""


class Candidate:
    """One entry of one route."""

    __slots__ = ("_credit", "number", "plan", "state", "tier", "timeouts", "weight")

    def __init__(self, state: TargetState, tier: int, weight: int, timeouts: plans.Timeouts) -> None:
        self.state = state
        self.tier = tier
        self.weight = weight
        self.timeouts = timeouts
        self.plan = state.provider.plan
        """The provider's configuration as of this route; `state.provider.plan` is that of the newest reload."""
        self.number = target_number(f"{state.provider.name}/{state.model}")
        """For affinity: the same in every process."""
        self._credit = 0


class Route:
    """What serves one `model` name."""

    __slots__ = (
        "_speaking",
        "affinity",
        "candidates",
        "content_filter_failover",
        "counters",
        "hedge_after",
        "hold_back",
        "name",
        "request",
        "tiers",
    )

    def __init__(
        self,
        name: str,
        candidates: Iterable[Candidate],
        request: float,
        hedge_after: float | None = None,
        hold_back: plans.HoldBack = plans.HoldBack(),  # noqa: B008  frozen
        counters: RequestCounters | None = None,
        affinity: bool = True,
        content_filter_failover: bool = False,
    ) -> None:
        self.name = name
        self.candidates = tuple(sorted(candidates, key=attrgetter("tier")))
        """In tier order, inside a tier as listed."""
        self.tiers = tuple(tuple(tier) for _, tier in groupby(self.candidates, attrgetter("tier")))
        self.request = request
        self.hedge_after = hedge_after
        self.hold_back = hold_back
        self.counters = counters or RequestCounters()
        self.affinity = affinity and len(self.tiers) < len(self.candidates)
        """A session may prefer one of several targets of a tier."""
        self.content_filter_failover = content_filter_failover
        """Another provider may judge a prompt that one has refused for its content."""
        self._speaking: dict[str, Route | None] = {}

    def speaking(self, protocol: str) -> Route | None:
        """The route over those candidates alone whose provider speaks a protocol; None if none does."""
        if protocol not in self._speaking:
            self._speaking[protocol] = self._only(protocol)
        return self._speaking[protocol]

    def _only(self, protocol: str) -> Route | None:
        speaking = [candidate for candidate in self.candidates if protocol in candidate.plan.protocols]
        if len(speaking) == len(self.candidates):
            return self
        return self._over(speaking) if speaking else None

    def at(self, owner: Owner) -> Route:
        """The route over its candidates at one provider; it may have none."""
        return self._over([candidate for candidate in self.candidates if candidate.state.provider.owner == owner])

    def _over(self, candidates: list[Candidate]) -> Route:
        return Route(
            self.name,
            candidates,
            self.request,
            self.hedge_after,
            self.hold_back,
            self.counters,
            self.affinity,
            self.content_filter_failover,
        )


class Ticket:
    """One attempt in progress."""

    __slots__ = ("candidate", "failed_in", "generation", "probe", "started")

    def __init__(self, candidate: Candidate, generation: int, probe: bool, started: float) -> None:
        self.candidate = candidate
        self.generation = generation
        """Of the breaker; -1 once ended."""
        self.probe = probe
        """It is the one request that a half-open breaker lets through, and has not decided yet."""
        self.started = started
        self.failed_in: int | None = None
        """The generation in which it failed in a way that may be its request's fault."""

    @property
    def ended(self) -> bool:
        """Whether its end has been told."""
        return self.generation == ENDED


Skips = Sequence[tuple[Candidate, Skip]]
Recovery = tuple[float | None, list[tuple[Candidate, Skip | None, float | None]]]
ENDED = -1


@mypyc_attr(allow_interpreted_subclasses=True)
class Router:
    """All routes of a configuration, in one class, since choosing, beginning and ending look at the same states.

    Those outlive it.
    """

    __slots__ = ("_keeping", "_names", "_predictive", "_request", "_rng", "_routes", "_virtual", "providers")

    def __init__(self, plan: plans.Plan, rng: random.Random, previous: Router | None = None) -> None:
        """Routes for `plan`. With `previous`, whose time is over, take on the states of what is still the same."""
        self._rng = rng
        self._predictive = plan.server.predictive_cooldown
        self._request = plan.request
        self._keeping: RequestCounters = previous._keeping if previous is not None else RequestCounters()
        """Of requests for answers that providers keep: they name no model."""
        self.providers: dict[str, ProviderState] = {}
        """Enabled ones, by name, in file order."""
        for provider in plan.providers:
            known = previous.providers.get(provider.name) if previous is not None else None
            self.providers[provider.name] = _continued(known, provider, plan.breaker)
        counters = {name: route.counters for name, route in previous._routes.items()} if previous is not None else {}
        self._virtual = {
            model.name: self._virtual_route(model, counters.get(model.name)) for model in plan.virtual_models
        }
        self._routes: dict[str, Route] = self._direct_routes(plan.request, counters) | self._virtual
        """By the name that clients use; a virtual model goes before a `provider/model` of the same name."""
        self._names = Names(self._routes)
        self._tell_targets()

    def _virtual_route(self, model: plans.VirtualModel, counters: RequestCounters | None) -> Route:
        candidates = [
            Candidate(self.providers[target.provider].target(target.model), target.tier, target.weight, target.timeouts)
            for target in model.targets
        ]
        return Route(
            model.name,
            candidates,
            model.request,
            model.hedge_after,
            model.hold_back,
            counters,
            model.affinity,
            model.content_filter_failover,
        )

    def _direct_routes(self, request: float, counters: dict[str, RequestCounters]) -> dict[str, Route]:
        routes = {}
        for provider in self.providers.values():
            for model in provider.plan.models:
                name = f"{provider.name}/{model}"
                candidate = Candidate(provider.target(model), 1, 1, provider.plan.timeouts)
                routes[name] = Route(name, [candidate], request, counters=counters.get(name))
        return routes

    def _tell_targets(self) -> None:
        for provider in self.providers.values():
            for target in provider.targets.values():
                target.routes = ()
        for route in self._virtual.values():
            for target in {candidate.state for candidate in route.candidates}:
                target.routes += (route,)

    # Names.

    def resolve(self, model: str) -> Route | None:
        """The route of a virtual model or of a listed `provider/model`; None if nothing goes by that name."""
        return self._names.find(model)

    def similar(self, model: str) -> list[str]:
        """Up to three names that may have been meant, the likeliest first."""
        return _similar(model, [name for name in self._routes if plans.ANY not in name])

    def similar_providers(self, name: str) -> list[str]:
        """Up to three providers that may have been meant, the likeliest first."""
        return _similar(name, self.providers)

    def models(self, now: float, all: bool = False) -> list[str]:
        """The names that /v1/models shows, sorted: those that have a healthy target, or `all`. Patterns are none."""
        names = {name: route for name, route in self._routes.items() if plans.ANY not in name}
        return sorted(name for name, route in names.items() if all or self._is_healthy(route, now))

    def _is_healthy(self, route: Route, now: float) -> bool:
        return any(self.skip(candidate.state, now) in HEALTHY for candidate in route.candidates)

    def keepers(self, protocol: str, now: float, owner: Owner | None = None) -> Route:
        """The route of a request for an answer that is kept: one target of each provider that speaks a protocol, in
        file order, or of its owner alone. Such a request names no model, so that a mark of one does not matter while
        the provider has another."""
        candidates: list[Candidate] = []
        for provider in self.providers.values():
            if protocol in provider.plan.protocols and provider.targets and owner in (None, provider.owner):
                targets = provider.targets.values()
                target = next((one for one in targets if self.skip(one, now) is None), next(iter(targets)))
                candidates.append(Candidate(target, len(candidates) + 1, 1, provider.plan.timeouts))
        return Route(protocol, candidates, self._request, counters=self._keeping)

    # Choosing.

    def choose(self, route: Route, tried: Container[TargetState], now: float) -> tuple[Candidate | None, Skips]:
        """The next candidate, and those passed over for it. None: there is none, and all are passed over.

        Changes nothing: who begins an attempt there pays for it.
        """
        skips: list[tuple[Candidate, Skip]] | tuple[()] = ()
        for tier in route.tiers:
            best = None
            most = 0
            for candidate in tier:
                state = candidate.state
                provider = state.provider
                # The usual case in comparisons; `skip` finds out what is unusual, and whether that matters.
                if (
                    state.cooldown.until > now
                    or provider.cooldown.until > now
                    or not provider.breaker.closed
                    or provider.in_flight >= provider.limit
                    or state in tried
                ):
                    why = Skip.TRIED if state in tried else self.skip(state, now)
                    if why is not None:
                        skips = [*skips, (candidate, why)]
                        continue
                credit = candidate._credit + candidate.weight
                if best is None or credit > most:
                    best, most = candidate, credit
            if best is not None:
                return best, skips
        return None, skips

    def prefer(
        self, route: Route, tried: Container[TargetState], now: float, session: int
    ) -> tuple[Candidate | None, Skips, bool]:
        """The next candidate for a session, as `choose` has it, and whether the session has decided between several."""
        skips: list[tuple[Candidate, Skip]] = []
        for tier in route.tiers:
            usable = []
            for candidate in tier:
                why = Skip.TRIED if candidate.state in tried else self.skip(candidate.state, now)
                if why is None:
                    usable.append(candidate)
                else:
                    skips.append((candidate, why))
            if usable:
                best = max(usable, key=lambda candidate: score(session, candidate.number, candidate.weight))
                return best, skips, len(usable) > 1
        return None, skips, False

    def skip(self, target: TargetState, now: float) -> Skip | None:
        """Why this target cannot be asked now; None if it can."""
        provider = target.provider
        state = provider.breaker.state(now)
        if state is BreakerState.OFFLINE:
            return Skip.OFFLINE
        mark = provider.cooldown.blocked(now) or target.cooldown.blocked(now)
        if mark is not None:
            return mark
        if state is BreakerState.OPEN:
            return Skip.OPEN
        if state is BreakerState.PROBING and not provider.breaker.may_probe(now):
            return Skip.PROBING
        return Skip.FULL if provider.in_flight >= provider.limit else None

    def usable(self, route: Route, now: float, tried: Container[TargetState] = ()) -> bool:
        """Some candidate that is not in `tried` can be asked now. Chooses nothing."""
        return any(c.state not in tried and self.skip(c.state, now) is None for c in route.candidates)

    # One attempt.

    def begin(self, route: Route, candidate: Candidate, tried: Container[TargetState], now: float) -> Ticket:
        """Start an attempt at a candidate that `choose` gave this moment, and pay for its turn. If the breaker is
        half-open it is the probe."""
        if len(route.tiers) < len(route.candidates):  # else each is alone in its tier, and gains what it pays
            self._pay(route, candidate, tried, now)
        state = candidate.state
        provider = state.provider
        breaker = provider.breaker
        probe = not breaker.closed
        if probe:
            breaker.take(now)
        provider.in_flight += 1
        state.counters.attempts += 1
        return Ticket(candidate, breaker.generation, probe, now)

    def _pay(self, route: Route, chosen: Candidate, tried: Container[TargetState], now: float) -> None:
        """Each usable candidate of the tier gains its weight; the chosen one pays what all have gained."""
        tier = next(tier for tier in route.tiers if chosen in tier)
        for candidate in tier:
            if candidate.state not in tried and self.skip(candidate.state, now) is None:
                candidate._credit += candidate.weight
                chosen._credit -= candidate.weight

    def repeat(self, ticket: Ticket, now: float) -> Skip | None:
        """A second try at the same target on the same ticket, so that the pair counts once.

        None: go ahead, it is counted as an attempt. Else why that target may not be asked any more; the ticket
        is still to be ended.
        """
        why = self.unusable(ticket, now)
        if why is None:
            counters = ticket.candidate.state.counters
            counters.attempts += 1
            counters.retries += 1
        return why

    def unusable(self, ticket: Ticket, now: float) -> Skip | None:
        """Why a target that is being asked may not be sent the same request once more; None if it may. Much can have
        been learned of it since this attempt began."""
        state = ticket.candidate.state
        breaker = state.provider.breaker
        mark = state.provider.cooldown.blocked(now) or state.cooldown.blocked(now)
        if mark is not None:
            return mark
        if ticket.generation != breaker.generation and breaker.state(now) is not BreakerState.CLOSED:
            return Skip.OFFLINE if breaker.state(now) is BreakerState.OFFLINE else Skip.OPEN
        return None

    def answered(self, ticket: Ticket, now: float) -> Sequence[Change]:
        """The head of a success is there: if the attempt is a probe, its breaker closes on trial."""
        if not ticket.probe:
            return ()
        provider = ticket.candidate.state.provider
        before = provider.breaker.state(now)
        current = ticket.generation == provider.breaker.generation
        provider.breaker.trial(ticket.generation, now)
        ticket.probe = False
        if not current:
            return ()
        provider.patience = PATIENCE_S
        ticket.generation = provider.breaker.generation
        return self._moved(provider, before, now)

    def end(self, ticket: Ticket, outcome: Outcome, now: float, halves: int = 2) -> Sequence[Change]:
        """The attempt is over: do what its outcome means. Exactly once a ticket.

        `halves`: what a failure counts for; half of one if it may be its request's fault.
        """
        assert ticket.generation != ENDED
        state = ticket.candidate.state
        provider = state.provider
        provider.in_flight -= 1
        if outcome.kind is _SUCCESS:
            state.counters.successes += 1
            state.cooldown.succeeded()
            breaker = provider.breaker
            if not ticket.probe and ticket.generation == breaker.generation:
                if breaker.halves:
                    breaker.success(ticket.generation, now)
                ticket.generation = ENDED
                return ()
        if outcome.kind is Kind.SERVER_ERROR and not ticket.probe:
            ticket.failed_in = ticket.generation
        return self._end(ticket, outcome, now, halves)

    def _end(self, ticket: Ticket, outcome: Outcome, now: float, halves: int) -> Sequence[Change]:
        rule = RULES[outcome.kind]
        counters = ticket.candidate.state.counters
        if rule.cause is not None:
            counters.failed(rule.cause)
        elif outcome.kind is Kind.LOST:
            counters.lost += 1
        changes = [*self._end_at_breaker(ticket, outcome, now, halves), *self._mark(ticket, rule.effect, outcome, now)]
        ticket.generation = ENDED
        return changes

    def _end_at_breaker(self, ticket: Ticket, outcome: Outcome, now: float, halves: int) -> Sequence[Change]:
        provider = ticket.candidate.state.provider
        breaker = provider.breaker
        if outcome.kind is Kind.SUCCESS:
            changes = self.answered(ticket, now)
            breaker.success(ticket.generation, now)
            return changes
        before = breaker.state(now)
        if outcome.is_failure:
            breaker.failure(ticket.generation, now, self._rng, halves)
            return self._moved(provider, before, now)
        if ticket.probe:
            if outcome.kind is Kind.LOST and ticket.generation == breaker.generation:
                provider.impatient(ticket.candidate.timeouts.first_byte)
            breaker.give_back(ticket.generation)
        return ()

    def excuse(self, ticket: Ticket, now: float) -> Sequence[Change]:
        """Another target has failed as this one did: it may be the request's fault, and counts as half a failure."""
        if ticket.failed_in is None:
            return ()
        provider = ticket.candidate.state.provider
        before = provider.breaker.state(now)
        provider.breaker.excuse(ticket.failed_in)
        return self._moved(provider, before, now)

    def confirm(self, ticket: Ticket, now: float) -> Sequence[Change]:
        """A third one has not: it was the host's fault after all, and the other half counts too."""
        if ticket.failed_in is None:
            return ()
        provider = ticket.candidate.state.provider
        before = provider.breaker.state(now)
        provider.breaker.failure(ticket.failed_in, now, self._rng, 1)
        return self._moved(provider, before, now)

    def _moved(self, provider: ProviderState, before: BreakerState, now: float) -> Sequence[Change]:
        after = provider.breaker.state(now)
        if after is before:
            return ()
        left = f" for {provider.breaker.opens_until - now:.1f} s" if after is BreakerState.OPEN else ""
        return (Change(provider.name, None, f"breaker {before.value} -> {after.value}{left}"),)

    def _mark(self, ticket: Ticket, effect: Effect, outcome: Outcome, now: float) -> Sequence[Change]:
        target = ticket.candidate.state
        if target.model == plans.ANY and effect in (Effect.MISSING, Effect.NOT_FOUND):
            return ()  # that was said of the name that one client sent
        own, shared = target.cooldown, target.provider.cooldown
        if effect in OF_THE_KEY and ticket.candidate.plan.api_key != target.provider.plan.api_key:
            return ()  # that was said of a key that a reload has replaced
        if effect not in ONE_TOO_MANY and outcome.kind not in SAYS_NOTHING:
            own.allowed()
        match effect:
            case Effect.QUOTA if outcome.of_target:
                return self._marked(own.mark(Skip.QUOTA, now), target, Skip.QUOTA, own, now)
            case Effect.QUOTA:
                return self._marked(shared.mark(Skip.QUOTA, now), target, Skip.QUOTA, shared, now)
            case Effect.AUTH:
                return self._marked(shared.mark(Skip.AUTH, now), target, Skip.AUTH, shared, now)
            case Effect.MISSING:
                return self._marked(own.mark(Skip.MISSING, now), target, Skip.MISSING, own, now)
            case Effect.FORBIDDEN:
                return self._marked(own.refused(Skip.AUTH, now), target, Skip.AUTH, own, now)
            case Effect.NOT_FOUND:
                return self._marked(own.refused(Skip.MISSING, now), target, Skip.MISSING, own, now)
            case Effect.RATE:
                limited = own.rate_limited(outcome.retry_after, ticket.started, now)
                return self._marked(limited, target, Skip.COOLING, own, now)
            case Effect.LOADING:
                waits = own.rate_limited(outcome.retry_after, ticket.started, now, Skip.WAITING)
                return self._marked(waits, target, Skip.WAITING, own, now)
            case Effect.HINT if outcome.retry_after is not None:
                waits = own.mark(Skip.WAITING, now, outcome.retry_after)
                return self._marked(waits, target, Skip.WAITING, own, now)
        return ()

    def _marked(self, new: bool, target: TargetState, mark: Skip, cooldown: Cooldown, now: float) -> Sequence[Change]:
        if not new:
            return ()
        model = target.model if cooldown is target.cooldown else None
        return (Change(target.provider.name, model, f"{mark.value}: not asked for {cooldown.until - now:.1f} s"),)

    def predicted(self, ticket: Ticket, seconds: float, now: float) -> Sequence[Change]:
        """A success has used up its limit: cool its target, unless some virtual model has no other to use.

        A target that no virtual model lists has nobody to take over, and is left alone too.
        """
        target = ticket.candidate.state
        if not self._predictive or not target.routes:
            return ()
        if not all(self._has_another(route, target, now) for route in target.routes):
            return ()
        new = target.cooldown.mark(Skip.COOLING, now, seconds)
        return self._marked(new, target, Skip.COOLING, target.cooldown, now)

    def _has_another(self, route: Route, target: TargetState, now: float) -> bool:
        """Other targets of the route take any number of requests, in each protocol in which this one does: a half-open
        one takes only its probe."""
        others = {
            protocol
            for c in route.candidates
            if c.state is not target and c.state.provider.breaker.closed and self.skip(c.state, now) is None
            for protocol in c.plan.protocols
        }
        return others.issuperset(target.provider.plan.protocols)

    # Looking ahead.

    def recovery(self, route: Route, now: float) -> Recovery:
        """Seconds until some candidate can be asked, None if not within a minute; and each one's reason and seconds.

        Seconds of a candidate are 0 if it can be asked now, None if nobody knows.
        """
        states = [(candidate, *self.outlook(candidate.state, now)) for candidate in route.candidates]
        within = [left for _, skip, left in states if skip not in HOPELESS and left is not None and left <= REACH_S]
        return min(within, default=None), states

    def outlook(self, target: TargetState, now: float) -> tuple[Skip | None, float | None]:
        """Why a target cannot be asked now, and the seconds until that is over."""
        skip = self.skip(target, now)
        if skip is None:
            return None, 0.0
        if skip is Skip.OFFLINE:
            return skip, None
        if skip is Skip.PROBING or skip is Skip.FULL:
            return skip, SOON_S
        provider = target.provider
        opens = provider.breaker.opens_until
        return skip, max(opens, provider.cooldown.until, target.cooldown.until) - now

    # Operator.

    def offline(self, name: str) -> bool:
        """Send nothing to a provider until `online`, whatever happens. False: no such provider."""
        provider = self.providers.get(name)
        if provider is not None:
            provider.breaker.offline()
        return provider is not None

    def online(self, name: str) -> bool:
        """Undo `offline`; its breaker starts afresh. False: no such provider."""
        provider = self.providers.get(name)
        if provider is not None:
            provider.breaker.online()
        return provider is not None

    def reset(self, name: str) -> bool:
        """Forget every failure, cool-off and mark of a provider; it stays offline if it is. False: no such provider."""
        provider = self.providers.get(name)
        if provider is not None:
            provider.reset()
        return provider is not None

    def snapshot(self, now: float) -> Snapshot:
        """Everything, for status and metrics."""
        requests = {name: route.counters.snapshot() for name, route in self._routes.items()}
        return Snapshot(tuple(self._provider(state, now) for state in self.providers.values()), requests)

    def _provider(self, provider: ProviderState, now: float) -> ProviderSnapshot:
        targets = tuple(self._target(target, now) for target in provider.targets.values())
        breaker = provider.breaker
        state = breaker.state(now)
        return ProviderSnapshot(
            provider.name,
            provider.plan.base_url,
            state.value,
            breaker.failures,
            breaker.opens_until - now if state is BreakerState.OPEN else 0.0,
            provider.in_flight,
            provider.plan.max_in_flight,
            {(before.value, after.value): count for (before, after), count in breaker.moves.items()},
            targets,
            total([target.totals for target in targets]),
            provider.plan.protocols,
        )

    def _target(self, target: TargetState, now: float) -> TargetSnapshot:
        skip, seconds = self.outlook(target, now)
        return TargetSnapshot(target.model, skip.value if skip else None, seconds, target.counters.snapshot())


_SUCCESS = Kind.SUCCESS


def _continued(known: ProviderState | None, provider: plans.Provider, breaker: plans.Breaker) -> ProviderState:
    """The state of a provider that was there before at the same place, else a new one."""
    if known is None or known.plan.base_url != provider.base_url:
        return ProviderState(provider, breaker)
    if known.plan.api_key != provider.api_key:
        known.key_changed()
    known.adopt(provider, breaker)
    return known


def _similar(wanted: str, names: Iterable[str]) -> list[str]:
    pairs = _pairs(wanted[:128])
    likeness = {name: _dice(pairs, _pairs(name)) for name in names}
    close = sorted((name for name in likeness if likeness[name] >= 0.4), key=lambda name: (-likeness[name], name))
    return close[:SIMILAR_MAX]


def _pairs(name: str) -> frozenset[str]:
    """Letters that are neighbours or next but one, whichever comes first: `gtp4` has all of `gpt4` so."""
    name = name.casefold()
    near = (name[i] + name[j] for i in range(len(name)) for j in range(i + 1, min(i + 3, len(name))))
    return frozenset(min(pair, pair[::-1]) for pair in near) or frozenset((name,))


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    """Sørensen-Dice coefficient: 1 for the same pairs of letters, 0 for none in common."""
    return 2 * len(one & other) / (len(one) + len(other))
