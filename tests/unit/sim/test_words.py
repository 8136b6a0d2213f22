"""Times in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.sim.rehearsal.words import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.0004, "0.4 ms"), (0.0574, "57.4 ms"), (0.9994, "999 ms"), (0.9996, "1 s"), (1.254, "1.25 s"),
        (20, "20 s"), (119.96, "120 s"), (120, "2 min"), (125.4, "2 min 5 s"), (3600, "60 min"),
        (7200, "2 h"), (86400, "24 h"), (9000, "2 h 30 min"),
    ],
)  # fmt: skip
def test_a_time_is_told_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(st.floats(0, 1e6))
def test_no_time_is_told_with_an_exponent_and_none_is_far_off(seconds: float) -> None:
    units = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
    words = duration(seconds).split()
    told = sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert told == pytest.approx(seconds, rel=0.005, abs=30 if seconds >= 7200 else 0.5 if seconds >= 120 else 0)
    assert seconds < 1e-6 or "e" not in duration(seconds)
