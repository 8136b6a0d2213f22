"""TCP to a provider: a socket with the options that it needs, connected."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from oxllm.gateway.reactor.sockets import adopt, notice_vanished
from oxllm.gateway.transport import Peer, Transport
from oxllm.gateway.upstream.resolver import Address

KEEPALIVE_S = 60
"""Seconds of silence until TCP asks whether the peer is there. An answer may take 300 s of silence, and the
shortest idle limits of NAT and cloud balancers are 240-350 s."""

VANISHED_S = 10
"""Seconds without an acknowledgement after which a provider is gone. A request that goes out on an idle connection to
one that has vanished fails after that, on a new connection if no byte had come, and not after `first_byte`."""

Dial = Callable[[Address, int, Peer], Awaitable[Transport]]
"""Connects to an address and port and gives the peer its transport. Raises OSError. Safe to cancel:
whatever was made until then is closed."""


async def dial(address: Address, port: int, peer: Peer) -> Transport:
    """A TCP connection on the running loop."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, VANISHED_S)
        notice_vanished(sock, VANISHED_S)
        await loop.sock_connect(sock, address.sockaddr(port))
    except BaseException:
        sock.close()
        raise
    return await adopt(sock, peer)
