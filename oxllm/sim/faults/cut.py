"""`cut[@PLACE]`: the connection ends in the middle of the response, which breaks its framing."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import WORDS, token
from oxllm.sim.provider.steps import Fin, Step


class Cut(Fault):
    kind = "cut"
    places = WORDS
    default = token(5)

    def play(self, x: Exchange) -> Iterator[Step]:
        assert self.place is not None
        yield from x.tape().until(self.place)
        yield Fin()


FAULT = Cut
