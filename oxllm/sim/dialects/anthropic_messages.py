"""Anthropic at its Messages API: errors in its own shape with a `request_id`, 529 for overload, 400 for want of credit.

Facts: platform.claude.com/docs/en/api/errors and .../rate-limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from oxllm.sim.dialects.anthropic import NO_CREDIT, Anthropic
from oxllm.sim.dialects.base import Error, Json, Level, Words, encode

_TOO_MANY = (
    "This request would exceed your organization's rate limit of {limit} {dimension} per minute. For details, refer to"
    ": https://docs.claude.com/en/api/rate-limits."
)


class AnthropicMessages(Anthropic):
    name = "anthropic-messages"
    words: ClassVar[Mapping[str, Words]] = {
        **Anthropic.words,
        "rate": Words("rate_limit_error", None, _TOO_MANY),
        "toobig": Words("rate_limit_error", None, _TOO_MANY),
        "quota": Words("invalid_request_error", None, NO_CREDIT),
        "auth": Words("authentication_error", None, "invalid x-api-key"),
        "missing": Words("not_found_error", None, "model: {model}"),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [*super().headers(request_id), ("server", "cloudflare"), ("cf-cache-status", "DYNAMIC")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        """Tokens are reported three times: all, input and output."""
        told = dict(levels)
        if "tokens" in levels:
            told |= {"input-tokens": levels["tokens"], "output-tokens": levels["tokens"]}
        return super().limit_headers(told, wall)

    def status(self, error: Error) -> int:
        if error.word == "quota":
            return 400
        return 529 if error.word == "overloaded" else error.status

    def error(self, error: Error, wall: float, request_id: str) -> bytes:
        return encode({**self.native(error), "request_id": request_id})

    def native(self, error: Error) -> Json:
        """With the error's own code, if it has one."""
        told = super().native(error)
        if error.code is not None:
            told["error"]["details"] = {"error_code": error.code}
        return told


DIALECT = AnthropicMessages()
