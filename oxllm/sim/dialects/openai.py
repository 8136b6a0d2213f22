"""OpenAI: the dialect that all others speak with an accent.

Facts: platform.openai.com/docs/guides/rate-limits (headers, resets as Go durations, "Please try again in 18.642s"),
platform.openai.com/docs/guides/error-codes, and the chunk objects that openai-python reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from oxllm.sim.dialects.base import Error, Json, Level, Words, encode, event, up

_LIMITS = "Visit https://platform.openai.com/account/rate-limits to learn more."


class OpenAI:
    """All of a provider's behaviour that depends on its dialect. Stateless."""

    name = "openai"
    done = True
    """Whether a stream ends with `[DONE]`."""
    words: ClassVar[Mapping[str, Words]] = {
        "rate": Words(
            "{dimension}",
            "rate_limit_exceeded",
            "Rate limit reached for {model} in organization org-sim on {dimension} per min ({unit}): Limit {limit}, "
            "Used {used}, Requested {requested}.{again} " + _LIMITS,
        ),
        "toobig": Words(
            "{dimension}",
            "rate_limit_exceeded",
            "Request too large for {model} in organization org-sim on {dimension} per min ({unit}): Limit {limit}, "
            "Requested {requested}. The input or output tokens must be reduced in order to run successfully. "
            + _LIMITS,
        ),
        "quota": Words(
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        "spend": Words("invalid_request_error", "billing_hard_limit_reached", "Billing hard limit has been reached"),
        "auth": Words(
            "invalid_request_error",
            "invalid_api_key",
            "Incorrect API key provided: sk-xxxx***xxxx. You can find your API key at "
            "https://platform.openai.com/account/api-keys.",
        ),
        "missing": Words(
            "invalid_request_error",
            "model_not_found",
            "The model `{model}` does not exist or you do not have access to it.",
        ),
        "invalid": Words("invalid_request_error", None, "Invalid request."),
        "overloaded": Words("server_error", None, "The engine is currently overloaded, please try again later"),
        "server": Words(
            "server_error",
            None,
            "The server had an error processing your request. Sorry about that! You can retry your request, or contact "
            "us through our help center at help.openai.com if you keep seeing this error.",
        ),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        """Headers of every response."""
        return [("x-request-id", request_id), ("openai-version", "2020-10-01"), ("openai-processing-ms", "87")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        """The windows as headers, resets as Go durations. `wall`: the date now, for dialects whose resets are dates."""
        pairs = []
        for word, level in levels.items():
            pairs.append((f"x-ratelimit-limit-{word}", str(level.limit)))
            pairs.append((f"x-ratelimit-remaining-{word}", str(level.remaining)))
            pairs.append((f"x-ratelimit-reset-{word}", go_duration(level.reset)))
        return pairs

    def refusal_headers(self, error: Error) -> list[tuple[str, str]]:
        """Headers of a refusal that say when to retry, and whether."""
        if error.hint is None:
            return []
        return [("retry-after-ms", str(round(error.hint * 1000))), ("retry-after", str(max(1, up(error.hint))))]

    def status(self, error: Error) -> int:
        """The status that this provider uses for it."""
        return error.status

    def error(self, error: Error, wall: float, request_id: str) -> bytes:
        """The body of a refusal."""
        return encode({"error": self.fields(error)})

    def fields(self, error: Error) -> Json:
        """The error as an object."""
        kind, code = self.names(error)
        return {"message": self.message(error), "type": kind, "param": error.param, "code": code}

    def names(self, error: Error) -> tuple[str | None, str | int | None]:
        """`type` and `code` of an error."""
        words = self.words[error.word]
        kind = error.dimension if words.kind == "{dimension}" else words.kind
        return kind, error.code if error.code is not None else words.code

    def message(self, error: Error) -> str:
        """The message of an error. Some dialects hide the retry hint in it."""
        return self.words[error.word].said(error)

    def failure_code(self, error: Error) -> str:
        """`error.code` of a failed answer of the Responses API."""
        code = self.names(error)[1]
        return code if isinstance(code, str) else "server_error"

    def chunk(self, base: Json, index: int, delta: Json, finish: str | None = None) -> bytes:
        """A stream event with content or a finish_reason."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**base, "choices": [choice]})

    def prelude(self, base: Json) -> Iterator[bytes]:
        """Events that come before anything else."""
        return iter(())

    def keepalive(self) -> bytes | None:
        """What is sent while waiting for the first token, if anything."""
        return None

    def usage(self, base: Json, usage: Json) -> bytes:
        """The event with the usage, requested by `stream_options`."""
        return event({**base, "choices": [], "usage": usage})

    def stream_error(self, error: Error) -> bytes:
        """An error inside a stream that has begun."""
        return event({"error": self.fields(error)})

    def after_error(self) -> bytes:
        """What follows an error inside a stream; most dialects just stop."""
        return b""


def go_duration(seconds: float) -> str:
    """`120ms`, `6m0s`, `1h0m0s`: Go's time.Duration.String, to the millisecond."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds > 0 else "0s"
    whole, tail = divmod(round(seconds * 1000), 60_000)
    minutes = f"{whole // 60}h{whole % 60}m" if whole >= 60 else f"{whole}m" if whole else ""
    return f"{minutes}{tail / 1000:g}s"


DIALECT = OpenAI()
