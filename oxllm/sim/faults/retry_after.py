"""`retry-after[~SECONDS]`: a 429 that asks for an absurd wait; a day if not said (Azure did)."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Argument, Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.steps import Step


class RetryAfter(Fault):
    kind = "retry-after"
    needs_answer = False
    argument = Argument.SECONDS

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(Error("rate", 429, self.seconds(86400.0), "requests"))


FAULT = RetryAfter
