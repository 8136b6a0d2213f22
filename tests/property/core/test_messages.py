"""A message is read as a naive reader reads it that has it all, however its bytes are cut."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import event, example, given
from hypothesis import strategies as st

from oxllm.core.protocols.messages import MessageReader, StreamReader
from tests.property.core.cuts import cut, told
from tests.property.core.test_answers import strictly
from tests.property.core.test_named_events import naive as naive_events
from tests.support.told import (
    AGENT,
    END,
    HELLO,
    OVERLOADED,
    PING,
    THINKING,
    TOOL,
    block,
    delta,
    named,
    reason,
    start,
    stop,
    text,
)

EMPTY: list[Any] = [None, "", [], {}, False]
BEARING = ["text", "partial_json", "thinking", "signature", "citation", "content", "encrypted_content"]
INDEXES = st.sampled_from([0, 0, 0, 1, 2])
VALUES = st.sampled_from([*EMPTY, "Hi", " ", "ä😀", 'q"\\n\n', ["a"], {"name": "f"}])
DELTAS = st.dictionaries(st.sampled_from([*BEARING, "type", "other"]), VALUES, max_size=2)
ODD: list[Any] = [
    {"type": "content_block_delta", "index": 0, "delta": 5},
    {"type": "content_block_delta", "index": None, "delta": {}},
    {"type": "content_block_delta", "index": -1, "delta": {}},
    {"type": "content_block_start", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": 5}},
    {"type": "news", "delta": 5},
    {"type": ["news"]},
    {"index": 0},
    {"error": {"type": "api_error"}},
    {"type": "ping", "error": ""},
    {},
    [],
    1,
]
EVENTS = st.one_of(
    st.sampled_from(
        [start(), start(input_tokens=9), start("msg_2"), PING, END, END, OVERLOADED, reason(), reason(), reason(None)]
    ),
    st.sampled_from([reason("error"), reason("max_tokens"), {"type": "news"}, {"type": "message_stop", "index": 1}]),
    st.builds(stop, INDEXES),
    st.builds(block, INDEXES),
    st.builds(lambda index, kind: block(index, **kind), INDEXES, st.sampled_from([THINKING, TOOL])),
    st.builds(text, st.sampled_from(["", "Hi"]), INDEXES),
    st.builds(lambda index, fields: delta(index, **fields), INDEXES, DELTAS),
    st.sampled_from(ODD),
)
TOLD = st.one_of(
    EVENTS.map(lambda value: (value.get("type") if isinstance(value, dict) else "x", json.dumps(value).encode())),
    st.tuples(
        st.sampled_from(["", "", "ping", "error", "message_stop", "news", "content_block_stop"]),
        EVENTS.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1).encode()),
    ),
    st.tuples(st.sampled_from(["", "error", "ping"]), st.sampled_from([b"[DONE]", b"no", b'{"x": "\xff"}', b" "])),
)
HEALTHY = st.tuples(
    st.sampled_from([HELLO, HELLO[:-1], AGENT]).map(
        lambda events: [(one["type"], json.dumps(one).encode()) for one in events]
    ),
    st.lists(TOLD, max_size=2),
    st.integers(0, 20),
).map(lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    parts = []
    for name, payload in draw(HEALTHY | st.lists(TOLD, max_size=6)):
        line = b"event: %b\n" % name.encode() if name and isinstance(name, str) else b""
        parts.append(line + b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n")) + b"\n")
    return told(draw, b"".join(parts))


class Reading(NamedTuple):
    out: bytes
    content: int
    complete: bool
    finished: bool
    failed: bool
    told: bool
    dropped: int
    working: bool


class Naive:
    """The table on top of messages.py, read slowly: the whole stream is there, and every event is parsed in full."""

    def __init__(self) -> None:
        self.out = b""
        self.content = self.dropped = 0
        self.blocks: dict[int, bool] = {}
        self.begun = ""
        self.reasoned = self.limited = self.working = self.told = self.failed = self.finished = False

    @property
    def complete(self) -> bool:
        return self.reasoned and (all(self.blocks.values()) or self.finished)

    def read(self, stream: bytes) -> Reading:
        for name, payload in naive_events(stream):
            if self.failed or self.finished:
                break
            self.one(name.decode(), payload)
        return Reading(
            self.out,
            self.content,
            self.complete,
            self.finished,
            self.failed,
            self.told,
            self.dropped,
            self.working,
        )

    def broken(self) -> None:
        self.failed, self.finished = not self.complete, self.complete

    def one(self, name: str, payload: bytes) -> None:
        if name != "error" and not payload.strip():
            self.dropped += 1
            return
        try:
            value = strictly(payload)
        except ValueError:
            value = None
        kind = value.get("type", "") or name if isinstance(value, dict) else None
        if name == "error" or kind == "error" or (isinstance(value, dict) and value.get("error") not in EMPTY):
            self.erred(payload)
        elif not isinstance(kind, str) or not self.fits(kind, value):
            self.broken()
        elif self.idle(kind, value):
            self.dropped += 1
        elif self.moves(kind, value):
            self.tell(kind, payload)
        else:
            self.broken()

    def tell(self, kind: str, payload: bytes) -> None:
        self.out += b"event: %b\n" % kind.encode()
        self.out += b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n")) + b"\n"

    def erred(self, payload: bytes) -> None:
        if not self.complete and self.content:
            self.told = True
            self.tell("error", payload)
        self.broken()

    def idle(self, kind: str, value: dict[str, Any]) -> bool:
        """Whether the client does not get it: a ping now, and a start that is told again."""
        if kind == "message_start":
            return bool(self.begun == value["message"]["id"])
        return kind == "ping" and (self.complete or not self.content)

    @staticmethod
    def fits(kind: str, value: dict[str, Any]) -> bool:
        """Whether an event of a known kind has the shape that the API gives it."""
        index, grown = value.get("index"), value.get("delta")
        shaped = (index is None or index >= 0) and (grown is None or isinstance(grown, dict))
        shaped = shaped and isinstance((grown or {}).get("stop_reason"), str | None)
        return shaped or kind == "news"

    def moves(self, kind: str, value: dict[str, Any]) -> bool:
        """Account for one event; False if there cannot be such a one now."""
        index, grown = value.get("index"), value.get("delta") or {}
        if kind == "message_start":
            message = value["message"]["id"]
            self.begun = self.begun or message
            return bool(self.begun == message)
        if kind == "content_block_start":
            if "content_block" not in value or not self.begun or index is None or index in self.blocks:
                return False
            self.blocks[index] = False
            content = {k: v for k, v in value["content_block"].items() if k not in ("type", "id") and v not in EMPTY}
            self.content += bool(content)
            self.working |= not content and value["content_block"]["type"] == "thinking"
        elif kind == "content_block_delta":
            if "delta" not in value or index not in self.blocks:
                return False
            bears = any(grown.get(field) not in EMPTY for field in BEARING)
            self.content += bears
            self.working |= not bears and "thinking" in grown
        elif kind == "content_block_stop":
            if index not in self.blocks:
                return False
            self.blocks[index] = True
        elif kind == "message_delta" and grown.get("stop_reason"):
            if not self.begun or grown["stop_reason"] == "error":
                return False
            self.reasoned = True
            self.limited = grown["stop_reason"] == "max_tokens"
            self.content += 1
        elif kind == "message_stop":
            if not self.complete and not self.limited:
                return False
            self.finished = True
        return True


def read(stream: bytes, data: st.DataObject | None) -> tuple[StreamReader, bytes]:
    reader = StreamReader(0.0)
    return reader, b"".join(reader.feed(chunk) for chunk in cut(stream, data))


@given(streams(), st.data())
@example(named(*AGENT), None)
@example(named(*HELLO[:-2], OVERLOADED), None)
@example(named(*HELLO[:5], reason(), END), None).via("a stop_reason inside a block")
@example(named(*HELLO[:5], reason("max_tokens"), END), None).via("a limit inside a block")
@example(named(*HELLO[:6], END), None).via("an end without a stop_reason")
@example(named(*HELLO).replace(b"event: ", b"x: "), None).via("events without names")
@example(named(*HELLO).replace(b"event: content_block_delta", b"event: error"), None).via("a delta called an error")
def test_a_message_is_read_as_a_naive_reader_reads_it(stream: bytes, data: st.DataObject | None) -> None:
    reader, out = read(stream, data)
    failed = reader.failure is not None
    found = Reading(
        out, reader.content, reader.complete, reader.finished, failed, reader.told, reader.dropped, bool(reader.working)
    )
    assert found == Naive().read(stream)
    assert (reader.eof() is None) == reader.complete
    event(f"complete {found.complete}, failed {found.failed}, told {found.told}, finished {found.finished}")


@given(streams() | st.binary(max_size=200), st.data())
def test_what_a_client_gets_is_named_as_its_type_and_strict_json(stream: bytes, data: st.DataObject) -> None:
    reader, out = read(stream, data)
    if reader.eof() is None:
        out += reader.closing()
    assert out == b"" or out.endswith(b"\n\n")
    for name, payload in naive_events(out):
        if name != b"error":
            assert strictly(payload).get("type") in (name.decode(), None, "")
    if reader.complete:
        assert out.endswith(b"}\n\n")
        assert naive_events(out)[-1][0] == b"message_stop"


@given(st.integers(0, 10_000), st.data())
def test_no_proper_prefix_of_a_message_is_whole_but_for_its_stop(size: int, data: st.DataObject) -> None:
    whole = named(*AGENT)
    stream = whole[: size % len(whole)]
    reader, _ = read(stream, data)
    assert (reader.eof() is None) == (len(stream) >= len(named(*AGENT[:-1])))


@given(st.integers(0, 400))
def test_no_proper_prefix_of_a_plain_message_is_whole(size: int) -> None:
    body = json.dumps({"type": "message", "content": [{"text": "}"}], "stop_reason": "end_turn", "usage": {}}).encode()
    reader = MessageReader(0.0)
    reader.feed(body[: size % len(body)])
    assert reader.eof() is not None
