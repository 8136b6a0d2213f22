"""`hold-open`: the whole answer, no `[DONE]`, and then the connection is held open for ever."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.place import END
from oxllm.sim.provider.reply import Tape, without
from oxllm.sim.provider.steps import Hang, Step


class HoldOpen(Fault):
    kind = "hold-open"
    harm = Harm.NONE
    streams_only = True

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        reply.parts = without(reply.parts, "done")
        yield from Tape(reply).until(END)
        yield Hang()


FAULT = HoldOpen
