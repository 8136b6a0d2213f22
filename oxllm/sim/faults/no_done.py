"""`no-done`: the stream ends in order, without `[DONE]`."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.reply import Part, without


class NoDone(SpoiledParts):
    kind = "no-done"
    harm = Harm.NONE
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return without(parts, "done")


FAULT = NoDone
