"""A stream of the Responses API is read as a naive reader reads it that has it all, however its bytes are cut."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import event, given
from hypothesis import strategies as st

from oxllm.core.protocols.base import Usage
from oxllm.core.protocols.responses import StreamReader
from oxllm.core.wire.errors import api_error
from tests.property.core.cuts import cut
from tests.property.core.test_answers import strictly
from tests.property.core.test_named_events import naive as naive_events
from tests.support.responses_api import CALL, HOSTED, ID, REASONING, USAGE, Json, answer, message, parse, response

HELD = [
    "response.content_part.added",
    "response.reasoning_summary_part.added",
    "keepalive",
    "response.mcp_list_tools.x",
]
DONE = ["response.output_text.done", "response.output_item.done", "response.audio.done"]
DELTAS = ["response.output_text.delta", "response.function_call_arguments.delta", "response.reasoning_text.delta"]
ITEMS: list[Any] = [message(), message("Hi"), REASONING, CALL, {**CALL, "arguments": "{}"}, {}, None, 5]
ERRORS: list[Any] = [None, {}, {"code": "server_error", "message": "x"}, {"type": "t"}, "no"]
RESPONSES: list[Any] = [response("in_progress"), response(), response(usage=None), {"id": "other"}, None, 5, {}]

EVENTS = st.one_of(
    st.fixed_dictionaries({"type": st.sampled_from(DELTAS), "delta": st.sampled_from(["", "Hi", None, "ä😀", {}])}),
    st.fixed_dictionaries({"type": st.sampled_from(HELD + DONE + [f"response.{tool}_call.x" for tool in HOSTED])}),
    st.fixed_dictionaries({"type": st.just("response.output_item.added"), "item": st.sampled_from(ITEMS)}),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["response.created", "response.queued", "response.in_progress"]),
            "response": st.sampled_from(RESPONSES),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["response.completed", "response.completed", "response.incomplete"]),
            "response": st.sampled_from(RESPONSES),
        }
    ),
    st.fixed_dictionaries({"type": st.just("response.failed"), "response": st.just(response("failed"))}),
    st.fixed_dictionaries({"type": st.just("error"), "error": st.sampled_from(ERRORS)}),
    st.sampled_from([{}, {"type": None}, {"type": 5}, {"x": 1}, {"type": "keepalive", "error": {"code": "x"}}]),
)
NUMBERS = st.sampled_from([None, 0, 1, 2, 7, -1, "x", 1.5])
NUMBERED = st.builds(lambda one, number: one if number is None else {**one, "sequence_number": number}, EVENTS, NUMBERS)
ODD = st.sampled_from([b"[DONE]", b"garbage", b"[]", b"1", b'{"type":"x"', b'{"a":"\xff"}', b'"\\ud800"', b"[DONE] "])
PAYLOADS = st.one_of(
    st.builds(
        lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(),
        NUMBERED,
        st.booleans(),
        st.sampled_from([None, None, None, 1]),
    ),
    NUMBERED.map(lambda value: json.dumps(value).encode()),
    ODD,
)
HEALTHY = st.tuples(
    st.sampled_from([answer("Hi", " there"), answer("Hi", thinks=True), answer("ä")]).map(
        lambda events: [json.dumps(one).encode() for one in events]
    ),
    st.lists(PAYLOADS, max_size=2),
).map(lambda parts: parts[0] + parts[1])
NAMES = st.sampled_from(["type", "type", "type", "none", "other"])
NOISE = st.sampled_from([b"", b"", b"", b": ping\n", b"id: 4\n", b"retry: 1\n", b": a\n\n", b"event: lost\n\n"])


def type_of(payload: bytes) -> bytes:
    try:
        return str(json.loads(payload)["type"]).encode()
    except (ValueError, KeyError, TypeError):
        return b"response.output_text.delta"


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    parts = []
    for payload in draw(HEALTHY | st.lists(PAYLOADS, max_size=6)):
        lines = b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n"))
        kind = draw(NAMES)
        name = b"" if kind == "none" else b"event: %b\n" % (type_of(payload) if kind == "type" else b"response.x.delta")
        parts.append(draw(NOISE) + name + lines + b"\n")
    stream = b"".join(parts).replace(b"\n", draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])))
    return stream[: len(stream) - draw(st.sampled_from([0, 0, 0, 1, 2, 9]))]


class Reading(NamedTuple):
    out: bytes = b""
    content: int = 0
    working: bool = False
    complete: bool = False
    finished: bool = False
    failed: bool = False
    told: bool = False
    usage: Usage | None = None
    id: str | None = None
    sequence: int | None = -1
    """Of the last event; None if the provider has ended the response, so that none of ours may follow."""
    dropped: int = 0


EMPTY: list[Any] = [None, "", [], {}, False]


def bears(item: Any) -> bool:
    if not isinstance(item, dict):
        return False
    return bool(item.get("arguments")) or any(part["text"] for part in item.get("content") or [])


def identity(value: Json) -> str | None:
    found = value.get("response")
    return found.get("id") if isinstance(found, dict) else None


def tokens(value: Json) -> Usage | None:
    found = value.get("response")
    return Usage(75, 42, 64) if isinstance(found, dict) and found.get("usage") == USAGE else None


def naive(stream: bytes) -> Reading:
    """The table, read slowly: the whole stream is there, and every event is parsed in full."""
    now = Reading()
    for name, payload in naive_events(stream):
        if now.complete:
            return now._replace(finished=True, out=now.out + b"data: [DONE]\n\n" * (payload == b"[DONE]"))
        try:
            value = strictly(payload) if payload.strip() else None
        except ValueError:
            return now._replace(failed=True)
        now = step(now, name, payload, value)
        if now.failed:
            return now
    return now


def step(now: Reading, name: bytes, payload: bytes, value: Any) -> Reading:
    kind = value.get("type") if isinstance(value, dict) else None
    kind = kind if kind and isinstance(kind, str) else name.decode()
    failed = isinstance(value, dict) and (kind in ("error", "response.failed") or value.get("error") not in EMPTY)
    if not isinstance(value, dict) or not (kind or failed):
        return now._replace(dropped=now.dropped + 1)
    number = value.get("sequence_number")
    if isinstance(number, int) and number >= 0:
        now = now._replace(sequence=number)
    if failed and not now.content:
        return now._replace(failed=True, usage=tokens(value))
    shown = b"event: %b\ndata: %b\n\n" % (name or kind.encode(), payload.replace(b"\n", b"\ndata: "))
    now = now._replace(out=now.out + shown)
    if failed:
        now = now._replace(sequence=None if kind == "response.failed" else now.sequence)
        return now._replace(failed=True, told=True, usage=tokens(value))
    if kind in ("response.created", "response.queued", "response.in_progress"):
        return now._replace(id=now.id or identity(value))
    if kind in ("response.completed", "response.incomplete"):
        complete = now._replace(complete=True, content=now.content + 1, id=now.id or identity(value))
        return complete._replace(usage=tokens(value))
    if kind == "response.output_item.added":
        item = value.get("item")
        thinks = isinstance(item, dict) and item.get("type") == "reasoning"
        return now._replace(content=now.content + bears(item), working=now.working or thinks)
    counts = kind.endswith(".done") or any(kind.startswith(f"response.{tool}_call.") for tool in HOSTED)
    counts = counts or (kind.endswith(".delta") and value.get("delta") not in EMPTY)
    return now._replace(content=now.content + counts)


def reading(reader: StreamReader, out: bytes) -> Reading:
    ours = parse(reader.interruption(api_error(502, "x"), "request"))
    return Reading(
        out,
        reader.content,
        bool(reader.working),
        reader.complete,
        reader.finished,
        reader.failure is not None,
        reader.told,
        reader.usage,
        reader.id,
        ours[0]["sequence_number"] - 1 if ours else None,
        reader.dropped,
    )


@given(streams(), st.data())
def test_a_stream_is_read_as_a_naive_reader_reads_it(stream: bytes, data: st.DataObject) -> None:
    reader = StreamReader(0.0)
    out = b"".join(reader.feed(chunk) for chunk in cut(stream, data))
    found = reading(reader, out)
    assert found == naive(stream)
    assert (reader.eof() is None) == reader.complete
    event(f"complete {found.complete}, failed {found.failed}, told {found.told}, finished {found.finished}")


@given(st.integers(0, 200_000), st.integers(0, 200_000), st.booleans(), st.data())
def test_large_events_behind_content_are_the_same_events_however_they_are_cut(
    one: int, other: int, names: bool, data: st.DataObject
) -> None:
    events = answer("Hi", "x" * one, output_text="y" * other)
    lines = [(f"event: {e['type']}\n" if names else "") + f"data: {json.dumps(e)}\n\n" for e in events]
    stream = "".join(lines).encode()
    reader, out = StreamReader(0.0), b""
    size = data.draw(st.sampled_from([997, 10_000, 65_536, 100_001]), "piece size")
    for at in range(0, len(stream), size):
        out += reader.feed(stream[at : at + size])
        assert reader.pending <= 65_536 + size
    assert parse(out) == events
    assert (reader.complete, reader.usage, reader.id) == (True, Usage(75, 42, 64), ID)


@given(st.data())
def test_a_stream_that_is_cut_anywhere_is_whole_only_with_its_last_event(data: st.DataObject) -> None:
    stream = b"".join(
        f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in answer("Hi", " there", thinks=True)
    )
    reader = StreamReader(0.0)
    at = data.draw(st.integers(0, len(stream) - 1), "cut at")
    out = reader.feed(stream[:at])
    assert reader.eof() is not None
    *events, failed = parse(out + reader.interruption(api_error(502, "x"), "request"))
    assert "response.completed" not in [one["type"] for one in events]
    assert failed["sequence_number"] == len(events)
    assert failed["response"]["id"] == (ID if events else "resp_request")
