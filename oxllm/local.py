"""How a request shows that it is not from this machine, although its peer is.

The gateway's operator routes and the simulator's control API both look at it.
"""

from __future__ import annotations

import re
from typing import Final

FORWARDED: Final = (
    *("forwarded", "x-forwarded-for", "x-real-ip", "via", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"),
    *("x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip", "fastly-client-ip"),
)
"""Headers that proxies add, in lower case. Some add no address unless told to, but say that they are there: nghttpx has
only `Via` and `X-Forwarded-Proto`. Others are told to use the name that their CDN has for it."""
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^][:]+))(?::[0-9]*)?")
"""A Host field: an IPv6 literal in brackets, a name, or an IPv4 literal, and maybe a port."""


def host_name(field: str) -> str:
    """The name or address in a Host field, in lower case, without brackets and port; empty if it has none."""
    parts = _HOST.fullmatch(field.lower())
    return "" if parts is None else parts[1] or parts[2]
