"""The budgets against models that remember every entry and add them all up each time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oxllm.core.budget import HELD_FREE, RESERVE, STEP, BodyBudget, BodyHolder, HeldBudget, RetryBudget


class RetryMachine(RuleBasedStateMachine):
    share = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.budget = RetryBudget(self.share)
        self.requests: list[float] = []
        self.extras: list[float] = []

    def since(self, moments: list[float], seconds: float) -> int:
        return sum(moment > self.now - seconds for moment in moments)

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.1, 0.9, 5.0, 9.9, 10.0, 10.1, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)

    @rule(count=st.sampled_from([1, 3, 12, 40]))
    def request(self, count: int) -> None:
        for _ in range(count):
            self.budget.request(self.now)
            self.requests.append(self.now)

    @rule(count=st.integers(1, 12))
    def spend(self, count: int) -> None:
        for _ in range(count):
            at_least = max(3, int(self.share * self.since(self.requests, 10.0)))
            at_most = max(3, int(self.share * self.since(self.requests, 10.11)))
            granted = self.budget.spend(self.now)
            if granted:
                self.extras.append(self.now)
                assert self.since(self.extras, 10.0) <= at_most
            else:
                assert self.since(self.extras, 10.11) >= at_least


TestRetryBudget = RetryMachine.TestCase
TestRetryBudget.settings = settings(stateful_step_count=50)


class Body:
    def __init__(self, number: int) -> None:
        self.number = number

    def room(self) -> None: ...


class BodyMachine(RuleBasedStateMachine):
    """The model: (body, granted, asked for) in order of age."""

    limit = RESERVE + 8 * STEP

    def __init__(self) -> None:
        super().__init__()
        self.budget = BodyBudget(self.limit)
        self.line: list[list[int]] = []
        self.bodies: dict[int, Body] = {}
        self.count = 0

    def fits(self, body: list[int], size: int) -> bool:
        others = [entry[1] for entry in self.line if entry is not body]
        large = sum(held for held in others if held > STEP)
        if sum(others) + size > self.limit:
            return False
        return size <= STEP or large == 0 or large + size <= self.limit - RESERVE

    def model_serves(self) -> list[int]:
        granted = []
        stopped = False
        for entry in self.line:
            asked = entry[2]
            if not asked:
                continue
            if not (stopped and asked > STEP) and self.fits(entry, asked):
                entry[1:] = asked, 0
                granted.append(entry[0])
            elif asked > STEP:
                stopped = True
        return granted

    def numbers(self, holders: list[BodyHolder]) -> list[int]:
        return [holder.number for holder in holders if isinstance(holder, Body)]

    @rule(steps=st.integers(1, 30), odd=st.booleans())
    def arrive(self, steps: int, odd: bool) -> None:
        self.count += 1
        self.bodies[self.count] = Body(self.count)
        self.line.append([self.count, 0, 0])
        self.grow(len(self.line) - 1, steps, odd)

    @precondition(lambda self: self.line)
    @rule(which=st.integers(0, 20), steps=st.integers(0, 8), odd=st.booleans())
    def grow(self, which: int, steps: int, odd: bool) -> None:
        entry = self.line[which % len(self.line)]
        if entry[2] or entry[1] % STEP:
            return  # it waits, or it is whole
        size = min(entry[1] + steps * STEP, self.limit)
        granted = self.budget.take(self.bodies[entry[0]], max(size - odd, 0))
        if size > entry[1]:
            entry[2] = size
            self.model_serves()
        assert granted == (entry[2] == 0)

    @precondition(lambda self: self.line)
    @rule(which=st.integers(0, 20), size=st.integers(0, 4 * STEP))
    def settle(self, which: int, size: int) -> None:
        entry = self.line[which % len(self.line)]
        if entry[2]:
            return  # it waits for more, so it is not whole
        granted = self.numbers(list(self.budget.settle(self.bodies[entry[0]], size)))
        grain = 1024 if size <= STEP else STEP
        entry[1] = min(entry[1], (size + grain - 1) // grain * grain)
        assert granted == self.model_serves()

    @precondition(lambda self: self.line)
    @rule(which=st.integers(0, 20))
    def leave(self, which: int) -> None:
        entry = self.line.pop(which % len(self.line))
        granted = self.numbers(list(self.budget.release(self.bodies.pop(entry[0]))))
        assert granted == self.model_serves()

    @rule()
    def break_a_deadlock(self) -> None:
        stuck = all(asked for _, held, asked in self.line if held)
        youngest = next((number for number, held, asked in reversed(self.line) if held and asked), None)
        loser = self.budget.deadlocked()
        assert (loser.number if isinstance(loser, Body) else None) == (youngest if stuck else None)
        if isinstance(loser, Body):
            self.leave(next(i for i, entry in enumerate(self.line) if entry[0] == loser.number))

    @invariant()
    def adds_up_within_the_bound(self) -> None:
        assert self.budget.total == sum(held for _, held, _ in self.line) <= self.limit
        assert self.budget.waiting == sum(bool(asked) for _, _, asked in self.line)

    @invariant()
    def lets_no_body_wait_for_nobody(self) -> None:
        if any(asked for _, _, asked in self.line):
            assert any(held for _, held, _ in self.line)


TestBodyBudget = BodyMachine.TestCase
TestBodyBudget.settings = settings(stateful_step_count=50)


class HeldMachine(RuleBasedStateMachine):
    limit = 10_000

    def __init__(self) -> None:
        super().__init__()
        self.budget: HeldBudget[int] = HeldBudget(self.limit)
        self.held: dict[int, int] = {}
        self.line: list[tuple[int, int]] = []

    def fits(self, holder: int, size: int) -> bool:
        return sum(self.held.values()) + size <= self.limit or self.held.get(holder, 0) + size <= HELD_FREE

    def model_serves(self) -> list[int]:
        granted = []
        while self.line and self.fits(*self.line[0]):
            holder, size = self.line.pop(0)
            self.held[holder] = self.held.get(holder, 0) + size
            granted.append(holder)
        return granted

    @rule(holder=st.integers(0, 7), size=st.sampled_from([1, 500, 1024, 1025, 3000, 9000]))
    def take(self, holder: int, size: int) -> None:
        if any(waiting == holder for waiting, _ in self.line):
            return
        may = (not self.line or self.held.get(holder, 0) + size <= HELD_FREE) and self.fits(holder, size)
        assert self.budget.take(holder, size) == may
        if may:
            self.held[holder] = self.held.get(holder, 0) + size
        else:
            self.line.append((holder, size))

    @precondition(lambda self: any(self.held.values()))
    @rule(which=st.integers(0, 7), share=st.sampled_from([0.0, 0.5, 1.0]))
    def give(self, which: int, share: float) -> None:
        holders = sorted(holder for holder in self.held if self.held[holder])
        holder = holders[which % len(holders)]
        size = max(1, int(self.held[holder] * share))
        self.held[holder] -= size
        assert list(self.budget.give(holder, size)) == self.model_serves()

    @rule(holder=st.integers(0, 7))
    def drop(self, holder: int) -> None:
        self.held.pop(holder, None)
        self.line = [entry for entry in self.line if entry[0] != holder]
        assert list(self.budget.drop(holder)) == self.model_serves()

    @invariant()
    def adds_up(self) -> None:
        assert self.budget.total == sum(self.held.values())
        assert self.budget.total <= self.limit + HELD_FREE * 8
        largest = self.budget.largest()
        assert (self.held[largest] if largest is not None else 0) == max(self.held.values(), default=0)


TestHeldBudget = HeldMachine.TestCase
TestHeldBudget.settings = settings(stateful_step_count=50)
