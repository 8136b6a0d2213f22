"""`short-body`: Content-Length promises the whole answer, half of it comes, then EOF."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import HALF
from oxllm.sim.provider.reply import Tape
from oxllm.sim.provider.steps import Fin, Step


class ShortBody(Fault):
    kind = "short-body"

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        reply.stream = False
        tape = Tape(reply)
        yield from tape.until(HALF)
        yield Fin()


FAULT = ShortBody
