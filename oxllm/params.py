"""Parameter types that the command line and the simulator share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    _Text = click.ParamType[str]
else:
    _Text = click.ParamType  # generic since click 8.4 only


class Finite(click.FloatRange):
    """A finite number in a range. FloatRange accepts nan, and inf if the range is open."""

    name = "number"

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error if it is not one, or not finite."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number


class Host(_Text):
    """An address or a name to bind; brackets around an IPv6 address are removed. An empty one, such as from an unset
    variable in a script, is refused: to the system it would mean every address of the machine."""

    name = "host"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The host; a usage error if it is empty."""
        host = value.strip()
        if not host:
            self.fail("is empty; write an address of this machine such as 127.0.0.1, or leave it out", param, ctx)
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host


class Whole(click.IntRange):
    """A whole number in a range, under a name that users understand better than click's."""

    name = "whole number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The name of its value in the help."""
        return "NUMBER"
