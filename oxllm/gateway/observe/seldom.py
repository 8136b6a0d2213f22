"""Lines that would come too often: what lasts is said again and again, but not each time that it is met."""

from __future__ import annotations

EVERY_S = 60.0
"""One line a minute is enough to read."""


class Seldom:
    """When something may be said again."""

    __slots__ = ("_quiet_until",)

    def __init__(self) -> None:
        self._quiet_until = float("-inf")

    def due(self, now: float) -> bool:
        """May it be said now? It counts as said, then."""
        if now < self._quiet_until:
            return False
        self._quiet_until = now + EVERY_S
        return True
