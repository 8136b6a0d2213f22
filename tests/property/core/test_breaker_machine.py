"""The breaker against a model that remembers whole sentences, with clocks that stop on every boundary."""

from __future__ import annotations

import random
from math import inf, nextafter
from typing import ClassVar

import pytest
from hypothesis import event, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from oxllm import plan
from oxllm.core.routing import breaker
from oxllm.core.routing.breaker import Breaker, BreakerEvent, BreakerState
from tests.support.noted import Noted

SETTINGS = plan.Breaker(failures=3, cooldown=5.0, cooldown_max=20.0)
TABLE = Noted(breaker.TABLE)


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each row that a breaker uses noted."""
    monkeypatch.setattr(breaker, "TABLE", TABLE)


class Attempt:
    """An attempt under way, as the model sees it. `void`: something has happened since that makes its result moot."""

    def __init__(self, generation: int, probe: bool) -> None:
        self.generation = generation
        self.probe = probe
        self.void = False


class BreakerMachine(RuleBasedStateMachine):
    visited: ClassVar[set[tuple[BreakerState, BreakerEvent]]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.rng = random.Random(0)
        self.breaker = Breaker(SETTINGS)
        TABLE.used.clear()
        self.under_way: list[Attempt] = []
        # The model: is it offline; till when is it shut (None: closed); the failures in a row; the doublings.
        self.offline = False
        self.shut_until: float | None = None
        self.row = 0
        self.doublings = 0
        self.closed_at = 0.0
        self.probing_since = 0.0

    def model(self) -> BreakerState:
        if self.offline:
            return BreakerState.OFFLINE
        if self.shut_until is None:
            return BreakerState.CLOSED
        if self.now < self.shut_until:
            return BreakerState.OPEN
        return BreakerState.PROBING if self.probes() else BreakerState.HALF_OPEN

    def probes(self) -> int:
        """How many are out."""
        return sum(attempt.probe and not attempt.void for attempt in self.under_way)

    def may_probe(self) -> bool:
        if self.model() is BreakerState.PROBING:
            return self.probes() < 1 << int((self.now - self.probing_since) / 2.0)
        return self.model() is BreakerState.HALF_OPEN

    def void_all(self) -> None:
        for attempt in self.under_way:
            attempt.void = True

    def model_opens(self) -> None:
        self.void_all()
        cool_off = min(5.0 * 2**self.doublings, 20.0)
        assert 0.9 * cool_off <= self.breaker.opens_until - self.now <= 1.1 * cool_off + 1e-9
        self.shut_until = self.breaker.opens_until
        self.row = 0
        self.doublings = min(self.doublings + 1, 2)

    def model_fails(self, attempt: Attempt, halves: int = 2) -> None:
        if attempt.void:
            return
        if attempt.probe:
            self.model_opens()
            return
        self.row += halves
        if self.row >= 6:
            forgotten = int((self.now - self.closed_at) // 300)
            self.doublings = max(0, self.doublings - forgotten)
            self.model_opens()

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.1, 4.5, 5.5, 11.0, 22.0, 299.9, 300.0, 601.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.shut_until is not None and self.shut_until > self.now)
    @rule(side=st.sampled_from([-inf, 0.0, inf]))
    def wait_for_the_boundary(self, side: float) -> None:
        assert self.shut_until is not None
        self.now = max(self.now, nextafter(self.shut_until, side) if side else self.shut_until)

    @precondition(lambda self: self.shut_until is None and self.closed_at > 0 and self.now < self.closed_at + 300)
    @rule(side=st.sampled_from([-1e-6, 0.0, 1e-6]))
    def wait_until_a_doubling_is_forgotten(self, side: float) -> None:
        self.now = max(self.now, self.closed_at + 300 + side)

    @rule()
    def begin(self) -> None:
        state = self.breaker.state(self.now)
        if state is BreakerState.CLOSED:
            self.under_way.append(Attempt(self.breaker.generation, probe=False))
        elif self.breaker.may_probe(self.now):
            if state is BreakerState.HALF_OPEN:
                self.probing_since = self.now
            self.under_way.append(Attempt(self.breaker.begin_probe(self.now), probe=True))

    @precondition(lambda self: not self.offline and self.shut_until is not None)
    @rule()
    def send_the_probe(self) -> None:
        assert self.shut_until is not None
        self.now = max(self.now, self.shut_until)
        self.begin()

    @precondition(lambda self: self.model() is BreakerState.OPEN)
    @rule(end=st.sampled_from(["trial", "failure", "give_back"]), late=st.booleans())
    def ask_as_a_last_resort(self, end: str, late: bool) -> None:
        """One request more goes to a flaky provider: an answer closes on trial, and nothing else moves anything."""
        assert self.shut_until is not None
        for answered in (False, True, False, True):
            self.breaker.heard(answered)
        generation = self.breaker.begin_probe(self.now)
        if late:
            self.now = self.shut_until
            assert self.breaker.state(self.now) is BreakerState.HALF_OPEN
        if end == "trial":
            self.breaker.trial(generation, self.now)
        elif end == "failure":
            self.breaker.failure(generation, self.now, self.rng)
        else:
            self.breaker.give_back(generation)
        if end == "trial" and not late:
            self.void_all()
            self.shut_until = None
            self.closed_at = self.now
            self.row = 4

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 5))
    def succeed(self, which: int) -> None:
        attempt = self.under_way.pop(which % len(self.under_way))
        self.breaker.success(attempt.generation, self.now)
        if attempt.void:
            return
        self.row = 0
        if attempt.probe:
            self.void_all()
            self.shut_until = None
            self.closed_at = self.now

    @precondition(lambda self: any(attempt.probe and not attempt.void for attempt in self.under_way))
    @rule()
    def answer_a_probe(self) -> None:
        probe = next(attempt for attempt in self.under_way if attempt.probe and not attempt.void)
        self.breaker.trial(probe.generation, self.now)
        self.void_all()
        self.shut_until = None
        self.closed_at = self.now
        self.row = 4
        self.under_way.remove(probe)
        self.under_way.append(Attempt(self.breaker.generation, probe=False))

    @precondition(lambda self: self.model() is BreakerState.CLOSED)
    @rule(row=st.integers(0, 5))
    def fail_and_be_excused(self, row: int) -> None:
        """A failure of which half is taken back, whether it has opened the breaker or not."""
        while self.row < row:
            self.breaker.failure(self.breaker.generation, self.now, self.rng, 1)
            self.row += 1
        generation = self.breaker.generation
        self.breaker.failure(generation, self.now, self.rng)
        opened = self.row + 2 >= 6
        assert (self.breaker.state(self.now) is BreakerState.OPEN) == opened
        self.breaker.excuse(generation)
        self.row += 1
        if opened:
            self.doublings = max(0, self.doublings - int((self.now - self.closed_at) // 300))
            self.void_all()
        if self.row == 6:
            self.model_opens()

    @precondition(lambda self: any(attempt.probe for attempt in self.under_way))
    @rule(seconds=st.sampled_from([1.9, 2.0, 4.0]))
    def more_may_probe(self, seconds: float) -> None:
        self.now += seconds
        while (
            self.probes() < 5
            and self.breaker.state(self.now) is BreakerState.PROBING
            and self.breaker.may_probe(self.now)
        ):
            self.begin()

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 5), halves=st.sampled_from([1, 2, 2]))
    def fail(self, which: int, halves: int = 2) -> None:
        attempt = self.under_way.pop(which % len(self.under_way))
        self.breaker.failure(attempt.generation, self.now, self.rng, halves)
        self.model_fails(attempt, halves)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 5))
    def say_nothing(self, which: int) -> None:
        attempt = self.under_way.pop(which % len(self.under_way))
        if attempt.probe:
            self.breaker.give_back(attempt.generation)

    @rule(count=st.integers(1, 4))
    def fail_in_a_row(self, count: int) -> None:
        for _ in range(count):
            if self.model() is BreakerState.CLOSED:
                self.under_way.append(Attempt(self.breaker.generation, probe=False))
                self.fail(len(self.under_way) - 1)

    @rule(move=st.sampled_from(["offline", "online", "reset"]), unless=st.integers(0, 2))
    def operate(self, move: str, unless: int) -> None:
        if unless and move != "online":  # an operator who acts at every turn lets nothing else happen
            return
        getattr(self.breaker, move)()
        if move == "offline":
            self.void_all()
            self.offline = True
        elif move == "reset":
            self.forget()
        elif self.offline:
            self.offline = False
            self.forget()

    @precondition(lambda self: any(attempt.probe and not attempt.void for attempt in self.under_way))
    @rule(move=st.sampled_from(["offline", "reset"]))
    def operate_while_probing(self, move: str) -> None:
        self.operate(move, 0)

    @precondition(lambda self: self.model() is BreakerState.OPEN)
    @rule(move=st.sampled_from(["offline", "reset"]))
    def operate_while_half_open(self, move: str) -> None:
        assert self.shut_until is not None
        self.now = self.shut_until
        assert self.breaker.state(self.now) is BreakerState.HALF_OPEN
        self.operate(move, 0)

    def forget(self) -> None:
        self.void_all()
        self.shut_until = None
        self.row = self.doublings = 0

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert self.breaker.state(self.now) is self.model()
        assert self.breaker.closed == (self.model() is BreakerState.CLOSED)
        if self.model() is BreakerState.CLOSED:
            assert self.breaker.halves == self.row
        assert self.breaker.may_probe(self.now) == self.may_probe()

    @invariant()
    def holds_a_current_generation_exactly_by_what_still_counts(self) -> None:
        for attempt in self.under_way:
            assert attempt.void == (attempt.generation != self.breaker.generation)

    def teardown(self) -> None:
        type(self).visited |= TABLE.used
        event(f"{len(TABLE.used)} rows")
        target(float(len(TABLE.used)), label="rows of the table used")


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(stateful_step_count=60)


@pytest.mark.slow
def test_the_campaign_uses_every_row_of_the_table() -> None:
    BreakerMachine.visited = set()
    many = settings(max_examples=max(300, settings().max_examples), stateful_step_count=100)
    run_state_machine_as_test(BreakerMachine, settings=many)
    assert BreakerMachine.visited == set(TABLE.rows)
