"""The paths that are proxied."""

from __future__ import annotations

import re
from typing import Final

ANSWER_ID: Final = "{id}"
"""The placeholder for an answer's id in an endpoint's path."""
_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:=~+-]{0,511}")


class Endpoint:
    """A path that is proxied. One object each, and one more per request that names an answer (`about`)."""

    __slots__ = ("answer", "keeps", "method", "path")

    def __init__(self, method: str, path: str, answer: str = "") -> None:
        self.method = method
        self.path = path
        """Under a provider's base URL, and under our /v1."""
        self.answer = answer
        """The id in the path, if this is the endpoint for one answer."""
        self.keeps = ANSWER_ID in path
        """Its path names an answer that some provider keeps."""

    def answer_in(self, path: bytes) -> bytes:
        """The id, still escaped, of the answer that a request's path names, if this is its endpoint."""
        before, _, behind = self.path.encode().partition(ANSWER_ID.encode())
        return path.removeprefix(b"/v1").removeprefix(before).removesuffix(behind)

    def about(self, answer: str) -> Endpoint | None:
        """The endpoint for one answer; None if the id cannot be one (`..` would lead elsewhere)."""
        if _PLAIN_ID.fullmatch(answer) is None:
            return None
        return Endpoint(self.method, self.path.replace(ANSWER_ID, answer), answer)
