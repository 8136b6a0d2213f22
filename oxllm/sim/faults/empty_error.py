"""`empty-error[@token:N]`: an error became an empty event, then a clean end without `finish_reason` (Ollama)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.place import token
from oxllm.sim.reply import Part, before

from .base import SpoiledParts

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class EmptyError(SpoiledParts):
    kind = "empty-error"
    places = ("token",)
    default = token(5)
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        empty = x.dialect.chunk(x.base, 0, {"role": "assistant", "content": ""})
        return before(parts, self.tokens, empty)


FAULT = EmptyError
