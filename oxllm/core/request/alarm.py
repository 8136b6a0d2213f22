"""When to check the clocks of a request next."""

from __future__ import annotations

from math import inf


class Alarm:
    """A lower bound, in loop time, on when any clock of a request is due.

    Clocks are nearly always set to later times. So setting one costs a comparison, and only a tick, which may find
    nothing due, searches for the earliest again.
    """

    __slots__ = ("at",)

    def __init__(self, at: float = inf) -> None:
        self.at = at

    def __repr__(self) -> str:
        return f"<Alarm at {self.at:.3f}>"

    def by(self, when: float) -> float:
        """Be due at `when` at the latest. Returns `when`, for the clock that is set to it."""
        if when < self.at:  # noqa: PLR1730  min() takes twice as long, and each request comes here thrice
            self.at = when
        return when
