"""`tls-abort`: the handshake is broken off half-way. Only on a provider with TLS."""

from __future__ import annotations

from oxllm.sim.faults.base import Layer
from oxllm.sim.faults.tls_expired import TlsExpired


class TlsAbort(TlsExpired):
    kind = "tls-abort"

    def strikes_at(self) -> Layer:
        return Layer.HANDSHAKE


FAULT = TlsAbort
