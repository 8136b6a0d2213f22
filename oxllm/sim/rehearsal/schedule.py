"""When the questions of a rehearsal are due: evenly, and clear of the moments at which a scene begins or ends.

Whether a request that is due within milliseconds of such an edge meets the scene would hang on how busy the machine is,
and two runs of one seed would not be the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.script.scenario import Scene

CLEAR_S = 0.05
"""How far from an edge a question is; a machine that is later than that is too busy to measure on."""


class Schedule:
    """Question i is due at i / `rps` seconds, or a moment after the edge that is near."""

    def __init__(self, rps: float, scenes: Iterable[Scene] = ()) -> None:
        moments = {moment for scene in scenes for moment in (scene.when.start, scene.when.end)}
        self._edges = sorted(moments - {0.0, FOREVER})
        self._rps = rps

    def count(self, duration: float) -> int:
        """How many questions are asked in so many seconds; one at least."""
        return max(1, int(duration * self._rps))

    def due(self, number: int) -> float:
        """Seconds since the start."""
        at = number / self._rps
        for edge in self._edges[bisect_right(self._edges, at - CLEAR_S) :]:
            if edge - at >= CLEAR_S:
                break
            at = edge + CLEAR_S
        return at
