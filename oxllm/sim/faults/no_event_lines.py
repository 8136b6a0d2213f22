"""`no-event-lines`: a stream whose events have no `event:` line: some servers that imitate a protocol leave it out."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.reply import Part, remade


class NoEventLines(SpoiledParts):
    kind = "no-event-lines"
    harm = Harm.NONE
    streams_only = True
    protocols = ("messages", "responses")

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        for part in parts:
            named, _, data = part.data.partition(b"\n")
            yield remade(part, data) if named.startswith(b"event:") else part


FAULT = NoEventLines
