"""`trickle[@PLACE][~SECONDS]`: from the place on one byte at a time, each so much after the one before (10 ms)."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Argument, Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.place import HEADERS, WORDS
from oxllm.sim.provider.steps import Await, Send, Step, Wait


class Trickle(Fault):
    kind = "trickle"
    harm = Harm.DELAY
    places = WORDS
    default = HEADERS
    argument = Argument.SECONDS

    def play(self, x: Exchange) -> Iterator[Step]:
        assert self.place is not None
        tape = x.tape()
        yield from tape.until(self.place)
        gap, due = self.seconds(0.01), 0.0
        for piece in tape.remaining():
            if piece.waits is not None:
                yield Await(piece.waits)
            due = max(due, piece.at)
            for offset in range(len(piece.data)):
                yield Wait(due)
                yield Send(piece.data[offset : offset + 1])
                due += gap


FAULT = Trickle
