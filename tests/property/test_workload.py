"""The workload, not only the faults: many generated worlds, one after another, each from a number.

A million requests at night, 50,000 on one Python in CI, 3,000 where one waits for it; `OXLLM_WORKLOAD` says another
number. A world that fails prints its number and a test that fails in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import workload
from tests.support.in_memory import World
from tests.support.workload import as_test, generate, play, shrunk

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
USUAL = {"nightly": 1_000_000, "ci": 50_000}.get(PROFILE, 3_000)
REQUESTS = int(os.environ.get("OXLLM_WORKLOAD", USUAL))
CLIENTS = 60
PARTS = 1_000 if PROFILE == "nightly" else 20
"""Tests, for several processes to share."""
FIRST = int(os.environ.get("OXLLM_WORKLOAD_SEED", "1"))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_played_ends_well(part: int) -> None:
    for number in range(max(1, REQUESTS // CLIENTS // PARTS)):
        played = generate(FIRST + number * PARTS + part, CLIENTS)
        found = play(played)
        if found:
            small = shrunk(played)
            pytest.fail(f"workload {played.seed}: {found[:5]}\n{as_test(small, play(small) or found)}")


def test_the_same_number_is_the_same_workload() -> None:
    assert generate(7) == generate(7)
    assert generate(7) != generate(8)


@pytest.mark.slow
def test_what_fails_is_shown_as_a_test_of_under_thirty_lines_that_fails_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def problems(played: workload.Workload, world: World) -> Iterator[str]:
        """As if vectors were wrong where a gateway stops."""
        if played.stops is not None:
            yield from (visit.name for visit in world.visits if visit.wish.embeddings and visit.kind == "whole")

    monkeypatch.setattr(workload, "problems", problems)
    bad = next(one for one in (generate(seed, 20) for seed in range(1, 200)) if play(one))
    small = shrunk(bad)
    text = as_test(small, play(small))
    assert len(small.clients) == 1
    assert len(text.splitlines()) < 30
    names: dict[str, Any] = {**vars(workload)}
    exec(text, names)
    with pytest.raises(AssertionError):
        names[f"test_workload_{bad.seed}"]()
