"""The workload, not only the faults: many generated worlds, one after another, each from a number.

A million requests at night, 3,000 else (50,000 take longer than all other tests together); `OXLLM_WORKLOAD` says
another. A world that fails prints its number and a test that fails in the same way.
"""

from __future__ import annotations

import os

import pytest

from tests.support.workload import as_test, generate, play, shrunk

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
USUAL = 1_000_000 if NIGHTLY else 3_000
REQUESTS = int(os.environ.get("OXLLM_WORKLOAD", USUAL))
CLIENTS = 60
PARTS = 1_000 if NIGHTLY else 10
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
