"""`comments`: a correct stream with an SSE comment before each event. No fault of the provider."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.reply import Part


class Comments(SpoiledParts):
    kind = "comments"
    harm = Harm.NONE
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        for part in parts:
            if part.waits is not None:
                yield part
                continue
            yield Part(part.at, b": PROCESSING\n\n", "comment")
            yield part


FAULT = Comments
