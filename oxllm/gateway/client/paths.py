"""Paths and queries as clients write them."""

from __future__ import annotations

import re
from typing import Final

from oxllm.gateway.client.request import Request

_ESCAPE: Final = re.compile(rb"%([0-9a-fA-F]{2})")


def unescape(path: bytes) -> str:
    """A path segment with its percent escapes decoded. Bytes that are not UTF-8 become U+FFFD."""
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), path).decode("utf-8", "replace")


def parameter(request: Request, name: bytes) -> str | None:
    """The value of a parameter of the query, percent escapes decoded; None if it has none of that name."""
    for part in request.query.split(b"&"):
        key, _, value = part.partition(b"=")
        if key == name:
            return unescape(value)
    return None


def wants_json(request: Request) -> bool:
    """Whether JSON is wanted: `format=json`, or else an Accept header that names it without `format=text`."""
    wanted = parameter(request, b"format")
    return wanted == "json" or (wanted != "text" and b"application/json" in (request.get(b"accept") or b""))
