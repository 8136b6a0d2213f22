"""`big-event[@token:N][~KILOBYTES]`: one event of the stream is larger than readers like it, 100 KB if not said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from oxllm.sim.faults.base import Argument, SpoiledParts
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.place import token
from oxllm.sim.provider.reply import Part, changed, remade


class BigEvent(SpoiledParts):
    kind = "big-event"
    harm = Harm.NONE
    places = ("token",)
    default = token(3)
    argument = Argument.COUNT
    streams_only = True

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        return changed(parts, self.tokens, self._swollen)

    def _swollen(self, part: Part) -> Iterable[Part]:
        """The event with a last member added, after those that say what it is. No reader needs it; OpenAI has one of
        this name in each delta."""
        head, brace, tail = part.data.rpartition(b"}")
        padding = b',"obfuscation":"%b"' % (b"x" * 1000 * int(self.seconds(100)))
        return [remade(part, head + padding + brace + tail)]


FAULT = BigEvent
