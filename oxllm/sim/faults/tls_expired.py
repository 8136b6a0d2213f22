"""`tls-expired`: the certificate ran out yesterday. Only on a provider with TLS."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import ConnectionFault, Layer
from oxllm.sim.provider.steps import Fin, Step


class TlsExpired(ConnectionFault):
    kind = "tls-expired"
    places = ()

    def strikes_at(self) -> Layer:
        return Layer.HANDSHAKE

    def strike(self, now: float) -> Iterator[Step]:
        """Of a client that goes on all the same nothing is known; ordered by header it is a close."""
        yield Fin()


FAULT = TlsExpired
