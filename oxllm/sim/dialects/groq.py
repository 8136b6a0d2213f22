"""Groq: OpenAI's shape without `param`, requests counted per day, 498 when the flex tier is full, 413 when too large.

Facts: console.groq.com/docs (rate limits, errors). `retry-after` is set on 429 alone.
"""

from __future__ import annotations

from oxllm.sim.dialects.base import Error, encode
from oxllm.sim.dialects.openai import OpenAI


class Groq(OpenAI):
    name = "groq"

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("x-request-id", request_id), ("x-groq-region", "fra")]

    def hint_headers(self, hint: float | None) -> list[tuple[str, str]]:
        return [] if hint is None else [("retry-after", str(-int(-hint // 1)))]

    def status(self, error: Error) -> int:
        """Too large is a 413 here, and overload, which elsewhere is 529, a 498."""
        if error.word == "toobig":
            return 413
        return 498 if error.status == 529 else error.status

    def error(self, error: Error, wall: float) -> bytes:
        kind, code = self.names(error)
        return encode({"error": {"message": self.message(error), "type": kind, "code": code}})

    def names(self, error: Error) -> tuple[str | None, str | int | None]:
        if error.word == "overloaded":
            return "internal_server_error", "capacity_exceeded" if error.status == 529 else None
        if error.word == "server":
            return "internal_server_error", None
        return super().names(error)


DIALECT = Groq()
