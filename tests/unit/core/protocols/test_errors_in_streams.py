"""An error that a provider sends as an event, before content, is read as the HTTP error that it is, in each API."""

from __future__ import annotations

import json

import pytest

from oxllm.core.protocols import chat, messages, responses
from oxllm.core.reading.outcome import Kind

NOW = 1_700_000_000.0


def event(payload: object, name: str | None = None) -> bytes:
    line = f"event: {name}\n" if name else ""
    return f"{line}data: {json.dumps(payload)}\n\n".encode()


def failed(code: str | None, message: str) -> dict[str, object]:
    error = None if code is None else {"code": code, "message": message}
    return {"type": "response.failed", "response": {"id": "r", "status": "failed", "error": error}}


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"error": {"message": "Insufficient credits", "code": 402}}, Kind.QUOTA),
        ({"error": {"message": "slow down", "code": 429}, "choices": [{"finish_reason": "error"}]}, Kind.RATE_LIMITED),
        ({"error": "model requires more system memory (5.0 GiB) than is available (2.0 GiB)"}, Kind.LOADING),
        ({"error": {"code": 500, "message": "Context size has been exceeded."}}, Kind.CONTEXT_LENGTH),
        ({"error": {"message": "Request timed out", "type": "timeout", "code": "timeout"}}, Kind.SERVER_ERROR),
        ({"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}, Kind.RATE_LIMITED),
        (
            {"id": "1", "base_resp": {"status_code": 1039, "status_msg": "rate limit"}, "choices": None},
            Kind.RATE_LIMITED,
        ),
        ({"errors": [{"message": "AiError: no balance", "code": 4006}], "success": False}, Kind.QUOTA),
        ({"error": {"message": "no", "type": "server_error", "code": "invalid_api_key"}}, Kind.AUTH),
        ({"error": {"message": "no", "type": "api_error", "code": "model_not_found"}}, Kind.MISSING),
        ({"error": {"message": "no", "type": "server_error", "code": "context_length_exceeded"}}, Kind.CONTEXT_LENGTH),
        ({"error": {"message": "no", "type": "server_error", "code": "rate_limit_exceeded"}}, Kind.RATE_LIMITED),
        ({"error": {"message": "no", "type": "server_error", "code": "server_error"}}, Kind.SERVER_ERROR),
    ],
)
def test_an_error_event_in_a_chat_is_read_as_an_http_error(payload: dict[str, object], kind: Kind) -> None:
    reader = chat.StreamReader(1, False, NOW)
    reader.feed(event(payload))
    failure = reader.failure or reader.eof()
    assert failure is not None
    assert failure.kind is kind


def test_an_error_in_a_field_of_its_own() -> None:
    """llama.cpp until October 2025: the field is called `error`, and the stream ends in order after it."""
    reader = chat.StreamReader(1, False, NOW)
    said = {"code": 400, "message": "the request exceeds the available context size", "type": "invalid_request_error"}
    assert reader.feed(f"error: {json.dumps(said)}\n\ndata: [DONE]\n\n".encode()) == b""
    assert reader.failure is not None
    assert reader.failure.kind is Kind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, Kind.SERVER_ERROR),
        ({"type": "rate_limit_error", "message": "50,000 input tokens per minute"}, Kind.RATE_LIMITED),
        ({"type": "billing_error", "message": "Your credit balance is too low"}, Kind.QUOTA),
        ({"type": "authentication_error", "message": "invalid x-api-key"}, Kind.AUTH),
        ({"type": "not_found_error", "message": "model: claude-9"}, Kind.MISSING),
        ({"type": "invalid_request_error", "message": "prompt is too long: 2 tokens > 1 maximum"}, Kind.CONTEXT_LENGTH),
        ({"type": "<nil>", "message": "No available accounts"}, Kind.BAD_ANSWER),
    ],
)
def test_an_error_event_in_a_message_is_read_as_an_http_error(error: dict[str, object], kind: Kind) -> None:
    reader = messages.StreamReader(NOW)
    reader.feed(event({"type": "ping"}, "ping") + event({"type": "error", "error": error}, "error"))
    assert reader.failure is not None
    assert reader.failure.kind is kind


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (failed("rate_limit_exceeded", "Rate limit reached for gpt-5"), Kind.RATE_LIMITED),
        (failed("server_is_overloaded", "Our servers are currently overloaded."), Kind.SERVER_ERROR),
        (failed("invalid_prompt", "your prompt was flagged as potentially violating our policy"), Kind.CONTENT_REFUSED),
        (failed("previous_response_not_found", "Previous response with id 'r' not found."), Kind.FOREIGN_STATE),
        (failed(None, ""), Kind.BAD_ANSWER),
        ({"type": "error", "code": "insufficient_quota", "message": "You exceeded your current quota"}, Kind.QUOTA),
        ({"type": "error", "code": "usage_not_included", "message": "upgrade to Plus"}, Kind.QUOTA),
        ({"type": "error", "code": "upstream_error", "message": "stream closed early"}, Kind.SERVER_ERROR),
    ],
)
def test_an_error_event_in_a_response_is_read_as_an_http_error(payload: dict[str, object], kind: Kind) -> None:
    reader = responses.StreamReader(NOW)
    reader.feed(event(payload, str(payload["type"])))
    assert reader.failure is not None
    assert reader.failure.kind is kind
