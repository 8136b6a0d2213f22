"""The timers of players: never early, all of them, and none that was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.sim.serve.wheel import TICK_S, Wheel
from tests.support.virtual import VirtualLoop


def on_a_virtual_clock(run: Callable[[asyncio.AbstractEventLoop, Wheel], None], until: float) -> None:
    loop = VirtualLoop()
    try:
        run(loop, Wheel(loop))
        loop.run_until_complete(asyncio.sleep(until))
    finally:
        loop.close()


@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=40))
def test_each_timer_fires_once_at_its_moment_or_a_tick_later_unless_it_is_cancelled(
    timers: list[tuple[int, bool]],
) -> None:
    fired: list[tuple[int, float]] = []

    def run(loop: asyncio.AbstractEventLoop, wheel: Wheel) -> None:
        start = loop.time()

        def note(number: int) -> None:
            fired.append((number, loop.time() - start))

        for number, (ms, cancelled) in enumerate(timers):
            handle = wheel.call_at(start + ms / 1000 + 0.0003, partial(note, number))
            if cancelled:
                handle.cancel()

    on_a_virtual_clock(run, 4.0)
    assert sorted(number for number, _ in fired) == [n for n, (_, cancelled) in enumerate(timers) if not cancelled]
    for number, at in fired:
        due = timers[number][0] / 1000 + 0.0003
        assert due - 1e-9 <= at <= due + TICK_S + 1e-6


def test_a_timer_may_set_one_that_is_due_already() -> None:
    fired: list[str] = []

    def run(loop: asyncio.AbstractEventLoop, wheel: Wheel) -> None:
        def first() -> None:
            fired.append("first")
            wheel.call_at(loop.time() - 1.0, lambda: fired.append("second"))

        wheel.call_at(loop.time() + 0.5, first)

    on_a_virtual_clock(run, 1.0)
    assert fired == ["first", "second"]


def test_a_timer_that_is_set_while_another_fires_makes_none_that_waits_already_late() -> None:
    fired: list[tuple[str, float]] = []

    def run(loop: asyncio.AbstractEventLoop, wheel: Wheel) -> None:
        start = loop.time()

        def note(name: str) -> None:
            fired.append((name, round(loop.time() - start, 2)))

        wheel.call_at(start + 0.5, lambda: wheel.call_at(start + 2.0, partial(note, "new")))
        wheel.call_at(start + 0.6, partial(note, "waiting"))

    on_a_virtual_clock(run, 3.0)
    assert fired == [("waiting", 0.6), ("new", 2.0)]


@pytest.mark.filterwarnings("ignore")
def test_one_that_fails_is_told_and_stops_no_other() -> None:
    told: list[object] = []
    fired: list[str] = []

    def run(loop: asyncio.AbstractEventLoop, wheel: Wheel) -> None:
        loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))
        at = loop.time() + 0.5
        wheel.call_at(at, lambda: 1 / 0)
        wheel.call_at(at, lambda: fired.append("other"))
        wheel.call_at(at + 0.1, lambda: fired.append("later"))

    on_a_virtual_clock(run, 1.0)
    assert fired == ["other", "later"]
    assert isinstance(told[0], ZeroDivisionError)
