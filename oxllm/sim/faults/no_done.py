"""`no-done`: the stream ends in order, without `[DONE]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.reply import Tape
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class NoDone(Fault):
    kind = "no-done"
    streams_only = True

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        reply.parts = (part for part in reply.parts if part.role != "done")
        return Tape(reply).rest()


FAULT = NoDone
