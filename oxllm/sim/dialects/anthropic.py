"""Anthropic's endpoint in the shape of OpenAI: its own overload errors, resets as dates, `event:` lines in streams.

Facts: docs.anthropic.com (errors, rate limits, streaming, OpenAI SDK compatibility). In that shape a 429 has `code`
`rate_limit_error` and `type` `invalid_request_error`, so the type alone misleads.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import ClassVar

from oxllm.sim.dialects.base import Error, Json, Level, Words, encode, up
from oxllm.sim.dialects.openai import OpenAI

_RETRIED = ("rate", "overloaded", "server")
NO_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. "
    "Please go to Plans & Billing to upgrade or purchase credits."
)
_TOO_MANY = "This request would exceed your organization's rate limit of {limit} {dimension} per minute."


class Anthropic(OpenAI):
    name = "anthropic"
    words: ClassVar[Mapping[str, Words]] = {
        **OpenAI.words,
        "rate": Words("invalid_request_error", "rate_limit_error", _TOO_MANY),
        "toobig": Words("invalid_request_error", "rate_limit_error", _TOO_MANY),
        "quota": Words("invalid_request_error", "billing_error", NO_CREDIT),
        "spend": Words("invalid_request_error", "invalid_request_error", NO_CREDIT),
        "auth": Words("invalid_request_error", "authentication_error", "invalid x-api-key"),
        "missing": Words("invalid_request_error", "not_found_error", "model: {model}"),
        "overloaded": Words("overloaded_error", None, "Overloaded"),
        "server": Words("api_error", None, "Internal server error"),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("request-id", request_id), ("anthropic-organization-id", "sim")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        pairs = []
        for word, level in levels.items():
            reset = datetime.datetime.fromtimestamp(up(wall + level.reset), datetime.UTC)
            pairs.append((f"anthropic-ratelimit-{word}-limit", str(level.limit)))
            pairs.append((f"anthropic-ratelimit-{word}-remaining", str(level.remaining)))
            pairs.append((f"anthropic-ratelimit-{word}-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ")))
        return pairs

    def refusal_headers(self, error: Error) -> list[tuple[str, str]]:
        retry = [("x-should-retry", "true" if error.word in _RETRIED else "false")]
        return retry if error.hint is None else [*retry, ("retry-after", str(up(error.hint)))]

    def error(self, error: Error, wall: float, request_id: str) -> bytes:
        if error.word in ("overloaded", "server"):
            return encode(self.native(error))
        return super().error(error, wall, request_id)

    def keepalive(self) -> bytes | None:
        return b'event: ping\ndata: {"type": "ping"}\n\n'

    def stream_error(self, error: Error) -> bytes:
        return b"event: error\ndata: %b\n\n" % encode(self.native(error))

    def native(self, error: Error) -> Json:
        """The error in Anthropic's own shape."""
        return {"type": "error", "error": {"type": self.names(error)[0], "message": self.message(error)}}


DIALECT = Anthropic()
