"""Nobody is worse off for the gateway: not with one provider, and not with several that fail now and then.

A breaker costs answers where nobody else can be asked. So a lone provider that is known to be flaky is asked all the
same; one that is down, or of which too little is known yet, is left alone for a while. Hence its answers are compared
one by one, and their number in sum.
"""

from __future__ import annotations

import os

import pytest

from tests.property.worlds import LATE, ODD
from tests.support.foreseen import QUICK, SLOW, answers, chaos, played
from tests.support.in_memory import Visit, World

pytestmark = pytest.mark.slow

WORLDS = 300 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 25
FIRST = int(os.environ.get("OXLLM_WORKLOAD_SEED", "1"))
SEEDS = range(FIRST, FIRST + WORLDS)
OUT_S = 20 * 1.1 + 2
"""A breaker's longest cool-off."""


def whole(world: World) -> int:
    return sum(visit.kind == "whole" for visit in world.visits)


def refused_at_once(world: World, visit: Visit) -> bool:
    """It was told to come again, nobody having been asked, since the breaker is open; and not for long."""
    asked = [asked.at for asked in world.asked if visit.ended - OUT_S <= asked.at <= visit.ended]
    return visit.status == 503 and "retry-after" in visit.reader.headers and bool(asked) and not world.asked_for(visit)


def test_a_lone_providers_answers_come_or_are_refused_while_its_breaker_is_open() -> None:
    kinds = [kind for kind in (*QUICK, *SLOW, *LATE, *ODD) if kind != "slow~11s"]
    for seed in SEEDS:
        world = played(chaos(seed, 1, (10, 30, 60, 100), kinds))
        for visit in world.visits:
            if answers(world, "p0", visit):
                assert visit.kind == "whole" or refused_at_once(world, visit), (seed, visit.name, visit.kind)


@pytest.mark.parametrize(("shares", "least"), [((5, 10), 0.99), ((10, 30), 0.98), ((30, 60), 0.93)])
def test_a_lone_provider_that_fails_now_and_then_answers_hardly_less(shares: tuple[int, ...], least: float) -> None:
    """What is lacking is from the first minute: it takes two recoveries to tell flaky from down."""
    worlds = [played(chaos(seed, 1, shares)) for seed in SEEDS]
    alone = sum(answers(world, "p0", visit) for world in worlds for visit in world.visits)
    assert sum(map(whole, worlds)) >= least * alone


@pytest.mark.parametrize("names", [2, 3])
def test_goodput_under_chaos_is_that_of_the_best_fixed_order(names: int) -> None:
    """Whoever tries all providers in some order, whatever has happened before, is served if any of them answers."""
    served = foreseen = best = 0
    for seed in SEEDS:
        world = played(chaos(seed, names, (10, 20, 30)))
        table = [[answers(world, name, visit) for name in world.providers] for visit in world.visits]
        served += whole(world)
        foreseen += sum(map(any, table))
        best += max(map(sum, zip(*table, strict=True)))
    assert served >= 0.99 * foreseen
    assert served >= 1.05 * best, "the best provider of each world, known afterwards"
