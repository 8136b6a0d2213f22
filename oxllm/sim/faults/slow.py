"""`slow[~SECONDS]`: everything comes later, by the argument or 5 s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.steps import Step

from .base import Argument, Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class Slow(Fault):
    kind = "slow"
    argument = Argument.SECONDS

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.tape().rest(self.seconds(5.0))


FAULT = Slow
