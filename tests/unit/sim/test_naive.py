"""Each number of the report card catches the gateway that it is there to catch, and lets the real one pass."""

from __future__ import annotations

import functools

import pytest

from oxllm import plan as plans
from oxllm.sim.provider import pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import expect
from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.rehearsal.run import Run
from oxllm.sim.script import scenes
from tests.support.by_hand import make_plan
from tests.support.in_memory import World
from tests.support.naive_gateways import Habit, NaiveWorld
from tests.support.virtual_rehearsal import played, summary

SCENES = """
[[scene]]
name = "alpha is bad"
on = "alpha"
when = "0s..35s"
faults = ["429~2s 20%", "500 15%", "cut@token:6 15%", "rst 10%"]
[[scene]]
name = "alpha is away"
on = "alpha"
when = "35s..40s"
faults = ["refuse"]
"""
SEED = 5
"""Of a run in which the breaker does not just happen to open shortly before the outage ends."""
CATCHES = {
    "client_errors == 0": Habit.STUBBORN,
    "survivable_errors == 0": Habit.STUBBORN,
    "truncated == 0": Habit.STUBBORN,
    "amplification < 1.2": Habit.STUBBORN,
    "retry_after_violations == 0": Habit.STUBBORN,
    "broken == 0": Habit.CUTTER,
    "open_violations == 0": Habit.OSTRICH,
    "failover.p50 < 1s": Habit.SLUGGISH,
    "failover.p99 < 1s": Habit.SLUGGISH,
    "recovery.p50 < 10s": Habit.GRUDGE,
    "recovery.p99 < 10s": Habit.GRUDGE,
    "ttft.p50 < 250ms": Habit.HOARDER,
    "ttft.p99 < 500ms": Habit.HOARDER,
    "total.p99 < 2s": Habit.SLUGGISH,
}
"""Rule -> the habit that breaks it."""


@functools.cache
def rehearsed(habit: Habit | None) -> Run:
    """A minute of two providers of which the preferred one has a bad start; None = the real gateway, which holds back
    as much as breaks here."""
    speed = pace.parse("ttft 50ms lognormal 0.3, itl 8ms, out 40..60")
    scenario = scenes.over((Upstream("alpha", pace=speed), Upstream("beta", pace=speed)), SCENES, SEED)
    return played(
        scenario,
        make_plan("alpha", "beta", hold_back=plans.HoldBack(tokens=8)),
        {"smart": ["alpha", "beta"]},
        Questions(SEED, {"smart": ["big-1"]}, streams=0.9),
        duration=60.0,
        rps=2.0,
        expectations=(*CATCHES, "unfinished == 0", "requests == 120"),
        make=World if habit is None else functools.partial(NaiveWorld, habit=habit),
    )


def test_the_real_gateway_reaches_all_grades() -> None:
    card = rehearsed(None).card
    assert card.failed == (), summary(card)
    assert card.rescued == card.rescuable > 10


@pytest.mark.parametrize("rule", CATCHES)
def test_a_grade_is_failed_by_the_gateway_that_it_is_there_to_catch(rule: str) -> None:
    run = rehearsed(CATCHES[rule])
    assert rule in run.card.failed, summary(run.card)
    assert not expect.met(rule, run.card, run.recorded.samples)


@pytest.mark.parametrize("habit", Habit)
def test_every_habit_is_told_of_with_a_fate_to_replay_or_by_its_times(habit: Habit) -> None:
    card = rehearsed(habit).card
    assert card.failed
    assert bool(card.findings) is (habit is not Habit.GRUDGE)
    assert all(coordinate.startswith(f"{SEED}:") for finding in card.findings for coordinate in finding.coordinates)
