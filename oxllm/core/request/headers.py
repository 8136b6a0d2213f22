"""Which headers are passed on, and the heads of upstream requests. Names are lower-case bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from oxllm import __version__
from oxllm.core.known import Known
from oxllm.core.protocols.base import Protocol
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.reading.hints import Headers
from oxllm.plan import Provider

STREAM_HEAD: Final[list[tuple[bytes, bytes]]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
"""What SSE clients and the proxies between us need; sent instead of the provider's own."""

HEAD_FREE: Final = 4 * 1024
"""Bytes of each head that no budget counts: providers send 1-4 KiB."""
FIELD_OVERHEAD: Final = 128
"""Python's overhead per field in bytes: a tuple and two objects."""

_CONTENT: Final = frozenset(
    {b"content-type", b"content-language", b"content-disposition", b"retry-after", b"retry-after-ms"}
)
_OF_THE_BODY: Final = frozenset({b"content-length", b"content-encoding"})
"""Needed to pass a body on."""
_PREFIXES: Final[tuple[bytes, ...]] = (b"openai-", b"anthropic-", b"x-ratelimit-", b"retry-after")
_GO_ALONG: Final[tuple[bytes, ...]] = (b"anthropic-", b"openai-beta")
_REQUEST_IDS: Final[tuple[bytes, ...]] = (b"x-request-id", b"request-id")


def downstream(headers: Headers, own: Headers = ()) -> list[tuple[bytes, bytes]]:
    """The provider's headers that a client may see: content headers, limits, hints, its request id.

    `own` replaces the provider's fields of the same name. Of duplicates only the first is passed on.
    """
    passed = dict(own)
    for name, value in headers:
        passes = _names[name]
        if passes and passes not in passed:
            passed[passes] = value
    return list(passed.items())


def is_json(headers: Headers) -> bool:
    """Whether a body is declared JSON, in the spelling that all SDKs know; a charset may follow."""
    for name, value in headers:
        if name == b"content-type":
            return value == b"application/json" or value.startswith(b"application/json;")
    return False


def kept(headers: Headers) -> Headers:
    """The part of a provider's head that is needed to pass it on."""
    return [field for field in headers if _kept[field[0]]]


def weight(headers: Headers) -> int:
    """Bytes that these fields take in memory, beyond HEAD_FREE: heads may have 64 KiB."""
    size = sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in headers)
    return max(0, size - HEAD_FREE)


def _passes(name: bytes) -> bytes:
    """The name under which a client gets a field; empty for one that is not passed on."""
    if name in _REQUEST_IDS:
        return b"x-upstream-request-id"
    return name if name in _CONTENT or name.startswith(_PREFIXES) else b""


_names: Final[dict[bytes, bytes]] = Known(_passes)
_kept: Final[dict[bytes, bool]] = Known(lambda name: name in _OF_THE_BODY or bool(_passes(name)))


def along(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The client's headers that are passed on to a provider."""
    return [field for field in headers if field[0].startswith(_GO_ALONG)]


def upstream(passed: Sequence[tuple[bytes, bytes]], provider: Provider, protocol: Protocol) -> bytes:
    """The lines of the `passed` headers (see `along`), and of the protocol's defaults for missing ones.

    A header that the config sets takes precedence over the client's, as with members of the body.
    """
    defaults = protocol.upstream_defaults
    if not passed and not defaults:
        return b""
    named = {name for name, _ in passed}
    passed = [*passed, *[field for field in defaults if field[0] not in named]]
    own = {name.lower().encode() for name, _ in provider.headers}
    return b"".join(b"%b: %b\r\n" % field for field in passed if field[0] not in own)


def content_length(headers: Headers) -> int | None:
    """Content-Length. The parser has already checked the framing."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return None


def upstream_head(provider: Provider, protocol: Protocol, endpoint: Endpoint, stream: bool) -> bytes:
    """The request head for a provider, without Content-Length, trace context and the blank line.

    It is the same for every request, so it is built once. Of the client's head only what `upstream` writes is added:
    its credentials are meant for us. `identity`, since we could not check a compressed answer before passing it on.
    """
    own = {name.lower() for name, _ in provider.headers}
    lines = [
        f"{endpoint.method} {provider.path}{endpoint.path} HTTP/1.1",
        f"host: {provider.authority}",
        "accept-encoding: identity",
    ]
    if endpoint.method == "POST":
        lines.append("content-type: application/json")
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
