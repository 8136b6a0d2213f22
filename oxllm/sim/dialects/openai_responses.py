"""OpenAI at its Responses API: overload is a 503 `server_is_overloaded`, and a failure an event that says `failed`.

Facts: platform.openai.com/docs/guides/error-codes (503 "slow down"), .../api-reference/responses-streaming
(`response.failed`, `error`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from oxllm.sim.dialects.base import Error, Words
from oxllm.sim.dialects.openai import OpenAI


class OpenAIResponses(OpenAI):
    name = "openai-responses"
    words: ClassVar[Mapping[str, Words]] = {
        **OpenAI.words,
        "overloaded": Words(
            "service_unavailable_error",
            "server_is_overloaded",
            "Our servers are currently overloaded. Please try again later.",
        ),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [*super().headers(request_id), ("openai-organization", "org-sim"), ("openai-project", "proj_sim")]

    def failure_code(self, error: Error) -> str:
        """A failed answer has a code even for errors whose refusals have none."""
        return "server_error" if error.word == "server" else super().failure_code(error)


DIALECT = OpenAIResponses()
