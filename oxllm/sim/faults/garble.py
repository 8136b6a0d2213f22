"""`garble[@token:N]`: one event of the stream is no JSON; the others are in order."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import token
from oxllm.sim.provider.reply import Part, insert

BROKEN = b'data: {"id":"chatcmpl-0","choices":[{"index":0,"delta":{"content":" wo\n\n'


class Garble(SpoiledParts):
    kind = "garble"
    places = ("token",)
    default = token(3)
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return insert(parts, self.tokens, BROKEN)


FAULT = Garble
