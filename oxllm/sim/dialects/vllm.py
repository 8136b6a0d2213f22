"""vLLM: flat error objects with an integer code, no limits, and in a stream an error followed by `[DONE]`.

Facts: vllm/entrypoints/openai (protocol.py ErrorResponse, serving_chat.py; api_server.py for the 401). Newer versions
nest the object in `error`; here it is flat, which is harder for a gateway to read. In streams both nest it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from oxllm.sim.dialects.base import Error, Json, Level, Words, encode, event
from oxllm.sim.dialects.openai import OpenAI

_KINDS = {"missing": "NotFoundError", "invalid": "BadRequestError", "toobig": "BadRequestError"}


class Vllm(OpenAI):
    name = "vllm"
    words: ClassVar[Mapping[str, Words]] = {
        **OpenAI.words,
        "missing": Words(None, None, "The model `{model}` does not exist."),
        "server": Words(None, None, "Internal server error"),
        "overloaded": Words(None, None, "The server is overloaded"),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("server", "uvicorn")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        return []

    def refusal_headers(self, error: Error) -> list[tuple[str, str]]:
        return []

    def error(self, error: Error, wall: float, request_id: str) -> bytes:
        if error.word == "auth":
            return encode({"error": "Unauthorized"})
        return encode({"object": "error", **self.fields(error)})

    def names(self, error: Error) -> tuple[str | None, str | int | None]:
        return _KINDS.get(error.word, "InternalServerError"), error.status

    def stream_error(self, error: Error) -> bytes:
        fields: Json = {"object": "error", **self.fields(error)}
        return event({"error": fields})

    def after_error(self) -> bytes:
        return b"data: [DONE]\n\n"


DIALECT = Vllm()
