"""`role-only`: a stream that says who speaks, then `[DONE]`, and nothing between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.exchange import DONE
from oxllm.sim.reply import Tape, before
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class RoleOnly(Fault):
    kind = "role-only"
    streams_only = True

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        reply.parts = before(reply.parts, 0, DONE)
        return Tape(reply).rest()


FAULT = RoleOnly
