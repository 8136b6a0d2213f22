"""`rst[@connect]`: the connection is reset, with a true RST."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import ConnectionFault
from oxllm.sim.provider.steps import Rst, Step


class RstFault(ConnectionFault):
    kind = "rst"

    def strike(self) -> Iterator[Step]:
        yield Rst()


FAULT = RstFault
