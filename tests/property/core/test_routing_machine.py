"""Routing against a model that keeps every mark in a list and walks through all candidates each time."""

from __future__ import annotations

import random
from collections import Counter
from math import inf, nextafter
from typing import ClassVar

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from oxllm.core.reading.outcome import RULES, Cause, Kind, Outcome
from oxllm.core.routing.breaker import TABLE, BreakerState
from oxllm.core.routing.cooldown import MARKS, Skip
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.router import Router
from oxllm.core.routing.targets import ProviderState, TargetState
from oxllm.core.routing.ticket import Ticket
from oxllm.plan import Plan, Provider, Target, VirtualModel

NAMES = ("a", "b", "c")
LIMITS = {"a": 3, "b": None, "c": 1}
ROUTES = ("v", "w", "a/m", "b/m", "c/m")


def make_plan(keys: dict[str, str], flipped: bool) -> Plan:
    providers = tuple(
        Provider(n, True, f"{n}.example", 443, "/v1", keys[n], models=("m", "n"), max_in_flight=LIMITS[n])
        for n in NAMES
    )
    v = [Target("a", "m", 1, 3), Target("b", "m", 1, 1), Target("a", "n", 2, 1), Target("c", "m", 2, 2)]
    w = [Target("c", "m", 1), Target("a", "m", 2), Target("c", "m", 3)]
    models = (VirtualModel("v", tuple(v)), VirtualModel("w", tuple(w[:2] if flipped else w)))
    return Plan(providers=providers, virtual_models=models)


OUTCOMES = st.builds(
    Outcome,
    st.sampled_from(Kind),
    st.just("x"),
    retry_after=st.sampled_from([None, 0.5, 30.0, 61.0]),
    of_target=st.booleans(),
    counts=st.just(False),
)
RARE = [BreakerState.PROBING, BreakerState.HALF_OPEN, BreakerState.OPEN, BreakerState.OFFLINE, BreakerState.CLOSED]
BROKEN = Outcome(Kind.SERVER_ERROR, "x")
Place = tuple[str, str]


def place(target: TargetState) -> Place:
    return target.provider.name, target.model


class RoutingMachine(RuleBasedStateMachine):
    seen: ClassVar[set[object]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.now = 10.0
        self.keys = dict.fromkeys(NAMES, "k0")
        self.router = Router(make_plan(self.keys, False), random.Random(5))
        self.tickets: list[Ticket] = []
        self.begun: Counter[Place] = Counter()
        self.kinds: Counter[tuple[Place, Kind]] = Counter()
        self.retries: Counter[Place] = Counter()
        # Marks by owner, a provider's name or a place: (reason, end), all there ever were.
        self.marks: dict[object, list[tuple[Skip, float]]] = {}
        self.limited: dict[Place, tuple[int, float]] = {}
        self.refused: dict[Place, list[Kind]] = {}
        self.credit: dict[int, int] = {}

    # The model.

    def in_flight(self, provider: str) -> int:
        return sum(ticket.candidate.state.provider.name == provider for ticket in self.tickets)

    def mark(self, owner: object, why: Skip, seconds: float) -> None:
        self.marks.setdefault(owner, []).append((why, self.now + seconds))

    def why_not(self, target: TargetState) -> Skip | None:
        name = target.provider.name
        breaker = target.provider.breaker.state(self.now)
        if breaker is BreakerState.OFFLINE:
            return Skip.OFFLINE
        for owner in (name, place(target)):
            in_force = {why for why, end in self.marks.get(owner, []) if end > self.now}
            if in_force:
                return min(in_force, key=MARKS.index)
        if breaker is BreakerState.OPEN:
            return Skip.OPEN
        if breaker is BreakerState.PROBING and not self.router.providers[name].breaker.may_probe(self.now):
            return Skip.PROBING
        limit = LIMITS[name]
        return Skip.FULL if limit is not None and self.in_flight(name) >= limit else None

    def model_chooses(self, route: Route, tried: set[TargetState]) -> tuple[Candidate | None, list[Skip]]:
        skips: list[Skip] = []
        for tier in sorted({candidate.tier for candidate in route.candidates}):
            usable = []
            for candidate in route.candidates:
                if candidate.tier == tier:
                    why = Skip.TRIED if candidate.state in tried else self.why_not(candidate.state)
                    skips += [why] if why else []
                    usable += [] if why else [candidate]
            if usable:
                credits = {id(candidate): self.credit.get(id(candidate), 0) + candidate.weight for candidate in usable}
                best = max(usable, key=lambda candidate: credits[id(candidate)])
                self.paid = credits | {id(best): credits[id(best)] - sum(candidate.weight for candidate in usable)}
                return best, skips
        return None, skips

    def model_marks(self, ticket: Ticket, outcome: Outcome) -> None:
        target = ticket.candidate.state
        name, where, kind = target.provider.name, place(target), outcome.kind
        of_an_old_key = ticket.candidate.plan.api_key != target.provider.plan.api_key
        if of_an_old_key and kind in {Kind.QUOTA, Kind.AUTH, Kind.FORBIDDEN}:
            return
        if kind is Kind.SUCCESS:
            self.limited[where] = 0, self.limited.get(where, (0, -inf))[1]
        if kind in {Kind.FORBIDDEN, Kind.NOT_FOUND}:
            refused = self.refused.get(where, [])
            self.refused[where] = [*refused, kind] if refused[-1:] == [kind] else [kind]
            if len(self.refused[where]) >= 2:
                self.mark(where, Skip.AUTH if kind is Kind.FORBIDDEN else Skip.MISSING, 60.0)
        elif kind not in {Kind.GONE, Kind.LOST, Kind.DEADLINE, Kind.STOPPED, Kind.LOCAL, Kind.WITHHELD}:
            self.refused[where] = []
        if kind is Kind.QUOTA:
            self.mark(where if outcome.of_target else name, Skip.QUOTA, 600.0)
        elif kind is Kind.AUTH:
            self.mark(name, Skip.AUTH, 60.0)
        elif kind is Kind.MISSING:
            self.mark(where, Skip.MISSING, 60.0)
        elif kind is Kind.SERVER_ERROR and outcome.retry_after is not None:
            self.mark(where, Skip.WAITING, outcome.retry_after)
        elif kind in {Kind.RATE_LIMITED, Kind.LOADING}:
            row, latest = self.limited.get(where, (0, -inf))
            if ticket.started >= latest:
                row, latest = row + 1, self.now
                self.limited[where] = row, latest
            seconds = min(5.0 * 2.0 ** max(0, row - 1), 60.0) if outcome.retry_after is None else outcome.retry_after
            self.mark(where, Skip.COOLING if kind is Kind.RATE_LIMITED else Skip.WAITING, seconds)

    # What can happen.

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.1, 2.0, 5.0, 22.0, 60.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    def boundaries(self) -> list[float]:
        ends = {end for marks in self.marks.values() for _, end in marks}
        ends |= {provider.breaker.opens_until for provider in self.router.providers.values()}
        return sorted(end for end in ends if self.now < end < inf)

    @precondition(lambda self: self.boundaries())
    @rule(which=st.integers(0, 3), side=st.sampled_from([-inf, 0.0, inf]))
    def wait_for_a_boundary(self, which: int, side: float) -> None:
        ends = self.boundaries()
        end = ends[which % len(ends)]
        self.now = max(self.now, nextafter(end, side) if side else end)

    @rule(name=st.sampled_from(ROUTES), tries=st.integers(1, 3), outcome=OUTCOMES)
    def request(self, name: str, tries: int, outcome: Outcome) -> None:
        """One client request: up to three attempts, the first ones ended by `outcome`, the last left open."""
        route = self.router.resolve(name)
        assert route is not None
        tried: set[TargetState] = set()
        for number in range(tries):
            expected, why = self.model_chooses(route, tried)
            usable = route.usable(self.now, tried)
            candidate, skips = self.router.balancer.choose(route, tried, self.now)
            assert candidate is expected
            assert [skip for _, skip in skips] == why
            assert usable == (candidate is not None)
            self.seen.update(why)
            if candidate is None:
                return
            assert candidate.state not in tried
            assert self.router.balancer.choose(route, tried, self.now)[0] is candidate, "choosing costs nothing"
            self.begin(route, candidate, tried)
            tried.add(candidate.state)
            if number < tries - 1:
                self.end(len(self.tickets) - 1, outcome)

    def begin(self, route: Route, candidate: Candidate, tried: set[TargetState]) -> None:
        state = candidate.state.provider.breaker.state(self.now)
        assert state in {BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.PROBING}
        ticket = self.router.balancer.begin(route, candidate, tried, self.now)
        self.credit |= self.paid
        assert ticket.probe == (state is not BreakerState.CLOSED)
        self.tickets.append(ticket)
        self.begun[place(candidate.state)] += 1

    @precondition(lambda self: self.tickets)
    @rule(which=st.integers(0, 9), outcome=OUTCOMES)
    def end(self, which: int, outcome: Outcome) -> None:
        ticket = self.tickets.pop(which % len(self.tickets))
        provider = ticket.candidate.state.provider
        before, current = provider.breaker.state(self.now), ticket.generation == provider.breaker.generation
        self.model_marks(ticket, outcome)
        self.kinds[place(ticket.candidate.state), outcome.kind] += 1
        self.router.results.end(ticket, outcome, self.now)
        after = provider.breaker.state(self.now)
        if not current or (before is BreakerState.CLOSED and not outcome.is_failure):
            assert after is before
        if before is BreakerState.PROBING and current:
            failed = outcome.is_failure
            given_back = BreakerState.PROBING if self.probes(provider) else BreakerState.HALF_OPEN
            verdict = (
                BreakerState.OPEN if failed else BreakerState.CLOSED if outcome.kind is Kind.SUCCESS else given_back
            )
            assert after is verdict
        self.seen.add(outcome.kind)

    @rule(name=st.sampled_from(ROUTES))
    def fail_in_a_row(self, name: str) -> None:
        for _ in range(3):
            before = len(self.tickets)
            self.request(name, 1, BROKEN)
            if len(self.tickets) > before:
                self.end(before, BROKEN)

    @precondition(
        lambda self: any(p.breaker.state(self.now) is BreakerState.OPEN for p in self.router.providers.values())
    )
    @rule(outcome=st.none() | st.just(BROKEN) | OUTCOMES)
    def send_a_probe(self, outcome: Outcome | None) -> None:
        """Wait until an open breaker is due, and start its probe; end it too unless `outcome` is None."""
        providers = self.router.providers.values()
        name = next(p.name for p in providers if p.breaker.state(self.now) is BreakerState.OPEN)
        self.now = max(self.now, self.router.providers[name].breaker.opens_until)
        before = len(self.tickets)
        self.request(f"{name}/m", 1, BROKEN)
        if outcome is not None and len(self.tickets) > before:
            self.end(before, outcome)

    @precondition(lambda self: self.tickets)
    @rule(which=st.integers(0, 9))
    def commit(self, which: int) -> None:
        ticket = self.tickets[which % len(self.tickets)]
        breaker = ticket.candidate.state.provider.breaker
        before, probe = breaker.state(self.now), ticket.probe and ticket.generation == breaker.generation
        self.router.results.answered(ticket, self.now)
        assert breaker.state(self.now) is (BreakerState.CLOSED if probe else before)
        assert not ticket.probe

    @precondition(lambda self: self.tickets)
    @rule(which=st.integers(0, 9))
    def try_again(self, which: int) -> None:
        ticket = self.tickets[which % len(self.tickets)]
        target = ticket.candidate.state
        why = ticket.unusable(self.now)
        other = self.why_not(target)
        if why is None:
            mine = ticket.probe and ticket.generation == target.provider.breaker.generation
            assert other in {None, Skip.FULL} or (other is Skip.PROBING and mine)
            if not ticket.probe:
                ticket.try_again(BROKEN)
                self.retries[place(target)] += 1
        else:
            state = target.provider.breaker.state(self.now)
            # A try of before the breaker opened may not go on, though others may probe the provider, full or not.
            assert other is not Skip.FULL or (why is Skip.OPEN and state is BreakerState.PROBING)
            assert state is not BreakerState.CLOSED or other is not None

    @precondition(lambda self: self.tickets)
    @rule(which=st.integers(0, 9), seconds=st.sampled_from([0.5, 59.0]))
    def use_up_the_limit(self, which: int, seconds: float) -> None:
        ticket = self.tickets[which % len(self.tickets)]
        target = ticket.candidate.state
        listing = [r for r in map(self.router.resolve, ("v", "w")) if r and target in {c.state for c in r.candidates}]
        may = bool(listing)
        for route in listing:
            others = [c.state for c in route.candidates if c.state is not target]
            may = may and any(o.provider.breaker.closed and self.why_not(o) is None for o in others)
        before = target.cooldown.until
        self.router.results.predicted(ticket, seconds, self.now)
        if may:
            self.mark(place(target), Skip.COOLING, seconds)
        assert target.cooldown.until == (max(before, self.now + seconds) if may else before)

    @rule(name=st.none() | st.sampled_from(NAMES), move=st.sampled_from(["offline", "online", "reset", "online"]))
    def operate(self, name: str | None, move: str) -> None:
        """An operator's move, at a provider whose breaker is busy if no name is given."""
        if name is None:
            name = min(NAMES, key=lambda one: RARE.index(self.router.providers[one].breaker.state(self.now)))
        assert getattr(self.router, move)(name)
        if move == "reset":
            self.forget(name)

    @precondition(
        lambda self: any(p.breaker.state(self.now) is BreakerState.PROBING for p in self.router.providers.values())
    )
    @rule(move=st.sampled_from(["offline", "reset"]))
    def operate_while_probing(self, move: str) -> None:
        self.operate(None, move)

    def forget(self, name: str) -> None:
        self.marks.pop(name, None)
        for model in ("m", "n"):
            self.marks.pop((name, model), None)
            self.limited.pop((name, model), None)
            self.refused[name, model] = []

    @rule(new_key=st.sampled_from([None, *NAMES]), flipped=st.booleans())
    def reload(self, new_key: str | None, flipped: bool) -> None:
        if new_key is not None:
            self.keys[new_key] += "x"
            for owner in (new_key, (new_key, "m"), (new_key, "n")):
                kept = [mark for mark in self.marks.get(owner, []) if mark[0] not in {Skip.QUOTA, Skip.AUTH}]
                self.marks[owner] = kept
            for model in ("m", "n"):
                self.refused[new_key, model] = []
        self.router = Router(make_plan(self.keys, flipped), random.Random(5), self.router)
        self.credit = {}

    # What always holds.

    @invariant()
    def agrees_on_every_reason(self) -> None:
        for provider in self.router.providers.values():
            for target in provider.targets.values():
                why = target.skip(self.now)
                assert why is self.why_not(target)
                self.seen.update({why} - {None})

    @invariant()
    def counts_what_is_in_flight(self) -> None:
        for name, provider in self.router.providers.items():
            assert provider.in_flight == self.in_flight(name)

    @invariant()
    def accounts_for_every_attempt(self) -> None:
        for provider in self.router.providers.values():
            for target in provider.current_targets:
                where, totals = (provider.name, target.model), target.counters
                by_cause: Counter[Cause] = Counter()
                for (other, kind), count in self.kinds.items():
                    cause = RULES[kind].cause
                    if other == where and cause is not None:
                        by_cause[cause] += count
                running = sum(place(ticket.candidate.state) == where for ticket in self.tickets)
                assert totals.failures == by_cause
                assert totals.successes == self.kinds[where, Kind.SUCCESS]
                assert totals.lost == self.kinds[where, Kind.LOST] + self.kinds[where, Kind.WITHHELD]
                assert totals.attempts == self.begun[where] + self.retries[where]
                ended = totals.successes + totals.lost + sum(totals.failures.values())
                assert totals.attempts == ended + running + totals.retries

    @invariant()
    def probes_exactly_the_providers_that_have_a_probe_out(self) -> None:
        for provider in self.router.providers.values():
            assert (provider.breaker.state(self.now) is BreakerState.PROBING) == (self.probes(provider) > 0)

    def probes(self, provider: ProviderState) -> int:
        """How many of the provider's probes are out."""
        mine = [t for t in self.tickets if t.candidate.state.provider is provider and t.probe]
        return sum(t.generation == provider.breaker.generation for t in mine)

    @invariant()
    def knows_when_the_next_target_recovers(self) -> None:
        for name in ROUTES:
            route = self.router.resolve(name)
            assert route is not None
            soonest, states = route.recovery(self.now)
            assert (soonest == 0.0) == route.usable(self.now)
            assert soonest is None or 0 <= soonest <= 60
            for candidate, skip, left in states:
                assert skip is self.why_not(candidate.state)
                if left is None or skip in {None, Skip.PROBING, Skip.FULL}:
                    continue
                owners = (candidate.state.provider.name, place(candidate.state))
                ends = [end for owner in owners for _, end in self.marks.get(owner, [])]
                opens = candidate.state.provider.breaker.opens_until
                assert abs(self.now + left - max([*ends, opens])) < 1e-6

    def teardown(self) -> None:
        for provider in self.router.providers.values():
            self.seen.update(provider.breaker.moves)
        event(f"{len(self.tickets)} left open")


TestRouting = RoutingMachine.TestCase
TestRouting.settings = settings(stateful_step_count=50)


@pytest.mark.slow
def test_the_campaign_sees_every_reason_every_outcome_and_every_move_of_the_breaker() -> None:
    RoutingMachine.seen = set()
    many = settings(max_examples=max(200, settings().max_examples), stateful_step_count=60)
    run_state_machine_as_test(RoutingMachine, settings=many)
    moves = {(before, after) for (before, _), after in TABLE.rows.items() if before is not after}
    assert {*Skip, *Kind, *moves} - RoutingMachine.seen == set()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_over_each_full_turn_every_weight_is_met_exactly(weights: list[int], turns: int) -> None:
    providers = tuple(Provider(f"p{i}", True, "h", 443, "") for i in range(len(weights)))
    targets = tuple(Target(f"p{i}", "m", 1, weight) for i, weight in enumerate(weights))
    router = Router(Plan(providers=providers, virtual_models=(VirtualModel("v", targets),)), random.Random(0))
    route = router.resolve("v")
    assert route is not None
    for _ in range(turns):
        chosen: Counter[Candidate] = Counter()
        for _ in range(sum(weights)):
            candidate = router.balancer.choose(route, (), 0.0)[0]
            assert candidate is not None
            router.balancer.begin(route, candidate, (), 0.0)
            chosen[candidate] += 1
        assert [chosen[candidate] for candidate in route.candidates] == weights


def test_plans_of_the_machine_are_real_plans() -> None:
    plan = make_plan(dict.fromkeys(NAMES, "k"), True)
    assert msgspec.convert(msgspec.to_builtins(plan), Plan) == plan
