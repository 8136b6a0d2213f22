"""`slow[~SECONDS]`: everything comes later, by the argument or 5 s."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Argument, Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.steps import Step


class Slow(Fault):
    kind = "slow"
    harm = Harm.DELAY
    argument = Argument.SECONDS

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.tape().rest(self.seconds(5.0))


FAULT = Slow
