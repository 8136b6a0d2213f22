"""`silent-cut[@token:N]`: the answer ends early, but its framing is correct: any HTTP client reads a clean 200."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.place import token
from oxllm.sim.reply import Part, before

from .base import SpoiledParts

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class SilentCut(SpoiledParts):
    kind = "silent-cut"
    places = ("token",)
    default = token(5)

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return before(parts, self.tokens)


FAULT = SilentCut
