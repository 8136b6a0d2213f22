"""`empty-error[@token:N]`: an error became an empty event, then a clean end without `finish_reason` (Ollama)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.place import token
from oxllm.sim.reply import Tape, before
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class EmptyError(Fault):
    kind = "empty-error"
    places = ("token",)
    default = token(5)
    streams_only = True

    def play(self, x: Exchange) -> Iterator[Step]:
        assert self.place is not None
        reply = x.reply()
        empty = x.dialect.chunk(x.base, 0, {"role": "assistant", "content": ""})
        reply.parts = before(reply.parts, self.place.n, empty)
        return Tape(reply).rest()


FAULT = EmptyError
