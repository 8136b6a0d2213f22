"""Marks against a model that keeps every mark ever set and looks through all of them."""

from __future__ import annotations

from math import inf, nextafter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oxllm.core.routing.cooldown import MARKS, Cooldown, Skip

HINTS = st.sampled_from([0.001, 1.0, 5.0, 59.999, 60.0, 600.0, 3600.0])


class CooldownMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 50.0
        self.cooldown = Cooldown()
        self.ever: list[tuple[Skip, float]] = []
        self.episodes = 0
        self.latest_429 = -inf
        self.refusals: list[Skip] = []

    def set(self, mark: Skip, seconds: float) -> None:
        self.ever.append((mark, self.now + seconds))

    @rule(seconds=st.sampled_from([0.0, 0.001, 1.0, 5.0, 60.0, 600.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: any(end > self.now for _, end in self.ever))
    @rule(which=st.integers(0, 9), side=st.sampled_from([-inf, 0.0, inf]))
    def wait_for_a_boundary(self, which: int, side: float) -> None:
        ends = sorted(end for _, end in self.ever if end > self.now)
        end = ends[which % len(ends)]
        self.now = max(self.now, nextafter(end, side) if side else end)

    @rule(mark=st.sampled_from([(Skip.QUOTA, 600.0), (Skip.AUTH, 60.0), (Skip.MISSING, 60.0)]))
    def mark(self, mark: tuple[Skip, float]) -> None:
        self.cooldown.mark(mark[0], self.now)
        self.set(*mark)

    @rule(seconds=HINTS)
    def wait_was_asked(self, seconds: float) -> None:
        self.cooldown.mark(Skip.WAITING, self.now, seconds)
        self.set(Skip.WAITING, seconds)

    @rule(
        hint=st.none() | HINTS,
        ago=st.sampled_from([0.0, 0.5, 30.0]),
        mark=st.sampled_from([Skip.COOLING, Skip.COOLING, Skip.WAITING]),
    )
    def rate_limited(self, hint: float | None, ago: float, mark: Skip) -> None:
        started = self.now - ago
        if started >= self.latest_429:
            self.episodes += 1
            self.latest_429 = self.now
        self.cooldown.rate_limited(hint, started, self.now, mark)
        self.set(mark, min(5.0 * 2.0 ** max(0, self.episodes - 1), 60.0) if hint is None else hint)

    @rule(marks=st.lists(st.sampled_from([Skip.AUTH, Skip.MISSING]), min_size=1, max_size=3))
    def refused(self, marks: list[Skip]) -> None:
        for mark in marks:
            self.refusals = [*self.refusals, mark] if self.refusals[-1:] == [mark] else [mark]
            self.cooldown.refused(mark, self.now)
            if len(self.refusals) >= 2:
                self.set(mark, 60.0)

    @rule()
    def allowed(self) -> None:
        self.cooldown.allowed()
        self.refusals = []

    @rule()
    def succeed(self) -> None:
        self.cooldown.succeeded()
        self.episodes = 0
        self.refusals = []

    @rule()
    def change_the_key(self) -> None:
        self.cooldown.key_changed()
        self.ever = [(mark, end) for mark, end in self.ever if mark not in {Skip.QUOTA, Skip.AUTH}]
        self.refusals = []

    @rule()
    def clear(self) -> None:
        self.cooldown.clear()
        self.ever = []
        self.episodes = 0
        self.refusals = []
        self.latest_429 = -inf

    @invariant()
    def agrees_with_the_model(self) -> None:
        in_force = [mark for mark in MARKS if any(m is mark and end > self.now for m, end in self.ever)]
        assert self.cooldown.blocked(self.now) is (in_force[0] if in_force else None)
        assert self.cooldown.until == max((end for _, end in self.ever), default=-inf)


TestCooldown = CooldownMachine.TestCase
TestCooldown.settings = settings(stateful_step_count=50)
