"""`retry-after[~SECONDS]`: a 429 that asks for an absurd wait; a day if not said (Azure did)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.dialects.openai import Error
from oxllm.sim.faults.base import Argument, Fault
from oxllm.sim.provider.steps import Step

if TYPE_CHECKING:
    from oxllm.sim.provider.exchange import Exchange


class RetryAfter(Fault):
    kind = "retry-after"
    argument = Argument.SECONDS

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(Error("rate", 429, self.seconds(86400.0), "requests"))


FAULT = RetryAfter
