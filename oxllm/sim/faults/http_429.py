"""`429[~SECONDS]`: an honest rate limit. Its hint is the argument, else one to two seconds."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Argument, Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.steps import Step


class TooManyRequests(Fault):
    kind = "429"
    needs_answer = False
    argument = Argument.SECONDS

    def play(self, x: Exchange) -> Iterator[Step]:
        hint = self.seconds(round(x.chance.between("hint", 1.0, 2.0), 3))
        return x.say(Error("rate", 429, hint, "requests"))


FAULT = TooManyRequests
