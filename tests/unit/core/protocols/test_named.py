"""Who made an answer, and why it ended, as its provider says: for traces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oxllm.core.protocols.base import REASONS_MAX, Reader
from oxllm.core.protocols.chat import ChatReader
from oxllm.core.protocols.chat import StreamReader as ChatStream
from oxllm.core.protocols.completions import TextReader, TextStreamReader
from oxllm.core.protocols.embeddings import VectorReader
from oxllm.core.protocols.json import JsonReader
from oxllm.core.protocols.messages import MessageReader
from oxllm.core.protocols.messages import StreamReader as MessageStream
from oxllm.core.protocols.responses import ResponseReader
from oxllm.core.protocols.responses import StreamReader as ResponseStream
from oxllm.core.protocols.values import NAME_MAX
from oxllm.core.wire.named_events import LARGE
from tests.support import responses_api, told

CUT_SHORT = responses_api.response("incomplete", incomplete_details={"reason": "max_output_tokens"})

BIG = "big-1-2026"


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def choice(index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": index, "finish_reason": finish, **more}


def chunk(*choices: dict[str, Any], model: Any = BIG) -> dict[str, Any]:
    return {"model": model, "choices": list(choices)}


def message(**members: Any) -> bytes:
    return json.dumps(
        {"type": "message", "model": "big-1", "stop_reason": "end_turn", "content": [], **members}
    ).encode()


HI: dict[str, Any] = {"delta": {"content": "Hi"}}
STOP = chunk(choice(finish="stop"))
CROWD = [choice(index, "stop") for index in range(REASONS_MAX + 1)]
STREAMS: list[tuple[Reader, bytes, str | None, tuple[str, ...]]] = [
    (ChatStream(1, False), sse(chunk(model=""), chunk(choice(**HI)), STOP), BIG, ("stop",)),
    (
        ChatStream(2, False),
        sse(chunk(choice(0, **HI), choice(1, **HI)), chunk(choice(1, "length")), chunk(choice(0, "stop"))),
        BIG,
        ("length", "stop"),
    ),
    (ChatStream(1, False), sse(chunk(choice(**HI)), STOP, STOP), BIG, ("stop",)),
    (ChatStream(1, False), sse(chunk(*CROWD)), BIG, ("stop",) * REASONS_MAX),
    (ChatStream(1, False), sse(chunk(choice(**HI), model=7), STOP), None, ("stop",)),
    (TextStreamReader(1, False), sse(chunk(choice(text="Hi")), STOP), BIG, ("stop",)),
    (MessageStream(0.0), told.named(*told.HELLO), "big-1", ("end_turn",)),
    (ResponseStream(0.0), responses_api.sse(*responses_api.answer("Hi")), "big-1", ("completed",)),
    (
        ResponseStream(0.0),
        responses_api.sse(
            *responses_api.answer("Hi")[:-1], responses_api.event("response.incomplete", response=CUT_SHORT)
        ),
        "big-1",
        ("max_output_tokens",),
    ),
]  # fmt: skip
PLAIN: list[tuple[Reader, bytes, str | None, tuple[str, ...]]] = [
    (ChatReader(), json.dumps(chunk(choice(finish="stop", message={}))).encode(), BIG, ("stop",)),
    (ChatReader(), json.dumps(chunk(choice(message={}), model=None)).encode(), None, ()),
    (ChatReader(), json.dumps(chunk(*CROWD)).encode(), BIG, ("stop",) * REASONS_MAX),
    (TextReader(), json.dumps(chunk(choice(0, "stop"), choice(1, "length"))).encode(), BIG, ("stop", "length")),
    (VectorReader(), b'{"data":[{"embedding":[1]}],"model":"vectors-1"}', "vectors-1", ()),
    (JsonReader(), b'{"results":[{}],"model":"rerank-1"}', "rerank-1", ()),
    (JsonReader(), b'{"results":[{}],"model":{"not":"a name"}}', None, ()),
    (MessageReader(), message(), "big-1", ("end_turn",)),
    (MessageReader(), message(model="o1"), "o1", ("end_turn",)),
    (MessageReader(), message(model="x" * NAME_MAX), "x" * NAME_MAX, ("end_turn",)),
    (MessageReader(), message(model="x" * (NAME_MAX + 1)), None, ("end_turn",)),
    (MessageReader(), message(model="two\nlines"), None, ("end_turn",)),
    (ResponseReader(False, 0.0), json.dumps(responses_api.response()).encode(), "big-1", ("completed",)),
    (ResponseReader(False, 0.0), json.dumps(CUT_SHORT).encode(), "big-1", ("max_output_tokens",)),
]  # fmt: skip


@pytest.mark.parametrize(("reader", "data", "model", "reasons"), [*STREAMS, *PLAIN])
def test_an_answer_says_who_made_it_and_why_it_ended(
    reader: Reader, data: bytes, model: str | None, reasons: tuple[str, ...]
) -> None:
    reader.feed(data)
    assert reader.eof() is None
    assert (reader.model, reader.reasons) == (model, reasons)


def test_a_large_last_event_says_why_by_its_type() -> None:
    reader = ResponseStream(0.0)
    *begun, last = responses_api.answer("Hi", "x" * LARGE)
    reader.feed(responses_api.sse(*begun))
    data = responses_api.sse(last)
    for at in range(0, len(data), 16_384):
        reader.feed(data[at : at + 16_384])
    assert reader.eof() is None
    assert (reader.model, reader.reasons) == ("big-1", ("completed",))
