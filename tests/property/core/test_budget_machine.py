"""The budgets against models that remember every entry and add them all up each time."""

from __future__ import annotations

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oxllm.core.budget import HELD_FREE, RESERVE, STEP, BodyBudget, BodyHolder, HeldBudget, HeldHolder, RetryBudget


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


class Stream(HeldHolder):
    """A stream: events of any size, a client that takes them now or later."""

    def __init__(self, machine: HeldMachine) -> None:
        self.machine = machine
        self.partial = self.ready = 0
        self.event = 0
        """Size of the event that comes."""
        self.holds_back = False
        self.stopped = False
        self.client = Waiting()

    def measure(self) -> int:
        return self.partial + self.ready

    def commit_early(self) -> None:
        self.holds_back = False
        self.pass_on()
        self.machine.budget.hold(self, self.measure())

    def stop(self) -> None:
        self.stopped = True

    def go_on(self) -> None:
        self.stopped = False

    def pass_on(self) -> None:
        self.client.unsent += self.ready
        self.ready = 0
        self.machine.budget.hold(self.client, self.client.unsent)

    def read(self, most: int) -> int:
        """One read. Returns how much it brought."""
        budget = self.machine.budget
        if self.stopped or (self.client.unsent > HELD_FREE and budget.full):
            return 0
        room = budget.room(self, self.measure() + self.client.unsent) if budget.full else READ
        size = min(room, most, self.event - self.partial)
        self.partial += size
        if self.partial == self.event:
            self.ready, self.partial, self.event = self.ready + self.event, 0, 0
        if not self.holds_back:
            self.pass_on()
        budget.grew(self, self.measure(), self.holds_back and self.ready > 0)
        return size


class Waiting(HeldHolder):
    """What waits for a client."""

    def __init__(self) -> None:
        self.unsent = 0

    def measure(self) -> int:
        return self.unsent


READ = 2000
EVENT = 9000


class HeldMachine(RuleBasedStateMachine):
    """Streams over a budget: whatever they do, the sum stays in its bound, and all of them come to their end."""

    limit = 23_000

    def __init__(self) -> None:
        super().__init__()
        self.budget = HeldBudget(self.limit, EVENT + 2 * READ, READ)
        self.streams: list[Stream] = []

    @precondition(lambda self: len(self.streams) < 20)
    @rule(
        count=st.sampled_from([1, 3, 6]),
        size=st.sampled_from([1, 500, HELD_FREE, HELD_FREE + 1, 3000, EVENT, EVENT]),
        holds_back=st.booleans(),
    )
    def begin(self, count: int, size: int, holds_back: bool) -> None:
        for _ in range(count):
            stream = Stream(self)
            stream.event, stream.holds_back = size, holds_back
            self.streams.append(stream)

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 50), most=st.sampled_from([1, 700, READ, READ, READ]), times=st.integers(1, 4))
    def read(self, which: int, most: int, times: int) -> None:
        stream = self.streams[which % len(self.streams)]
        for _ in range(times):
            if not stream.event and stream.measure() < EVENT:
                stream.event = 1 + which * 400
            stream.read(most)

    @rule(most=st.sampled_from([100, HELD_FREE, READ, READ]), times=st.integers(1, 3))
    def all_read(self, most: int, times: int) -> None:
        for stream in self.streams * times:
            stream.read(most)

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 50), size=st.sampled_from([1, 1000, EVENT]), told=st.booleans())
    def client_takes(self, which: int, size: int, told: bool) -> None:
        client = self.streams[which % len(self.streams)].client
        client.unsent -= min(size, client.unsent)
        if told:
            self.budget.hold(client, client.unsent)

    @precondition(lambda self: self.streams)
    @rule(which=st.integers(0, 50))
    def leave(self, which: int) -> None:
        stream = self.streams.pop(which % len(self.streams))
        self.budget.drop(stream)
        self.budget.drop(stream.client)

    @rule()
    def look(self) -> None:
        self.budget.look()

    @invariant()
    def adds_up_within_the_bound(self) -> None:
        sizes = [size for stream in self.streams for size in (stream.measure(), stream.client.unsent)]
        assert sum(sizes) <= self.limit + HELD_FREE * len(self.streams)
        assert self.budget.full == (self.budget.total > self.budget.mark)

    @invariant()
    def nobody_waits_for_nobody(self) -> None:
        if any(stream.stopped for stream in self.streams):
            assert any(s.client.unsent or (s.measure() > HELD_FREE and not s.stopped) for s in self.streams)

    def teardown(self) -> None:
        event(f"somebody waited: {any(stream.stopped for stream in self.streams)}")
        self.come_to_an_end()

    def come_to_an_end(self) -> None:
        """Once the clients take what there is, every event comes through."""
        rounds = 0
        while any(stream.event or stream.stopped for stream in self.streams):
            rounds += 1
            assert rounds < 1000
            for stream in self.streams:
                stream.holds_back = stream.holds_back and stream.event > 0
                stream.client.unsent = 0
                stream.read(READ)
            self.budget.look()
        for stream in self.streams:
            self.budget.drop(stream)
            self.budget.drop(stream.client)
        assert (self.budget.total, self.budget.full, self.budget.contended) == (0, False, False)


TestHeldBudget = HeldMachine.TestCase
TestHeldBudget.settings = settings(stateful_step_count=50)
