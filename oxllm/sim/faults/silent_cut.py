"""`silent-cut[@token:N]`: the answer ends early, but its framing is correct: any HTTP client reads a clean 200."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.place import token
from oxllm.sim.reply import Tape, before
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class SilentCut(Fault):
    kind = "silent-cut"
    places = ("token",)
    default = token(5)

    def play(self, x: Exchange) -> Iterator[Step]:
        assert self.place is not None
        reply = x.reply()
        reply.parts = before(reply.parts, self.place.n)
        return Tape(reply).rest()


FAULT = SilentCut
