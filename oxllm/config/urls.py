"""URLs in a configuration: base URLs, hosts and ports, origins. Errors never quote one: it may hold credentials."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from oxllm.config.listen import check_number, is_name
from oxllm.config.problem import BadValueError

DEFAULT_PORTS = {"http": 80, "https": 443}


class Url(NamedTuple):
    """An http or https URL without credentials, query or fragment."""

    scheme: str
    host: str
    """Lower-case ASCII (IDNA); an IPv6 literal has no brackets."""
    port: int
    path: str
    """Percent-encoded, without a trailing slash: "" or "/v1"."""

    @property
    def tls(self) -> bool:
        return self.scheme == "https"


def parse_base_url(text: str) -> Url:
    """An http(s) URL that paths are appended to. Raises BadValueError."""
    url = _split(text)
    if url.scheme not in DEFAULT_PORTS:
        raise BadValueError("is not an http or https URL", 'write for example "https://api.example.com/v1"')
    if url.username is not None or url.password is not None:
        raise BadValueError("has credentials in the URL", "take them out and write api_key or headers instead")
    if url.query or url.fragment:
        raise BadValueError("has a query or a fragment, but paths are appended to it", "cut it off at the ? or #")
    host, port = endpoint(url.hostname, url.netloc, DEFAULT_PORTS[url.scheme])
    path = url.path.strip("/")  # "${BASE}/openai/v1" begins with two slashes if BASE ends in one
    return Url(url.scheme, host, port, quote(f"/{path}" if path else "", safe="/%:@!$&'()*+,;=~-._"))


def parse_origin(text: str) -> str:
    """A web origin as browsers send it: scheme and host, no path, no default port. Raises BadValueError."""
    advice = 'write scheme and host, for example "https://chat.example.com"'
    url = _split(text)
    if not url.scheme or not url.netloc or url.path.strip("/") or url.query or url.fragment or "@" in url.netloc:
        raise BadValueError("is not an origin", advice)
    host, port = endpoint(url.hostname, url.netloc, DEFAULT_PORTS.get(url.scheme, 0))
    shown = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{shown}" + (f":{port}" if port != DEFAULT_PORTS.get(url.scheme, 0) else "")


def endpoint(hostname: str | None, netloc: str, default_port: int) -> tuple[str, int]:
    """Host and port of a network location. Raises BadValueError."""
    host = ascii_host(hostname or "")
    digits = netloc.rpartition("@")[2].rpartition("]")[2].rpartition(":")[2] if _has_port(netloc) else ""
    if digits and not is_port(digits):
        raise BadValueError("has a port that is not a number from 1 to 65535")
    return host, int(digits) if digits else default_port


def is_port(digits: str) -> bool:
    """Is it a number from 1 to 65535, of at most five digits?"""
    return re.fullmatch(r"[0-9]{1,5}", digits) is not None and 1 <= int(digits) <= 65535


def ascii_host(host: str) -> str:
    """A host name or IP literal in its wire form. Raises BadValueError."""
    if not host:
        raise BadValueError("has no host", 'write for example "https://api.example.com/v1"')
    if ":" in host:
        return host.lower()
    try:
        name = host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise BadValueError("has a host that is not a valid name") from None
    if not all(c.isalnum() or c in "-._" for c in name) or not is_name(name):
        raise BadValueError("has a host that is not a valid name")
    check_number(name)
    return name


class _Parts(NamedTuple):
    scheme: str
    netloc: str
    hostname: str | None
    username: str | None
    password: str | None
    path: str
    query: str
    fragment: str


def _split(text: str) -> _Parts:
    """urlsplit, but refuses white space and control characters, some of which urlsplit silently removes."""
    if any(c <= " " or c == "\x7f" for c in text):
        raise BadValueError("has white space or a control character in the URL", "remove it")
    try:
        url = urlsplit(text)
        return _Parts(
            url.scheme, url.netloc, url.hostname, url.username, url.password, url.path, url.query, url.fragment
        )
    except ValueError:  # an unclosed IPv6 literal, or a host that changes under NFKC
        raise BadValueError("is not a URL", 'write for example "https://api.example.com/v1"') from None


def _has_port(netloc: str) -> bool:
    return ":" in netloc.rpartition("@")[2].rpartition("]")[2]
