"""`late-usage[~SECONDS]`: the usage, asked for or not, and `[DONE]` come so long after the answer (1 s)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from oxllm.sim.faults.base import Argument, SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.reply import Part


class LateUsage(SpoiledParts):
    kind = "late-usage"
    harm = Harm.DELAY
    argument = Argument.SECONDS
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        due = x.now
        late = ("usage", "done") if x.operation.done else ("finish",)
        held = []
        for part in parts:
            if part.role in late:
                held.append(part)
            else:
                due = part.at + self.seconds(1.0)
                yield part
        if not any(part.role == "usage" for part in held):
            yield Part(due, x.operation.usage(x), "usage")
        for part in held:
            yield msgspec.structs.replace(part, at=due)


FAULT = LateUsage
