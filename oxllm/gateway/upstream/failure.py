"""Why a connection to a provider broke, as reported to callers. The only place where foreign errors are mapped."""

from __future__ import annotations

import errno
import socket

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
