"""`garble[@token:N]`: one event of the stream is no JSON; the others are in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from oxllm.sim.faults.base import SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import token
from oxllm.sim.provider.reply import Part, changed


class Garble(SpoiledParts):
    kind = "garble"
    places = ("token",)
    default = token(3)
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return changed(parts, self.tokens, _with_broken)


def _with_broken(part: Part) -> Iterable[Part]:
    """The event, preceded by its own first part as an event of its own."""
    half = part.data.rstrip()[: len(part.data) * 2 // 3].decode(errors="ignore").encode()
    return [Part(part.at, half + b"\n\n", part.role), part]


FAULT = Garble
