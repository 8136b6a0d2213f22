"""`blackhole[@connect]`: the request is swallowed and nothing ever comes.

`@connect` strikes the whole port: handshakes never complete. A request on an open connection is swallowed too, and once
the port is back its next retransmission is answered with a reset, as by a host that does not know the connection
(RFC 9293 section 3.5.2).
"""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import ConnectionFault, Layer
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.provider.steps import Hang, Rst, Step, Wait

RETRANSMISSION_S = 0.2
"""How long after the port is back the peer retransmits."""


class Blackhole(ConnectionFault):
    kind = "blackhole"

    def strikes_at(self) -> Layer:
        return Layer.RESPONSE if self.place is None else Layer.LISTENER

    def strike(self, now: float) -> Iterator[Step]:
        yield Hang()

    def play(self, x: Exchange) -> Iterator[Step]:
        now, port = x.now, x.provider
        while self.strikes_at() is Layer.LISTENER and (edge := port.next_change(now)) < FOREVER:
            now = edge + RETRANSMISSION_S
            yield Wait(now)
            if not port.dark(now):
                yield Rst()
                return
        yield from self.strike(x.now)


FAULT = Blackhole
