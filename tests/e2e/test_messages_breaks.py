"""Wherever and however a provider's stream of the Messages API breaks, the SDKs have a message that is whole, from one
provider, or they raise. Over real sockets, with the anthropic SDK for Python and for Node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.e2e import breaks
from tests.e2e.breaks import BEHIND, Broken, Place
from tests.e2e.conftest import installed
from tests.support.breaking import WAYS
from tests.support.told import AGENT, HELLO, PING, named, text
from tests.support.user import Gateway

BROKEN = Broken(
    [named(event) for event in AGENT if event is not PING],
    content=2,
    whole=len(AGENT) - 3,
    said='Lööking {"path": "a.py"}',
    other="Hello",
)
BIG = named(text("#" * 50)).replace(b"#", "ä😀".encode() * 700)
LARGE = named(*HELLO[:2], text("Hi"), BIG, *HELLO[-3:])
Ask = Callable[[AsyncAnthropic, str, str], Awaitable[str | None]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("gateway")
    with breaks.running(directory, "messages", BROKEN.stream, LARGE, named(*HELLO)) as found:
        yield found


def of(message: anthropic.types.Message) -> str:
    """What is said in a message, and what its tools are given."""
    parts = [
        block.text if block.type == "text" else json.dumps(getattr(block, "input", "")) for block in message.content
    ]
    return " ".join(part for part in parts if part != '""')


async def helped(client: AsyncAnthropic, model: str, words: str) -> str | None:
    """What the SDK's helper makes of it; None if it raises."""
    try:
        async with client.messages.stream(
            model=model, max_tokens=9, messages=[{"role": "user", "content": words}]
        ) as stream:
            return of(await stream.get_final_message())
    except anthropic.APIError:
        return None


async def iterated(client: AsyncAnthropic, model: str, words: str) -> str | None:
    """The same without the helper: what was said, if the stream ends without an exception."""
    said: list[str] = []
    try:
        async for event in await client.messages.create(
            model=model, max_tokens=9, messages=[{"role": "user", "content": words}], stream=True
        ):
            if event.type == "content_block_start":
                said.append("")
            elif event.type == "content_block_delta":
                said[-1] += getattr(event.delta, "text", "") + getattr(event.delta, "partial_json", "")
    except anthropic.APIError:
        return None
    return " ".join(part for part in said if part)


async def all_of(url: str, ask: Ask, places: Sequence[Place], model: str = "smart") -> list[str | None]:
    async with AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:
        return await breaks.all_of(lambda model, words: ask(client, model, words), places, model)


@pytest.mark.parametrize("ask", [helped, iterated])
def test_a_break_anywhere_is_a_whole_message_or_an_exception_in_python(running: Gateway, ask: Ask) -> None:
    found = asyncio.run(all_of(running.url, ask, BROKEN.places))
    assert BROKEN.wrong(found, BROKEN.places) == []


@pytest.mark.parametrize("ask", [helped, iterated])
def test_a_break_inside_a_large_event_is_an_exception_in_python(running: Gateway, ask: Ask) -> None:
    inside = len(LARGE) - len(named(*HELLO[-3:]))
    places = [(inside - behind, way) for way in WAYS for behind in BEHIND]
    assert set(asyncio.run(all_of(running.url, ask, places, "large"))) == {None}


def test_a_break_anywhere_is_a_whole_message_or_an_exception_in_node(
    running: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = installed(tmp_path_factory.mktemp("anthropic-node"), "@anthropic-ai/sdk")
    found = breaks.all_in_node(directory, "messages_sdk.mjs", running.url, BROKEN.places)
    for half in (found[::2], found[1::2]):
        assert BROKEN.wrong([one.get("text") for one in half], BROKEN.places) == []
    assert {one["thrown"] for one in found if "thrown" in one} == {"APIError"}
