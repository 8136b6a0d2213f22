"""`tls-truncate[@PLACE]`: TLS ends without its close_notify, since TCP below it just ends; without TLS a plain EOF."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.place import WORDS, token
from oxllm.sim.provider.steps import Step, Truncate


class TlsTruncate(Fault):
    kind = "tls-truncate"
    places = WORDS
    default = token(5)

    def play(self, x: Exchange) -> Iterator[Step]:
        assert self.place is not None
        yield from x.tape().until(self.place)
        yield Truncate()


FAULT = TlsTruncate
