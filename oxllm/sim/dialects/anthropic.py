"""Anthropic's endpoint in the shape of OpenAI: its own overload errors, resets as dates, `event:` lines in streams.

Facts: docs.anthropic.com (errors, rate limits, streaming, OpenAI SDK compatibility). In that shape a 429 has `code`
`rate_limit_error` and `type` `invalid_request_error`, so the type alone misleads.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from oxllm.sim.dialects.base import Error, Level, encode
from oxllm.sim.dialects.openai import OpenAI


class Anthropic(OpenAI):
    name = "anthropic"

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("request-id", request_id), ("anthropic-organization-id", "sim")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        pairs = []
        for word, level in levels.items():
            reset = datetime.datetime.fromtimestamp(-int(-(wall + level.reset) // 1), datetime.UTC)
            pairs.append((f"anthropic-ratelimit-{word}-limit", str(level.limit)))
            pairs.append((f"anthropic-ratelimit-{word}-remaining", str(level.remaining)))
            pairs.append((f"anthropic-ratelimit-{word}-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ")))
        return pairs

    def hint_headers(self, hint: float | None) -> list[tuple[str, str]]:
        retry = [("x-should-retry", "true")]
        return retry if hint is None else [*retry, ("retry-after", str(-int(-hint // 1)))]

    def error(self, error: Error, wall: float) -> bytes:
        if error.word in ("overloaded", "server"):
            return encode(self._own(error))
        return super().error(error, wall)

    def names(self, error: Error) -> tuple[str | None, str | int | None]:
        match error.word:
            case "rate" | "toobig":
                return "invalid_request_error", "rate_limit_error"
            case "quota":
                return "invalid_request_error", "billing_error"
            case "auth":
                return "invalid_request_error", "authentication_error"
        return super().names(error)

    def message(self, error: Error) -> str:
        """No wait is hidden in the words."""
        if error.message is not None:
            return error.message
        return {
            "rate": "This request would exceed your organization's rate limit.",
            "quota": "Your credit balance is too low to access the Anthropic API.",
            "overloaded": "Overloaded",
            "server": "Internal server error",
        }.get(error.word) or super().message(error)

    def keepalive(self) -> bytes | None:
        return b'event: ping\ndata: {"type": "ping"}\n\n'

    def stream_error(self, error: Error) -> bytes:
        return b"event: error\ndata: %b\n\n" % encode(self._own(error))

    def _own(self, error: Error) -> dict[str, object]:
        kind = "overloaded_error" if error.word == "overloaded" else "api_error"
        return {"type": "error", "error": {"type": kind, "message": self.message(error)}}


DIALECT = Anthropic()
