"""Paths and queries as clients write them."""

from __future__ import annotations

import re
from typing import Final

from oxllm.gateway.client.request import Request

_ESCAPE: Final = re.compile(rb"%([0-9a-fA-F]{2})")


def unescape(path: bytes) -> str:
    """A path segment with its percent escapes decoded. Bytes that are not UTF-8 become U+FFFD."""
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), path).decode("utf-8", "replace")


def asks(request: Request, flag: bytes) -> bool:
    """Whether `flag`, such as `all=1`, is in the request's query."""
    return flag in request.query.split(b"&")


def wants_json(request: Request) -> bool:
    """Whether JSON is wanted: `format=json`, or else an Accept header that names it without `format=text`."""
    if asks(request, b"format=json"):
        return True
    return b"application/json" in (request.get(b"accept") or b"") and not asks(request, b"format=text")
