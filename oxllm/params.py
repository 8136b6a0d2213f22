"""A parameter type that the command line and the simulator share."""

from __future__ import annotations

import math

import click


class Finite(click.FloatRange):
    """A number in a range. FloatRange lets nan pass, and inf where the range is open."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error if it is none."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number
