"""A private certificate authority for `--tls`, and TLS faults chosen for each handshake.

Certificates are made by trustme, which `pip install 'oxllm[sim]'` brings: nothing else in oxllm needs it, and it
depends on a large library. Without it `--tls` is an error that says so.
"""

from __future__ import annotations

import datetime
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from oxllm.sim.faults.base import Fault


class NoTls(RuntimeError):
    """trustme, which makes the certificates, is not installed."""


class Authority:
    """A new CA, not trusted by anyone; `path` is its certificate, for `ca_file` or SSL_CERT_FILE."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        try:
            import trustme
        except ImportError:
            raise NoTls("--tls makes its certificates with trustme: pip install 'oxllm[sim]'") from None
        ca, hosts = trustme.CA(), {"localhost", "127.0.0.1", "::1", host}
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self._directory = tempfile.TemporaryDirectory(prefix="oxllm-sim-")
        self.path = Path(self._directory.name) / "ca.pem"
        ca.cert_pem.write_to_path(str(self.path))
        self._good, self._expired = _context(), _context()
        ca.issue_cert(*hosts).configure_cert(self._good)
        ca.issue_cert(*hosts, not_before=yesterday - datetime.timedelta(days=90), not_after=yesterday).configure_cert(
            self._expired
        )

    def context(self, handshake: Callable[[], Fault | None]) -> ssl.SSLContext:
        """A server's context that at each handshake asks `handshake` which fault strikes it."""

        def chosen(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
            fault = handshake()
            if fault is None:
                connection.context = self._good
            elif fault.kind == "tls-expired":
                connection.context = self._expired
            else:
                return int(ssl.AlertDescription.ALERT_DESCRIPTION_HANDSHAKE_FAILURE)
            return None

        front = _context()
        front.sni_callback = chosen
        return front

    def close(self) -> None:
        self._directory.cleanup()


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
