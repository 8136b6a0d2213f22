"""Wherever and however a provider's stream of the Messages API breaks, the SDKs have a message that is whole, from one
provider, or they raise. Over real sockets, with the anthropic SDK for Python and for Node."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from itertools import accumulate
from pathlib import Path

import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.e2e.conftest import installed
from tests.support.breaking import WAYS, Breaking, prompt, serving
from tests.support.told import AGENT, HELLO, PING, named, text
from tests.support.user import Gateway, config, gateway

SAID, OTHER = 'Lööking {"path": "a.py"}', "Hello"
EVENTS = [event for event in AGENT if event is not PING]
STREAM = named(*EVENTS)
BORDERS = list(accumulate((len(named(event)) for event in EVENTS), initial=0))
CONTENT, WHOLE = BORDERS[3], BORDERS[-2]
INSIDE = [at for at in range(1, len(STREAM)) if at not in BORDERS]
PLACES = [(at, way) for way in WAYS for at in BORDERS] + [(at, WAYS[at % 2 * 2]) for at in INSIDE[::13]]
"""Every border of an event in every way, and every 13th byte between them by a close or a proper end. (Every byte:
test_every_byte.py, and
tests/unit/core/test_exchange_messages.py without sockets.)"""
BIG = named(text("#" * 50)).replace(b"#", "ä😀".encode() * 700)
LARGE = named(*HELLO[:2], text("Hi"), BIG, *HELLO[-3:])
SETTINGS = "[breaker]\nfailures = 1000000\n[retry]\nsame_target = 0\n"
SPEAKS = 'protocols = ["messages"]\ntimeouts = { idle = 1, first_byte = 1 }\n'
Ask = Callable[[AsyncAnthropic, str, str], Awaitable[str | None]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Of `smart` the first provider breaks, of `large` it does inside an event of 200 KB; the second one answers."""
    steady = Breaking(named(*HELLO), steady=True)
    with serving(Breaking(STREAM)) as alpha, serving(Breaking(LARGE)) as large, serving(steady) as beta:
        text = config(
            {"alpha": alpha, "large": large, "beta": beta},
            {"smart": ["alpha", "beta"], "large": ["large", "beta"]},
            settings=SETTINGS,
            of_provider=dict.fromkeys(("alpha", "large", "beta"), SPEAKS),
        )
        with gateway(tmp_path_factory.mktemp("gateway"), text) as found:
            yield found


@pytest.fixture(scope="session")
def anthropic_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The anthropic SDK for Node, and the script."""
    directory = installed(tmp_path_factory.mktemp("anthropic-node"), "@anthropic-ai/sdk")
    script = directory / "messages_sdk.mjs"
    script.write_text(Path(__file__).with_name("messages_sdk.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    return script


def expected(at: int) -> str | None:
    """What the client has in the end: alpha's message if all of it came, beta's if no content did, else none."""
    if at >= WHOLE:
        return SAID
    return OTHER if at < CONTENT else None


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


async def all_of(url: str, ask: Ask, places: list[tuple[int, str]], model: str = "smart") -> list[str | None]:
    limit = asyncio.Semaphore(16)
    async with AsyncAnthropic(base_url=url, api_key="none", max_retries=0) as client:

        async def one(at: int, way: str) -> str | None:
            async with limit:
                return await ask(client, model, prompt(at, way))

        return await asyncio.gather(*(one(at, way) for at, way in places))


@pytest.mark.parametrize("ask", [helped, iterated])
def test_a_break_anywhere_is_a_whole_message_or_an_exception_in_python(running: Gateway, ask: Ask) -> None:
    found = asyncio.run(all_of(running.url, ask, PLACES))
    wrong = [(place, one) for place, one in zip(PLACES, found, strict=True) if one != expected(place[0])]
    assert wrong == []


@pytest.mark.parametrize("ask", [helped, iterated])
def test_a_break_inside_a_large_event_is_an_exception_in_python(running: Gateway, ask: Ask) -> None:
    inside = len(LARGE) - len(named(*HELLO[-3:]))
    places = [(inside - behind, way) for way in WAYS for behind in (1, 2, 3, 100, 70_000, 140_000)]
    assert set(asyncio.run(all_of(running.url, ask, places, "large"))) == {None}


def test_a_break_anywhere_is_a_whole_message_or_an_exception_in_node(running: Gateway, anthropic_node: Path) -> None:
    asks = [[prompt(at, way), how] for at, way in PLACES for how in ("helper", "iterate")]
    command = ["node", str(anthropic_node), running.url, "smart"]
    done = subprocess.run(command, input=json.dumps(asks), capture_output=True, timeout=300, check=True, text=True)
    found = json.loads(done.stdout)
    assert len(found) == len(asks)
    ends = [expected(at) for at, _ in PLACES for _ in range(2)]
    wrong = [(ask, one) for ask, one, end in zip(asks, found, ends, strict=True) if one.get("text") != end]
    assert wrong == []
    assert {one["thrown"] for one in found if "thrown" in one} == {"APIError"}
