"""Why a connection to a provider broke, as reported to callers. The only place where foreign errors are mapped."""

from __future__ import annotations

import errno
import socket
import ssl

from oxllm.core.reading.outcome import Failure
from oxllm.gateway.shortage import SHORTAGES


class Broken(ConnectionError):
    """A connection could not be made or kept: which failure that is, and a detail in our own words."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(failure, detail)
        self.failure = failure
        self.detail = detail


FAILURE_OF_ERRNO = {
    errno.ECONNREFUSED: (Failure.REFUSED, ""),
    errno.ECONNRESET: (Failure.RESET, ""),
    errno.ECONNABORTED: (Failure.RESET, ""),
    errno.EPIPE: (Failure.RESET, ""),
    errno.ETIMEDOUT: (Failure.UNREACHABLE, "no answer from the host"),
    errno.EHOSTUNREACH: (Failure.UNREACHABLE, "no route to the host"),
    errno.ENETUNREACH: (Failure.UNREACHABLE, "no route to the network"),
    errno.EADDRNOTAVAIL: (Failure.LOCAL, "no local address or port left"),
    errno.EACCES: (Failure.LOCAL, "forbidden by a local rule"),
    errno.EPERM: (Failure.LOCAL, "forbidden by a local rule"),
    errno.EAGAIN: (Failure.LOCAL, "no thread for a name look-up"),
    socket.EAI_MEMORY: (Failure.LOCAL, "no memory for a name look-up"),
    **{number: (Failure.LOCAL, what) for number, what in SHORTAGES.items()},
}

DETAIL_OF_LOOKUP = {
    socket.EAI_NONAME: "no such host",
    socket.EAI_AGAIN: "name server does not answer",
    **({socket.EAI_NODATA: "the host has no address"} if hasattr(socket, "EAI_NODATA") else {}),  # obsolete on BSDs
}

LOOKUP_HERE = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, socket.EAI_MEMORY)
"""Errors of a look-up that failed before it left this machine."""


DETAIL_OF_VERIFY_CODE = {
    9: "certificate not valid yet",
    10: "certificate expired",
    18: "certificate is self-signed",
    19: "certificate is from an unknown authority",
    20: "certificate is from an unknown authority",
    21: "certificate is from an unknown authority",
    23: "certificate revoked",
    62: "certificate is for another host",
    64: "certificate is for another host",
}
"""OpenSSL's X509_V_ERR_* (x509_vfy.h)."""

DETAIL_OF_REASON = {
    "HTTP_REQUEST": "the host does not speak TLS",
    "NO_PROTOCOLS_AVAILABLE": "no TLS version in common",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the host refused the handshake",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the host wants a client certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no TLS version in common",
    "TLSV1_UNRECOGNIZED_NAME": "the host does not know its name",
    "UNSUPPORTED_PROTOCOL": "no TLS version in common",
    "WRONG_VERSION_NUMBER": "the host does not speak TLS",
}


def broken(error: Exception | None) -> Broken:
    """Maps an error of the operating system, or None for EOF, to what callers are told."""
    if error is None:
        return Broken(Failure.EOF)
    if isinstance(error, Broken):
        return error
    if isinstance(error, socket.gaierror) and error.errno not in LOOKUP_HERE:
        return Broken(Failure.DNS, DETAIL_OF_LOOKUP.get(error.errno or 0, "lookup failed"))
    if not isinstance(error, OSError):
        return Broken(Failure.LOCAL, "internal error")  # a bug of ours, which the loop has reported
    number = error.errno
    failure, detail = FAILURE_OF_ERRNO.get(number or 0, (Failure.RESET, ""))
    return Broken(failure, detail)


def broken_tls(error: ssl.SSLError) -> Broken:
    """Maps an error of OpenSSL; rarer reasons are told by its constant, which holds nothing that the peer sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Broken(Failure.TLS, DETAIL_OF_VERIFY_CODE.get(error.verify_code, "certificate not accepted"))
    reason = error.reason or "handshake failed"
    return Broken(Failure.TLS, DETAIL_OF_REASON.get(reason, reason.replace("_", " ").lower()))
