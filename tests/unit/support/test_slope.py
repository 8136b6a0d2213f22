"""A slope that a few wild points do not bend."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.slope import theil_sen

NUMBERS = st.integers(-1000, 1000)


@given(NUMBERS, NUMBERS, st.lists(NUMBERS, min_size=2, unique=True))
def test_points_on_a_line_have_its_slope(start: int, rise: int, xs: list[int]) -> None:
    assert theil_sen([(x, start + rise * x) for x in xs]) == rise


@given(NUMBERS, st.lists(st.integers(0, 15), min_size=4, max_size=4, unique=True), st.floats(-1e9, 1e9))
def test_four_wild_points_of_sixteen_do_not_matter(rise: int, wild: list[int], off: float) -> None:
    points = [(x, off * (x + 1) if x in wild else rise * x) for x in range(16)]
    assert theil_sen(points) == rise


def test_a_staircase_rises_as_its_steps_do() -> None:
    assert theil_sen([(x, x // 4 * 4) for x in range(64)]) == pytest.approx(1.0, abs=0.02)


def test_one_point_has_no_slope() -> None:
    with pytest.raises(ValueError, match="two different x"):
        theil_sen([(1, 1), (1, 2)])
