"""`refuse`: the port is bound and nobody listens. A request on a connection from before is reset."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import ConnectionFault, Layer
from oxllm.sim.provider.steps import Rst, Step


class Refuse(ConnectionFault):
    kind = "refuse"
    layer = Layer.LISTENER
    places = ()

    def strikes_at(self) -> Layer:
        return self.layer

    def strike(self, now: float) -> Iterator[Step]:
        yield Rst()


FAULT = Refuse
