"""CORS response headers (https://fetch.spec.whatwg.org/#http-cors-protocol). `access` decides which origins may ask."""

from __future__ import annotations

from oxllm.core.reading.hints import Headers

EXPOSED = b"*"
"""A page sees all that other clients see: the SDKs go by `x-should-retry` and `retry-after-ms` in a browser, too. To a
request with cookies it would mean a header of that name, but such are not allowed at all."""
ALLOWED = b"authorization, x-api-key, content-type"
"""For a preflight that does not say which headers the request will have."""
MAX_AGE_S = b"600"


def headers(origin: bytes) -> Headers:
    """For each response to a page of `origin`, an allowed one."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"origin"),
    ]


def preflight(methods: tuple[bytes, ...], asked: bytes | None) -> Headers:
    """The further headers of a preflight response. `asked`: the request's Access-Control-Request-Headers."""
    return [
        (b"access-control-allow-methods", b", ".join(methods)),
        (b"access-control-allow-headers", asked or ALLOWED),
        (b"access-control-max-age", MAX_AGE_S),
    ]
