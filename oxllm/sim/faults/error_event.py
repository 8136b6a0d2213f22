"""`error-event[@token:N]`: an error inside the stream, in the dialect's own way, and the end of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import token
from oxllm.sim.provider.reply import Part, before


class ErrorEvent(SpoiledParts):
    kind = "error-event"
    places: ClassVar[tuple[str, ...]] = ("token",)
    default = token(5)
    streams_only = True
    error: ClassVar[Error] = Error("server", 500)

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return before(parts, self.tokens, lambda number: x.operation.failure(x, self.error, number))


FAULT = ErrorEvent
