"""Ollama's /v1: busy is a 503 `api_error`, and an error inside a stream vanishes.

Facts: ollama/openai/openai.go and server/sched.go. When generation fails after it began, the error becomes an event
with empty content and the stream ends in order: no error, no `finish_reason`, no `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from oxllm.sim.dialects.base import CREATED, Error, Json, Level, Words, event
from oxllm.sim.dialects.openai import OpenAI

_KINDS = {"missing": "not_found_error", "invalid": "invalid_request_error"}
_BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Ollama(OpenAI):
    name = "ollama"
    words: ClassVar[Mapping[str, Words]] = {
        **OpenAI.words,
        "rate": Words(None, None, _BUSY),
        "overloaded": Words(None, None, _BUSY),
        "missing": Words(None, None, "model '{model}' not found"),
        "auth": Words(None, None, "unauthorized"),
        "server": Words(None, None, "an error was encountered while running the model: unexpected EOF"),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return []

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        return []

    def refusal_headers(self, error: Error) -> list[tuple[str, str]]:
        return []

    def names(self, error: Error) -> tuple[str | None, str | int | None]:
        return _KINDS.get(error.word, "api_error"), None

    def chunk(self, base: Json, index: int, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": {"role": "assistant", **delta}, "finish_reason": finish}
        return event({**base, "system_fingerprint": "fp_ollama", "choices": [choice]})

    def stream_error(self, error: Error) -> bytes:
        base = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": CREATED, "model": ""}
        return self.chunk(base, 0, {"content": ""})


DIALECT = Ollama()
