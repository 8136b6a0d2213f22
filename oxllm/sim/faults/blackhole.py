"""`blackhole[@connect]`: the request is swallowed and nothing ever comes.

`@connect` is the whole port, whose handshakes are never completed; a request on a connection from before is swallowed.
"""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.steps import Hang, Step

from .base import ConnectionFault, Layer


class Blackhole(ConnectionFault):
    kind = "blackhole"

    def strikes_at(self) -> Layer:
        return Layer.RESPONSE if self.place is None else Layer.LISTENER

    def strike(self) -> Iterator[Step]:
        yield Hang()


FAULT = Blackhole
