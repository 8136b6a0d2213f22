"""`sequence-gap[@token:N]`: from there on the numbers of the events are too high by seven; no event is lost."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.place import token
from oxllm.sim.provider.reply import Part, remade

GAP = 7


class SequenceGap(SpoiledParts):
    kind = "sequence-gap"
    harm = Harm.NONE
    places = ("token",)
    default = token(3)
    streams_only = True
    protocols = ("responses",)

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        seen = 0
        for part in parts:
            number = b'"sequence_number":%d'
            gone = seen >= self.tokens
            data = part.data.replace(number % part.number, number % (part.number + GAP), 1) if gone else part.data
            seen += part.tokens
            yield remade(part, data)


FAULT = SequenceGap
