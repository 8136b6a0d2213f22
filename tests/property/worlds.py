"""Worlds for the invariants: configs, faults, timings, cuts and clients that hang up, drawn by hypothesis."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import event
from hypothesis import strategies as st

from oxllm import plan as plans
from tests.support.by_hand import make_plan
from tests.support.in_memory import Setup, Wish, World

EARLY = (
    "429-toobig",
    "500",
    "502-html",
    "503",
    "504-html",
    "529",
    "refuse",
    "rst",
    "fin",
    "rst@connect",
    "fin@connect",
    "garbage",
    "role-only",
    "bad-json",
    "short-body",
    "wrong-type",
    "empty",
    "html-200",
    "error-200",
    "cut@headers",
    "cut@byte:40",
    "cut@token:0",
    "stall@headers",
    "silent-cut@token:0",
    "error-event@token:0",
    "empty-error@token:0",
    "garble@token:0",
    "blackhole",
    "blackhole@connect",
)
"""Strike before there is content."""
MARKS = ("429", "429~7s", "retry-after~20s", "429-quota", "401", "404")
"""Are told, and have to be remembered."""
LATE = (
    "cut@token:3",
    "cut@end",
    "stall@token:3",
    "stall@token:2~4s",
    "silent-cut@token:4",
    "error-event@token:4",
    "empty-error@token:4",
    "garble@token:3",
)
"""Strike behind the first content."""
ODD = ("slow~3s", "slow~11s", "trickle~10ms", "no-done", "hold-open", "split-utf8", "comments", "late-usage~1s")
"""Are no fault of the answer."""
DOSES = ("", "", " x2", " x5", " 30%", " 60%", " 1/2", " 1/3")

FAST = plans.Timeouts(connect=3.0, first_byte=8.0, answer=12.0, idle=6.0)

Cut = Callable[[random.Random], int]


def singly(chance: random.Random) -> int:
    """Byte by byte."""
    return 1


CUTS: tuple[Cut | None, ...] = (
    None,
    singly,
    lambda chance: chance.choice((1, 2, 3, 50, 700, 100_000)),
    lambda chance: chance.randrange(1, 200),
)


def cut_share(cut: Cut | None) -> float:
    """How many of a world's connections are cut: where each byte is a read, a few say as much as all, and all take
    fifteen times as long."""
    return 0.15 if cut is singly else 1.0


HOLD_BACKS = (plans.HoldBack(), plans.HoldBack(tokens=5), plans.HoldBack(seconds=0.8), plans.HoldBack(full=True))


def faults(*kinds: str, doses: Sequence[str] = DOSES, most: int = 3) -> st.SearchStrategy[list[str]]:
    """Faults of one provider, each with its dose."""

    def write(kind: str, dose: str) -> str:
        return kind if kind in ("refuse", "blackhole@connect") else kind + dose

    written = st.builds(write, st.sampled_from(kinds or EARLY + MARKS + LATE + ODD), st.sampled_from(doses))
    some = st.lists(written, min_size=1, max_size=most)
    return st.one_of(some, some, some, st.just([]))


@st.composite
def configs(draw: st.DrawFn, hedge: bool = True, hold: bool = True, tiers: bool = True) -> plans.Plan:
    """A virtual model over two or three providers, one of which may have two targets."""
    names = ["alpha", "beta", "gamma", "alpha/small"][: draw(st.integers(2, 4))]
    targets = [
        plans.Target(
            name.partition("/")[0],
            name.partition("/")[2] or "big-1",
            draw(st.integers(1, 3)) if tiers else 1,
            draw(st.integers(1, 3)),
            FAST,
        )
        for name in names
    ]
    return make_plan(
        *targets,
        hold_back=draw(st.sampled_from(HOLD_BACKS)) if hold else None,
        hedge_after=draw(st.sampled_from((None, None, 1.0))) if hedge else None,
        request=40.0,
        breaker=plans.Breaker(failures=draw(st.integers(1, 3))),
        retry=plans.Retry(draw(st.integers(0, 2)), draw(st.integers(1, 6)), draw(st.sampled_from((0.0, 0.2, 1.0)))),
    )


@st.composite
def wishes(draw: st.DrawFn, /, within: float = 40.0, **fixed: Any) -> Wish:
    """One client."""
    wish: dict[str, Any] = {
        "at": round(draw(st.floats(0, within)), 2),
        "stream": draw(st.booleans()),
        "n": draw(st.sampled_from((1, 1, 1, 2))),
        "tokens": draw(st.integers(1, 12)),
        "timeout": draw(st.sampled_from((None, None, 5.0, 20.0))),
        "leaves_after": draw(st.sampled_from((None, None, None, 0.005, 0.03, 2.5, 7.0))),
        "leaves_by_reset": draw(st.booleans()),
        "usage": draw(st.booleans()),
    }
    return Wish(**{**wish, **fixed})


Case = tuple[Setup, list[Wish]]


@st.composite
def cases(
    draw: st.DrawFn,
    /,
    plan: st.SearchStrategy[plans.Plan] | None = None,
    kinds: Sequence[str] = (),
    visits: st.SearchStrategy[list[Wish]] | None = None,
    most: int = 6,
    doses: Sequence[str] = DOSES,
    **fixed: Any,
) -> Case:
    """A world to make, and its clients."""
    config = draw(configs() if plan is None else plan)
    cut = draw(st.sampled_from(CUTS))
    setup = Setup(
        config,
        {provider.name: draw(faults(*kinds, doses=doses)) for provider in config.providers},
        pace=draw(st.sampled_from(("ttft 20ms, itl 5ms, out 20..60", "ttft 1s, itl 300ms, out 20..60"))),
        seed=draw(st.integers(0, 1000)),
        cut=cut,
        cut_share=cut_share(cut),
    )
    return setup, draw(st.lists(wishes(**fixed), min_size=2, max_size=most) if visits is None else visits)


def play(case: Case) -> World:
    """A world that has run to its end."""
    setup, visits = case
    with World(setup) as world:
        for wish in visits:
            world.ask(wish)
        world.run()
        world.sleep(3.0)
    assert not world.errors, world.errors
    for visit in world.visits:
        event(visit.kind)
    return world


def worlds(**chosen: Any) -> st.SearchStrategy[World]:
    """Worlds that have run; arguments as of `cases`."""
    return cases(**chosen).map(play)
