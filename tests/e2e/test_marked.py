"""2,000 marked requests over connections that their provider misuses: each answer is that of its own request.

The long one is in tests/soak.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.marked import mixed_up


def test_nobody_ever_gets_the_answer_of_another(tmp_path: Path) -> None:
    tally = mixed_up(tmp_path, count=2_000, seed=1)
    assert tally["right"] > 1_000
    assert tally["broken"] > 5
    assert tally["left"] > 200
