"""When the clocks of a request want to be looked at."""

from __future__ import annotations

from math import inf


class Alarm:
    """The earliest moment, in loop time, at which something of a request may be due, or one before it.

    Clocks nearly always move back: to set one costs a comparison, and only a look that finds nothing due searches for
    the earliest again.
    """

    __slots__ = ("at",)

    def __init__(self, at: float = inf) -> None:
        self.at = at

    def __repr__(self) -> str:
        return f"<Alarm at {self.at:.3f}>"

    def by(self, when: float) -> float:
        """A clock is set to `when`, which is returned."""
        if when < self.at:  # noqa: PLR1730  min() takes twice as long, and each request comes here thrice
            self.at = when
        return when
