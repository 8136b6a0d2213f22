"""`dns`: the provider's name is in no DNS (it ends in `.invalid`, RFC 6761), so that nobody finds its address."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault, Layer
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.steps import Step


class Dns(Fault):
    kind = "dns"

    def strikes_at(self) -> Layer:
        return Layer.NAME

    def applies(self, x: Exchange) -> bool:
        """Never: a request that has arrived needed no DNS."""
        return False

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.tape().rest()


FAULT = Dns
