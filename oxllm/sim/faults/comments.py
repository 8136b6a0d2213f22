"""`comments`: a correct stream with an SSE comment before each event. No fault of the provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.reply import Part, Tape
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class Comments(Fault):
    kind = "comments"
    streams_only = True

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        reply.parts = _commented(reply.parts)
        return Tape(reply).rest()


def _commented(parts: Iterator[Part]) -> Iterator[Part]:
    for part in parts:
        yield Part(part.at, b": PROCESSING\n\n", "comment")
        yield part


FAULT = Comments
