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
        """Only if requested by header, where it closes the connection; handshakes are struck by `serve.tls`."""
        yield Fin()


FAULT = TlsExpired
