"""Groq: OpenAI's shape without `param`, requests counted per day, 498 when the flex tier is full, 413 when too large.

Facts: console.groq.com/docs (rate limits, errors). `retry-after` is set on 429 alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from oxllm.sim.dialects.base import Error, Json, Words, up
from oxllm.sim.dialects.openai import OpenAI

_WHERE = "for model `{model}` in organization `org_sim` service tier `on_demand` on {dimension} per minute ({unit})"
_UPGRADE = "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"


class Groq(OpenAI):
    name = "groq"
    words: ClassVar[Mapping[str, Words]] = {
        **OpenAI.words,
        "rate": Words(
            "{dimension}",
            "rate_limit_exceeded",
            f"Rate limit reached {_WHERE}: Limit {{limit}}, Used {{used}}, "
            f"Requested {{requested}}.{{again}} {_UPGRADE}",
        ),
        "toobig": Words(
            "{dimension}",
            "rate_limit_exceeded",
            f"Request too large {_WHERE}: Limit {{limit}}, Requested {{requested}}, please reduce your message size "
            f"and try again. {_UPGRADE}",
        ),
        "auth": Words("invalid_request_error", "invalid_api_key", "Invalid API Key"),
        "overloaded": Words("internal_server_error", None, "Service Unavailable"),
        "server": Words("internal_server_error", None, "Internal Server Error"),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("x-request-id", request_id), ("x-groq-region", "fra")]

    def refusal_headers(self, error: Error) -> list[tuple[str, str]]:
        return [] if error.hint is None else [("retry-after", str(up(error.hint)))]

    def status(self, error: Error) -> int:
        """Groq's 413 for a request that is too large, and 498 for what is a 529 elsewhere."""
        if error.word == "toobig":
            return 413
        return 498 if error.status == 529 else error.status

    def fields(self, error: Error) -> Json:
        kind, code = self.names(error)
        return {"message": self.message(error), "type": kind, "code": code}

    def names(self, error: Error) -> tuple[str | None, str | int | None]:
        if error.status == 529:
            return "internal_server_error", "capacity_exceeded"
        return super().names(error)


DIALECT = Groq()
