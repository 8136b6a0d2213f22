"""Who may use the control API: people and programs on this machine, but no web page in a browser on it.

The rules are those of the gateway's operator routes. DNS rebinding is recognised by the Host, another origin by the
Origin, and a proxy by the headers that it adds.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping

from oxllm.local import FORWARDED, host_name


def is_local(transport: asyncio.BaseTransport) -> bool:
    """Whether the peer is on this machine. Only such peers may change the faults, even if we listen everywhere."""
    peer = transport.get_extra_info("peername")
    return not peer or _is_loopback(peer[0])


def foreign(headers: Mapping[str, str], scheme: str, address: str, own: str) -> str | None:
    """Why a request is not from this machine, although its peer is. `address`: where it arrived; `own`: what the
    simulator was told to listen on, maybe a name."""
    forwarded = [name for name in FORWARDED if name in headers]
    if forwarded:
        return f"this carries {forwarded[0]}"
    host, origin = headers.get("host"), headers.get("origin")
    if host is not None and not _is_ours(host_name(host), address, own.lower()):
        return f"the Host {host!r} is not this address"
    if origin is not None and origin != f"{scheme}://{host}":
        return f"this comes from a web page of {origin}"
    return None


def _is_ours(name: str, address: str, own: str) -> bool:
    return name in {"localhost", own, address} or (_is_loopback(name) and _is_loopback(address))


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback
