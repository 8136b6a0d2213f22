"""`empty`: a 200 with no body; for a stream, no event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.reply import Part

from .base import SpoiledParts

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class Empty(SpoiledParts):
    kind = "empty"

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return iter(())


FAULT = Empty
