"""`slow-accept[~SECONDS]`: the connection is made, and nobody reads from it for so long (2 s): a full accept queue."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Argument, ConnectionFault, Layer
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.steps import Step, Wait


class SlowAccept(ConnectionFault):
    kind = "slow-accept"
    places = ()
    argument = Argument.SECONDS
    harm = Harm.DELAY

    def strikes_at(self) -> Layer:
        return Layer.CONNECTION

    def strike(self, now: float) -> Iterator[Step]:
        yield Wait(now + self.seconds(2.0))

    def play(self, x: Exchange) -> Iterator[Step]:
        """Requested by header, it comes too late to delay the accept, so the answer is delayed instead."""
        return x.tape().rest(self.seconds(2.0))


FAULT = SlowAccept
