"""`empty-error[@token:N]`: an error became an empty event, then a clean end without `finish_reason` (Ollama)."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import token
from oxllm.sim.provider.reply import Part, before


class EmptyError(SpoiledParts):
    kind = "empty-error"
    places = ("token",)
    default = token(5)
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return before(parts, self.tokens, lambda _number: x.operation.nothing(x))


FAULT = EmptyError
