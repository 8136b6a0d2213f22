"""Marked requests over connections that their provider misuses: each answer is that of its own request.

The long one is in tests/soak.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.marked import mixed_up


@pytest.mark.parametrize(("tls", "count"), [(False, 1_000), (True, 300)], ids=["http", "https"])
def test_nobody_ever_gets_the_answer_of_another(tmp_path: Path, tls: bool, count: int) -> None:
    tally = mixed_up(tmp_path, count, seed=1, tls=tls)
    assert tally["right"] > count / 2
    assert tally["left"] > count / 20
