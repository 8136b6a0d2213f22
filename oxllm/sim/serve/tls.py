"""A certificate authority of one's own for `--tls`, and TLS faults chosen handshake by handshake.

Certificates are made by trustme, which comes with `pip install 'oxllm[sim]'`: nothing else of oxllm makes any, and it
brings a large library for it. Without it `--tls` says so.
"""

from __future__ import annotations

import datetime
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

from oxllm.sim.faults.base import Fault


class NoTls(RuntimeError):
    """There is nothing here to make certificates with."""


class Authority:
    """A CA that nobody trusts yet; `path` is its certificate, for `ca_file` or SSL_CERT_FILE."""

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
        """A server's context that asks `handshake` at each one what becomes of it."""

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
