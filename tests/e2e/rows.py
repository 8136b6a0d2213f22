"""The rows of docs/failures.md: what a provider does, and what must follow."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from email.utils import format_datetime
from typing import NamedTuple

from tests.support.chat_bytes import DONE, FINISH, ROLE, token
from tests.support.scripted import HANG, RESET, Asked, Reply, Step, Steps, answer, completion, stream

OPEN_S = 20.0
PLAIN, STREAM, EMBEDDINGS = "plain", "stream", "embeddings"
CHAT = (PLAIN, STREAM)
ALL = (PLAIN, STREAM, EMBEDDINGS)


class Effect(NamedTuple):
    """What becomes of the provider that failed."""

    mark: str | None = None
    seconds: float = 0.0
    everywhere: bool = False
    """On each target of the provider, not only on the one that was asked."""


NOTHING = Effect()
OPENED = Effect("breaker open", OPEN_S, True)
QUOTA = Effect("out of quota", 600, True)
AUTH = Effect("key refused", 60, True)
MISSING = Effect("model not found", 60)


def cooled(seconds: float) -> Effect:
    return Effect("rate-limited", seconds)


class Row(NamedTuple):
    """A result after which the second provider is asked."""

    key: str
    reply: Reply
    effect: Effect
    asked: int = 1
    """How often the first provider is: twice where the same target gets a second chance."""
    modes: Sequence[str] = CHAT
    provider: str = ""
    """Settings of the first provider."""
    port: str = "listens"
    """listens | refuses | swallows | garbage (to a client that speaks TLS)"""


def error(message: str = "no", kind: str | None = None, code: object = None, **more: object) -> bytes:
    """An error object as OpenAI has it."""
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code, **more}}).encode()


def event(**fields: object) -> bytes:
    """An event of a stream."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def html(status: int) -> Reply:
    page = f"<!DOCTYPE html><html><title>api.example | {status}</title></html>".encode()
    return answer(status, page, "server: cloudflare", content_type="text/html; charset=UTF-8")


def future(seconds: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


def in_seconds(status: int, body: bytes, field: str, seconds: float) -> Reply:
    """A reply with a date in it, made when it is asked for."""

    def reply(_: Asked) -> Steps:
        when = future(seconds)
        date = format_datetime(when, usegmt=True) if field == "retry-after" else when.isoformat()
        return answer(status, body, f"{field}: {date}", "anthropic-ratelimit-tokens-remaining: 0")

    return reply


def openrouter_429(_: Asked) -> Steps:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(future(25).timestamp() * 1000))}
    raw = {"headers": headers, "provider_name": "X", "raw": "limit"}
    return answer(429, error("Provider returned error", code=429, metadata=raw))


GARBAGE = b"\x16\x03\x01SSH-2.0-OpenSSH_9.6\r\n\x00\xff"
CUT = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"content":"wo'
FULL_LENGTH = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(completion("x"))
NO_CONTENT = b'data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}]}\n\n'
RATE = error("Rate limit reached for gpt-4o.", "requests", "rate_limit_exceeded")
TOO_LARGE = error(
    "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 31538.",
    "tokens",
    "rate_limit_exceeded",
)

UNUSABLE = [
    Row("error-in-200", answer(200, error("overloaded", "server_error")), OPENED, modes=ALL),
    Row("html-in-200", answer(200, b"<html>sign in</html>", content_type="text/html"), OPENED, modes=ALL),
    Row("html-as-json", answer(200, b"<html>sign in</html>"), OPENED, modes=ALL),
    Row("invalid-json", answer(200, b'{"choices":[{]}'), OPENED, modes=ALL),
    Row("cut-json", answer(200, CUT), OPENED, modes=ALL),
    Row("no-choices", answer(200, b'{"object":"chat.completion","choices":[]}'), OPENED),
    Row("null-choices", answer(200, b'{"object":"chat.completion","choices":null}'), OPENED),
    Row("no-vectors", answer(200, b'{"object":"list","data":[]}'), OPENED, modes=(EMBEDDINGS,)),
    Row("json-for-a-stream", answer(200, completion("whole")), OPENED, modes=(STREAM,)),
    Row("json-labelled-as-stream", stream(completion("whole")), OPENED, modes=(STREAM,)),
    Row("stream-for-plain", stream(ROLE, token("x"), FINISH, DONE), OPENED, modes=(PLAIN, EMBEDDINGS)),
    Row(
        "stream-labelled-as-json",
        stream(ROLE, token("x"), FINISH, DONE, content_type="application/json"),
        OPENED,
        modes=(PLAIN, STREAM),
    ),
    Row("gzip", answer(200, completion("x"), "content-encoding: gzip"), OPENED, modes=ALL),
    Row("empty-body", answer(200), OPENED, modes=ALL),
    Row("empty-stream", stream(), OPENED, modes=(STREAM,)),
    Row("only-done", stream(DONE), OPENED, modes=(STREAM,)),
    Row("role-then-end", stream(ROLE), OPENED, modes=(STREAM,)),
    Row("role-then-done", stream(ROLE, DONE), OPENED, modes=(STREAM,)),
    Row("comments-then-end", stream(b": hello\n\n", b": still here\n\n"), OPENED, modes=(STREAM,)),
    Row("cut-before-content", stream(ROLE, end=False), OPENED, modes=(STREAM,)),
    Row("cut-body", [FULL_LENGTH, completion("x")[:-20]], OPENED, modes=(PLAIN, EMBEDDINGS)),
    *(
        Row(f"http-{code}", answer(code, b"", "location: http://127.0.0.1:1/"), OPENED, modes=ALL)
        for code in (301, 307)
    ),
    Row("http-204", [b"HTTP/1.1 204 No Content\r\n\r\n"], OPENED, modes=ALL),
    Row("http-206", answer(206, completion("part")), OPENED, modes=ALL),
    Row("http-101", [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"], OPENED),
]
LIMITS = [
    Row("429", answer(429, RATE), cooled(5), modes=ALL),
    Row("429-ms", answer(429, RATE, "retry-after-ms: 7500", "retry-after: 30"), cooled(7.5)),
    Row("429-seconds", answer(429, RATE, "retry-after: 7.5"), cooled(7.5)),
    Row("429-date", in_seconds(429, RATE, "retry-after", 9), cooled(9)),
    Row("429-nonsense", answer(429, RATE, "retry-after: NaN"), cooled(5)),
    Row("429-negative", answer(429, RATE, "retry-after: -20"), cooled(5)),
    Row("quota", answer(429, error("plan", "insufficient_quota", "insufficient_quota")), QUOTA, modes=ALL),
    Row("402", answer(402, error("credits", code=402)), QUOTA, modes=ALL),
    Row("413", answer(413, error("too large")), NOTHING, modes=ALL),
    Row("429-too-large", answer(429, TOO_LARGE), NOTHING, modes=ALL),
    Row("401", answer(401, error("bad key", code="invalid_api_key")), AUTH, modes=ALL),
    Row("403-once", answer(403, error("forbidden")), NOTHING, modes=ALL),
    Row("404", answer(404, error("no model", code="model_not_found")), MISSING, modes=ALL),
    Row("context", answer(400, error("long", "invalid_request_error", "context_length_exceeded")), NOTHING, modes=ALL),
]
BROKEN_SERVERS = [
    *(Row(f"http-{code}", answer(code, error("oops")), OPENED, asked=2, modes=ALL) for code in (500, 502)),
    *(Row(f"http-{code}", answer(code, error("oops")), OPENED) for code in (501, 503, 504, 520, 599, 408, 425, 498)),
    Row("503-retry-after", answer(503, error("busy"), "retry-after: 33"), Effect("asked us to wait", 33)),
]
NETWORK = [
    Row("refused", [], OPENED, asked=0, modes=ALL, port="refuses"),
    Row("no-handshake", [], OPENED, asked=0, port="swallows", provider="timeouts = { connect = 0.2 }"),
    Row("no-tls", [], OPENED, asked=0, port="garbage"),
    Row("reset", [RESET], OPENED, asked=2, modes=ALL),
    Row("eof", [], OPENED, asked=2, modes=ALL),
    Row("garbage", [GARBAGE], OPENED, modes=ALL),
    Row("no-first-byte", [HANG], OPENED, modes=(STREAM,), provider="timeouts = { first_byte = 0.2 }"),
    Row("no-content", [*stream(ROLE, end=False), HANG], OPENED, 1, (STREAM,), "timeouts = { first_byte = 0.2 }"),
    Row("no-answer", [HANG], OPENED, modes=(PLAIN, EMBEDDINGS), provider="timeouts = { answer = 0.2 }"),
    Row(
        "silent-body",
        [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{", HANG],
        OPENED,
        modes=(PLAIN, EMBEDDINGS),
        provider="timeouts = { idle = 0.2 }",
    ),
]
CLOUDFLARE = b'{"error":{"code":502,"type":"cf_bad_gateway"}}'
OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
ANTHROPIC_EVENT = b"event: error\ndata: " + OVERLOADED + b"\n\n"
CAPACITY = b'{"error":{"message":"x","type":"internal_server_error","code":"capacity_exceeded"}}'
GROQ_LIMIT = b'{"error":{"message":"x","type":"tokens","code":"rate_limit_exceeded"}}'
PROCESSING = b": OPENROUTER PROCESSING\n\n"
FINISH_ERROR = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
VLLM_CONTEXT = (
    b'{"object":"error","message":"This model\'s maximum context length is 8.","type":"BadRequestError","code":400}'
)
BUSY = "server busy, please try again.  maximum pending requests exceeded"
GEMINI = b'[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"52s"}]}}]'
BOTH_LIMITS = (
    "x-ratelimit-remaining-requests: 0",
    "x-ratelimit-reset-requests: 6m0s",
    "x-ratelimit-remaining-tokens: 9",
    "x-ratelimit-reset-tokens: 8h0m0s",
)


def openai_429(message: str, kind: str = "tokens") -> Reply:
    return answer(429, error(message, kind, "rate_limit_exceeded"))


def azure_429(message: str, *fields: str) -> Reply:
    return answer(429, json.dumps({"error": {"code": "429", "message": message}}).encode(), *fields)


def only_stream(key: str, *parts: bytes) -> Row:
    return Row(key, stream(*parts), OPENED, modes=(STREAM,))


DIALECTS = [
    Row("openai-seconds", openai_429("Please try again in 18.642s."), cooled(18.6)),
    Row("openai-ms", openai_429("Please try again in 644ms.", "requests"), cooled(0.644)),
    Row("openai-quota-by-type", answer(429, error("plan", "insufficient_quota", None)), QUOTA),
    Row("openai-reset-header", answer(429, RATE, *BOTH_LIMITS), cooled(360)),
    Row("cloudflare-502-html", html(502), OPENED, asked=2),
    Row("cloudflare-520-html", html(520), OPENED),
    Row("cloudflare-502-json", answer(502, CLOUDFLARE), OPENED, asked=2),
    only_stream("error-event-first", ROLE, event(error={"message": "x", "type": "server_error"})),
    Row("azure-day", azure_429("Please retry after 86400 seconds."), cooled(3600)),
    Row(
        "azure-burst",
        azure_429("x", "x-ratelimit-remaining-tokens: -1", "x-ratelimit-remaining-requests: 9"),
        cooled(5),
    ),
    Row("anthropic-529", answer(529, OVERLOADED, "x-should-retry: true"), OPENED),
    Row("anthropic-429", in_seconds(429, OVERLOADED, "anthropic-ratelimit-tokens-reset", 21), cooled(21)),
    Row("anthropic-openai-shape", answer(429, error("x", "invalid_request_error", "rate_limit_error")), cooled(5)),
    only_stream("anthropic-event-error", PING, ANTHROPIC_EVENT),
    Row("groq-429", answer(429, GROQ_LIMIT, "retry-after: 12"), cooled(12)),
    Row("groq-498", answer(498, CAPACITY), OPENED),
    Row("groq-413", answer(413, GROQ_LIMIT), NOTHING),
    Row("openrouter-429", openrouter_429, cooled(25)),
    Row("openrouter-402", answer(402, b'{"error":{"message":"Insufficient credits","code":402}}'), QUOTA),
    Row("openrouter-503", answer(503, b'{"error":{"message":"No instances available","code":503}}'), OPENED),
    only_stream("openrouter-finish-error", PROCESSING, event(error={"code": 502}, choices=[FINISH_ERROR])),
    only_stream("openrouter-empty-choices-error", event(choices=[], error={"code": 502, "message": "x"}), DONE),
    Row("openrouter-error-200", answer(200, b'{"error":{"message":"Provider returned error","code":502}}'), OPENED),
    only_stream("vllm-error-then-done", event(error={"object": "error", "message": "x", "code": 500}), DONE),
    Row("vllm-context", answer(400, VLLM_CONTEXT), NOTHING),
    Row("ollama-busy", answer(503, error(BUSY, "api_error")), OPENED),
    only_stream("ollama-vanished", NO_CONTENT),
    Row("gemini-429", answer(429, GEMINI), cooled(52)),
]
ROWS = [*UNUSABLE, *LIMITS, *BROKEN_SERVERS, *NETWORK, *DIALECTS]
CASES = [(row, mode) for row in ROWS for mode in row.modes]

AS_IS = {
    "400": (400, error("bad", "invalid_request_error")),
    "400-filter": (400, error("filtered", None, "content_filter", innererror={"code": "ResponsibleAIPolicyViolation"})),
    "400-flat": (400, b'{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}'),
    "405": (405, b""),
    "409": (409, error("conflict")),
    "415": (415, b"unsupported"),
    "422": (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}'),
    "451": (451, error("not in your country")),
}
"""The client's own mistakes: what the provider said, byte for byte."""

BREAKS: dict[str, Sequence[Step]] = {
    "cut": [],
    "reset": [RESET],
    "stall": [HANG],
    "silent-cut": [b"0\r\n\r\n"],
    "done-too-early": [*stream(DONE)[1:]],
    "garbage-event": [*stream(b'data: {"choices":[{"ind\n\n', FINISH, DONE)[1:]],
    "garbage-framing": [b"zz\r\nnonsense\r\n"],
    "error-event": [*stream(b'data: {"error":{"message":"x","type":"server_error","code":"boom"}}\n\n')[1:]],
    "error-then-done": [*stream(b'data: {"error":{"message":"x","code":500}}\n\n', DONE)[1:]],
    "anthropic-error": [*stream(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n')[1:]],
    "finish-reason-error": [*stream(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}\n\n')[1:]],
    "vanished-error": [*stream(NO_CONTENT)[1:]],
}
"""What comes after the first content."""

USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
FILTER = b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n'
NOT_YET = b'data: {"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":""}]}\n\n'
HI = ROLE + token("hi") + FINISH
ODD_STREAMS: dict[str, tuple[Sequence[Step], bytes]] = {
    "no-done": (stream(HI), HI + DONE),
    "no-done-cut": (stream(HI, end=False), HI + DONE),
    "no-done-held-open": ([*stream(HI, end=False), HANG], HI + DONE),
    "done-held-open": ([*stream(HI, DONE, end=False), HANG], HI + DONE),
    "usage-last": (stream(HI, USAGE, DONE), HI + USAGE + DONE),
    "filter-results-first": (stream(FILTER, HI, DONE), FILTER + HI + DONE),
    "empty-finish-reason": (stream(token("he"), NOT_YET, FINISH, DONE), token("he") + NOT_YET + FINISH + DONE),
    "comments": (stream(PROCESSING, HI, b": x\n\n", DONE), HI + DONE),
    "other-fields": (stream(b"retry: 3000\n\n", b"id: 7\nevent: x\n" + HI, DONE), HI + DONE),
    "ping-events": (stream(PING, token("hi"), PING, FINISH, DONE), token("hi") + FINISH + DONE),
    "crlf": (stream(HI.replace(b"\n", b"\r\n"), DONE), HI + DONE),
}
"""Streams that are whole though odd: what is sent, and what the client must receive."""


class Left(NamedTuple):
    """An answer when nothing is left (7.4): the replies of each target, and what the client is told."""

    replies: Sequence[Reply]
    status: int
    error: tuple[str, str]
    """Its type and code."""
    retry_after: int
    should_retry: str | None
    says: Sequence[str]
    """What the message has of each target."""


R429 = answer(429, RATE, "retry-after: 9")
LIMITED, FAILED = ("rate_limit_error", "rate_limit_exceeded"), ("upstream_error", "all_targets_failed")
BAD_KEY = answer(401, error("key sk-secret is wrong", code="invalid_api_key"))
TOO_LONG = answer(400, error(code="context_length_exceeded"))
BUSY_503 = answer(503, error())
NOTHING_LEFT = {
    "all-limited": Left([R429, answer(429, RATE)], 429, LIMITED, 5, None, ["HTTP 429", "HTTP 429"]),
    "all-out-of-quota": Left(
        [answer(402, error()), answer(429, error(kind="insufficient_quota"))],
        429,
        ("rate_limit_error", "insufficient_quota"),
        60,
        "false",
        ["out of quota", "out of quota"],
    ),
    "all-failed": Left([BUSY_503, [GARBAGE]], 502, FAILED, round(OPEN_S), None, ["HTTP 503", "not HTTP"]),
    "failed-and-limited": Left([BUSY_503, R429], 502, FAILED, 9, None, ["HTTP 503", "HTTP 429"]),
    "keys-refused": Left([BAD_KEY, BAD_KEY], 502, FAILED, 60, "false", ["HTTP 401", "invalid_api_key"]),
    "missing": Left([answer(404), answer(404)], 502, FAILED, 60, "false", ["HTTP 404", "HTTP 404"]),
    "too-long-and-failed": Left([TOO_LONG, BUSY_503], 502, FAILED, 20, None, ["context length", "HTTP 503"]),
}
"""`retry_after` of what may vary (a breaker's jitter) is checked within a fifth."""
