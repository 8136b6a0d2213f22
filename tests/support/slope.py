"""How fast something grows, from figures that jump: an allocator takes a page, a pool or an arena at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median


def theil_sen(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between any two points: it holds even if 29 % of the points are outliers.

    Theil 1950, Sen 1968. Points with the same x are not compared. Raises ValueError for fewer than two different x.
    """
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x1 != x2]
    if not slopes:
        raise ValueError("two different x are needed for a slope")
    return median(slopes)
