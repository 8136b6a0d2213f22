"""Which headers pass, and the heads that go out. Names are lower-case bytes."""

from __future__ import annotations

from oxllm import __version__
from oxllm.core.effects import Headers
from oxllm.core.protocols.base import Endpoint, Protocol
from oxllm.plan import Provider

STREAM_HEAD: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
"""What SSE clients and the proxies between need; the provider's own spelling of these does not pass."""

_CONTENT = frozenset({b"content-type", b"content-language", b"content-disposition", b"retry-after", b"retry-after-ms"})
_PREFIXES = (b"openai-", b"x-ratelimit-", b"retry-after")


def downstream(headers: Headers, stream: bool) -> list[tuple[bytes, bytes]]:
    """Those of a provider's headers that a client may see: content headers, limits, hints, its request id.

    Of two of one name the first passes: all of these stand once in a head.
    """
    passed = dict(STREAM_HEAD) if stream else {}
    for name, value in headers:
        if name == b"x-request-id":
            passed.setdefault(b"x-upstream-request-id", value)
        elif name in _CONTENT or name.startswith(_PREFIXES):
            passed.setdefault(name, value)
    return list(passed.items())


def content_length(headers: Headers) -> int | None:
    """The declared length of a body whose framing the parser has already checked."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return None


def upstream_head(provider: Provider, protocol: Protocol, endpoint: Endpoint, stream: bool) -> bytes:
    """The request head for a provider, all but Content-Length, trace context and the blank line.

    It is the same for each request, so it is made once. Nothing of the client's own head goes along: its
    credentials are for us. `identity`, since a compressed answer could not be checked before it is passed on.
    """
    own = {name.lower() for name, _ in provider.headers}
    lines = [
        f"{endpoint.method} {provider.path}{endpoint.path} HTTP/1.1",
        f"host: {provider.authority}",
        "content-type: application/json",
        "accept-encoding: identity",
    ]
    if "accept" not in own:
        lines.append(f"accept: {'text/event-stream' if stream else 'application/json'}")
    if provider.api_key:
        lines.append(_key(provider.api_key, provider.auth or protocol.auth))
    if "user-agent" not in own:
        lines.append(f"user-agent: {provider.user_agent or f'oxllm/{__version__}'}")
    lines.extend(f"{name}: {value}" for name, value in provider.headers)
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")


def _key(key: str, auth: str) -> str:
    return f"x-api-key: {key}" if auth == "x-api-key" else f"authorization: Bearer {key}"
