"""What a browser is told (https://fetch.spec.whatwg.org/#http-cors-protocol). Which origins may ask is in `access`."""

from __future__ import annotations

from collections.abc import Sequence

Headers = Sequence[tuple[bytes, bytes]]

EXPOSED = (
    b"x-request-id, request-id, x-upstream-request-id, x-oxllm-provider, x-oxllm-model, x-oxllm-attempts, retry-after"
)
ALLOWED = b"authorization, x-api-key, content-type"
"""For a page that does not say which headers it would send."""
MAX_AGE_S = b"600"


def headers(origin: bytes) -> Headers:
    """With each response to a page of `origin`, which is one that may ask."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"origin"),
    ]


def preflight(methods: tuple[bytes, ...], asked: bytes | None) -> Headers:
    """Beside those, in answer to whether such a request may be made. `asked`: the headers that it would have."""
    return [
        (b"access-control-allow-methods", b", ".join(methods)),
        (b"access-control-allow-headers", asked or ALLOWED),
        (b"access-control-max-age", MAX_AGE_S),
    ]
