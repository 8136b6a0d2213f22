"""A request and an event take no more instructions than docs/footprint.md says: what creeps in shows here first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench.instructions import Absent, how_built, measure, recorded

SLACK = 1.05


def test_a_request_and_an_event_cost_what_the_document_says(tmp_path: Path) -> None:
    build = how_built(sys.executable)
    wanted = recorded(build)
    if wanted is None:
        pytest.skip(f"nothing is recorded of the build that is {build}")
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the figures are of CPython 3.11")
    try:
        cost = measure(tmp_path)
    except Absent as absent:
        pytest.skip(str(absent))
    print(f"{build}: {cost.request:,.0f} instructions a request, {cost.event:,.0f} an event")
    assert cost.request < wanted.request * SLACK
    assert cost.event < wanted.event * SLACK
