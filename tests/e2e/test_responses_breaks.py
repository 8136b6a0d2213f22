"""Wherever and however a provider's stream of the Responses API breaks, the SDKs have an answer that is whole, from
one provider, or they raise. Over real sockets, with the openai SDK for Python and for Node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI

from tests.e2e import breaks
from tests.e2e.breaks import BEHIND, Broken, Place
from tests.support.breaking import WAYS, prompt
from tests.support.responses_api import answer, event, parse, response, sse
from tests.support.user import Gateway

EVENTS = answer("Hello ", "from ", "alpha", thinks=True)
BROKEN = Broken(
    [sse(one) for one in EVENTS],
    content=next(n for n, one in enumerate(EVENTS) if one["type"] == "response.output_item.done"),  # the reasoning's
    whole=len(EVENTS) - 1,
    said="Hello from alpha",
    other="And this is beta",
)
LARGE = sse(*EVENTS[:-1], event("response.completed", 99, response=response(output=[{"x": "y" * 200_000}])))
Ask = Callable[[AsyncOpenAI, str, str], Awaitable[str | None]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory, other = tmp_path_factory.mktemp("gateway"), sse(*answer(BROKEN.other))
    with breaks.running(directory, "responses", BROKEN.stream, LARGE, other) as found:
        yield found


async def helped(client: AsyncOpenAI, model: str, words: str) -> str | None:
    """What the SDK's helper makes of it; None if it raises."""
    try:
        async with client.responses.stream(model=model, input=words) as stream:
            return (await stream.get_final_response()).output_text
    except (openai.APIError, json.JSONDecodeError):
        return None


async def iterated(client: AsyncOpenAI, model: str, words: str) -> str | None:
    """The same without the helper: what was said, if the stream ends without an exception."""
    said = ""
    try:
        async for one in await client.responses.create(model=model, input=words, stream=True):
            if one.type == "response.output_text.delta":
                said += one.delta
            assert one.type != "response.failed", "it raises at ours"
    except (openai.APIError, json.JSONDecodeError):
        return None
    return said


async def all_of(url: str, ask: Ask, places: Sequence[Place], model: str = "smart") -> list[str | None]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        return await breaks.all_of(lambda model, words: ask(client, model, words), places, model)


@pytest.mark.parametrize("ask", [helped, iterated])
def test_a_break_anywhere_is_a_whole_answer_or_an_exception_in_python(running: Gateway, ask: Ask) -> None:
    found = asyncio.run(all_of(running.url, ask, BROKEN.places))
    assert BROKEN.wrong(found, BROKEN.places) == []


@pytest.mark.parametrize("ask", [helped, iterated])
def test_a_break_inside_a_large_last_event_is_an_exception_in_python(running: Gateway, ask: Ask) -> None:
    places = [(len(LARGE) - behind, way) for way in WAYS for behind in BEHIND]
    assert set(asyncio.run(all_of(running.url, ask, places, "large"))) == {None}


def test_after_a_break_the_connection_is_used_again(running: Gateway) -> None:
    body = {"model": "smart", "stream": True, "input": prompt(BROKEN.borders[-3], "fin")}
    local = set()
    for _ in range(3):
        with running.http.stream("POST", "/v1/responses", json=body) as got:
            local.add(got.extensions["network_stream"].get_extra_info("client_addr"))
            events = parse(got.read())
        assert [one["type"] for one in events[-2:]] == [EVENTS[-3]["type"], "response.failed"]
    assert len(local) == 1


def test_a_break_anywhere_is_a_whole_answer_or_an_exception_in_node(running: Gateway, openai_node: Path) -> None:
    found = breaks.all_in_node(openai_node, "responses_sdk.mjs", f"{running.url}/v1", BROKEN.places)
    for half in (found[::2], found[1::2]):
        assert BROKEN.wrong([one.get("text") for one in half], BROKEN.places) == []
