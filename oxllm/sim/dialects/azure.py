"""Azure OpenAI: `code` "429" as a string and no type, waits of a day, a first event of filter results.

Facts: learn.microsoft.com/azure/ai-services/openai (quota, content filtering); issue reports of "Please retry after
86400 seconds", of 429s while `remaining` is above 0, and of headers that read -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oxllm.sim.dialects.base import Error, Json, Level, encode, event
from oxllm.sim.dialects.openai import OpenAI

SAFE = {word: {"filtered": False, "severity": "safe"} for word in ("hate", "self_harm", "sexual", "violence")}


class Azure(OpenAI):
    name = "azure"

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("apim-request-id", request_id), ("x-ms-region", "West Europe"), ("x-ms-client-request-id", "sim")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        return [(f"x-ratelimit-remaining-{word}", str(level.remaining)) for word, level in levels.items()]

    def error(self, error: Error, wall: float) -> bytes:
        if error.word != "rate":
            return super().error(error, wall)
        return encode({"error": {"code": "429", "message": self.message(error)}})

    def message(self, error: Error) -> str:
        if error.word != "rate" or error.hint is None:
            return super().message(error)
        operation = "Requests to the ChatCompletions_Create Operation have exceeded call rate limit."
        return f"{operation} Please retry after {-int(-error.hint // 1)} seconds."

    def prelude(self, base: Json) -> Iterator[bytes]:
        results = [{"prompt_index": 0, "content_filter_results": SAFE}]
        yield event({**base, "id": "", "model": "", "choices": [], "prompt_filter_results": results})


DIALECT = Azure()
