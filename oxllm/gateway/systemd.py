"""The service manager's protocols: readiness (sd_notify(3)) and socket activation (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket

FIRST_FD = 3
FAMILIES = (socket.AF_INET, socket.AF_INET6)


def notify(state: str) -> None:
    """Tell the manager, if there is one: `READY=1`, `STOPPING=1`, … Never fails: nobody may be listening."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # a manager that does not read must not make clients wait
            sock.sendto(state.encode(), address)
    except OSError:
        pass


def sockets() -> list[socket.socket]:
    """The listening sockets that were passed in at start, if any. Raises ValueError if one is no TCP listener."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = os.environ.get("LISTEN_FDS", "0")
    found: list[socket.socket] = []
    try:
        found += (socket.socket(fileno=fd) for fd in range(FIRST_FD, FIRST_FD + int(count)))
        fit = all(map(_can_be_served, found))
    except (OSError, ValueError):  # not a socket (a pipe of ListenFIFO=, say), or not a number
        fit = False
    if not fit:
        for sock in found:
            sock.close()
        raise ValueError(
            "the service manager hands over a socket that cannot be served: "
            "in its .socket unit write ListenStream= with a port, or an address and a port, and no Accept=yes"
        )
    for sock in found:
        sock.set_inheritable(False)
        sock.setblocking(False)
    return found


def _can_be_served(sock: socket.socket) -> bool:
    """Whether it is a listening TCP socket."""
    return (
        sock.family in FAMILIES
        and sock.type == socket.SOCK_STREAM
        and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    )
