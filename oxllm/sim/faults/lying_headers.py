"""`lying-headers[~SECONDS]`: a good answer whose limit headers say that nothing is left until an absurd reset, or until
the argument; where a dialect has no such headers, OpenAI's."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.dialects.base import Level
from oxllm.sim.dialects.openai import DIALECT as OPENAI
from oxllm.sim.faults.base import Argument, Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.reply import Tape
from oxllm.sim.provider.steps import Step


class LyingHeaders(Fault):
    kind = "lying-headers"
    harm = Harm.NONE
    argument = Argument.SECONDS

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        lies = {word: Level(1000, 0, self.seconds(86400.0)) for word in ("requests", "tokens")}
        truth = {name for name, _ in x.limit_headers}
        honest = [(name, value) for name, value in reply.headers if name not in truth]
        told = x.dialect.limit_headers(lies, x.wall) or OPENAI.limit_headers(lies, x.wall)
        reply.headers = [*honest, *told]
        return Tape(reply).rest()


FAULT = LyingHeaders
