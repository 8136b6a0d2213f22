"""Wherever and however a provider's stream of the Responses API breaks, the SDKs have an answer that is whole, from
one provider, or they raise. Over real sockets, with the openai SDK for Python and for Node."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.support.breaking import WAYS, Breaking, prompt, serving
from tests.support.responses_api import answer, event, parse, response, sse
from tests.support.user import Gateway, config, gateway

SAID, OTHER = "Hello from alpha", "And this is beta"
EVENTS = answer("Hello ", "from ", "alpha", thinks=True)
STREAM = sse(*EVENTS)
BORDERS = [0, *accumulate(len(sse(one)) for one in EVENTS)]
FIRST_CONTENT = next(n for n, one in enumerate(EVENTS) if one["type"] == "response.output_item.done")
"""The reasoning item's: the first event that bears content."""
INSIDE = [at for at in range(1, len(STREAM)) if at not in BORDERS]
PLACES = [(at, way) for way in WAYS for at in BORDERS] + [(at, WAYS[at % 2 * 2]) for at in INSIDE[::13]]
"""Every border of an event in every way, and every 13th byte between them by a close or a proper end. (Every byte:
test_every_byte.py, and
tests/unit/core/test_exchange_responses.py without sockets.)"""
LARGE = sse(*EVENTS[:-1], event("response.completed", 99, response=response(output=[{"x": "y" * 200_000}])))
SETTINGS = "[breaker]\nfailures = 1000000\n[retry]\nsame_target = 0\n"
SPEAKS = 'protocols = ["responses"]\ntimeouts = { idle = 1, first_byte = 1 }\n'


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """`broken` breaks, `large` breaks after an event of 200 KB; `steady` answers."""
    steady = Breaking(sse(*answer(OTHER)), steady=True)
    with serving(Breaking(STREAM)) as alpha, serving(Breaking(LARGE)) as large, serving(steady) as beta:
        text = config(
            {"alpha": alpha, "large": large, "beta": beta},
            {"smart": ["alpha", "beta"], "large": ["large", "beta"]},
            settings=SETTINGS,
            of_provider=dict.fromkeys(("alpha", "large", "beta"), SPEAKS),
        )
        with gateway(tmp_path_factory.mktemp("gateway"), text) as found:
            yield found


def expected(at: int) -> str | None:
    """What the client has in the end: alpha's answer if all of it came, beta's if no content did, else none."""
    if at == len(STREAM):
        return SAID
    return OTHER if at < BORDERS[FIRST_CONTENT + 1] else None


async def helped(client: AsyncOpenAI, at: int, way: str, model: str = "smart") -> str | None:
    """What the SDK's helper makes of it; None if it raises."""
    try:
        async with client.responses.stream(model=model, input=prompt(at, way)) as stream:
            return (await stream.get_final_response()).output_text
    except (openai.APIError, json.JSONDecodeError):
        return None


async def iterated(client: AsyncOpenAI, at: int, way: str, model: str = "smart") -> str | None:
    """The same without the helper: what was said, if the stream ends without an exception."""
    said = ""
    try:
        async for one in await client.responses.create(model=model, input=prompt(at, way), stream=True):
            if one.type == "response.output_text.delta":
                said += one.delta
            assert one.type != "response.failed", "it raises at ours"
    except (openai.APIError, json.JSONDecodeError):
        return None
    return said


async def all_of(url: str, ask: Any, places: list[tuple[int, str]], model: str = "smart") -> list[str | None]:
    limit = asyncio.Semaphore(16)
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:

        async def one(at: int, way: str) -> str | None:
            async with limit:
                found: str | None = await ask(client, at, way, model)
                return found

        return await asyncio.gather(*(one(at, way) for at, way in places))


@pytest.mark.parametrize("ask", [helped, iterated])
def test_a_break_anywhere_is_a_whole_answer_or_an_exception_in_python(running: Gateway, ask: Any) -> None:
    found = asyncio.run(all_of(running.url, ask, PLACES))
    wrong = [(place, one) for place, one in zip(PLACES, found, strict=True) if one != expected(place[0])]
    assert wrong == []


@pytest.mark.parametrize("ask", [helped, iterated])
def test_a_break_inside_a_large_last_event_is_an_exception_in_python(running: Gateway, ask: Any) -> None:
    places = [(len(LARGE) - behind, way) for way in WAYS for behind in (1, 2, 3, 100, 70_000, 140_000)]
    assert set(asyncio.run(all_of(running.url, ask, places, "large"))) == {None}


def test_after_a_break_the_connection_is_used_again(running: Gateway) -> None:
    body = {"model": "smart", "stream": True, "input": prompt(BORDERS[-3], "fin")}
    local = set()
    for _ in range(3):
        with running.http.stream("POST", "/v1/responses", json=body) as got:
            local.add(got.extensions["network_stream"].get_extra_info("client_addr"))
            events = parse(got.read())
        assert [one["type"] for one in events[-2:]] == [EVENTS[-3]["type"], "response.failed"]
    assert len(local) == 1


def test_a_break_anywhere_is_a_whole_answer_or_an_exception_in_node(running: Gateway, openai_node: Path) -> None:
    script = openai_node / "responses_sdk.mjs"
    script.write_text(Path(__file__).with_name("responses_sdk.mjs").read_text(encoding="utf-8"), encoding="utf-8")
    asks = [[prompt(at, way), how] for at, way in PLACES for how in ("helper", "iterate")]
    command = ["node", str(script), f"{running.url}/v1", "smart"]
    done = subprocess.run(command, input=json.dumps(asks), capture_output=True, timeout=300, check=True, text=True)
    found = json.loads(done.stdout)
    assert len(found) == len(asks)
    ends = [expected(at) for at, _ in PLACES for _ in range(2)]
    wrong = [(ask, one) for ask, one, end in zip(asks, found, ends, strict=True) if one.get("text") != end]
    assert wrong == []
