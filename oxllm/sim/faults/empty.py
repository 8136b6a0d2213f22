"""`empty`: a 200 with no body; for a stream, no event."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.reply import Part


class Empty(SpoiledParts):
    kind = "empty"

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return iter(())


FAULT = Empty
