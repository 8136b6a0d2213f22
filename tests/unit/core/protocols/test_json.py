"""Whatever comes back is the answer, but for an error, a page, or nothing."""

from __future__ import annotations

import json

import pytest

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Usage
from oxllm.core.protocols.json import PROTOCOL, JsonReader, RelayReader
from oxllm.core.protocols.plain import HELD_MAX
from oxllm.core.reading.outcome import Kind

JSON = [(b"content-type", b"application/json")]
WALL = 0.0


@pytest.mark.parametrize(
    "body",
    [
        {"results": [{"index": 0, "relevance_score": 0.9}]},
        {"results": [], "id": "x"},
        {"data": [{"b64_json": "AAAA"}], "error": None},
        {"data": [{"url": "x"}], "error": {"message": "one of two failed"}},
        {},
        [1],
        "text",
    ],
    ids=json.dumps,
)
def test_json_is_an_answer(body: object) -> None:
    reader, text = JsonReader(WALL), json.dumps(body).encode()
    assert (reader.feed(text), reader.eof(), reader.closing()) == (b"", None, text)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "no", "type": "rate_limit_error"}}, Kind.RATE_LIMITED),
        ({"error": "no", "status": 5, "id": "x", "data": []}, Kind.BAD_ANSWER),
        ({"type": "error", "error": {"type": "overloaded_error"}}, Kind.SERVER_ERROR),
    ],
    ids=str,
)
def test_an_error_and_nothing_else_is_the_failure_that_it_names(body: object, kind: Kind) -> None:
    reader = JsonReader(WALL)
    reader.feed(json.dumps(body).encode())
    verdict = reader.eof()
    assert verdict is not None
    assert verdict.kind is kind


@pytest.mark.parametrize("body", [b"", b"{", b'{"results": [', b"<html>", b"[1}"])
def test_json_that_is_none_is_no_answer(body: bytes) -> None:
    reader = JsonReader(WALL)
    reader.feed(body)
    assert reader.eof() is not None


def test_long_json_is_passed_on_and_whole_only_at_its_end() -> None:
    body = json.dumps({"data": [{"b64_json": "A" * HELD_MAX}]}).encode()
    for end, whole in [(len(body), True), (len(body) - 1, False)]:
        reader = JsonReader(WALL)
        out = reader.feed(body[: HELD_MAX + 1]) + reader.feed(body[HELD_MAX + 1 : end])
        assert out
        assert (reader.eof() is None) == whole


def test_usage_is_counted_where_there_is_any() -> None:
    reader = JsonReader(WALL)
    reader.feed(b'{"data": [1], "usage": {"prompt_tokens": 3, "total_tokens": 3}}')
    assert (reader.eof(), reader.usage) == (None, Usage(3))


@pytest.mark.parametrize("kind", [b"audio/mpeg", b"text/event-stream", b"text/plain; charset=utf-8", None])
def test_what_is_not_json_is_passed_on_from_its_first_byte(kind: bytes | None) -> None:
    headers = [] if kind is None else [(b"content-type", kind)]
    assert PROTOCOL.check_head(200, headers, Asked()) is None
    reader = PROTOCOL.plain_reader(Asked(), headers, WALL)
    assert (reader.feed(b"{\x00"), reader.content, reader.complete) == (b"{\x00", 1, False)
    assert (reader.feed(b"\xff"), reader.eof(), reader.closing()) == (b"\xff", None, b"")


def test_nothing_is_no_answer() -> None:
    reader = RelayReader()
    assert reader.eof() is not None


@pytest.mark.parametrize("kind", [b"application/json", b"Application/JSON; charset=utf-8", b"application/vnd.x+json"])
def test_json_is_known_by_its_type(kind: bytes) -> None:
    assert isinstance(PROTOCOL.plain_reader(Asked(), [(b"content-type", kind)], WALL), JsonReader)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(200, [(b"content-type", b"text/html")]), (200, [*JSON, (b"content-encoding", b"gzip")]), (204, JSON)],
)
def test_a_head_may_say_that_there_is_no_answer(status: int, headers: list[tuple[bytes, bytes]]) -> None:
    assert PROTOCOL.check_head(status, headers, Asked()) is not None
