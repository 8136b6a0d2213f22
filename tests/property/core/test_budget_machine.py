"""The budgets against models that remember every entry and add them all up each time."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oxllm.core.budget.answers import HELD_FREE, HeldBudget
from oxllm.core.budget.bodies import EARLY_SHARE, GRAIN, HEADS_FREE, RESERVE, STEP, BodyBudget, BodyHolder
from oxllm.core.budget.readers import HeldHolder
from oxllm.core.budget.retry import RetryBudget


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


HEAD = 3000
"""Bytes of a head."""
CAME_MAX = 16 * 1024
"""Bytes of a body that come along with it, at most."""


class Body:
    """A client that sends a body. `arrived` bytes of it have been let in."""

    def __init__(self, number: int, size: int, declared: bool) -> None:
        self.number = number
        self.size = size
        self.declared = declared
        self.arrived = 0
        self.counts = 0
        """As so many bytes, in whole steps."""
        self.waits = False
        self.early = 0
        """So many bytes of it, and of its head, had come when there was no room."""

    def granted(self) -> None: ...

    def count(self, size: int) -> int:
        grain = GRAIN if size <= STEP else STEP
        return (size + grain - 1) // grain * grain

    @property
    def whole(self) -> bool:
        return self.arrived == self.size

    def wants(self) -> int:
        return min(self.arrived + STEP, self.size) if self.declared else self.arrived + STEP


class BodyMachine(RuleBasedStateMachine):
    """Clients that send bodies, some slowly: no bound is passed, nobody waits for nobody, and all get done."""

    limit = RESERVE + 16 * STEP

    def __init__(self) -> None:
        super().__init__()
        self.budget = BodyBudget(self.limit)
        self.bodies: list[Body] = []
        self.count = 0
        self.lapsed = False

    def told(self, granted: Sequence[BodyHolder]) -> None:
        for body in granted:
            assert isinstance(body, Body)
            assert body.waits
            body.waits = False
            self.came(body)

    def came(self, body: Body) -> None:
        """What was asked for has been granted, and comes."""
        body.counts = max(body.counts, body.count(body.wants()))
        body.arrived = min(body.arrived + STEP, body.size)
        if body.whole and not body.declared:
            body.counts = min(body.counts, body.count(body.size))
            self.told(self.budget.settle(body, body.size))

    def send(self, body: Body) -> None:
        if not body.waits and not body.whole:
            body.waits = not self.budget.admit(body, body.wants(), body.size if body.declared else None)
            if not body.waits:
                self.came(body)

    def leave(self, body: Body) -> None:
        self.bodies.remove(body)
        self.told(self.budget.release(body, HEAD))

    def early(self) -> int:
        """Bytes that wait though there was no room for them."""
        return sum(body.early for body in self.bodies if body.waits)

    def untie(self) -> None:
        while (victim := self.budget.deadlocked()) is not None:
            assert isinstance(victim, Body)
            squeezed = self.budget.heads > HEADS_FREE  # those that came after it have taken a promised body's room
            assert squeezed or any(not body.declared for body in self.bodies), "declared ones never wait for each other"
            self.leave(victim)

    @rule(count=st.integers(1, 5), size=st.sampled_from([1, 5000, STEP, 3, 8, 10, 14, 17, 32]), declared=st.booleans())
    def arrive(self, count: int, size: int, declared: bool) -> None:
        for _ in range(count):
            self.count += 1
            body = Body(self.count, size * STEP - 5 if size < 50 else size, declared)
            came = min(body.size, CAME_MAX)
            full = self.budget.total + self.budget.heads + HEAD > self.limit
            too_much = full and self.early() + HEAD + came > self.limit // EARLY_SHARE
            assert self.budget.admit_head(body, HEAD, came) is not too_much
            if not too_much:
                body.early = HEAD + came if full else 0
                self.bodies.append(body)
                self.send(body)
        self.untie()

    @precondition(lambda self: self.bodies)
    @rule(which=st.integers(0, 20), times=st.integers(1, 8))
    def grow(self, which: int, times: int) -> None:
        for _ in range(times):
            self.send(self.bodies[which % len(self.bodies)])
        self.untie()

    @rule(times=st.integers(1, 12), slowly=st.booleans())
    def all_grow(self, times: int, slowly: bool) -> None:
        self.lapsed = self.lapsed or slowly
        for body in self.bodies * times:
            if body in self.bodies:
                self.send(body)
                if slowly:
                    self.told(self.budget.lapse(body))
        self.untie()

    @precondition(lambda self: self.bodies)
    @rule(which=st.integers(0, 20))
    def is_slow(self, which: int) -> None:
        self.lapsed = True
        self.told(self.budget.lapse(self.bodies[which % len(self.bodies)]))
        self.untie()

    @precondition(lambda self: self.bodies)
    @rule(which=st.integers(0, 20))
    def is_done_or_gives_up(self, which: int) -> None:
        self.leave(self.bodies[which % len(self.bodies)])
        self.untie()

    @rule(steps=st.integers(0, 8))
    def the_bound_is_raised(self, steps: int) -> None:
        self.limit = max(self.limit, BodyMachine.limit + steps * STEP)
        self.told(self.budget.resize(self.limit))

    @invariant()
    def adds_up_within_the_bound(self) -> None:
        assert self.budget.total == sum(body.counts for body in self.bodies) <= self.limit
        assert self.budget.waiting == sum(body.waits for body in self.bodies)
        assert self.budget.heads == HEAD * len(self.bodies)
        assert self.early() <= self.limit // EARLY_SHARE
        assert all(body.counts >= body.arrived for body in self.bodies)

    @invariant()
    def small_bodies_flow_through_their_reserve(self) -> None:
        small = [body for body in self.bodies if body.declared and body.size <= STEP]
        giant = any(body.size > self.limit - RESERVE for body in self.bodies)
        if not giant and len([body for body in self.bodies if body.arrived and not body.declared]) == 0:
            assert sum(not body.waits for body in small) >= min(len(small), RESERVE // STEP)

    @invariant()
    def without_slow_ones_they_begin_in_order(self) -> None:
        large = [body for body in self.bodies if body.declared and body.size > STEP]
        if not self.lapsed:
            begun = [body.arrived > 0 for body in large]
            assert begun == sorted(begun, reverse=True)

    def teardown(self) -> None:
        """Whoever is served lets go, and so all of them are, but for chunked ones that had to give way."""
        event(f"somebody waited: {any(body.waits for body in self.bodies)}")
        rounds = 0
        while self.bodies:
            rounds += 1
            assert rounds < 2000
            for body in list(self.bodies):
                if body.whole:
                    self.leave(body)
                elif body in self.bodies:
                    self.send(body)
            self.untie()
        assert (self.budget.total, self.budget.heads, self.budget.waiting) == (0, 0, 0)


TestBodyBudget = BodyMachine.TestCase
TestBodyBudget.settings = settings(stateful_step_count=40)


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

    def pause(self) -> None:
        self.stopped = True

    def resume(self) -> None:
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
        room = budget.room(self, self.measure() + self.client.unsent) if budget.tight else READ
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
                stream.event = min(EVENT, 1 + which * 400)
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
        assert self.budget.tight == (self.budget.full or any(stream.stopped for stream in self.streams))

    @invariant()
    def nobody_waits_for_nobody(self) -> None:
        if any(stream.stopped for stream in self.streams):
            assert self.budget.contended, "so it is looked at from time to time"
            sizes = [size for stream in self.streams for size in (stream.measure(), stream.client.unsent)]
            untold = self.budget.total > sum(size for size in sizes if size > HELD_FREE)
            # A client has taken something, and nobody has looked yet.
            assert untold or any(s.client.unsent or (s.measure() > HELD_FREE and not s.stopped) for s in self.streams)

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
