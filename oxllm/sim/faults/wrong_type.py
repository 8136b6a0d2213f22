"""`wrong-type`: the right body under the wrong label: JSON as an event stream, events as JSON."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.reply import Tape
from oxllm.sim.provider.steps import Step


class WrongType(Fault):
    kind = "wrong-type"

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        label = "application/json" if reply.stream else "text/event-stream"
        reply.headers = [(name, label if name == "content-type" else value) for name, value in reply.headers]
        return Tape(reply).rest()


FAULT = WrongType
