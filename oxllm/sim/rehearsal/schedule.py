"""When the questions of a rehearsal are due: evenly spaced, but not close to the start or end of a scene.

Whether a request due within milliseconds of such an edge meets the scene would depend on how busy the machine is, and
two runs of one seed would differ.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.script.scenario import Scene

CLEAR_S = 0.05
"""Least distance of a question from an edge. A machine that is later than this is too busy to measure on."""


class Schedule:
    """Question i is due at i / `rps` seconds, or CLEAR_S after an edge that is too close."""

    def __init__(self, rps: float, scenes: Iterable[Scene] = ()) -> None:
        moments = {moment for scene in scenes for moment in (scene.when.start, scene.when.end)}
        self._edges = sorted(moments - {0.0, FOREVER})
        self._rps = rps

    def count(self, duration: float) -> int:
        """How many questions are asked in `duration` seconds; at least one."""
        return max(1, int(duration * self._rps))

    def due(self, number: int) -> float:
        """When a question is due, in seconds since the start."""
        at = number / self._rps
        for edge in self._edges[bisect_right(self._edges, at - CLEAR_S) :]:
            if edge - at >= CLEAR_S:
                break
            at = edge + CLEAR_S
        return at
