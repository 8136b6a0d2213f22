"""`no-terminal`: all of the answer but what says that it is whole, and then a clean end."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.reply import Part, without


class NoTerminal(SpoiledParts):
    kind = "no-terminal"
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return without(parts, "finish", "usage", "done")


FAULT = NoTerminal
