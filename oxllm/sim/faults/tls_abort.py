"""`tls-abort`: the handshake is broken off half-way. Only on a provider with TLS."""

from __future__ import annotations

from .base import Layer
from .tls_expired import TlsExpired


class TlsAbort(TlsExpired):
    kind = "tls-abort"

    def strikes_at(self) -> Layer:
        return Layer.HANDSHAKE


FAULT = TlsAbort
