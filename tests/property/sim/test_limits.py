"""Sliding windows against a model that keeps every request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oxllm.sim.provider.limits import Limit, Window

STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=60)


@given(STEPS)
def test_no_window_ever_holds_more_than_the_limit_and_every_wait_is_exact(steps: list[tuple[int, int]]) -> None:
    window, used, now = Window(Limit(10, 60.0)), list[tuple[float, int]](), 0.0
    for pause, amount in steps:
        now += pause
        wait = window.wait(amount, now)
        assert wait == naive_wait(used, amount, now)
        if wait == 0:
            window.use(amount, now)
            used.append((now, amount))
        assert window.level(now).remaining == 10 - total(used, now)


def total(used: list[tuple[float, int]], now: float) -> int:
    return sum(amount for at, amount in used if now - at < 60)


def naive_wait(used: list[tuple[float, int]], amount: int, now: float) -> float:
    moments = [now, *(at + 60 for at, _ in used if at + 60 > now)]
    return min(moment for moment in moments if total(used, moment) + amount <= 10) - now
