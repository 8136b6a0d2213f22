"""Binds the sockets that clients connect to."""

from __future__ import annotations

import errno
import socket
from typing import Any

from oxllm import plan as plans
from oxllm.words import bracketed

BACKLOG = 1024
"""The listen backlog (capped by net.core.somaxconn): 1,000 clients that connect at once are all queued."""
FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
"""`dual`, which is both, is not in it."""
Address = tuple[Any, ...]
"""As getaddrinfo returns it: host, port, and for IPv6 flow info and scope id."""


class BindError(OSError):
    """A listener could not be made. The message names the address and what to do."""


def listen(server: plans.Server) -> list[socket.socket]:
    """Bound, listening sockets for all of `server.listen`, all on one port. Raises BindError."""
    sockets: list[socket.socket] = []
    port = server.port
    try:
        for host in server.listen:
            for family, address in _addresses(host, server.bind_family):
                sockets.append(_bind(family, address, port, server.bind_family == "dual"))
                port = sockets[-1].getsockname()[1]  # with port 0 the first one chooses for all
    except BindError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _addresses(host: str, bind_family: str) -> list[tuple[socket.AddressFamily, Address]]:
    """The addresses of `host` in `bind_family`, without duplicates: a name may have several. Raises BindError.

    An ASCII name is passed as bytes: for a `str`, CPython loads its IDNA tables (see `upstream/resolver.py`).
    """
    family = FAMILIES.get(bind_family, socket.AF_UNSPEC)
    name = host.encode() if host.isascii() else host
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except OSError as error:
        raise BindError(f"cannot bind {host}: {error.strerror}; look at server.host") from None
    return list(dict.fromkeys((entry[0], entry[4]) for entry in found))


def _bind(family: socket.AddressFamily, address: Address, port: int, dual: bool) -> socket.socket:
    host = str(address[0])
    where = f"{bracketed(host)}:{port}"
    try:
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # TCP: asyncio sets TCP_NODELAY
    except OSError as error:
        raise BindError(f"cannot bind {where}: {error.strerror}{_advice(error)}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not (dual and host == "::"))
        sock.bind((host, port, *address[2:]))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise BindError(f"cannot bind {where}: {error.strerror}{_advice(error)}") from None
    return sock


def _advice(error: OSError) -> str:
    """What the operator can do about it."""
    if error.errno == errno.EADDRINUSE:
        return "; is another oxllm running (`oxllm status`)? Else set server.port, or give --port"
    if error.errno == errno.EACCES:
        return "; ports under 1024 are for root and CAP_NET_BIND_SERVICE: set server.port, or give --port"
    if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
        return "; this machine has no such address: look at server.host and server.bind_family"
    return ""
