"""How long something takes, in a unit that is the same on a slow machine and on a busy one."""

from __future__ import annotations

import time
from collections.abc import Callable

MEGABYTE = bytes(1_000_000)
TRIES = 3
"""Number of measurements, of which the best counts."""


def passes(act: Callable[[], object]) -> float:
    """CPU time of `act`, as a multiple of the time to add up the bytes of a megabyte here: roughly 5 ms."""
    return _best(act) / _best(lambda: sum(MEGABYTE))


def _best(act: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(TRIES):
        began = time.process_time()
        act()
        best = min(best, time.process_time() - began)
    return best
