"""Every dialect against its golden transcript, byte for byte; `python -m tests.unit.sim.test_dialects` writes them.

The transcripts show what a dialect says; the tests below them pin the facts that a gateway has to cope with.
"""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest

from oxllm.sim import dialects
from oxllm.sim.dialects.base import CREATED, short
from oxllm.sim.dialects.openai import go_duration
from oxllm.sim.provider import limits, pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve.engine import Provider
from oxllm.sim.testing import play

GOLDEN = Path(__file__).parent / "golden"
BODY = {
    "model": "sim-1",
    "stream": True,
    "max_tokens": 2,
    "stream_options": {"include_usage": True},
    "messages": [{"role": "user", "content": "hi"}],
}
SAID = ("none", "429~1500ms", "429-quota", "429-toobig", "500", "503", "529", "401", "404", "error-event@token:1")


def provider(dialect: str) -> Provider:
    speed = pace.parse("ttft 400ms, itl 20ms, out 2")
    upstream = Upstream("alpha", dialect, pace=speed, limit=limits.parse("60 rpm, 40k tpm"))
    return Provider(Scenario(7, (upstream,)), "alpha", 0.0)


def say(dialect: str, fault: str, **body: object) -> bytes:
    data = json.dumps({**BODY, **body}).encode()
    script = provider(dialect).accept("POST", "/v1/chat/completions", [(b"x-oxllm-sim", fault.encode())], data, 0.0)
    return play(script)[0]


def transcript(dialect: str) -> bytes:
    return b"".join(b"=== %b\n%b\n" % (fault.encode(), say(dialect, fault)) for fault in SAID)


def head_and_body(said: bytes) -> tuple[dict[str, str], int, Any]:
    head, _, body = said.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return dict(line.split(": ", 1) for line in lines[1:]), int(lines[0].split()[1]), body


def error(dialect: str, fault: str) -> tuple[dict[str, str], int, Any]:
    headers, status, body = head_and_body(say(dialect, fault))
    return headers, status, json.loads(body)


@pytest.mark.parametrize("name", dialects.NAMES)
def test_a_dialect_says_what_its_golden_transcript_says(name: str) -> None:
    assert transcript(name) == (GOLDEN / f"{name}.txt").read_bytes()


@pytest.mark.parametrize("name", dialects.NAMES)
def test_each_can_lie_about_its_limits_even_if_it_tells_none(name: str) -> None:
    headers, status, _ = head_and_body(say(name, "lying-headers"))
    assert (status, "0" in [value for field, value in headers.items() if "remaining" in field]) == (200, True)


def test_openai_hides_the_wait_in_its_words_and_tells_resets_as_go_durations() -> None:
    headers, status, body = error("openai", "429~18642ms")
    assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "Please try again in 18.642s" in body["error"]["message"]
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    assert [short(hint) for hint in (0.006, 0.644, 2.0)] == ["6ms", "644ms", "2s"]
    assert [go_duration(s) for s in (0.12, 360.0, 3600.0, 0.0, 1.5)] == ["120ms", "6m0s", "1h0m0s", "0s", "1.5s"]


def test_azure_has_a_string_code_no_type_and_a_first_event_without_choices() -> None:
    _, status, body = error("azure", "retry-after~86400")
    assert (status, body["error"]["code"], "type" in body["error"]) == (429, "429", False)
    assert "Please retry after 86400 seconds" in body["error"]["message"]
    first = json.loads(re.findall(rb"data: (.*)\n", say("azure", "none"))[0])
    assert (first["choices"], "prompt_filter_results" in first) == ([], True)


def test_anthropic_misleads_by_type_asks_to_retry_and_tells_dates() -> None:
    headers, _, body = error("anthropic", "429")
    assert (body["error"]["code"], body["error"]["type"]) == ("rate_limit_error", "invalid_request_error")
    assert headers["x-should-retry"] == "true"
    reset = datetime.datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"])
    assert reset.timestamp() == CREATED + 60
    _, status, body = error("anthropic", "529")
    assert (status, body["type"], body["error"]["type"]) == (529, "error", "overloaded_error")
    assert b"event: ping\n" in say("anthropic", "none")
    assert b"event: error\n" in say("anthropic", "error-event@token:1")


def test_groq_has_no_param_a_413_and_a_498() -> None:
    _, status, body = error("groq", "429")
    assert (status, "param" in body["error"]) == (429, False)
    assert error("groq", "429-toobig")[1] == 413
    _, status, body = error("groq", "529")
    assert (status, body["error"]["code"]) == (498, "capacity_exceeded")
    assert "retry-after" not in error("groq", "503")[0]


def test_openrouter_has_integer_codes_and_hides_limits_in_metadata() -> None:
    headers, _, body = error("openrouter", "429~2s")
    assert (body["error"]["code"], "retry-after" in headers) == (429, False)
    assert body["error"]["metadata"]["headers"]["X-RateLimit-Reset"] == str((CREATED + 2) * 1000)
    assert error("openrouter", "429-quota")[1] == 402
    assert b": OPENROUTER PROCESSING\n\n" in say("openrouter", "none")
    last = json.loads(re.findall(rb"data: (.*)\n", say("openrouter", "error-event@token:1"))[-1])
    assert (last["choices"][0]["finish_reason"], last["error"]["code"]) == ("error", 500)


def test_vllm_is_flat_and_ends_even_a_failed_stream_with_done() -> None:
    _, _, body = error("vllm", "500")
    assert (body["object"], body["code"]) == ("error", 500)
    events = re.findall(rb"data: (.*)\n", say("vllm", "error-event@token:1"))
    assert ("error" in json.loads(events[-2]), events[-1]) == (True, b"[DONE]")


def test_ollama_is_busy_in_its_own_words_and_lets_errors_vanish() -> None:
    _, status, body = error("ollama", "503")
    assert (status, body["error"]["type"]) == (503, "api_error")
    assert body["error"]["message"].startswith("server busy, please try again.  maximum")
    events = [json.loads(event) for event in re.findall(rb"data: (.*)\n", say("ollama", "error-event@token:1"))]
    assert not any("error" in event or event["choices"][0]["finish_reason"] for event in events)
    assert events[-1]["choices"][0]["delta"]["content"] == ""


if __name__ == "__main__":
    for each in dialects.NAMES:
        (GOLDEN / f"{each}.txt").write_bytes(transcript(each))
