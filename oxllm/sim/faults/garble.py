"""`garble[@token:N]`: one event of the stream is no JSON; the others are in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.place import token
from oxllm.sim.reply import Tape, insert
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange

BROKEN = b'data: {"id":"chatcmpl-0","choices":[{"index":0,"delta":{"content":" wo\n\n'


class Garble(Fault):
    kind = "garble"
    places = ("token",)
    default = token(3)
    streams_only = True

    def play(self, x: Exchange) -> Iterator[Step]:
        assert self.place is not None
        reply = x.reply()
        reply.parts = insert(reply.parts, self.place.n, BROKEN)
        return Tape(reply).rest()


FAULT = Garble
