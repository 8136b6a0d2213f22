"""What a request's line begins with is remembered, and nobody can tell."""

from __future__ import annotations

import tracemalloc
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from oxllm.gateway.observe.ended import Ended
from oxllm.gateway.observe.lines import NAME_MAX, NAMES_MAX, TextLines
from tests.support.by_hand import WALL, Drive

DRIVE = Drive("alpha", stream=False).start().answer("alpha")


def ended(model: str = "smart", provider: str | None = "alpha", upstream: str = "big-1", status: int = 200) -> Ended:
    """One that ended so, whatever else became of it."""
    made = Ended(DRIVE.exchange, DRIVE.now, WALL, DRIVE.now)
    made.model, made.provider, made.upstream_model, made.status = model, provider, upstream, status
    return made


NAMES = st.one_of(st.sampled_from(["smart", "\x1b[2J", "\u202e", "日本", "x\n2023 200"]), st.text(max_size=9))


@given(st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_a_line_says_the_same_whatever_was_said_before(names: list[str]) -> None:
    lines = TextLines()
    several = [ended(*one) for one in product(names, [None, *names], names, [0, 200, 503])]
    for one in [*several, *several]:
        line = lines.request(one)
        assert line == TextLines().request(one)
        assert line.endswith(b"\n")
        assert line[:-1].decode().isprintable()


def test_nobody_can_make_it_remember_much() -> None:
    lines = TextLines()
    one = ended()
    tracemalloc.start()
    try:
        for number in range(20 * NAMES_MAX):
            one.model = f"{number}".ljust(number % (8 * NAME_MAX), "x")
            assert f" 200 chat {one.model} -> alpha/big-1 total 0 ms" in lines.request(one).decode()
        assert tracemalloc.get_traced_memory()[0] < NAMES_MAX * (2 * NAME_MAX + 300)
    finally:
        tracemalloc.stop()
