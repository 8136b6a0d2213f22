"""The exchange against a model that keeps every clock in a plain list and walks through all of it each time.

The model knows three targets in tiers, whose marks it reads off the real router, and predicts after each event who
has been asked, who is still read, and every byte that the client has.
"""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import event, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oxllm import plan as plans
from oxllm.cli.built import built
from oxllm.core.reading.outcome import Failure
from oxllm.core.request import attempt, exchange
from oxllm.core.request.phases import TABLE as PHASES
from oxllm.core.request.stages import TABLE, Stage
from oxllm.core.routing.cooldown import Skip
from tests.support.by_hand import JSON, PING, Drive, error_body, make_plan
from tests.support.chat_bytes import DONE, FINISH, ROLE, token
from tests.support.noted import Noted

NAMES = ("alpha", "beta", "gamma")
TIMES = plans.Timeouts(connect=5.0, first_byte=20.0, answer=30.0, idle=15.0)
HOLDS = (plans.HoldBack(), plans.HoldBack(tokens=3), plans.HoldBack(seconds=0.8), plans.HoldBack(full=True))
GARBAGE = b"data: {oops\n\n"
SMALL = 1e-9


class Asked:
    """The model's view of one attempt at a stream."""

    def __init__(self, name: str, now: float, deadline: float, hedge: float | None) -> None:
        self.name = name
        self.clock = now + TIMES.connect
        self.share = now + (deadline - now) / 2
        self.hedge = inf if hedge is None else now + hedge
        self.connected = self.headed = self.complete = self.draining = False
        self.status = 0
        self.held: list[bytes] = []
        self.tokens = 0
        self.content_at: float | None = None


class ExchangeMachine(RuleBasedStateMachine):
    @initialize(
        hold=st.sampled_from(HOLDS),
        hedge=st.sampled_from([None, None, 4.0]),
        timeout=st.sampled_from([None, None, 12.0, 3.0]),
        most=st.sampled_from([1, 3, 6, 6]),
        same=st.sampled_from([1, 1, 2, 0]),
        broke=st.sampled_from([False, False, True]),
        offline=st.sets(st.sampled_from(NAMES)),
    )
    def begin(
        self,
        hold: plans.HoldBack,
        hedge: float | None,
        timeout: float | None,
        most: int,
        same: int,
        broke: bool,
        offline: set[str],
    ) -> None:
        targets = [plans.Target(name, "big-1", tier, 1, TIMES) for tier, name in enumerate(NAMES, 1)]
        retry = plans.Retry(same, most)
        plan = make_plan(*targets, hold_back=hold, hedge_after=hedge, request=100.0, retry=retry)
        self.drive = Drive(plan=plan, timeout=timeout)
        self.extras = [self.drive.now] * 3 if broke else []
        for name in offline if len(offline) < 3 or hedge else ():
            self.drive.router.offline(name)
        while broke and self.drive.budget.spend(self.drive.now):
            pass
        self.hold, self.hedge, self.most, self.same = hold, hedge, most, same
        now = self.drive.now
        self.deadline = now + min(100.0, timeout or 100.0)
        self.ping_at = now + 10.0
        self.asked: list[str] = []
        self.withheld = 0
        self.running: list[Asked] = []
        self.again: tuple[str, float] | None = None
        self.repeats: dict[str, int] = {}
        self.body = b""
        self.pinged = self.refused = False
        self.committed: Asked | None = None
        self.over: str | None = None
        self.drive.start()
        self.next(now)

    # The model.

    @property
    def spent(self) -> int:
        """Of `most` attempts: those that were not withheld."""
        return len(self.asked) - self.withheld

    def usable(self) -> str | None:
        """The first target not asked and not marked, while attempts and time are left."""
        if self.spent >= self.most or self.drive.now >= self.deadline:
            return None
        for name in NAMES:
            state = self.drive.router.providers[name].target("big-1")
            if name not in self.asked and state.skip(self.drive.now) is None:
                return name
        return None

    def affordable(self) -> bool:
        """Of three extra attempts in ten seconds, counted in tenths, one is left."""
        return sum(int(self.drive.now * 10) - int(at * 10) <= 100 for at in self.extras) < 3

    def ask(self, name: str, now: float) -> None:
        self.asked.append(name)
        self.running.append(Asked(name, now, self.deadline, self.hedge))

    def next(self, now: float) -> None:
        name = None if self.refused else self.usable()
        if name is not None:
            self.ask(name, now)
        elif not self.running:
            self.over = "break" if self.pinged else "answer"

    def lose(self, one: Asked, now: float, same: bool = False) -> None:
        """An attempt failed."""
        if one is self.committed:
            self.running.remove(one)
            self.over = "break"
            return
        if (
            same
            and self.running == [one]
            and not self.refused
            and self.repeats.get(one.name, 0) < self.same
            and self.spent < self.most
            and now + 0.15 < self.deadline
            and not self.marked(one.name)
            and self.affordable()
        ):
            self.extras.append(now)
            self.repeats[one.name] = self.repeats.get(one.name, 0) + 1
            self.running.clear()
            at = now + self.drive.chance.last
            assert 0.05 - SMALL <= at - now <= 0.15 + SMALL
            self.again = one.name, at
            return
        self.running.remove(one)
        self.next(now)

    def hear(self, one: Asked, events: tuple[bytes, ...], now: float) -> None:
        """Events of a stream came in one read."""
        if one.draining:
            return
        news = b""
        broken = ended = False
        for data in events:
            if data in (DONE, GARBAGE):
                broken, ended = not one.complete, one.complete
                break
            news += data
            one.complete = one.complete or data == FINISH
            one.tokens += data != ROLE
        if one is self.committed:
            self.body += news
            one.clock = now + TIMES.idle
        else:
            one.held.append(news)
        if one.tokens and one.content_at is None:
            one.content_at = now
        if broken:
            if one is not self.committed and one.tokens and self.held_enough(one, now):
                self.commit(one)
            self.lose(one, now)
            return
        if one is not self.committed and one.tokens:
            one.clock = now + TIMES.idle
            if self.held_enough(one, now):
                self.commit(one)
        if one.complete:
            one.clock = now + 2.0
            if ended:
                self.body += DONE
                self.over, one.draining = "end", True

    def held_enough(self, one: Asked, now: float) -> bool:
        if one.complete:
            return True
        if self.hold.full or one.content_at is None:
            return False
        if self.hold.seconds:
            return now >= one.content_at + self.hold.seconds
        return one.tokens >= self.hold.tokens

    def commit(self, one: Asked) -> None:
        self.committed = one
        self.running = [one]
        self.body += b"".join(one.held)

    def finish(self, one: Asked) -> None:
        """The body of a stream ended with its framing intact."""
        self.running.remove(one)
        if not one.draining:
            self.body += DONE
            self.over = "end"

    def due(self) -> float:
        """The next moment at which something happens by itself."""
        times = [one.clock for one in self.running]
        if self.over is None and self.committed is None:
            times += [self.deadline, self.ping_at]
            times += [self.again[1]] if self.again else []
            for one in self.running:
                times += [one.share, one.hedge]
                if self.hold.seconds and one.content_at is not None:
                    times.append(one.content_at + self.hold.seconds)
        return min(times, default=inf)

    def look(self, now: float) -> None:
        """What is due, in the order in which it goes before other things."""
        for one in [one for one in self.running if one.clock <= now]:
            if one.draining:
                self.running.remove(one)
            elif one.complete:
                self.finish(one)
            else:
                self.lose(one, now)
        if self.over is not None or self.committed is not None:
            return
        if now >= self.deadline:
            self.running.clear()
            self.again = None
            self.over = "break" if self.pinged else "answer"
            return
        if self.again is not None and self.again[1] <= now:
            name, self.again = self.again[0], None
            if self.marked(name):
                self.next(now)
            else:
                self.ask(name, now)
        if self.look_at_each(now):
            return
        if self.ping_at <= now and self.over is None:
            self.ping_at = now + 10.0
            self.pinged = True
            self.body += PING

    def look_at_each(self, now: float) -> bool:
        """Shares, hedges and hold-backs; True if one of them committed."""
        for one in list(self.running):
            if one.share <= now or one.hedge <= now:
                one.share = inf if one.share <= now else one.share
                one.hedge = inf if one.hedge <= now else one.hedge
                alone = len(self.running) == 1 and not self.refused
                if alone and one.content_at is None and self.usable() and self.affordable():
                    self.extras.append(now)
                    self.next(now)
            elif one.content_at is not None and self.held_enough(one, now):
                self.commit(one)
                return True
        return False

    def marked(self, name: str) -> bool:
        return self.skip(name) not in (None, Skip.FULL)

    def skip(self, name: str) -> Skip | None:
        """Why a target is passed over now."""
        return self.drive.router.providers[name].target("big-1").skip(self.drive.now)

    # The rules.

    def pick(self, which: int) -> Asked:
        return self.running[which % len(self.running)]

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 1))
    def connects(self, which: int) -> None:
        one = self.pick(which)
        if not one.connected and not one.headed:
            self.drive.connect(one.name)
            one.connected = True
            one.clock = self.drive.now + TIMES.first_byte

    @precondition(lambda self: any(one.connected and not one.headed for one in self.running))
    @rule()
    def connects_anew(self) -> None:
        one = next(one for one in self.running if one.connected and not one.headed)
        guessed = self.skip(one.name) is Skip.OPEN
        withheld = self.marked(one.name) and (not guessed or self.usable() is not None)
        self.drive.reconnect(one.name)
        if withheld:
            self.withheld += 1
            self.lose(one, self.drive.now)
            return
        one.connected = False
        one.clock = self.drive.now + TIMES.connect

    def headed(self, which: int) -> Asked:
        """One whose stream has begun."""
        one = self.pick(which)
        if not one.headed:
            if not one.connected:
                one.clock = self.drive.now + TIMES.first_byte
            one.connected = one.headed = True
            self.drive.head(one.name)
        return one

    @precondition(lambda self: self.running)
    @rule(
        which=st.integers(0, 1),
        events=st.lists(st.sampled_from([ROLE, token("a"), token("b"), FINISH]), min_size=1, max_size=3),
        last=st.sampled_from([b"", b"", b"", DONE, GARBAGE]),
    )
    def streams(self, which: int, events: list[bytes], last: bytes) -> None:
        one = self.headed(which)
        self.drive.data(one.name, b"".join(events) + last)
        self.hear(one, (*events, last) if last else tuple(events), self.drive.now)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 1))
    def ends(self, which: int) -> None:
        one = self.headed(which)
        self.drive.end(one.name)
        if one.complete:
            self.finish(one)
        else:
            self.lose(one, self.drive.now)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 1), early=st.booleans())
    def breaks(self, which: int, early: bool) -> None:
        one = self.pick(which)
        early = early and not one.headed
        self.drive.fail(one.name, Failure.RESET, early)
        if one.complete:
            self.finish(one)
        else:
            self.lose(one, self.drive.now, same=early)

    @precondition(lambda self: any(not one.headed for one in self.running))
    @rule(status=st.sampled_from([500, 502, 503, 413, 422]))
    def says_no(self, status: int) -> None:
        one = next(one for one in self.running if not one.headed)
        body = error_body("bad")
        self.drive.answer(one.name, body, status, JSON)
        if status == 422:
            self.refused = True
            self.running.remove(one)
            self.next(self.drive.now)
        else:
            self.lose(one, self.drive.now, same=status in (500, 502))

    @rule(name=st.sampled_from(NAMES), offline=st.booleans())
    def is_marked(self, name: str, offline: bool) -> None:
        if offline:
            self.drive.router.offline(name)
        else:
            self.drive.router.online(name)

    @rule(seconds=st.sampled_from([0.04, 0.1, 0.16, 0.8, 2.0, 4.0, 5.0, 6.0, 10.0, 15.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.drive.now + seconds
        while (due := self.due()) <= until:
            self.drive.pass_time(max(0.0, due - self.drive.now))
            self.look(max(due, self.drive.now))
            self.agrees()
        self.drive.pass_time(until - self.drive.now)

    @precondition(lambda self: any(one.content_at and one is not self.committed for one in self.running))
    @rule()
    def is_silent_behind_held_content(self) -> None:
        self.time_passes(15.5)

    @precondition(lambda self: self.again is not None)
    @rule()
    def the_jitter_passes(self) -> None:
        self.time_passes(0.16)

    @precondition(lambda self: self.again is not None)
    @rule()
    def is_marked_during_the_jitter(self) -> None:
        assert self.again is not None
        self.drive.router.offline(self.again[0])
        self.time_passes(0.16)

    @precondition(lambda self: self.over is None)
    @rule(unless=st.integers(0, 9), leave=st.booleans())
    def is_stopped(self, unless: int, leave: bool) -> None:
        if not unless:
            self.stop(leave)

    @precondition(lambda self: self.again is not None)
    @rule(leave=st.booleans())
    def is_stopped_during_the_jitter(self, leave: bool) -> None:
        self.stop(leave)

    def stop(self, leave: bool) -> None:
        (self.drive.gone if leave else self.drive.expire)()
        if not leave and self.committed is not None and self.committed.complete:
            self.finish(self.committed)
            return
        self.over = "gone" if leave else "break" if self.committed or self.pinged else "answer"
        self.running.clear()
        self.again = None

    # What must agree.

    def check(self) -> None:
        client = self.drive.client
        assert self.drive.tried == self.asked
        assert sorted(self.drive.running) == sorted(one.name for one in self.running)
        assert client.over == (None if self.over == "gone" else self.over)
        if self.over == "answer":
            assert client.body
        elif self.over == "break":
            assert client.body.startswith(self.body)
            assert client.body[len(self.body) :].startswith(b"data: {")
            assert DONE not in client.body
        else:
            assert client.body == self.body

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "over"):
            self.check()
            assert (self.drive.exchange.stage is Stage.DONE) == (self.over is not None)
            assert (self.drive.exchange.stage is Stage.BACKING_OFF) == (self.again is not None)
            assert self.drive.in_flight() == sum(not one.draining for one in self.running) + (self.again is not None)

    def teardown(self) -> None:
        if hasattr(self, "over"):
            event(str(self.over))
            target(float(len(self.asked)), label="attempts")


def test_the_exchange_does_what_the_model_says_and_the_campaign_uses_every_row_of_both_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stages, phases = Noted(TABLE), Noted(PHASES)
    monkeypatch.setattr(exchange, "TABLE", stages)
    monkeypatch.setattr(attempt, "TABLE", phases)
    many = settings(max_examples=max(700, settings().max_examples), stateful_step_count=25)
    run_state_machine_as_test(ExchangeMachine, settings=many)
    if built() == "pure Python":  # what is compiled has its tables at hand, and asks no module for them
        assert stages.used == set(stages.rows)
        assert phases.used == set(phases.rows)
