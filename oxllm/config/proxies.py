"""Which HTTP proxy to use for a provider: its own `proxy`, else the environment's, by curl's rules.

curl (https://everything.curl.dev/usingcurl/proxies/env, lib/noproxy.c since 7.86):
`https_proxy`, `HTTPS_PROXY`, or for an http URL `http_proxy` in lower case only (a CGI server sets HTTP_PROXY from a
request header), then `all_proxy`, `ALL_PROXY`; lower case first. `no_proxy`, `NO_PROXY`: domains separated by commas or
spaces, each including its subdomains, with or without a leading dot; `*` alone means all; for a URL with an IP literal,
addresses and CIDR networks. An empty variable counts as unset.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote

from oxllm.config.listen import literal
from oxllm.config.problem import BadValueError
from oxllm.config.urls import endpoint
from oxllm.plan import Proxy

DEFAULT_PORT = 1080
"""curl's, for a proxy without a port."""

_VARIABLES = {True: ("https_proxy", "HTTPS_PROXY"), False: ("http_proxy",)}


def proxy_variable(env: Mapping[str, str], tls: bool, host: str) -> str | None:
    """The variable that holds the proxy to use for a URL with this host; None for no proxy."""
    names = (*_VARIABLES[tls], "all_proxy", "ALL_PROXY")
    name = next((name for name in names if env.get(name)), None)
    return None if name is None or _is_exempt(host, _first(env, "no_proxy", "NO_PROXY")) else name


def parse_proxy(text: str) -> Proxy:
    """Parse `http://[user:password@]host[:port]`; as in curl, the scheme is optional. Raises BadValueError."""
    advice = 'write for example "http://proxy.example.com:3128"'
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "http", text
    if scheme.lower() != "http":
        raise BadValueError("is not an http proxy: only http:// proxies are spoken to (by CONNECT)", advice)
    location = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if any(c <= " " or c == "\x7f" for c in rest):
        raise BadValueError("has white space or a control character in the URL", advice)
    credentials, at, where = location.rpartition("@")
    host, port = endpoint(_hostname(where), where, DEFAULT_PORT)
    return Proxy(host, port, _basic(credentials) if at else None)


def _hostname(where: str) -> str:
    if where.startswith("["):
        inside, closed, after = where[1:].partition("]")
        if not closed or after[:1] not in ("", ":") or literal(inside) is None:
            raise BadValueError("has brackets around what is not an IPv6 address")
        return inside
    return where.partition(":")[0]


def _basic(credentials: str) -> str:
    """RFC 7617 credentials; in the URL they are percent-encoded."""
    return "Basic " + b64encode(unquote(credentials).encode()).decode()


def _is_exempt(host: str, no_proxy: str) -> bool:
    if no_proxy.strip() == "*":
        return True
    address = literal(host)
    entries = (entry for entry in re.split(r"[,\s]+", no_proxy) if entry)
    if address is not None:
        return any(_holds(entry, address) for entry in entries)
    name = host.lower().rstrip(".")
    return any(_is_below(name, entry) for entry in entries)


def _holds(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    base, slash, bits = entry.partition("/")
    try:
        return address in ipaddress.ip_network(base.strip("[]") + slash + bits, strict=False)
    except ValueError:
        return False


def _is_below(name: str, entry: str) -> bool:
    domain = entry.lower().strip(".")
    return bool(domain) and (name == domain or name.endswith("." + domain))


def _first(env: Mapping[str, str], *names: str) -> str:
    return next((env[name] for name in names if env.get(name)), "")
