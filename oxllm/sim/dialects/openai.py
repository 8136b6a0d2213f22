"""OpenAI: the dialect that all others speak with an accent.

Facts: platform.openai.com/docs/guides/rate-limits (headers, resets as Go durations, "Please try again in 18.642s"),
platform.openai.com/docs/guides/error-codes, and the chunk objects that openai-python reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oxllm.sim.dialects.base import Error, Json, Level, encode, event


class OpenAI:
    """Everything of a provider that is a matter of dialect. Stateless."""

    name = "openai"
    done = True
    """Whether a stream ends with `[DONE]`."""

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        """Head of every response."""
        return [("x-request-id", request_id), ("openai-version", "2020-10-01"), ("openai-processing-ms", "87")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        """The windows as headers, resets as Go durations. `wall`: the date, for dialects that tell it."""
        pairs = []
        for word, level in levels.items():
            pairs.append((f"x-ratelimit-limit-{word}", str(level.limit)))
            pairs.append((f"x-ratelimit-remaining-{word}", str(level.remaining)))
            pairs.append((f"x-ratelimit-reset-{word}", go_duration(level.reset)))
        return pairs

    def hint_headers(self, hint: float | None) -> list[tuple[str, str]]:
        """What a refusal says about when to come back."""
        if hint is None:
            return []
        return [("retry-after-ms", str(round(hint * 1000))), ("retry-after", str(max(1, -int(-hint // 1))))]

    def status(self, error: Error) -> int:
        """The status with which this provider says it."""
        return error.status

    def error(self, error: Error, wall: float) -> bytes:
        """The body of a refusal."""
        kind, code = self.names(error)
        return encode({"error": {"message": self.message(error), "type": kind, "param": error.param, "code": code}})

    def names(self, error: Error) -> tuple[str | None, str | int | None]:
        """`type` and `code` of an error."""
        match error.word:
            case "rate" | "toobig":
                return error.dimension, "rate_limit_exceeded"
            case "quota":
                return "insufficient_quota", "insufficient_quota"
            case "auth":
                return "invalid_request_error", "invalid_api_key"
            case "missing":
                return "invalid_request_error", "model_not_found"
            case "invalid":
                return "invalid_request_error", None
        return "server_error", None

    def message(self, error: Error) -> str:
        """The words of an error; where a hint is hidden in them, that is the dialect's habit."""
        if error.message is not None:
            return error.message
        match error.word:
            case "rate":
                wait = f" Please try again in {short(error.hint)}." if error.hint is not None else ""
                return f"Rate limit reached for {error.dimension} per min.{wait}"
            case "toobig":
                return "Request too large: Limit 30000, Requested 31538. The input or output tokens must be reduced."
            case "quota":
                return "You exceeded your current quota, please check your plan and billing details."
            case "auth":
                return "Incorrect API key provided."
            case "missing":
                return "The model does not exist or you do not have access to it."
        return "The server had an error while processing your request. Sorry about that!"

    def chunk(self, base: Json, index: int, delta: Json, finish: str | None = None) -> bytes:
        """One event of a stream, with content or a finish_reason."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**base, "choices": [choice]})

    def prelude(self, base: Json) -> Iterator[bytes]:
        """Events that come before anything else."""
        return iter(())

    def keepalive(self) -> bytes | None:
        """What is sent while the first token is awaited, if anything."""
        return None

    def usage(self, base: Json, usage: Json) -> bytes:
        """The event with the usage, asked for with `stream_options`."""
        return event({**base, "choices": [], "usage": usage})

    def stream_error(self, error: Error) -> bytes:
        """An error inside a stream that has begun."""
        kind, code = self.names(error)
        fields = {"message": self.message(error), "type": kind, "param": error.param, "code": code}
        return event({"error": fields})

    def after_error(self) -> bytes:
        """What follows an error inside a stream; most just stop."""
        return b""


def short(hint: float) -> str:
    """`18.642s`, `644ms`: how OpenAI's messages tell a time."""
    return f"{round(hint * 1000)}ms" if hint < 1 else f"{hint:.3f}".rstrip("0").rstrip(".") + "s"


def go_duration(seconds: float) -> str:
    """`120ms`, `6m0s`, `1h0m0s`: Go's time.Duration.String, to the millisecond."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms" if seconds > 0 else "0s"
    whole, tail = divmod(round(seconds * 1000), 60_000)
    minutes = f"{whole // 60}h{whole % 60}m" if whole >= 60 else f"{whole}m" if whole else ""
    return f"{minutes}{tail / 1000:g}s"


DIALECT = OpenAI()
