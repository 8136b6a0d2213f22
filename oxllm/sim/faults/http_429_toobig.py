"""`429-toobig`: this request never fits, and a retry cannot help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.dialects.openai import Error
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class TooBig(Fault):
    kind = "429-toobig"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(Error("toobig", 429))


FAULT = TooBig
