"""vLLM: flat error objects with an integer code, no limits, and in a stream an error followed by `[DONE]`.

Facts: vllm/entrypoints/openai (protocol.py ErrorResponse, serving_chat.py). Newer versions nest the object in
`error`; the flat one is told here, since it is the harder to read, and streams nest it in both.
"""

from __future__ import annotations

from collections.abc import Mapping

from oxllm.sim.dialects.base import Error, Level, encode, event
from oxllm.sim.dialects.openai import OpenAI


class Vllm(OpenAI):
    name = "vllm"

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("server", "uvicorn")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        return []

    def hint_headers(self, hint: float | None) -> list[tuple[str, str]]:
        return []

    def error(self, error: Error, wall: float) -> bytes:
        return encode({"object": "error", **self._fields(error)})

    def names(self, error: Error) -> tuple[str | None, str | int | None]:
        kinds = {"missing": "NotFoundError", "invalid": "BadRequestError", "toobig": "BadRequestError"}
        return kinds.get(error.word, "InternalServerError"), error.status

    def stream_error(self, error: Error) -> bytes:
        return event({"error": {"object": "error", **self._fields(error)}})

    def after_error(self) -> bytes:
        return b"data: [DONE]\n\n"

    def _fields(self, error: Error) -> dict[str, object]:
        kind, code = self.names(error)
        return {"message": self.message(error), "type": kind, "param": error.param, "code": code}


DIALECT = Vllm()
