"""What the SDKs can do beside asking for a text, through the gateway: tools, schemas, raw responses, asynchronous
clients. And what it does not pass on: a clear 404 in the shape that the SDK reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from oxllm.sim.provider import pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.testing import Sim
from tests.support.user import Gateway, config, gateway

SPEAKS = {
    "open": 'protocols = ["chat", "completions", "embeddings", "json", "responses"]\n',
    "anthropic": 'protocols = ["messages"]\n',
}
MESSAGES: Any = [{"role": "user", "content": "x"}]
PARAMETERS = {
    "type": "object",
    "properties": {"q": {"type": "string"}},
    "required": ["q"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "name": "look", "parameters": PARAMETERS, "strict": True}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "look", "parameters": PARAMETERS, "strict": True}}
ANTHROPIC_TOOL: Any = {"name": "look", "input_schema": PARAMETERS}


class City(BaseModel):
    name: str
    population: int


@beta_tool
def look(q: str) -> str:
    """Look.

    Args:
        q: at what
    """
    return "seen"


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    quick = pace.parse("ttft 0ms, itl 0ms, out 12")
    upstreams = (
        Upstream("open", "openai-responses", pace=quick),
        Upstream("anthropic", "anthropic-messages", pace=quick),
    )
    with Sim(*upstreams) as sim:
        models = {"smart": ["open"], "claude": ["anthropic"]}
        text = config({name: sim.url(name) for name in SPEAKS}, models, of_provider=SPEAKS)
        with gateway(tmp_path_factory.mktemp("features"), text) as running:
            yield running


@pytest.fixture(scope="module")
def client(serving: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving.url}/v1", api_key="none", max_retries=0) as connected:
        yield connected


@pytest.fixture(scope="module")
def claude(serving: Gateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=serving.url, api_key="none", max_retries=0) as connected:
        yield connected


def final(client: OpenAI, **asked: Any) -> Any:
    with client.responses.stream(model="smart", input="x", **asked) as stream:
        return stream.get_final_response()


def completed(client: OpenAI) -> Any:
    with client.chat.completions.stream(model="smart", messages=MESSAGES, tools=[CHAT_TOOL]) as stream:
        return stream.get_final_completion().choices[0].message.tool_calls


def lines(client: OpenAI) -> list[str]:
    asked = client.responses.with_streaming_response
    with asked.create(model="smart", input="x", stream=True) as response:
        return [line for line in response.iter_lines() if line.startswith("event: ")]


def pictured(client: OpenAI) -> Any:
    content: Any = [{"type": "input_image", "image_url": "data:image/png;base64," + "A" * 200_000, "detail": "low"}]
    return client.responses.create(model="smart", input=[{"role": "user", "content": content}])


OPENAI: dict[str, Callable[[Any], Any]] = {
    "parse": lambda it: it.responses.parse(model="smart", input="x", text_format=City).output_parsed.name,
    "parse a stream": lambda it: final(it, text_format=City).output_parsed.name,
    "parse a chat": lambda it: it.chat.completions.parse(
        model="smart", messages=MESSAGES, response_format=City
    ).choices[0].message.parsed.name,
    "a tool in a stream": lambda it: final(it, tools=[TOOL]).output[-1].parsed_arguments["q"],
    "a tool in a chat": lambda it: completed(it)[0].function.name == "look",
    "sealed reasoning": lambda it: it.responses.create(
        model="smart", input="x", store=False, include=["reasoning.encrypted_content"]
    ).output[0].encrypted_content,
    "a picture": lambda it: pictured(it).output_text,
    "lines": lambda it: lines(it)[-1] == "event: response.completed",
    "raw": lambda it: it.responses.with_raw_response.create(model="smart", input="x").headers["x-oxllm-provider"],
    "speech": lambda it: it.audio.speech.create(model="smart", voice="alloy", input="x").read(),
    "a background that is cancelled": lambda it: it.responses.cancel(
        it.responses.create(model="smart", input="x", background=True).id
    ).id,
}  # fmt: skip


def told(claude: Anthropic, **asked: Any) -> Any:
    with claude.beta.messages.stream(model="claude", max_tokens=99, messages=MESSAGES, **asked) as stream:
        return stream.get_final_message()


ANTHROPIC: dict[str, Callable[[Any], Any]] = {
    "parse": lambda it: it.messages.parse(
        model="claude", max_tokens=99, messages=MESSAGES, output_format=City
    ).parsed_output.name,
    "betas": lambda it: told(it, betas=["context-1m-2025-08-07"]).content[0].text,
    "a tool in a stream": lambda it: told(it, tools=[ANTHROPIC_TOOL]).content[-1].input["q"],
    "tools that are run": lambda it: it.beta.messages.tool_runner(
        model="claude", max_tokens=99, messages=MESSAGES, tools=[look]
    ).until_done().content[-1].text,
    "tokens with betas": lambda it: it.beta.messages.count_tokens(model="claude", messages=MESSAGES, betas=["x"]),
    "raw": lambda it: it.messages.with_raw_response.create(
        model="claude", max_tokens=9, messages=MESSAGES
    ).headers["request-id"],
    "models": lambda it: [model.id for model in it.beta.models.list(limit=1)],
}  # fmt: skip


@pytest.mark.parametrize("feature", list(OPENAI))
def test_what_the_openai_sdk_can_do(client: OpenAI, feature: str) -> None:
    assert OPENAI[feature](client)


@pytest.mark.parametrize("feature", list(ANTHROPIC))
def test_what_the_anthropic_sdk_can_do(claude: Anthropic, feature: str) -> None:
    assert ANTHROPIC[feature](claude)


def test_asynchronous_clients(serving: Gateway) -> None:
    async def asked() -> tuple[str, str]:
        async with (
            AsyncOpenAI(base_url=f"{serving.url}/v1", api_key="none") as openai_,
            AsyncAnthropic(base_url=serving.url, api_key="none") as claude,
            openai_.responses.stream(model="smart", input="x") as events,
            claude.messages.stream(model="claude", max_tokens=99, messages=MESSAGES) as message,
        ):
            said = "".join([text async for text in message.text_stream])
            return (await events.get_final_response()).output_text, said

    assert all(asyncio.run(asked()))


@pytest.mark.parametrize(
    "ask",
    [
        lambda it: it.files.list(),
        lambda it: it.batches.list(),
        lambda it: it.vector_stores.list(),
        lambda it: it.conversations.create(),
        lambda it: it.audio.transcriptions.create(file=("a.wav", b"RIFF"), model="smart"),
    ],
)
def test_what_is_not_passed_on_is_not_found_and_said_whom_to_ask(client: OpenAI, ask: Callable[[Any], Any]) -> None:
    with pytest.raises(openai.NotFoundError, match="ask a provider itself"):
        ask(client)


@pytest.mark.parametrize("ask", [lambda it: it.messages.batches.list(), lambda it: it.beta.files.list()])
def test_what_is_not_passed_on_is_a_not_found_error_of_anthropics_sdk_too(
    claude: Anthropic, ask: Callable[[Any], Any]
) -> None:
    with pytest.raises(anthropic.NotFoundError, match="ask a provider itself") as caught:
        ask(claude)
    assert caught.value.type == "not_found_error"
    assert caught.value.request_id
