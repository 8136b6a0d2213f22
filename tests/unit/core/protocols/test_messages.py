"""What makes a message whole, and what each way of failing reads as."""

from __future__ import annotations

import json

import pytest

from oxllm.core.protocols.base import Usage
from oxllm.core.protocols.messages import (
    BLOCKS_MAX,
    COUNT_TOKENS,
    MESSAGE_STOP,
    MESSAGES,
    PROTOCOL,
    MessageReader,
    StreamReader,
    TokenCountReader,
)
from oxllm.core.protocols.plain import HELD_MAX
from oxllm.core.reading.outcome import Kind
from oxllm.core.wire.body import RequestBody
from oxllm.core.wire.errors import api_error
from oxllm.core.wire.named_events import LARGE
from oxllm.core.wire.sse import EVENT_MAX
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

WALL = 1_750_000_000.0
BEGUN = (start(), block())


def read(*events: object) -> tuple[StreamReader, bytes]:
    reader = StreamReader(WALL)
    return reader, reader.feed(named(*events))


def why(reader: StreamReader) -> str | None:
    verdict = reader.eof()
    return None if verdict is None else verdict.reason


# What bears content.


@pytest.mark.parametrize(
    "event",
    [
        text("Hi"),
        text(" "),
        text("half an emoji: \ud83d"),
        delta(type="thinking_delta", thinking="hm"),
        delta(type="signature_delta", signature="c2ln"),
        delta(type="input_json_delta", partial_json="{"),
        delta(type="citations_delta", citation={"type": "char_location"}),
        delta(type="compaction_delta", content="so far"),
        delta(type="compaction_delta", content=None, encrypted_content="c2ln"),
        block(1, type="text", text="Hi"),
        block(1, type="thinking", thinking="hm", signature=""),
        block(1, type="redacted_thinking", data="c2ln"),
        block(1, **TOOL),
        block(1, type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
        block(1, type="web_search_tool_result", tool_use_id="srvtoolu_1", content=[{"type": "web_search_result"}]),
        block(1, type="mcp_tool_use", id="mcptoolu_1", name="echo", server_name="x", input={}),
        reason("end_turn"),
        reason("refusal"),
    ],
    ids=json.dumps,
)
def test_an_event_bears_content(event: object) -> None:
    reader, out = read(*BEGUN, event)
    assert (reader.content, out) == (1, named(*BEGUN, event))


@pytest.mark.parametrize(
    "event",
    [
        text(""),
        delta(type="input_json_delta", partial_json=""),
        delta(type="thinking_delta", thinking=""),
        delta(type="new_delta", what="ever"),
        block(1),
        block(1, type="text", text="", citations=None),
        block(1, **THINKING),
        block(1, type="tool_use", id="toolu_1", name="", input={}),
        stop(),
        reason(None),
        {"type": "message_delta", "usage": {"output_tokens": 4}},
        {"type": "message_delta", "delta": None},
        {"type": "news", "of": ["any", "kind"]},
        {"type": "news", "delta": "of another shape", "index": -1},
    ],
    ids=json.dumps,
)
def test_an_event_that_bears_nothing_is_passed_on(event: object) -> None:
    reader, out = read(*BEGUN, event)
    assert (reader.content, reader.failure, out) == (0, None, named(*BEGUN, event))


@pytest.mark.parametrize(
    "event",
    [
        block(1, **THINKING),
        delta(type="thinking_delta", thinking=""),
        delta(type="thinking_delta", thinking="", estimated_tokens=50),
        block(1, type="compaction", content=None),
    ],
    ids=json.dumps,
)
def test_thinking_that_is_not_shown_is_work(event: object) -> None:
    reader, _ = read(*BEGUN, event)
    assert (reader.working, reader.content) == (True, 0)


@pytest.mark.parametrize("event", [PING, text(""), b": hello\n\n", {"type": "news"}], ids=str)
def test_what_is_sent_to_pass_the_time_is_no_work(event: object) -> None:
    assert not read(*BEGUN, event)[0].working


def test_pings_are_passed_behind_content_and_counted_before_it() -> None:
    reader, out = read(start(), PING, block(), text("Hi"), PING)
    assert out == named(start(), block(), text("Hi"), PING)
    assert reader.dropped == 1


def test_pings_behind_a_whole_message_are_counted_and_hold_no_client() -> None:
    reader, out = read(*BEGUN, text("Hi"), stop(), reason("end_turn"), PING, PING, END)
    assert out == named(*BEGUN, text("Hi"), stop(), reason("end_turn"), END)
    assert (reader.complete, reader.dropped) == (True, 2)


# What is whole.


@pytest.mark.parametrize("events", [HELLO, AGENT], ids=["hello", "agent"])
def test_a_message_is_whole_and_passed_on_byte_for_byte(events: tuple[object, ...]) -> None:
    reader, out = read(*events)
    assert out == named(*(event for event in events if event is not PING))
    assert (reader.complete, reader.finished, why(reader), reader.closing()) == (True, True, None, b"")


def test_a_message_is_whole_before_its_stop_which_is_added() -> None:
    reader, _ = read(*HELLO[:-1])
    assert (reader.complete, reader.finished, why(reader)) == (True, False, None)
    assert reader.closing() == MESSAGE_STOP == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def test_a_stop_reason_may_come_before_the_last_block_stops() -> None:
    reader, _ = read(*BEGUN, text("Hi"), reason())
    assert not reader.complete
    reader.feed(named(stop()))
    assert reader.complete


def test_a_message_without_any_block_is_whole() -> None:
    assert read(start("msg_2"), reason())[0].complete


def test_a_block_that_begins_behind_the_stop_reason_must_stop_too() -> None:
    reader, _ = read(*HELLO[:-1], block(1))
    assert (reader.complete, why(reader)) == (False, "the stream ended inside a block")


@pytest.mark.parametrize(
    "behind",
    [
        b"data: [DONE]\n\n",
        b"data: garbage\n\n",
        OVERLOADED,
        b"event: error\ndata: no\n\n",
        END,
        text("x", 7),
        start("msg_2"),
    ],
    ids=str,
)
def test_nothing_behind_a_whole_message_takes_it_back(behind: object) -> None:
    reader, out = read(*HELLO[:-1], behind)
    assert (reader.complete, reader.finished, reader.failure, why(reader)) == (True, True, None, None)
    assert out == named(*HELLO[:2], *HELLO[3:-1], *([END] if behind is END else []))


def test_nothing_is_read_behind_the_end() -> None:
    reader, _ = read(*HELLO)
    assert (reader.feed(named(text("more"))), reader.failure) == (b"", None)


@pytest.mark.parametrize("limit", ["max_tokens", "model_context_window_exceeded"])
def test_a_block_that_a_limit_cut_off_need_not_stop_before_the_end(limit: str) -> None:
    said = (*BEGUN, delta(type="input_json_delta", partial_json='{"q": "ha'), reason(limit))
    reader, _ = read(*said)
    assert (reader.complete, why(reader)) == (False, "the stream ended inside a block")
    reader, out = read(*said, END)
    assert (reader.complete, reader.finished, why(reader), out) == (True, True, None, named(*said, END))


def test_a_start_that_is_told_again_is_left_out() -> None:
    reader, out = read(start(), start(), block(), text("Hi"), start(), stop(), reason(), END)
    assert (out, reader.dropped, reader.failure) == (
        named(start(), block(), text("Hi"), stop(), reason(), END),
        2,
        None,
    )
    assert reader.complete
    assert reader.usage == Usage(5, 7, 0)


# What is broken.


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ((), "the stream was empty"),
        ((PING,), "the stream was empty"),
        ((start(),), "the stream ended without content"),
        ((*BEGUN, b"event: x\ndata: {"), "the stream was cut inside an event"),
        ((*BEGUN, text("Hi")), "the stream ended without a stop_reason"),
        ((*BEGUN, text("Hi"), stop()), "the stream ended without a stop_reason"),
        ((*BEGUN, text("Hi"), reason()), "the stream ended inside a block"),
        ((*BEGUN, text("Hi"), END), "its end came before a stop_reason or inside a block"),
        ((*BEGUN, text("Hi"), reason(), END), "its end came before a stop_reason or inside a block"),
        ((*BEGUN, text("Hi"), stop(), reason("error")), 'stop_reason "error"'),
        ((*BEGUN, text("Hi"), stop(), reason("network_error")), 'stop_reason "network_error"'),
        ((*BEGUN, b"data: garbage\n\n"), "data that is not JSON"),
        ((*BEGUN, b"event: ping\ndata: \xff\n\n"), "data that is not JSON"),
        ((*BEGUN, b'data: {"type": "ping", "x": "\xff"}\n\n'), "data that is not JSON"),
        ((*BEGUN, b"data: []\n\n"), "data that is not JSON"),
        ((*BEGUN, b"data: [DONE]\n\n"), "its end mark came too early"),
        ((*BEGUN, start("msg_2")), "a second message in the stream"),
        (({"type": "message_start"}, {"type": "message_start"}), "a second message in the stream"),
        ((block(),), "a block before the message's start"),
        ((reason(),), "a stop_reason before the message's start"),
        ((start(), text("Hi")), "a delta of no block"),
        ((*BEGUN, text("Hi", 1)), "a delta of no block"),
        ((*BEGUN, {"type": "content_block_delta", "delta": {}}), "a delta of no block"),
        ((*BEGUN, {"type": "content_block_delta", "index": 0}), "a delta of an unknown shape"),
        (
            (*BEGUN, {"type": "content_block_delta", "index": 0, "delta": "Hi"}),
            "a content_block_delta of an unknown shape",
        ),
        ((*BEGUN, {"type": "content_block_start", "index": 1}), "a block of an unknown shape"),
        ((*BEGUN, block()), "a block with an impossible index"),
        ((start(), block(BLOCKS_MAX)), "a block with an impossible index"),
        ((start(), {"type": "content_block_start", "content_block": {}}), "a block with an impossible index"),
        ((*BEGUN, stop(1)), "the end of no block"),
        ((*BEGUN, b"data: " + b"1" * EVENT_MAX), "an event over 1 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_stream_is_broken(events: tuple[object, ...], said: str) -> None:
    reader, _ = read(*events)
    assert (why(reader), reader.complete, reader.told) == (said, False, False)
    assert reader.failure is not None
    assert reader.failure.kind is Kind.BAD_ANSWER
    assert reader.feed(named(text("more"))) == b""


# What has failed.


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (OVERLOADED, Kind.SERVER_ERROR),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, Kind.RATE_LIMITED),
        ({"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}}, Kind.CLIENT_ERROR),
        ({"error": {"message": "no", "type": "api_error"}}, Kind.SERVER_ERROR),
        ({"type": "error"}, Kind.BAD_ANSWER),
        ({"type": "error", "error": "no"}, Kind.BAD_ANSWER),
    ],
    ids=str,
)
@pytest.mark.parametrize("line", [b"event: error\n", b""], ids=["named", "unnamed"])
def test_an_error_before_content_is_the_http_error_that_it_names(
    event: dict[str, object], kind: Kind, line: bytes
) -> None:
    reader, out = read(*BEGUN, line + b"data: %b\n\n" % json.dumps(event).encode())
    assert out == named(*BEGUN)
    assert reader.failure is not None
    assert (reader.failure.kind, reader.told) == (kind, False)


def test_an_error_that_is_no_json_is_one() -> None:
    reader, out = read(*BEGUN, b"event: error\ndata: oops\n\n")
    assert reader.failure is not None
    assert (out, reader.failure.kind) == (named(*BEGUN), Kind.BAD_ANSWER)


@pytest.mark.parametrize("line", [b"event: error\n", b""], ids=["named", "unnamed"])
def test_an_error_behind_content_is_told_in_the_providers_own_words(line: bytes) -> None:
    payload = json.dumps(OVERLOADED).encode()
    reader, out = read(*BEGUN, text("Hi"), line + b"data: %b\n\n" % payload, text("more"))
    assert out == named(*BEGUN, text("Hi"), OVERLOADED)
    assert reader.told
    assert reader.failure is not None
    assert reader.failure.kind is Kind.SERVER_ERROR


# Names.


def test_a_stream_without_event_lines_gets_them() -> None:
    bare = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in HELLO)
    reader = StreamReader(WALL)
    assert reader.feed(bare) == named(*(event for event in HELLO if event is not PING))
    assert reader.complete


def test_the_type_counts_and_not_the_name() -> None:
    reader, out = read(*BEGUN, b"event: ping\ndata: %b\n\n" % json.dumps(text("Hi")).encode())
    assert (reader.content, out) == (1, named(*BEGUN, text("Hi")))


def test_the_name_counts_where_there_is_no_type() -> None:
    reader, out = read(*BEGUN, b'event: content_block_stop\ndata: {"index": 0}\n\n', reason())
    assert reader.complete
    assert b'event: content_block_stop\ndata: {"index": 0}\n\n' in out


def test_no_type_can_end_its_line() -> None:
    _, out = read(*BEGUN, b'event: x\ndata: {"type": "a\\nevent: error"}\n\n')
    assert out == named(*BEGUN) + b'event: x\ndata: {"type": "a\\nevent: error"}\n\n'


def test_data_of_several_lines_stays_so() -> None:
    _, out = read(*BEGUN, b'event: news\ndata: {"type":\ndata: "news"}\n\n')
    assert out == named(*BEGUN) + b'event: news\ndata: {"type":\ndata: "news"}\n\n'


# Usage.


def test_usage_is_the_sum_of_all_input_and_the_last_output() -> None:
    assert read(*AGENT)[0].usage == Usage(123, 42, 100)


def test_usage_of_the_start_stays_where_the_end_is_silent_or_null() -> None:
    reader, _ = read(
        start(input_tokens=3, cache_read_input_tokens=4, output_tokens=1),
        reason(output_tokens=9, input_tokens=None),  # type: ignore[arg-type]
    )
    assert reader.usage == Usage(7, 9, 4)


def test_totals_of_the_end_replace_those_of_the_start() -> None:
    reader, _ = read(start(input_tokens=0, output_tokens=0), reason(input_tokens=50, output_tokens=9))
    assert reader.usage == Usage(50, 9)


@pytest.mark.parametrize("usage", [None, 5, {"input_tokens": -1}, {"input_tokens": "5"}])
def test_usage_that_cannot_be_read_is_none(usage: object) -> None:
    reader, _ = read({"type": "message_start", "message": {"usage": usage}})
    assert (reader.usage, reader.failure) == (None, None)


# Large events.


BIG = text("x" * 2 * LARGE)


@pytest.mark.parametrize("line", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize(
    ("event", "end"), [(BIG, ()), (block(1, type="web_search_tool_result", content=["x" * 2 * LARGE]), (stop(1),))]
)
def test_a_large_event_behind_content_is_passed_on_as_it_comes(
    line: bool, event: dict[str, object], end: tuple[object, ...]
) -> None:
    reader, out = read(*BEGUN, text("Hi"))
    sent = named(event) if line else b"data: %b\n\n" % json.dumps(event).encode()
    parts = [reader.feed(sent[at : min(at + 1000, len(sent) - 9)]) for at in range(0, len(sent) - 9, 1000)]
    assert 0 < reader.pending < 1000
    parts.append(reader.feed(sent[-9:]))
    assert out + b"".join(parts) == named(*BEGUN, text("Hi"), event)
    assert len(max(parts, key=len)) < LARGE + 2000
    assert reader.content == 2
    assert reader.pending == 0
    reader.feed(named(*end, stop(), reason()))
    assert reader.complete


def large_block(index: int, *, first: str) -> bytes:
    """The start of a block of 128 KB, that says which it is before or behind its type, or at its end."""
    members = {
        "type": "content_block_start",
        "index": index,
        "content_block": {"type": "x", "content": "x" * 2 * LARGE},
    }
    order = {"type": ("type", "index", "content_block"), "index": ("index", "type", "content_block")}
    return named({name: members[name] for name in order.get(first, ("type", "content_block", "index"))})


@pytest.mark.parametrize("first", ["type", "index", "content"])
def test_a_large_block_has_the_index_that_it_says(first: str) -> None:
    """Blocks may begin in any order: that it is the next one is only likely."""
    reader, _ = read(*BEGUN, text("Hi"))
    sent = large_block(3, first=first)
    assert b"".join(reader.feed(sent[at : at + 1000]) for at in range(0, len(sent), 1000)) == sent
    reader.feed(named(stop(), stop(3), reason()))
    assert (reader.failure, reader.complete) == (None, True)


@pytest.mark.parametrize("first", ["type", "index", "content"])
@pytest.mark.parametrize("event", ["block", "delta"])
def test_a_large_event_of_a_block_that_cannot_be_is_a_break(first: str, event: str) -> None:
    reader, _ = read(*BEGUN, text("Hi"))
    sent = large_block(0, first=first)
    if event == "delta":
        sent = large_block(7, first=first).replace(b"content_block_start", b"content_block_delta")
        sent = sent.replace(b'"content_block"', b'"delta"')
    for at in range(0, len(sent), 1000):
        reader.feed(sent[at : at + 1000])
    assert why(reader) == ("a delta of no block" if event == "delta" else "a block with an impossible index")
    assert reader.interruption(api_error(502, "it broke"), "req-1").rpartition(b"event: error\n")[1]


INDEX, TYPE = '"index": 0', '"type": "content_block_delta"'
DELTA = f'"delta": {{"type": "text_delta", "text": "{"x" * 2 * LARGE}"}}'


def in_pieces(reader: StreamReader, data: str) -> tuple[bytes, bytes]:
    """An event with its line, and what is passed on of it and of an end behind it."""
    sent = f"event: content_block_delta\ndata: {data}\n\n".encode()
    out = b"".join(reader.feed(sent[at : at + 1000]) for at in range(0, len(sent), 1000))
    return sent, out + reader.feed(named(stop(), reason()))


@pytest.mark.parametrize(
    "members",
    [(DELTA, INDEX, TYPE), (TYPE, DELTA, INDEX, '"more": {"index": 7}'), ('"more": [{}]', TYPE, INDEX, DELTA)],
    ids=["type last", "index inside", "more first"],
)
@pytest.mark.parametrize("between", [", ", ",\ndata: "])
def test_a_large_event_says_what_it_is_anywhere(members: tuple[str, ...], between: str) -> None:
    reader, _ = read(*BEGUN, text("Hi"))
    sent, out = in_pieces(reader, "{" + between.join(members) + "}")
    assert out == sent + named(stop(), reason())
    assert (reader.failure, reader.complete, reader.pending) == (None, True, 0)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((TYPE, DELTA, INDEX, '"error": {"message": "no"}'), "an error in a large event"),
        ((DELTA, INDEX, '"type": "message_delta"'), "a large event that is another than it began as"),
        ((TYPE, INDEX, '"delta": "%s"' % ("x" * 2 * LARGE)), "a content_block_delta of an unknown shape"),
        ((TYPE, INDEX, '"more": "%s"' % ("x" * 2 * LARGE)), "a delta of an unknown shape"),
        ((TYPE, DELTA, '"index": "0"'), "a content_block_delta of an unknown shape"),
        ((TYPE, INDEX, *['"more": 1'] * LARGE), "an event too large to be read"),
    ],
)
def test_a_large_event_that_means_something_else_at_its_end_is_a_break(members: tuple[str, ...], said: str) -> None:
    reader, _ = read(*BEGUN, text("Hi"))
    sent, out = in_pieces(reader, "{" + ", ".join(members) + "}")
    assert sent.startswith(out)
    assert why(reader) == said


def test_a_large_event_before_content_waits_for_its_end() -> None:
    reader, _ = read(*BEGUN)
    sent = named(BIG)
    assert reader.feed(sent[:-1]) == b""
    assert reader.feed(sent[-1:]) == sent


def test_a_large_block_with_a_crowd_of_members_is_not_decoded() -> None:
    crowd = {"type": "text", **{str(number): 1 for number in range(10_000)}}
    reader, _ = read(start(), {"type": "content_block_start", "index": 0, "content_block": crowd})
    assert why(reader) == "an event too large to be read"


@pytest.mark.parametrize("event", [{"type": "news", "x": "x" * LARGE}, reason("x" * LARGE)], ids=["news", "reason"])
def test_a_large_event_whose_meaning_is_not_in_its_first_bytes_waits_for_its_end(event: object) -> None:
    reader, _ = read(*BEGUN, text("Hi"))
    sent = named(event)
    assert reader.feed(sent[:-1]) == b""
    assert reader.feed(sent[-1:]) == sent


def test_a_large_event_that_is_cut_is_a_break() -> None:
    reader, _ = read(*BEGUN, text("Hi"))
    assert reader.feed(named(BIG)[:-9]) != b""
    assert why(reader) == "the stream was cut inside an event"


def test_no_half_of_a_character_of_a_large_event_is_passed_on() -> None:
    sent = named(text("x")).replace(b'"x"', b'"%b"' % ("aä€😀" * LARGE).encode())
    for size in (1000, 1001, 65_537, 100_003):
        reader, _ = read(*BEGUN, text("Hi"))
        parts = [reader.feed(sent[at : at + size]) for at in range(0, len(sent), size)]
        assert [part for part in parts if part.decode() is None] == []
        assert b"".join(parts) == sent


@pytest.mark.parametrize("behind", [b"", b"}}", b"} {}", b"}x", b"\xc3x", b"\xc3"])
def test_a_large_event_that_does_not_end_as_json_is_a_break_and_stays_open(behind: bytes) -> None:
    reader, _ = read(*BEGUN, text("Hi"))
    out = reader.feed(named(BIG)[:-3]) + reader.feed(behind + b"\n\n" + named(stop()))
    assert named(BIG)[:-3].startswith(out)
    assert why(reader) == "data that is not JSON"


def test_half_a_large_event_becomes_a_ping_before_the_error() -> None:
    reader, _ = read(*BEGUN, text("Hi"))
    reader.feed(named(BIG)[:-9])
    reader.eof()
    tail = reader.interruption(api_error(502, "it broke"), "req-1")
    assert tail.startswith(b"\nevent: ping\n\nevent: error\ndata: {")


# Our own words.


def test_a_break_is_told_as_an_error_event() -> None:
    reader, _ = read(*BEGUN, text("Hi"))
    tail = reader.interruption(api_error(502, "it broke"), "req-1")
    name, _, data = tail.partition(b"\ndata: ")
    assert (name, data[-2:]) == (b"event: error", b"\n\n")
    assert json.loads(data) == {
        "type": "error",
        "error": {"type": "api_error", "message": "it broke"},
        "request_id": "req-1",
    }


@pytest.mark.parametrize(
    ("status", "sent", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 401, "authentication_error"),
        (403, 403, "permission_error"),
        (404, 404, "not_found_error"),
        (405, 405, "invalid_request_error"),
        (408, 408, "invalid_request_error"),
        (413, 413, "request_too_large"),
        (429, 429, "rate_limit_error"),
        (500, 500, "api_error"),
        (502, 502, "api_error"),
        (503, 529, "overloaded_error"),
        (504, 504, "timeout_error"),
    ],
)
def test_our_errors_are_anthropics(status: int, sent: int, kind: str) -> None:
    error = PROTOCOL.refusal(api_error(status, "no", "code", retry_after=3))
    assert (error.status, error.retry_after, error.should_retry) == (sent, 3, None)
    body = json.loads(PROTOCOL.error_body(error, "req-1"))
    assert body == {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req-1"}
    assert (b"request-id", b"req-1") in PROTOCOL.error_headers(error, "req-1")


def test_an_overload_that_does_not_pass_is_not_called_one() -> None:
    error = PROTOCOL.refusal(api_error(503, "no", should_retry=False))
    assert (error.status, error.type) == (529, "api_error")
    assert PROTOCOL.refusal(error) == error


def test_a_providers_error_becomes_an_event() -> None:
    body = b'{\n "type": "error",\n "error": {"type": "invalid_request_error", "message": "no"}\n}'
    name, _, data = PROTOCOL.received_event(400, body, "req-1").partition(b"\ndata: ")
    assert (name, data[-2:], data.count(b"\n")) == (b"event: error", b"\n\n", 2)
    assert json.loads(data) == json.loads(body)


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"error": "no"}', b"\xff", b"[]"])
def test_what_is_no_error_object_becomes_one_of_ours(body: bytes) -> None:
    told = PROTOCOL.received_event(400, body, "req-1")
    assert told.startswith(b'event: error\ndata: {"type":"error","error":{"type":"invalid_request_error"')


# Plain answers.

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5},
}


def test_a_plain_message_is_whole_with_a_stop_reason() -> None:
    reader, body = MessageReader(WALL), json.dumps(MESSAGE).encode()
    assert (reader.feed(body), reader.eof(), reader.closing()) == (b"", None, body)
    assert reader.usage == Usage(7, 5, 4)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({**MESSAGE, "stop_reason": None}, Kind.BAD_ANSWER),
        ({**MESSAGE, "stop_reason": "error"}, Kind.BAD_ANSWER),
        ({**MESSAGE, "stop_reason": "network_error"}, Kind.BAD_ANSWER),
        ({**MESSAGE, "type": "completion"}, Kind.BAD_ANSWER),
        ({"choices": []}, Kind.BAD_ANSWER),
        (OVERLOADED, Kind.SERVER_ERROR),
        ({"error": {"type": "rate_limit_error"}}, Kind.RATE_LIMITED),
    ],
)
def test_a_plain_body_is_no_message(body: object, kind: Kind) -> None:
    reader = MessageReader(WALL)
    reader.feed(json.dumps(body).encode())
    verdict = reader.eof()
    assert verdict is not None
    assert verdict.kind is kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"event: x", json.dumps(MESSAGE).encode()[:-1], b"[]", b"5"])
def test_a_body_that_is_cut_or_no_json_is_no_message(body: bytes) -> None:
    reader = MessageReader(WALL)
    reader.feed(body)
    assert reader.eof() is not None


def test_a_long_message_is_passed_on_before_its_end() -> None:
    reader = MessageReader(WALL)
    body = json.dumps({**MESSAGE, "content": [{"type": "text", "text": "x" * HELD_MAX}]}).encode()
    out = reader.feed(body[:-9]) + reader.feed(body[-9:])
    assert reader.eof() is None
    assert out + reader.closing() == body


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        ({"input_tokens": 14}, True),
        ({"input_tokens": 0, "context_management": {}}, True),
        ({"input_tokens": "x"}, False),
        ({}, False),
        (OVERLOADED, False),
    ],
)
def test_a_count_of_tokens(body: object, whole: bool) -> None:
    reader = TokenCountReader(WALL)
    reader.feed(json.dumps(body).encode())
    assert (reader.eof() is None, reader.usage) == (whole, None)


# Requests.


@pytest.mark.parametrize(("body", "stream"), [({}, False), ({"stream": False}, False), ({"stream": True}, True)])
def test_a_request_is_for_a_stream_or_not(body: dict[str, object], stream: bool) -> None:
    assert PROTOCOL.asked(MESSAGES, RequestBody.parse(json.dumps({"model": "m", **body}).encode())).stream is stream


def test_what_is_the_providers_to_judge_goes_to_it() -> None:
    body = RequestBody.parse(b'{"model": "m", "n": "x", "stream_options": 5, "max_tokens": "many"}')
    assert PROTOCOL.asked(MESSAGES, body).choices == 1


@pytest.mark.parametrize("stream", [b"true", b'"yes"'])
def test_a_stream_of_a_number_is_the_providers_to_judge(stream: bytes) -> None:
    asked = PROTOCOL.asked(COUNT_TOKENS, RequestBody.parse(b'{"model": "m", "stream": %b}' % stream))
    assert not asked.stream
    assert isinstance(PROTOCOL.plain_reader(asked, [], WALL), TokenCountReader)
