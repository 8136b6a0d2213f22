"""`rst[@connect]`: the connection is reset, with a true RST."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.steps import Rst, Step

from .base import ConnectionFault


class RstFault(ConnectionFault):
    kind = "rst"

    def strike(self) -> Iterator[Step]:
        yield Rst()


FAULT = RstFault
