"""`empty`: a 200 with no body; for a stream, no event."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.reply import Tape
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class Empty(Fault):
    kind = "empty"

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        reply.parts = iter(())
        return Tape(reply).rest()


FAULT = Empty
