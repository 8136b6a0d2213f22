"""Opens TCP connections to providers, with the socket options that they need."""

from __future__ import annotations

import socket
from collections.abc import Callable

from oxllm.gateway.reactor.sockets import connect, notice_vanished
from oxllm.gateway.transport import Connecting, Done, Peer
from oxllm.gateway.upstream.resolver import Address

KEEPALIVE_S = 60
"""Seconds of silence before TCP probes the peer. An answer may take 300 s of silence, and the shortest idle
timeouts of NAT and cloud load balancers are 240-350 s."""

VANISHED_S = 10
"""Seconds without an acknowledgement after which a provider is considered gone. A request on an idle connection whose
peer has vanished thus breaks after 10 s, not after `first_byte`, and is then sent again on a new connection."""

Dial = Callable[[Address, int, Peer, Done], Connecting]
"""Connects to an address and port and gives the peer its transport. Raises OSError if that cannot even begin."""


def dial(address: Address, port: int, peer: Peer, done: Done) -> Connecting:
    """A TCP connection on the running loop."""
    sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, VANISHED_S)
        notice_vanished(sock, VANISHED_S)
        return connect(sock, address.sockaddr(port), peer, done)
    except BaseException:
        sock.close()
        raise
