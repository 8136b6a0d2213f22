"""`role-only`: a stream that says who speaks, then `[DONE]`, and nothing between."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.reply import Part, before


class RoleOnly(SpoiledParts):
    kind = "role-only"
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return before(parts, 0, lambda _number: x.operation.done)


FAULT = RoleOnly
