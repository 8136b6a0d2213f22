"""`empty`: a 200 with no body; for a stream, no event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.reply import Part

if TYPE_CHECKING:
    from oxllm.sim.provider.exchange import Exchange


class Empty(SpoiledParts):
    kind = "empty"

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return iter(())


FAULT = Empty
