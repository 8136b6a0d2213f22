"""`stall[@PLACE][~SECONDS|~gate:NAME]`: the response stops for so long, until the gate opens, or for ever."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Argument, Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.place import WORDS, Place, token
from oxllm.sim.provider.steps import Gate, Hang, Step


class Stall(Fault):
    kind = "stall"
    places = WORDS
    default = token(3)
    argument = Argument.PAUSE

    def __init__(self, place: Place | None, arg: float | str | None, text: str) -> None:
        super().__init__(place, arg, text)
        self.harm = Harm.LOSS if arg is None else Harm.DELAY

    def play(self, x: Exchange) -> Iterator[Step]:
        assert self.place is not None
        tape = x.tape()
        yield from tape.until(self.place)
        if isinstance(self.arg, str):
            yield Gate(self.arg)
        elif self.arg is None:
            yield Hang()
        yield from tape.rest(self.seconds(0.0))


FAULT = Stall
