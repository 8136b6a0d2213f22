"""`rst[@PLACE]`: the connection is reset, with a true RST; in the middle of the response where a place says so."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import ConnectionFault, Layer
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import WORDS, Place
from oxllm.sim.provider.steps import Rst, Step


class RstFault(ConnectionFault):
    kind = "rst"
    places = WORDS

    def __init__(self, place: Place | None, arg: float | str | None, text: str) -> None:
        super().__init__(place, arg, text)
        self.needs_answer = place is not None

    def strikes_at(self) -> Layer:
        return Layer.CONNECTION if self.place is not None and self.place.word == "connect" else Layer.RESPONSE

    def strike(self, now: float) -> Iterator[Step]:
        yield Rst()

    def play(self, x: Exchange) -> Iterator[Step]:
        if self.place is not None:
            yield from x.tape().until(self.place)
        yield from self.strike(x.now)


FAULT = RstFault
