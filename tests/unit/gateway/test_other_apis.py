"""Completions and the other APIs that name a model, through the whole gateway."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.support.chat_bytes import chunk
from tests.support.house import EVENT_STREAM, Client, House, answer, plan_of
from tests.support.scripted import Step

AUDIO = bytes(range(256)) * 4
OCTETS = "HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\n"


def ask(house: House, path: str, **members: object) -> Client:
    body = json.dumps({"model": "smart", **members}).encode()
    lines = [f"POST {path} HTTP/1.1", "host: localhost:8080", f"content-length: {len(body)}", "", ""]
    client = house.client().send("\r\n".join(lines).encode() + body)
    house.advance(0.5)
    return client


def served_by(client: Client) -> str:
    return client.response.headers["x-oxllm-provider"]


@pytest.mark.parametrize("path", ["/v1/completions", "/completions"])
def test_a_completion_fails_over_and_ends_as_a_chat_does(path: str) -> None:
    text = b'data: {"choices":[{"index":0,"text":"Hi","finish_reason":%b}]}\n\n'
    with House() as house:
        house.providers["alpha"].replies = [[EVENT_STREAM, chunk(b'data: {"choices":[]}\n\n'), b"0\r\n\r\n"]]
        house.providers["beta"].replies = [[EVENT_STREAM, chunk(text % b"null" + text % b'"stop"'), b"0\r\n\r\n"]]
        client = ask(house, path, prompt="x", stream=True)
        assert (served_by(client), client.response.whole) == ("beta", True)
        assert client.response.body == text % b"null" + text % b'"stop"' + b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("path", "asks"), [("/v1/chat/completions", True), ("/v1/completions", True), ("/v1/images/generations", False)]
)
def test_usage_is_asked_for_where_an_api_can_tell_it_in_a_stream(path: str, asks: bool) -> None:
    plan = plan_of("alpha")
    provider = msgspec.structs.replace(plan.providers[0], usage_in_stream=True)
    with House(msgspec.structs.replace(plan, providers=(provider,))) as house:
        ask(house, path, stream=True)
        ask(house, path, stream=False)
        asked = [b'"stream_options":{"include_usage":true}' in one for one in house.providers["alpha"].asked]
        assert asked == [asks, False]


@pytest.mark.parametrize("path", ["/v1/rerank", "/moderations", "/v1/images/generations", "/v1/audio/speech"])
def test_json_comes_back_as_it_is_and_an_error_in_it_fails_over(path: str) -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b'{"error":{"message":"no"}}')]
        house.providers["beta"].replies = [answer(b'{ "results": [1] }')]
        client = ask(house, path, input="x")
        assert (served_by(client), client.response.body) == ("beta", b'{ "results": [1] }')
        assert json.loads(house.providers["alpha"].asked[0].partition(b"\r\n\r\n")[2])["model"] == "m"


@pytest.mark.parametrize(
    "reply",
    [
        [f"{OCTETS}content-length: {len(AUDIO)}\r\n\r\n".encode(), AUDIO[:100], 0.1, AUDIO[100:]],
        [f"{OCTETS}transfer-encoding: chunked\r\n\r\n".encode(), chunk(AUDIO[:9]), 0.1, chunk(AUDIO[9:]), b"0\r\n\r\n"],
    ],
    ids=["length", "chunks"],
)
def test_sound_is_passed_on_as_it_comes(reply: list[Step]) -> None:
    with House() as house:
        house.providers["alpha"].replies = [reply]
        found = ask(house, "/v1/audio/speech", input="x").response
        assert (found.body, found.whole, found.headers["content-type"]) == (AUDIO, True, "audio/mpeg")


def test_a_stream_of_events_is_passed_on_as_it_comes() -> None:
    events = b": hi\nid: 4\nevent: image_generation.partial_image\ndata: {\n\n"
    with House() as house:
        house.providers["alpha"].replies = [[EVENT_STREAM, chunk(events), b"0\r\n\r\n"]]
        found = ask(house, "/v1/images/generations", stream=True).response
        assert (found.body, found.whole, found.headers["content-type"]) == (events, True, "text/event-stream")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_sound_that_is_cut_has_no_end(end: str) -> None:
    with House() as house:
        head = f"{OCTETS}transfer-encoding: chunked\r\n\r\n".encode()
        house.providers["alpha"].replies = [[head, chunk(AUDIO), 0.1, end]]
        client = ask(house, "/v1/audio/speech", input="x")
        assert (client.response.body, client.response.whole, client.closed) == (AUDIO, False, True)
        assert house.providers["beta"].asked == []


@pytest.mark.parametrize(
    "reply",
    [
        [f"{OCTETS}content-length: 0\r\n\r\n".encode()],
        [b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"],
        [f"{OCTETS}content-length: 9\r\n\r\n".encode(), "close"],
    ],
    ids=["nothing", "a page", "cut before its first byte"],
)
def test_what_is_no_answer_fails_over(reply: list[Step]) -> None:
    with House() as house:
        house.providers["alpha"].replies = [reply]
        house.providers["beta"].replies = [[f"{OCTETS}content-length: 3\r\n\r\nabc".encode()]]
        client = ask(house, "/v1/audio/speech", input="x")
        assert (served_by(client), client.response.body) == ("beta", b"abc")


@pytest.mark.parametrize(
    "field", ["anthropic-beta: x", "anthropic-version: 2023-06-01", "anthropic-other: x", "openai-beta: y=z"]
)
def test_what_an_api_wants_to_know_goes_along_with_each(field: str) -> None:
    with House() as house:
        house.chat(field)
        house.advance(0.1)
        assert house.providers["alpha"].asked[0].count(f"{field}\r\n".encode()) == 1
