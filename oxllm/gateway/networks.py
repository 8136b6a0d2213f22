"""Membership of addresses in networks. (The `ipaddress` module would cost the process 0.4 MB.)"""

from __future__ import annotations

import socket
from collections.abc import Iterable

_MAPPED = b"\0" * 10 + b"\xff\xff"
"""The first 12 bytes of an IPv4 address seen on an IPv6 socket (RFC 4291 2.5.5.2)."""


def packed(address: str) -> bytes | None:
    """The 4 or 16 bytes of an IP literal, 4 for a v4-mapped one; None if it is not one. A zone id is ignored."""
    address = address.partition("%")[0]
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            raw = socket.inet_pton(family, address)
        except (OSError, ValueError):
            continue
        return raw[12:] if raw.startswith(_MAPPED) else raw
    return None


def is_loopback(address: str) -> bool:
    """127.0.0.0/8 or ::1."""
    return address in LOOPBACK


class Networks:
    """A set of networks in CIDR notation; a bare address is a network of one."""

    __slots__ = ("_networks",)

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [self._parse(network) for network in networks]

    def __contains__(self, address: str) -> bool:
        raw = packed(address)
        if raw is None:
            return False
        value, size = int.from_bytes(raw, "big"), len(raw)
        return any(size == network_size and value >> shift == prefix for network_size, prefix, shift in self._networks)

    @staticmethod
    def _parse(network: str) -> tuple[int, int, int]:
        address, _, length = network.partition("/")
        raw = packed(address)
        assert raw is not None, network  # the config was checked
        shift = len(raw) * 8 - int(length or len(raw) * 8)
        return len(raw), int.from_bytes(raw, "big") >> shift, shift


LOOPBACK = Networks(("127.0.0.0/8", "::1"))
