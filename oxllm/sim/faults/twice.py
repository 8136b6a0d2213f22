"""`twice`: the whole answer, and then the same bytes again, which nobody has asked for."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.steps import Send, Step


class Twice(Fault):
    kind = "twice"
    harm = Harm.NONE

    def play(self, x: Exchange) -> Iterator[Step]:
        sent = []
        for step in x.tape().rest():
            if isinstance(step, Send):
                sent.append(step)
            yield step
        yield from sent


FAULT = Twice
