"""`silent-cut[@token:N]`: the answer ends early, but its framing is correct: any HTTP client reads a clean 200."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import token
from oxllm.sim.provider.reply import Part, before


class SilentCut(SpoiledParts):
    kind = "silent-cut"
    places = ("token",)
    default = token(5)

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return before(parts, self.tokens)


FAULT = SilentCut
