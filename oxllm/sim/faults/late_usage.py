"""`late-usage[~SECONDS]`: the usage, asked for or not, and `[DONE]` come so long after the answer (1 s)."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Argument, SpoiledParts
from oxllm.sim.provider.exchange import DONE, Exchange
from oxllm.sim.provider.reply import Part


class LateUsage(SpoiledParts):
    kind = "late-usage"
    argument = Argument.SECONDS
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        due = x.now
        for part in parts:
            if part.role not in ("usage", "done"):
                due = part.at + self.seconds(1.0)
                yield part
        yield Part(due, x.dialect.usage(x.base, x.usage), "usage")
        yield Part(due, DONE, "done")


FAULT = LateUsage
