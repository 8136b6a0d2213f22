"""`llm_sim`: what a test of somebody else's code can say, ask and conclude."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from oxllm.sim.mock import Asked, LLMSim, ToolCall, llm_sim
from oxllm.sim.script.grammar import GrammarError

MODEL = "gpt-5"
HELLO: Any = [{"role": "user", "content": "Hello?"}]


@pytest.fixture
def sim() -> Iterator[LLMSim]:
    with llm_sim() as sim:
        yield sim


def said(client: openai.OpenAI, **options: Any) -> str | None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO, **options)
    content: str | None = answer.choices[0].message.content
    return content


def test_a_reply_is_what_every_protocol_says_plain_and_streamed(sim: LLMSim) -> None:
    sim.reply("Hello, world! ")
    with openai.OpenAI() as client, anthropic.Anthropic() as claude:
        assert said(client) == "Hello, world! "
        assert client.responses.create(model=MODEL, input="Hi").output_text == "Hello, world! "
        assert client.completions.create(model=MODEL, prompt="Hi").choices[0].text == "Hello, world! "
        with claude.messages.stream(model=MODEL, max_tokens=99, messages=HELLO) as stream:
            assert "".join(stream.text_stream) == "Hello, world! "
        with client.responses.stream(model=MODEL, input="Hi") as events:
            assert events.get_final_response().output_text == "Hello, world! "


def test_replies_come_in_their_order_and_the_last_one_stays(sim: LLMSim) -> None:
    sim.reply("one", {"two": 2}, lambda asked: f"you said {asked.messages[0]['content']}")
    with openai.OpenAI() as client:
        assert [said(client) for _ in range(4)] == ["one", '{"two":2}', "you said Hello?", "you said Hello?"]


@pytest.mark.parametrize("fault", ["429~10ms", "500", "rst", "short-body", "error-200"])
def test_an_attempt_that_fails_uses_up_no_reply(sim: LLMSim, fault: str) -> None:
    sim.reply("one", "two", "three")
    sim.fault(f"{fault} x2, then slow~10ms")
    with openai.OpenAI(max_retries=0) as client:
        for _ in range(2):
            with contextlib.suppress(openai.OpenAIError, AttributeError, TypeError):
                said(client)
        assert said(client) == "one", "a late one"
        assert client.embeddings.create(model=MODEL, input="Hi").data, "which has an answer of its own"
        assert [said(client) for _ in range(3)] == ["two", "three", "three"]


@pytest.mark.parametrize("reply", [lambda asked: asked.json["nothing"], lambda _asked: object()])
def test_a_reply_that_fails_says_so_where_the_answer_is_awaited(sim: LLMSim, reply: Callable[[Asked], Any]) -> None:
    sim.reply(reply)
    words = r"the reply that a function was to give raised \w+Error: .+, at .+\.py:\d+"
    with openai.OpenAI() as client, pytest.raises(openai.BadRequestError, match=words):
        said(client)
    assert len(sim.requests) == 1, "nobody tries that again"


def test_what_is_no_answer_is_refused_at_once(sim: LLMSim) -> None:
    with pytest.raises(TypeError, match="object is no answer; give a text, a value for JSON, a ToolCall, or a func"):
        sim.reply(object())  # type: ignore[arg-type]


def test_a_tool_call_is_a_reply_like_others(sim: LLMSim) -> None:
    sim.reply(ToolCall("look_up", {"city": "Köln"}))
    with openai.OpenAI() as client, anthropic.Anthropic() as claude:
        call: Any = client.chat.completions.create(model=MODEL, messages=HELLO).choices[0]
        assert call.finish_reason == "tool_calls"
        assert json.loads(call.message.tool_calls[0].function.arguments) == {"city": "Köln"}
        message: Any = claude.messages.create(model=MODEL, max_tokens=99, messages=HELLO)
        assert message.content[0].input == {"city": "Köln"}
        assert message.stop_reason == "tool_use"
        item: Any = client.responses.create(model=MODEL, input="Hi").output[0]
        assert (item.name, json.loads(item.arguments)) == ("look_up", {"city": "Köln"})


def test_faults_come_in_their_order_and_then_all_is_well(sim: LLMSim) -> None:
    sim.fault("429~10ms x2, then 500, ok x2 then 503")
    with openai.OpenAI(max_retries=0) as client:
        seen = []
        for _ in range(7):
            try:
                said(client)
                seen.append(200)
            except openai.APIStatusError as error:
                seen.append(error.status_code)
    assert seen == [429, 429, 500, 200, 200, 503, 200]


@pytest.mark.parametrize("script", ["429 30%", "refuse", "cutt", "tls-abort"])
def test_a_script_that_cannot_be_played_is_refused_at_once(sim: LLMSim, script: str) -> None:
    with pytest.raises(GrammarError):
        sim.fault(script)


def test_requests_are_told_parsed_and_in_order(sim: LLMSim) -> None:
    with openai.OpenAI() as client:
        client.models.list()
        said(client, temperature=0.5)
    listed, chat = sim.requests
    assert (listed.method, listed.path, listed.model) == ("GET", "/v1/models", None)
    assert (chat.model, chat.messages, chat.stream, chat.json["temperature"]) == (MODEL, HELLO, False, 0.5)
    assert chat.headers["authorization"] == "Bearer sk-llm-sim"


def test_the_sdks_own_retries_honour_the_hint_and_have_no_problem(sim: LLMSim) -> None:
    sim.fault("429~300ms")
    with openai.OpenAI() as client:
        assert said(client)
    assert (sim.verdict().requests, sim.verdict().ok) == (2, True)


def test_who_does_not_wait_or_asks_too_often_is_told(sim: LLMSim) -> None:
    sim.fault("429~5s x5")
    with openai.OpenAI(max_retries=0) as client:
        for _ in range(5):
            with pytest.raises(openai.RateLimitError):
                said(client)
    problems = "\n".join(sim.verdict(raised=True).problems)
    assert "although the provider had asked for 5 s" in problems
    assert "asked 5 times; 3 would have been enough" in problems
    assert "went on without an answer: the last attempt met 429" in "\n".join(sim.verdict().problems)


def test_who_takes_a_cut_answer_for_whole_is_told_and_who_raises_is_not(sim: LLMSim) -> None:
    sim.fault("silent-cut@token:3")
    with openai.OpenAI() as client:
        events: list[Any] = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert events[-1].choices[0].finish_reason is None
    assert sim.verdict().problems == (
        "took an answer for whole that was not: the last attempt met 'silent-cut@token:3'",
    )
    assert sim.verdict(raised=True).ok


async def test_async_code_is_served_alike() -> None:
    with llm_sim() as sim:
        sim.reply("Hello!")
        async with openai.AsyncOpenAI() as client:
            asked = [client.chat.completions.create(model=MODEL, messages=HELLO) for _ in range(20)]
            answers = await asyncio.gather(*asked)
    assert {answer.choices[0].message.content for answer in answers} == {"Hello!"}


def test_the_environment_is_as_before_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "mine")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with llm_sim():
        assert os.environ["OPENAI_API_KEY"] == "sk-llm-sim"
    assert (os.environ["OPENAI_API_KEY"], "OPENAI_BASE_URL" in os.environ) == ("mine", False)


def seconds(act: Callable[[], object]) -> float:
    """How long it takes, the best of five."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return min(took)


def test_it_is_up_and_down_in_less_time_than_a_python_that_does_nothing() -> None:
    def up_and_down() -> None:
        with LLMSim():
            pass

    assert seconds(up_and_down) < seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True))


def test_a_strict_one_refuses_what_the_real_ones_refuse() -> None:
    with llm_sim(models=["gpt-5"]) as sim, openai.OpenAI(max_retries=0) as client:
        assert said(client)
        with pytest.raises(openai.NotFoundError, match="gpt-6"):
            client.chat.completions.create(model="gpt-6", messages=HELLO)
        without = httpx.post(sim.base_url + "/chat/completions", json={"model": "gpt-5", "messages": HELLO})
        assert (without.status_code, without.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    ("name", "value", "kind", "side", "bound"),
    [
        ("temperature", 200, "decimal", "above maximum", "<= 2"),
        ("top_p", -0.5, "decimal", "below minimum", ">= 0"),
        ("n", 0, "integer", "below minimum", ">= 1"),
        ("n", 129, "integer", "above maximum", "<= 128"),
        ("max_tokens", -678, "integer", "below minimum", ">= 1"),
        ("top_logprobs", 21, "integer", "above maximum", "<= 20"),
    ],
)
def test_a_strict_one_refuses_values_out_of_bounds_in_openais_words(
    name: str, value: float, kind: str, side: str, bound: str
) -> None:
    with llm_sim(models=[MODEL]), openai.OpenAI(max_retries=0) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            said(client, **{name: value})
        words = f"Invalid '{name}': {kind} {side} value. Expected a value {bound}, but got {value:g} instead."
        assert caught.value.body["message"] == words  # type: ignore[index]
        assert (caught.value.param, caught.value.code) == (name, f"{kind}_{side.replace(' ', '_')[:9]}_value")
        assert said(client, temperature=2, top_p=0, n=1, max_tokens=1, top_logprobs=20)
        with pytest.raises(openai.BadRequestError, match="Expected a value >= 16, but got 15 instead"):
            client.responses.create(model=MODEL, input="Hi", max_output_tokens=15)


def test_a_simulator_that_nobody_has_started_says_how() -> None:
    with pytest.raises(RuntimeError, match="it is not running; write `with` before it"):
        _ = LLMSim().base_url


def test_a_long_prompt_comes_from_the_cache_and_reasoning_is_counted(sim: LLMSim) -> None:
    long: Any = [{"role": "user", "content": "word " * 2000}]
    with openai.OpenAI() as client, anthropic.Anthropic() as claude:
        chat: Any = client.chat.completions.create(model=MODEL, messages=long).usage
        assert (chat.prompt_tokens_details.cached_tokens, chat.completion_tokens_details.reasoning_tokens) == (2432, 0)
        response: Any = client.responses.create(model=MODEL, input="Think.", reasoning={"effort": "low"}).usage
        assert response.output_tokens_details.reasoning_tokens == 32
        message = claude.messages.create(model=MODEL, max_tokens=9, messages=long).usage
        assert (message.cache_read_input_tokens, message.input_tokens) == (2432, chat.prompt_tokens - 2432)


OF_A_STRANGER = """
import openai

def test_one(llm_sim):
    llm_sim.reply("Hello!")
    with openai.OpenAI() as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert answer.choices[0].message.content == "Hello!"
    assert llm_sim.verdict().ok

async def test_two(llm_sim):
    llm_sim.fault("500")
    async with openai.AsyncOpenAI(max_retries=1) as client:
        await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    assert len(llm_sim.requests) == 2
"""


@pytest.mark.slow
def test_the_fixture_is_there_for_a_stranger_and_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "test_stranger.py").write_text(OF_A_STRANGER, encoding="utf-8")
    options = ["-p", "oxllm.sim.pytest_plugin", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-n", "2", "-q"]
    plugins = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "xdist", "-p", "pytest_asyncio.plugin", *options, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=plugins, timeout=120, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_loads_nothing_of_the_simulator() -> None:
    program = "import sys, oxllm.sim.pytest_plugin; print([n for n in sys.modules if n.startswith('oxllm.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['oxllm.sim', 'oxllm.sim.pytest_plugin']"


def test_what_is_no_fault_and_no_list_of_models_is_told_to_who_wrote_it(sim: LLMSim) -> None:
    fault: Any
    for fault in (429, None, ["429"]):
        with pytest.raises(TypeError, match="is no fault; give a text such as"):
            sim.fault(fault)
    with pytest.raises(TypeError, match=r"models is a list of names: write \['gpt-5'\]"):
        LLMSim(models="gpt-5")


def test_a_schema_of_which_nothing_can_be_made_is_refused_in_each_protocol(sim: LLMSim) -> None:
    endless: Any = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": endless}}
    with pytest.raises(openai.BadRequestError, match="Invalid schema: it leads to itself"):
        openai.OpenAI().chat.completions.create(model=MODEL, messages=HELLO, response_format=form)
    wanted: Any = {"format": {"type": "json_schema", "name": "x", "schema": endless}}
    with pytest.raises(openai.BadRequestError, match="Invalid schema: it leads to itself"):
        openai.OpenAI().responses.create(model=MODEL, input="Hello?", text=wanted)
    tool: Any = {"name": "x", "input_schema": endless}
    with pytest.raises(anthropic.BadRequestError, match="Invalid schema: it leads to itself"):
        anthropic.Anthropic().messages.create(model=MODEL, max_tokens=9, messages=HELLO, tools=[tool])
    sim.reply("Hello!")
    assert said(openai.OpenAI(), response_format=form) == "Hello!", "it is decided without one"
