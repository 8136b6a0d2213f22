"""OpenRouter: integer codes, the upstream's own words in `metadata`, comments while it works, credits as 402.

Facts: openrouter.ai/docs (errors, limits, streaming). Limit headers of a 429 stand in `metadata.headers`, the reset
in epoch milliseconds; an error inside a stream is an event with `error` and `finish_reason: "error"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from oxllm.sim.dialects.base import Error, Json, Level, Words, encode, event
from oxllm.sim.dialects.openai import OpenAI

_PROVIDER = Words(None, None, "Provider returned error")
_NO_CREDIT = Words(None, None, "Insufficient credits. Add more using https://openrouter.ai/settings/credits")
_RAW = {"rate": Words(None, None, "{model} is temporarily rate-limited upstream")}
"""The upstream provider's message, where it is not OpenAI's."""


class OpenRouter(OpenAI):
    name = "openrouter"
    words: ClassVar[Mapping[str, Words]] = {
        **OpenAI.words,
        "rate": _PROVIDER,
        "server": _PROVIDER,
        "overloaded": Words(None, None, "No instances available"),
        "quota": _NO_CREDIT,
        "spend": _NO_CREDIT,
        "auth": Words(None, None, "No auth credentials found"),
        "missing": Words(None, None, "No endpoints found for {model}."),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("x-generation-id", request_id.replace("req", "gen"))]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        return []

    def refusal_headers(self, error: Error) -> list[tuple[str, str]]:
        return []

    def status(self, error: Error) -> int:
        return 402 if error.word in ("quota", "spend") else error.status

    def error(self, error: Error, wall: float, request_id: str) -> bytes:
        raw = {**OpenAI.words, **_RAW}[error.word].said(error)
        metadata: Json = {"provider_name": "Sim", "raw": raw}
        if error.hint is not None:
            metadata["headers"] = {
                "X-RateLimit-Limit": "20",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(round((wall + error.hint) * 1000)),
            }
        return encode({"error": {"message": self.message(error), "code": self.status(error), "metadata": metadata}})

    def keepalive(self) -> bytes | None:
        return b": OPENROUTER PROCESSING\n\n"

    def stream_error(self, error: Error) -> bytes:
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
        said = {"code": self.status(error), "message": self.message(error)}
        return event({"error": said, "choices": [choice]})


DIALECT = OpenRouter()
