"""The openai Python SDK, sync and async, against a running gateway over simulated providers.

Each test has two providers and a virtual model of its own. The simulator's texts are a function of provider and
request, so an answer is compared with what exactly one provider would have said.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk

from oxllm.sim.provider import text
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.testing import Sim
from tests.support.user import Gateway, config, eventually, gateway

SEED = 7
WORDS = 24
INSTANT = f"ttft 0ms, itl 0ms, out {WORDS}"
STEADY = f"ttft 10ms, itl 10ms, out {WORDS}"
"""Slow enough that the first token has reached the client before the fault strikes."""
PLAIN_FAULTS = (
    "429~30", "429-quota", "429-toobig", "500", "502-html", "503", "504-html", "529", "401", "404", "refuse", "rst",
    "fin", "garbage", "cut@headers", "cut@token:5", "bad-json", "short-body", "wrong-type", "empty", "html-200",
    "error-200", "retry-after~86400",
)  # fmt: skip
STREAM_FAULTS = (
    *(fault for fault in PLAIN_FAULTS if fault not in ("cut@token:5", "short-body")), "cut@token:0", "role-only",
    "silent-cut@token:0", "error-event@token:0", "empty-error@token:0", "garble@token:0",
)  # fmt: skip
HARMLESS = (
    "no-done",
    "hold-open",
    "comments",
    "split-utf8",
    "late-usage~100ms",
    "trickle~0.1ms",
    "slow~50ms",
    "lying-headers",
)
BREAKS = tuple(f"{kind}@token:5" for kind in ("cut", "silent-cut", "stall", "error-event", "empty-error", "garble"))
MODELS = (
    "chat", "stream", "usage", "stripped", "choices", "tools", "vectors", "team/smart", "gone", "gone-async", "limited",
    "quota", "failed", "slow", "patient", "held", "crowd", "async", "wrong",
    *(f"plain {fault}" for fault in PLAIN_FAULTS), *(f"stream {fault}" for fault in STREAM_FAULTS),
    *(f"odd {fault}" for fault in HARMLESS), *(f"break {fault}" for fault in BREAKS),
    *(f"held {fault}" for fault in BREAKS),
)  # fmt: skip
MESSAGES: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße, wie geht's? 🙂"}]
TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def provider(model: str, end: str) -> str:
    return re.sub(r"[^a-z0-9]", "-", model) + "-" + end


def said(name: str, count: int = WORDS, choice: int = 0, messages: Any = None) -> str:
    """What this provider answers."""
    return text.text(SEED, name, fingerprint(messages or MESSAGES), count, choice)


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    names = [provider(model, end) for model in MODELS for end in "ab"]
    with Sim(*names, seed=SEED, pace=INSTANT) as running:
        yield running


@pytest.fixture(scope="module")
def serving(sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    models = {model: [provider(model, end) for end in "ab"] for model in MODELS}
    urls = {name: sim.url(name) for names in models.values() for name in names}
    settings = {
        provider("stripped", "a"): "usage_in_stream = true",
        provider("break stall@token:5", "a"): "timeouts = { idle = 0.3 }",
        provider("held stall@token:5", "a"): "timeouts = { idle = 0.3 }",
    }
    held = {model: 'hold_back = "full"' for model in MODELS if model.startswith("held ")} | {
        "held": 'hold_back = "10 tokens"'
    }
    written = config(urls, models, of_provider=settings, of_model=held)
    with gateway(tmp_path_factory.mktemp("sdk"), written) as running:
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[OpenAI]:
    with connect(serving) as connected:
        yield connected


@pytest.fixture
async def patient(serving: Gateway) -> AsyncIterator[AsyncOpenAI]:
    """The async client."""
    async with AsyncOpenAI(base_url=f"{serving.url}/v1", api_key="none", max_retries=0) as connected:
        yield connected


def connect(serving: Gateway, key: str = "none", retries: int = 0, **more: Any) -> OpenAI:
    return OpenAI(base_url=f"{serving.url}/v1", api_key=key, max_retries=retries, **more)


def told(chunks: Sequence[ChatCompletionChunk], choice: int = 0) -> str:
    """The text of one choice of a stream."""
    found = [c for chunk in chunks for c in chunk.choices if c.index == choice]
    return "".join(c.delta.content or "" for c in found)


def asked(sim: Sim, model: str) -> list[int]:
    return [len(sim.ledger(provider(model, end))) for end in "ab"]


# Answers.


def test_a_chat_is_one_providers_answer_with_its_usage(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=MESSAGES)
    assert answer.choices[0].message.content == said("chat-a")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == WORDS


def test_the_headers_say_who_served(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="chat", messages=MESSAGES)
    assert re.fullmatch(r"oxllm-[0-9a-f]{16}", raw.headers["x-request-id"])
    assert raw.headers["x-oxllm-provider"] == "chat-a"
    assert raw.headers["x-oxllm-model"] == "m"
    assert raw.headers["x-oxllm-attempts"] == "1"
    assert raw.headers["x-upstream-request-id"].startswith("req_")
    assert raw.headers["openai-version"] == "2020-10-01"
    assert raw.parse()._request_id == raw.headers["x-request-id"]


def test_the_clients_own_request_id_comes_back(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="chat", messages=MESSAGES, extra_headers={"x-request-id": "mine 7/u"}
    )
    assert raw.headers["x-request-id"] == "mine 7/u"


def test_a_stream_is_the_whole_text_in_its_chunks(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="stream", messages=MESSAGES, stream=True))
    assert told(chunks) == said("stream-a")
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


def test_a_streams_head_suits_a_stream(client: OpenAI) -> None:
    with client.chat.completions.with_streaming_response.create(model="stream", messages=MESSAGES, stream=True) as raw:
        assert raw.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert raw.headers["cache-control"] == "no-cache"
        assert raw.headers["x-accel-buffering"] == "no"
        assert raw.headers["x-oxllm-provider"] == "stream-a"
        assert "content-encoding" not in raw.headers
        assert list(raw.iter_lines())[-2:] == ["data: [DONE]", ""]


def test_the_sdks_stream_helper_puts_the_answer_together(client: OpenAI) -> None:
    with client.chat.completions.stream(model="stream", messages=MESSAGES) as stream:
        assert stream.get_final_completion().choices[0].message.content == said("stream-a")


def test_usage_in_a_stream_comes_when_asked_for(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="usage", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == WORDS


def test_usage_that_only_the_gateway_asked_for_stays_there(serving: Gateway, client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="stripped", messages=MESSAGES, stream=True))
    assert told(chunks) == said("stripped-a")
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    assert eventually(lambda: bool(serving.provider("stripped-a")["completion_tokens"] == WORDS))


@pytest.mark.parametrize("stream", [False, True])
def test_two_choices_are_two_texts(client: OpenAI, stream: bool) -> None:
    if stream:
        chunks = list(client.chat.completions.create(model="choices", messages=MESSAGES, n=2, stream=True))
        found = [told(chunks, 0), told(chunks, 1)]
    else:
        answer = client.chat.completions.create(model="choices", messages=MESSAGES, n=2)
        found = [choice.message.content or "" for choice in answer.choices]
    assert found == [said("choices-a", choice=0), said("choices-a", choice=1)]


def test_a_tool_call_and_its_result_make_a_conversation(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="tools", messages=MESSAGES, tools=[TOOL])
    assert answer.choices[0].finish_reason == "tool_calls"
    message = answer.choices[0].message
    assert message.tool_calls is not None
    call: Any = message.tool_calls[0]
    assert call.function.name == "look"
    assert json.loads(call.function.arguments) == {"text": said("tools-a").strip()}
    result = {"role": "tool", "tool_call_id": call.id, "content": "fine"}
    turns = [*MESSAGES, message.model_dump(exclude_none=True), result]
    second = client.chat.completions.create(model="tools", messages=turns, tools=[TOOL])
    assert second.choices[0].message.content == said("tools-a", messages=turns)


def test_a_streamed_tool_call_is_whole(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="tools", messages=MESSAGES, tools=[TOOL], stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert calls[0].function is not None
    assert calls[0].function.name == "look"
    arguments = "".join((call.function and call.function.arguments) or "" for call in calls)
    assert json.loads(arguments) == {"text": said("tools-a").strip()}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_embeddings_arrive_exactly_in_every_form(client: OpenAI, form: Any) -> None:
    inputs = ["one", "two"]
    more = {} if form is None else {"encoding_format": form}
    answer = client.embeddings.create(model="vectors", input=inputs, dimensions=16, **more)
    vectors = [text.vector(SEED, "vectors-a", fingerprint(one), 16) for one in inputs]
    wanted = [text.packed(vector) for vector in vectors] if form == "base64" else vectors
    assert [item.embedding for item in answer.data] == wanted
    assert answer.usage.prompt_tokens > 0


def test_models_are_listed_and_found_by_ids_with_slashes(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert ids == sorted(ids)
    for name in ("team/smart", "chat", "chat-a/m", "chat-a/m2"):
        assert name in ids
        assert client.models.retrieve(name).id == name
    assert client.models.retrieve("team/smart").owned_by == "oxllm"
    assert client.chat.completions.create(model="team/smart", messages=MESSAGES).choices


def test_a_provider_can_be_named_directly(client: OpenAI, sim: Sim) -> None:
    answer = client.chat.completions.create(model="chat-b/m2", messages=MESSAGES)
    assert answer.model == "m2"
    assert answer.choices[0].message.content == said("chat-b")
    assert sim.ledger("chat-b")[-1].model == "m2"


# Failures that the client never sees.


@pytest.mark.parametrize("fault", PLAIN_FAULTS)
def test_a_failing_provider_is_invisible(sim: Sim, client: OpenAI, fault: str) -> None:
    model = f"plain {fault}"
    sim.patch(provider(model, "a"), [fault])
    raw = client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES)
    assert raw.parse().choices[0].message.content == said(provider(model, "b"))
    assert raw.headers["x-oxllm-provider"] == provider(model, "b")


@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_provider_that_fails_before_content_is_invisible_to_a_stream(sim: Sim, client: OpenAI, fault: str) -> None:
    model = f"stream {fault}"
    sim.patch(provider(model, "a"), [fault])
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert told(chunks) == said(provider(model, "b"))


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_providers_odd_habit_breaks_no_client(sim: Sim, client: OpenAI, fault: str) -> None:
    model = f"odd {fault}"
    sim.patch(provider(model, "a"), [fault])
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert told(chunks) == said(provider(model, "a"))
    assert any(choice.finish_reason == "stop" for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("fault", BREAKS)
def test_a_break_inside_what_is_held_back_is_rescued(sim: Sim, client: OpenAI, fault: str) -> None:
    model = f"held {fault}"
    sim.patch(provider(model, "a"), [fault], pace_text=STEADY)
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert told(chunks) == said(provider(model, "b"))


# Failures that it must see.


@pytest.mark.parametrize("fault", BREAKS)
def test_a_stream_that_breaks_raises_and_is_never_a_short_answer(sim: Sim, client: OpenAI, fault: str) -> None:
    model, chunks = f"break {fault}", list[ChatCompletionChunk]()
    sim.patch(provider(model, "a"), [fault], pace_text=STEADY)
    with pytest.raises(openai.APIError) as caught:
        chunks.extend(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert caught.value.code == "stream_interrupted"
    assert caught.value.type == "upstream_error"
    assert "stream broke" in caught.value.message
    whole = said(provider(model, "a"))
    assert 0 < len(told(chunks)) < len(whole)
    assert whole.startswith(told(chunks))
    assert asked(sim, model)[1] == 0


def test_a_break_behind_what_is_held_back_raises(sim: Sim, client: OpenAI) -> None:
    sim.patch("held-a", ["cut@token:15"], pace_text=STEADY)
    with pytest.raises(openai.APIError, match="stream broke"):
        list(client.chat.completions.create(model="held", messages=MESSAGES, stream=True))


def test_400_is_the_providers_own_words(sim: Sim, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Missing required parameter: 'messages'") as caught:
        client.chat.completions.create(model="wrong", messages=[])
    assert caught.value.param == "messages"
    assert asked(sim, "wrong") == [1, 0]


def test_401_for_a_wrong_key_and_none_for_a_right_one(sim: Sim, tmp_path: Path) -> None:
    settings = '[server]\nport = 0\napi_keys = ["sk-team"]'
    written = config({"chat-a": sim.url("chat-a")}, {"chat": ["chat-a"]}, settings=settings)
    with gateway(tmp_path, written) as running:
        with connect(running, "sk-guess") as wrong, pytest.raises(openai.AuthenticationError) as caught:
            wrong.chat.completions.create(model="chat", messages=MESSAGES)
        assert caught.value.code == "invalid_api_key"
        assert "sk-guess" not in caught.value.message
        with connect(running, "sk-team") as right:
            assert right.chat.completions.create(model="chat", messages=MESSAGES).choices
        assert "sk-" not in running.log().split("ready:")[1]


def test_403_for_a_web_page_that_nobody_invited(client: OpenAI) -> None:
    with pytest.raises(openai.PermissionDeniedError) as caught:
        client.models.list(extra_headers={"origin": "https://evil.example"})
    assert caught.value.type == "permission_error"


def test_404_names_close_matches(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean 'patient'") as caught:
        client.chat.completions.create(model="pateint", messages=MESSAGES)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("pateint")


def test_429_when_every_target_is_limited(sim: Sim, client: OpenAI) -> None:
    for end in "ab":
        sim.patch(f"limited-{end}", ["429~30"])
    for _ in range(2):
        with pytest.raises(openai.RateLimitError, match="limited-b/m: ") as caught:
            client.chat.completions.create(model="limited", messages=MESSAGES)
        assert caught.value.code == "rate_limit_exceeded"
        assert 28 <= int(caught.value.response.headers["retry-after"]) <= 30
    assert asked(sim, "limited") == [1, 1]


def test_the_sdk_does_not_retry_what_cannot_recover(sim: Sim, serving: Gateway) -> None:
    for end in "ab":
        sim.patch(f"quota-{end}", ["429-quota"])
    with connect(serving, retries=2) as eager, pytest.raises(openai.RateLimitError) as caught:
        eager.chat.completions.create(model="quota", messages=MESSAGES)
    assert caught.value.code == "insufficient_quota"
    assert caught.value.response.headers["x-should-retry"] == "false"
    model = next(m for m in serving.status()["models"] if m["name"] == "quota")
    assert model["requests"] == 1


def test_502_then_503_while_the_breakers_are_open(sim: Sim, client: OpenAI) -> None:
    for end in "ab":
        sim.patch(f"failed-{end}", ["503"])
    for _ in range(6):  # what every target says counts as half a failure of each
        with pytest.raises(openai.InternalServerError, match="failed-a/m: HTTP 503") as caught:
            client.chat.completions.create(model="failed", messages=MESSAGES)
        assert (caught.value.status_code, caught.value.code) == (502, "all_targets_failed")
    with pytest.raises(openai.InternalServerError, match="breaker open") as caught:
        client.chat.completions.create(model="failed", messages=MESSAGES)
    assert (caught.value.status_code, caught.value.code) == (503, "no_target_available")
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 6
    assert asked(sim, "failed") == [6, 6]


# Time, and leaving.


def test_the_sdks_timeout_ends_in_an_answer_that_says_why(sim: Sim, serving: Gateway) -> None:
    for end in "ab":
        sim.patch(f"patient-{end}", ["blackhole"])
    caught: openai.APIError | None = None
    tries = 0
    with connect(serving, timeout=4.0) as hurried:
        while tries < 5 and not isinstance(caught, openai.InternalServerError):  # a busy machine is late, not each time
            tries += 1
            with pytest.raises(openai.APIError) as raised:
                hurried.chat.completions.create(model="patient", messages=MESSAGES)
            caught = raised.value
    assert isinstance(caught, openai.InternalServerError)
    assert (caught.status_code, caught.code) == (504, "deadline_exceeded")
    assert asked(sim, "patient") == [tries, tries]


def test_a_client_that_times_out_leaves_nothing_running(sim: Sim, serving: Gateway) -> None:
    sim.patch("slow-a", ["blackhole"])
    with connect(serving, timeout=0.9) as hurried, pytest.raises(openai.APITimeoutError):
        hurried.chat.completions.create(model="slow", messages=MESSAGES)
    assert eventually(lambda: [record.end for record in sim.ledger("slow-a")] == ["gone"])
    assert serving.provider("slow-a")["state"] == "closed"


def test_closing_a_stream_cancels_it_at_the_provider(sim: Sim, client: OpenAI) -> None:
    sim.patch("gone-a", [], pace_text="ttft 0ms, itl 50ms, out 200")
    stream = client.chat.completions.create(model="gone", messages=MESSAGES, stream=True)
    next(iter(stream))
    assert sim.ledger("gone-a")[0].end is None
    stream.close()
    assert eventually(lambda: sim.ledger("gone-a")[0].end == "gone")
    assert asked(sim, "gone") == [1, 0]


async def test_cancelling_a_task_cancels_it_at_the_provider(sim: Sim, patient: AsyncOpenAI) -> None:
    sim.patch("gone-async-a", ["blackhole"])
    task = asyncio.create_task(patient.chat.completions.create(model="gone-async", messages=MESSAGES))
    while not sim.ledger("gone-async-a"):
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert eventually(lambda: sim.ledger("gone-async-a")[0].end == "gone")


# The same, async.


async def test_the_async_client_chats_streams_and_embeds(patient: AsyncOpenAI) -> None:
    answer = await patient.chat.completions.create(model="async", messages=MESSAGES)
    assert answer.choices[0].message.content == said("async-a")
    stream = await patient.chat.completions.create(model="async", messages=MESSAGES, stream=True)
    assert told([chunk async for chunk in stream]) == said("async-a")
    vectors = await patient.embeddings.create(model="async", input="hi", dimensions=4)
    assert vectors.data[0].embedding == text.vector(SEED, "async-a", fingerprint("hi"), 4)
    assert "async" in [model.id async for model in patient.models.list()]


async def test_the_async_client_raises_the_same_errors(sim: Sim, patient: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await patient.chat.completions.create(model="nobody", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError):
        await patient.chat.completions.create(model="async", messages=[])
    sim.patch("async-a", ["cut@token:5"], pace_text=STEADY)
    stream = await patient.chat.completions.create(model="async", messages=MESSAGES, stream=True)
    with pytest.raises(openai.APIError) as caught:
        async for _ in stream:
            pass
    assert caught.value.code == "stream_interrupted"


async def test_a_crowd_over_a_flaky_provider_gets_whole_answers(sim: Sim, patient: AsyncOpenAI) -> None:
    faults = ["500 20%", "429~1 10%", "garbage 10%", "role-only 10%"]
    sim.patch("crowd-a", faults, pace_text="ttft 20ms lognormal 0.5, itl 2ms, out 24")

    async def one(number: int) -> None:
        messages: Any = [{"role": "user", "content": f"number {number}"}]
        stream = await patient.chat.completions.create(model="crowd", messages=messages, stream=True)
        found = told([chunk async for chunk in stream])
        assert found in [said(f"crowd-{end}", messages=messages) for end in "ab"]

    async with asyncio.timeout(60):
        await asyncio.gather(*map(one, range(60)))
