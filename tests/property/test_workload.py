"""The workload, not only the faults: many generated worlds, one after another, each from a number.

A million requests at night, 50,000 in CI, 3,000 where one waits for it; `OXLLM_WORKLOAD` says another number. A world
that fails prints its number and a test that fails in the same way.
"""

from __future__ import annotations

import os

import pytest

from tests.support.workload import as_test, generate, play, shrunk

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
USUAL = {"nightly": 1_000_000, "ci": 50_000}.get(PROFILE, 3_000)
REQUESTS = int(os.environ.get("OXLLM_WORKLOAD", USUAL))
CLIENTS = 60
PARTS = 1_000 if PROFILE == "nightly" else 20
"""Tests, for several processes to share."""
FIRST = int(os.environ.get("OXLLM_WORKLOAD_SEED", "1"))


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_is_played_ends_well(part: int) -> None:
    for number in range(max(1, REQUESTS // CLIENTS // PARTS)):
        workload = generate(FIRST + number * PARTS + part, CLIENTS)
        found = play(workload)
        if found:
            small = shrunk(workload)
            pytest.fail(f"workload {workload.seed}: {found[:5]}\n{as_test(small, play(small) or found)}")


def test_the_same_number_is_the_same_workload() -> None:
    assert generate(7) == generate(7)
    assert generate(7) != generate(8)
