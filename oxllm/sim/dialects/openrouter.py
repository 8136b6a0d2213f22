"""OpenRouter: integer codes, the upstream's own words in `metadata`, comments while it works, credits as 402.

Facts: openrouter.ai/docs (errors, limits, streaming). Limit headers of a 429 stand in `metadata.headers`, the reset
in epoch milliseconds; an error inside a stream is an event with `error` and `finish_reason: "error"`.
"""

from __future__ import annotations

from collections.abc import Mapping

from oxllm.sim.dialects.base import Error, Level, encode, event
from oxllm.sim.dialects.openai import OpenAI


class OpenRouter(OpenAI):
    name = "openrouter"

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("x-generation-id", request_id.replace("req", "gen"))]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        return []

    def hint_headers(self, hint: float | None) -> list[tuple[str, str]]:
        return []

    def status(self, error: Error) -> int:
        return 402 if error.word == "quota" else error.status

    def error(self, error: Error, wall: float) -> bytes:
        metadata: dict[str, object] = {"provider_name": "Sim", "raw": self.message(error)}
        if error.hint is not None:
            reset = str(round((wall + error.hint) * 1000))
            metadata["headers"] = {
                "X-RateLimit-Limit": "20",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": reset,
            }
        return encode({"error": {"message": self._words(error), "code": self.status(error), "metadata": metadata}})

    def message(self, error: Error) -> str:
        if error.word == "rate":
            return "sim-1 is temporarily rate-limited upstream"
        return super().message(error)

    def keepalive(self) -> bytes | None:
        return b": OPENROUTER PROCESSING\n\n"

    def stream_error(self, error: Error) -> bytes:
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
        code = self.status(error)
        return event({"error": {"code": code, "message": self._words(error)}, "choices": [choice]})

    def _words(self, error: Error) -> str:
        return {
            "rate": "Provider returned error",
            "server": "Provider returned error",
            "overloaded": "No instances available",
            "quota": "Insufficient credits. Add more using https://openrouter.ai/credits",
            "auth": "No auth credentials found",
            "missing": "No endpoints found for this model",
        }.get(error.word) or super().message(error)


DIALECT = OpenRouter()
