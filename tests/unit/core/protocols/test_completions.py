"""A completion is whole as a chat is, with text as its content."""

from __future__ import annotations

import json

import pytest

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Usage
from oxllm.core.protocols.completions import PROTOCOL, TextReader, TextStreamReader
from oxllm.core.wire.body import RequestBody


def sse(*events: object) -> bytes:
    return b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events)


def piece(text: str, finish: object = None, index: int = 0) -> dict[str, object]:
    return {"choices": [{"index": index, "text": text, "logprobs": None, "finish_reason": finish}]}


def read(*events: object, choices: int = 1) -> tuple[TextStreamReader, bytes]:
    reader = TextStreamReader(choices, False)
    return reader, reader.feed(sse(*events))


def test_text_is_content() -> None:
    reader, out = read(piece("Hi"))
    assert (reader.content, reader.complete, out) == (1, False, sse(piece("Hi")))


@pytest.mark.parametrize("event", [piece(""), {"choices": []}, {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}])
def test_what_bears_no_text_is_no_content(event: object) -> None:
    assert read(event)[0].content == 0


def test_a_stream_is_whole_when_each_choice_has_its_finish_reason() -> None:
    reader, _ = read(piece("Hi"), piece("", "stop"), piece("Ho", index=1), choices=2)
    assert not reader.complete
    reader.feed(sse(piece("", "length", 1)))
    assert (reader.complete, reader.closing()) == (True, b"data: [DONE]\n\n")


@pytest.mark.parametrize("end", [b"[DONE]", {"error": {"message": "no"}}, b"garbage", piece("", "error")])
def test_anything_else_is_a_break(end: object) -> None:
    reader, _ = read(piece("Hi"), end)
    assert reader.eof() is not None


def test_a_plain_completion() -> None:
    reader, body = TextReader(), json.dumps({**piece("Hi", "stop"), "usage": {"prompt_tokens": 3}}).encode()
    reader.feed(body)
    assert (reader.eof(), reader.closing(), reader.usage) == (None, body, Usage(3))


@pytest.mark.parametrize("body", [{"choices": []}, {"error": {"code": 5}}, piece("", "error"), []])
def test_what_is_no_completion_is_a_failure(body: object) -> None:
    reader = TextReader()
    reader.feed(json.dumps(body).encode())
    assert reader.eof() is not None


@pytest.mark.parametrize(
    ("members", "asked"),
    [
        ({}, Asked()),
        ({"prompt": "Hi"}, Asked()),
        ({"prompt": "a, [b", "n": 2, "stream": True}, Asked(True, 2)),
        ({"prompt": ["a, [b"]}, Asked()),
        ({"prompt": ["a", 'b"\\,', "c"]}, Asked(choices=3)),
        ({"prompt": ["x" * 65_536 + '\\",', "\\" * 70_001, "c"]}, Asked(choices=3)),
        ({"prompt": ["a", "b"], "n": 3}, Asked(choices=6)),
        ({"prompt": [1, 2, 3]}, Asked()),
        ({"prompt": [[1, 2], [3], [4, 5]]}, Asked(choices=3)),
        ({"prompt": [], "stream_options": {"include_usage": True}}, Asked(wants_usage=True)),
        ({"prompt": 5}, Asked()),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_a_request_asks_for(members: dict[str, object], asked: Asked) -> None:
    body = RequestBody.parse(json.dumps({"model": "m", **members}).encode())
    assert PROTOCOL.asked(PROTOCOL.endpoints[0], body) == asked
