"""The wheel fires late by at most a tick, never early, and keeps nothing of a timer that was cleared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

from hypothesis import given
from hypothesis import strategies as st

from oxllm.gateway.clock import GRACE_S, STANDSTILL_S
from oxllm.gateway.wheel import TICK, Wheel


class StepLoop(asyncio.SelectorEventLoop):
    """The part of a loop that the wheel uses, with a clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[[], None], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        self.calls.append((when, callback))
        return asyncio.TimerHandle(when, callback, args, self)

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self.calls and min(self.calls)[0] <= end:
            when, callback = self.calls.pop(0)
            self.now = max(self.now, when)
            callback()
        self.now = end


def run(test: Callable[[StepLoop, Wheel], None]) -> None:
    loop = StepLoop()
    try:
        test(loop, Wheel(loop))
    finally:
        loop.close()


@given(st.lists(st.floats(0, 700), min_size=1, max_size=20))
def test_each_timer_fires_once_within_a_tick_after_its_deadline(delays: list[float]) -> None:
    def check(loop: StepLoop, wheel: Wheel) -> None:
        fired: list[tuple[float, float]] = []
        for delay in delays:
            when = loop.now + delay
            wheel.timer(lambda when=when: fired.append((when, loop.now))).set(when)  # type: ignore[misc]
        loop.advance(701)
        assert len(fired) == len(delays)
        assert all(0 <= at - when <= 2 * TICK for when, at in fired)
        assert len(wheel) == 0
        assert not loop.calls

    run(check)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=8))
def test_only_the_last_setting_counts(settings: list[float]) -> None:
    def check(loop: StepLoop, wheel: Wheel) -> None:
        fired: list[float] = []
        timer = wheel.timer(lambda: fired.append(loop.now))
        start = loop.now
        for delay in settings:
            timer.set(start + delay)
        loop.advance(40)
        assert len(fired) == 1
        assert 0 <= fired[0] - (start + settings[-1]) <= 2 * TICK

    run(check)


def test_a_cleared_timer_never_fires_and_leaves_the_wheel() -> None:
    def check(loop: StepLoop, wheel: Wheel) -> None:
        timer = wheel.timer(lambda: (_ for _ in ()).throw(AssertionError))
        timer.set(loop.now + 600)
        timer.clear()
        assert len(wheel) == 0
        loop.advance(700)

    run(check)


def test_a_callback_that_fails_is_reported_and_stops_no_other_timer() -> None:
    def check(loop: StepLoop, wheel: Wheel) -> None:
        reported: list[str] = []
        fired: list[float] = []
        loop.set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
        nothing: list[int] = []
        wheel.timer(lambda: nothing[0]).set(loop.now + 1)  # type: ignore[arg-type]
        wheel.timer(lambda: fired.append(loop.now)).set(loop.now + 1)
        wheel.timer(lambda: fired.append(loop.now)).set(loop.now + 3)
        loop.advance(5)
        assert reported == ["list index out of range"]
        assert len(fired) == 2

    run(check)


def test_a_callback_may_set_its_own_timer_again() -> None:
    def check(loop: StepLoop, wheel: Wheel) -> None:
        fired: list[float] = []

        def again() -> None:
            fired.append(loop.now)
            if len(fired) < 3:
                timer.set(loop.now + 1)

        timer = wheel.timer(again)
        timer.set(loop.now + 1)
        loop.advance(5)
        assert len(fired) == 3

    run(check)


def test_a_wheel_that_stood_still_fires_a_moment_later_for_what_came_meanwhile_is_read_first() -> None:
    def check(loop: StepLoop, wheel: Wheel) -> None:
        fired: list[float] = []
        silent, moved = wheel.timer(lambda: fired.append(loop.now)), wheel.timer(lambda: fired.append(-1.0))
        start = loop.now
        silent.set(start + 5)
        moved.set(start + 5)
        loop.now = start + 60
        loop.advance(TICK)
        assert not fired
        moved.set(loop.now + 5)
        loop.advance(GRACE_S + TICK)
        assert len(fired) == 1
        assert start + 60 + GRACE_S <= fired[0] <= start + 60 + GRACE_S + 2 * TICK
        loop.advance(5)
        assert fired[1:] == [-1.0]

    run(check)


def test_a_wheel_whose_every_turn_is_late_fires_all_the_same() -> None:
    def check(loop: StepLoop, wheel: Wheel) -> None:
        fired: list[float] = []
        start = loop.now
        wheel.timer(lambda: fired.append(loop.now)).set(start + 5)
        while loop.now < start + 60:
            loop.now += 2 * STANDSTILL_S
            loop.advance(0)
        assert len(fired) == 1
        assert fired[0] <= start + 5 + GRACE_S + 4 * STANDSTILL_S

    run(check)


def test_a_wheel_that_is_only_busy_fires_at_once() -> None:
    def check(loop: StepLoop, wheel: Wheel) -> None:
        fired: list[float] = []
        wheel.timer(lambda: fired.append(loop.now)).set(loop.now + 5)
        loop.advance(5 - TICK)
        loop.now += STANDSTILL_S
        loop.advance(0)
        assert fired == [loop.now]

    run(check)
