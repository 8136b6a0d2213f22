"""Paths and queries as clients write them."""

from __future__ import annotations

import re
from typing import Final

from oxllm.gateway.client.request import Request

_ESCAPE: Final = re.compile(rb"%([0-9a-fA-F]{2})")


def unescape(path: bytes) -> str:
    """A path segment without its percent escapes. Bytes that are no UTF-8 become U+FFFD."""
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), path).decode("utf-8", "replace")


def asks(request: Request, flag: bytes) -> bool:
    """Is `flag`, such as `all=1`, in the request's query?"""
    return flag in request.query.split(b"&")


def wants_json(request: Request) -> bool:
    """A program asks: by `format=json`, or by its Accept header unless the query wants text."""
    if asks(request, b"format=json"):
        return True
    return b"application/json" in (request.get(b"accept") or b"") and not asks(request, b"format=text")
