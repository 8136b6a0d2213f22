"""Limits the rate of a log line: a lasting condition is reported again from time to time, but not at each event."""

from __future__ import annotations

EVERY_S = 60.0
"""One line a minute is enough to read."""


class Seldom:
    """Whether something may be logged again."""

    __slots__ = ("_quiet_until",)

    def __init__(self) -> None:
        self._quiet_until = float("-inf")

    def due(self, now: float) -> bool:
        """Whether it may be logged now. If so, it counts as logged."""
        if now < self._quiet_until:
            return False
        self._quiet_until = now + EVERY_S
        return True
