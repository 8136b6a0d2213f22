"""The addresses that `host` and `bind_family` together stand for.

`host` decides: the family follows from it if absent, and must agree with it if present.

    host                    ipv4                ipv6            dual                    not written
    127.0.0.1, none         127.0.0.1           ::1 if no host  127.0.0.1 and ::1       127.0.0.1
    ::1                     error               ::1             127.0.0.1 and ::1       ::1
    localhost               127.0.0.1           ::1             127.0.0.1 and ::1       127.0.0.1
    0.0.0.0                 0.0.0.0             error           ::, IPv4 too            0.0.0.0
    ::                      error               ::, IPv6 only   ::, IPv4 too            ::, IPv4 too
    another IPv4 literal    it                  error           error                   it
    another IPv6 literal    error               it              error                   it
    a name                  its A records       its AAAA        all of them             all of them
"""

from __future__ import annotations

import ipaddress
import re

from oxllm.config.problem import BadValueError

LOOPBACK = {"ipv4": ("127.0.0.1",), "ipv6": ("::1",), "dual": ("127.0.0.1", "::1")}
WILDCARD = {"ipv4": ("0.0.0.0",), "ipv6": ("::",), "dual": ("::",)}  # noqa: S104 - asked for by the operator
Listen = tuple[str, tuple[str, ...]]
"""The family, and the addresses or names to bind."""


def addresses(host: str | None, family: str | None) -> Listen:
    """What to bind. Raises BadValueError when `host` and `family` contradict each other."""
    if host is None or host == "localhost":
        return family or "ipv4", LOOPBACK[family or "ipv4"]
    address = literal(host)
    if address is None:
        return family or "dual", (host,)
    own = f"ipv{address.version}"
    if family == "dual":
        return family, _both(address, host)
    if family is not None and family != own:
        raise BadValueError(
            f"{family} contradicts host, which is an {_NAMES[own]} address", f'write "{own}" or leave it out'
        )
    if own == "ipv6" and address.is_unspecified and family is None:
        return "dual", WILDCARD["dual"]
    return own, (str(address),)


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that `host` spells, in brackets or not; None for a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def check_number(host: str) -> None:
    """Raises BadValueError for a failed IPv4 address: its last label is a number, which no host name's may be
    (RFC 1123 section 2.1; URL Standard, "ends in a number")."""
    if literal(host) is None and re.fullmatch(r"([^:/]*\.)?([0-9]+|0[xX][0-9A-Fa-f]*)\.?", host):
        raise BadValueError("is no IP address, and no name ends in a number", "write all four numbers, 0 to 255")


def is_name(host: str) -> bool:
    """Can it be asked of a resolver? RFC 1035 section 2.3.4: at most 63 characters a label, 253 in all."""
    name = host.removesuffix(".")
    return len(name) <= 253 and all(1 <= len(label) <= 63 for label in name.split("."))


def is_public(listen: tuple[str, ...]) -> bool:
    """Can other machines reach one of these? A name other than localhost counts as public."""
    found = [literal(host) for host in listen]
    return not all(address is not None and address.is_loopback for address in found)


_NAMES = {"ipv4": "IPv4", "ipv6": "IPv6"}


def _both(address: ipaddress.IPv4Address | ipaddress.IPv6Address, host: str) -> tuple[str, ...]:
    if address.is_unspecified:
        return WILDCARD["dual"]
    if str(address) in LOOPBACK["dual"]:
        return LOOPBACK["dual"]
    raise BadValueError(
        f"dual contradicts host, which is one {_NAMES[f'ipv{address.version}']} address",
        'leave bind_family out, or write host = "::" to bind all addresses of both families',
    )
