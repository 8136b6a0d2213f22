"""`split-utf8`: a correct answer, whose characters of several bytes are torn apart by chunks. Nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.reply import Part

GAP_S = 0.002
"""Delay between the two halves, so that they arrive in two reads."""


class SplitUtf8(SpoiledParts):
    kind = "split-utf8"
    harm = Harm.NONE
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        """Send each event in two chunks, cut inside its first non-ASCII character, or else in the middle."""
        for part in parts:
            at = next((place for place, byte in enumerate(part.data) if byte > 127), len(part.data) // 2) + 1
            yield Part(part.at, part.data[:at], part.role)
            yield Part(part.at + GAP_S, part.data[at:], part.role, part.tokens)


FAULT = SplitUtf8
