"""`fin[@connect]`: the connection is closed in order, with nothing said."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.steps import Fin, Step

from .base import ConnectionFault


class FinFault(ConnectionFault):
    kind = "fin"

    def strike(self) -> Iterator[Step]:
        yield Fin()


FAULT = FinFault
