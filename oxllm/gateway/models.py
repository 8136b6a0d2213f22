"""GET /v1/models, in the client's format: OpenAI's, or Anthropic's if the request has an `anthropic-version`.

https://platform.openai.com/docs/api-reference/models, https://docs.anthropic.com/en/api/models-list
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway.client.paths import parameter
from oxllm.gateway.client.request import Request

PAGE = 20
"""Models on a page in Anthropic's format, if the client sets no `limit`."""
PAGE_MAX = 1000

Json = dict[str, object]


class Catalogue:
    """The models that a client may name, in its format."""

    __slots__ = ("_created", "_created_at")

    def __init__(self, created: int) -> None:
        """`created`: start of the process, seconds since the epoch; each model shows it."""
        self._created = created
        self._created_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))

    def all(self, request: Request, names: Sequence[str]) -> Json | ApiError:
        """The list of `names`, which must be sorted."""
        if not _is_anthropics(request):
            return {"object": "list", "data": [self.one(request, name) for name in names]}
        limit = _limit(request)
        if limit is None:
            return api_error(400, f"`limit` must be a number from 1 to {PAGE_MAX}", param="limit")
        page, more = _page(names, limit, parameter(request, b"after_id"), parameter(request, b"before_id"))
        return {
            "data": [self.one(request, name) for name in page],
            "has_more": more,
            "first_id": page[0] if page else None,
            "last_id": page[-1] if page else None,
        }

    def one(self, request: Request, name: str) -> Json:
        """One of them."""
        if _is_anthropics(request):
            return {"type": "model", "id": name, "display_name": name, "created_at": self._created_at}
        return {"id": name, "object": "model", "created": self._created, "owned_by": "oxllm"}


def _is_anthropics(request: Request) -> bool:
    return request.get(b"anthropic-version") is not None


def _page(names: Sequence[str], limit: int, after: str | None, before: str | None) -> tuple[Sequence[str], bool]:
    """A page, and whether more follow in the client's direction. `after` and `before`: the id next to it, if any; one
    that has gone since still marks its place in the order."""
    if before:
        names = names[: bisect_left(names, before)]
        return names[-limit:], len(names) > limit
    if after:
        names = names[bisect_right(names, after) :]
    return names[:limit], len(names) > limit


def _limit(request: Request) -> int | None:
    """Models per page; None if the client's `limit` is invalid."""
    text = parameter(request, b"limit")
    if not text:
        return PAGE
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return limit if 1 <= limit <= PAGE_MAX else None
