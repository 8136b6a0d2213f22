"""A provider's stream that breaks behind each of its bytes, in each way, over real sockets, in both of the APIs that
agents speak. What a client gets is the same for many of these breaks: each different end is shown to the SDK once."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
from anthropic import Anthropic
from hypothesis import settings
from openai import OpenAI

from tests.property.effort import CI
from tests.support.breaking import WAYS, breaking, prompt
from tests.support.chat_bytes import LAST_CHUNK, chunk, chunked_head
from tests.support.processes import raise_open_files
from tests.support.responses_api import Json
from tests.support.scripted import Scripted, Steps
from tests.support.user import Gateway, config, gateway

AT_ONCE = 512
"""Most of them wait for a provider that says nothing more."""
SILENCE = "timeouts = { idle = 5, first_byte = 5 }\n"
SETTINGS = "[server]\nport = 0\n[breaker]\nfailures = 1000000\n[retry]\nsame_target = 0\n"
STEP = 1 if settings().max_examples >= CI else 4
"""Between two bytes behind which a stream is cut: in the profile `quick` each fourth."""
OURS = re.compile(rb"oxllm-[0-9a-f]{16}")


class Api(NamedTuple):
    """How an API is broken, and what is left of it."""

    path: str
    stream: bytes
    content: int
    """Bytes until the first event that bears content has come."""
    whole: int
    """Bytes until the answer is whole."""
    said: str
    other: bytes
    other_said: str
    clean: bool
    """A break is told in a stream that ends as it should."""


class Got(NamedTuple):
    """A stream as a client has it."""

    body: bytes
    ended: bool
    """Its chunks ended as they should."""


def short(*events: Json) -> list[bytes]:
    """Events in as few bytes as they can be told, since each byte is a break."""
    told = [json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() for event in events]
    return [
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data) for event, data in zip(events, told, strict=True)
    ]


def response(status: str, *output: Json) -> Json:
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "output": output}


def responses(said: str) -> list[Json]:
    """Thinks, and says it."""
    thought = {"id": "rs_1", "type": "reasoning", "summary": []}
    bare: Json = {"id": "m", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    whole = {**bare, "status": "completed", "content": [{**part, "text": said}]}
    place = {"item_id": "m", "output_index": 1, "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": response("in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": thought},
        {"type": "response.output_item.done", "output_index": 0, "item": thought},
        {"type": "response.output_item.added", "output_index": 1, "item": bare},
        {"type": "response.content_part.added", **place, "part": part},
        {"type": "response.output_text.delta", **place, "delta": said[:3]},
        {"type": "response.output_text.delta", **place, "delta": said[3:]},
        {"type": "response.completed", "response": response("completed", thought, whole)},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def messages(said: str, given: str) -> list[Json]:
    """Says it, and calls a tool."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    tool = {"type": "tool_use", "id": "t", "name": "read", "input": {}}
    return [
        {"type": "message_start", "message": {"id": "m", "type": "message", "content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": said[:3]}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": said[3:]}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": tool},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": given[:4]}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": given[4:]}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage},
        {"type": "message_stop"},
    ]


def api(name: str) -> Api:
    if name == "responses":
        told, other = short(*responses("Lööking")), b"".join(short(*responses("Other")))
        content, whole = 3, len(told)
        said, clean = "Lööking", True
    else:
        told, other = short(*messages("Lööking", '{"a": 1}')), b"".join(short(*messages("Other", '{"a": 1}')))
        content, whole = 3, len(told) - 1
        said, clean = 'Lööking {"a": 1}', False
    borders = [0, *accumulate(map(len, told))]
    path = f"/v1/{name}"
    return Api(
        path, b"".join(told), borders[content], borders[whole], said, other, said.replace("Lööking", "Other"), clean
    )


async def one(port: int, path: str, asks: Iterator[tuple[int, str]], found: dict[Got, list[tuple[int, str]]]) -> None:
    """Asks for one break after the other, over one connection for as long as it lasts."""
    reader = writer = None
    for at, way in asks:
        if writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"model": "smart", "max_tokens": 9, "stream": True, "input": prompt(at, way)}).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        assert reader is not None
        got = await _read(reader)
        found[Got(OURS.sub(b"oxllm-0", got.body), got.ended)].append((at, way))
        if not got.ended:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Got:
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    body = b""
    try:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    except asyncio.IncompleteReadError:
        return Got(body, ended=False)
    return Got(body, ended=True)


async def all_of(port: int, path: str, places: list[tuple[int, str]]) -> dict[Got, list[tuple[int, str]]]:
    """What came out -> the breaks of which it did."""
    found: dict[Got, list[tuple[int, str]]] = defaultdict(list)
    asks = iter(places)
    await asyncio.gather(*(one(port, path, asks, found) for _ in range(AT_ONCE)))
    return found


def replayed(got: Got) -> Steps:
    """What a gateway has sent, once more."""
    return [chunked_head(), chunk(got.body), *([LAST_CHUNK] if got.ended else [])]


def shown(name: str, ends: Iterable[Got]) -> dict[Got, str | None]:
    """What the SDK makes of each; None if it raises what it raises for a failed answer."""
    made: dict[Got, str | None] = {}
    with Scripted() as cast:
        gateway = cast.add("gateway")
        for got in ends:
            gateway.replies = [replayed(got)]
            try:
                made[got] = _responses(gateway.url) if name == "responses" else _messages(gateway.url)
            except (openai.APIError, anthropic.APIError):
                made[got] = None
    return made


def _responses(url: str) -> str:
    with (
        OpenAI(base_url=url, api_key="none", max_retries=0) as client,
        client.responses.stream(model="smart", input="Hi") as stream,
    ):
        return stream.get_final_response().output_text


def _messages(url: str) -> str:
    asked: Any = {"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    with (
        Anthropic(base_url=url.removesuffix("/v1"), api_key="none", max_retries=0) as client,
        client.messages.stream(**asked) as stream,
    ):
        blocks: list[Any] = list(stream.get_final_message().content)
    parts = [block.text if block.type == "text" else json.dumps(getattr(block, "input", "")) for block in blocks]
    return " ".join(part for part in parts if part != '""')


@pytest.fixture(params=["messages", "responses"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def running(name: str, tmp_path: Path) -> Iterator[Gateway]:
    """Of `smart` the first provider breaks, and the second one answers."""
    raise_open_files()
    with Scripted() as cast:
        cast.add("alpha").replies = [breaking(api(name).stream)]
        cast.add("beta").replies = [breaking(api(name).other, steady=True)]
        urls = {one: provider.url for one, provider in cast.providers.items()}
        speaks = {"alpha": f'protocols = ["{name}"]\n{SILENCE}', "beta": f'protocols = ["{name}"]\n'}
        text = config(urls, {"smart": ["alpha", "beta"]}, settings=SETTINGS, of_provider=speaks)
        with gateway(tmp_path, text) as found:
            yield found


def test_a_break_behind_any_byte_is_a_whole_answer_or_an_exception(running: Gateway, name: str) -> None:
    """One in five breaks is a silence: the others are asked for while those are waited for."""
    api_ = api(name)
    every = range(0, len(api_.stream) + 1, STEP)
    stalls = [(at, "stall") for at in every]
    others = iter([(at, way) for at in every for way in WAYS if way != "stall"])
    places = [place for stall in stalls for place in (stall, *(next(others) for _ in range(len(WAYS) - 1)))]
    found = asyncio.run(all_of(running.port, api_.path, places))
    assert sorted(place for some in found.values() for place in some) == sorted(places)
    ends = shown(name, found)
    wrong = []
    for got, some in found.items():
        for at, way in some:
            right = {api_.said if at >= api_.whole else api_.other_said if at < api_.content else None}
            if way == "rst":  # it takes away what the gateway has not read yet
                right |= {api_.other_said, *([None] if at >= api_.content else [])}
            if ends[got] not in right or (ends[got] is None and got.ended != api_.clean):
                wrong.append((at, way, ends[got]))
    assert wrong == []
