"""`fin[@connect]`: the connection is closed in order, with nothing said."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import ConnectionFault
from oxllm.sim.provider.steps import Fin, Step


class FinFault(ConnectionFault):
    kind = "fin"

    def strike(self, now: float) -> Iterator[Step]:
        yield Fin()


FAULT = FinFault
