"""What the events of the Responses API mean, and what a client of it is told by us."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oxllm.core.protocols.base import Usage
from oxllm.core.protocols.responses import PROTOCOL, ResponseReader, ResponsesAsked, StreamReader
from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.wire.body import RequestBody
from oxllm.core.wire.body_faults import BadBody
from oxllm.core.wire.errors import api_error
from oxllm.core.wire.sse import EVENT_MAX
from tests.support.responses_api import (
    CALL,
    HOSTED,
    ID,
    REASONING,
    Json,
    answer,
    event,
    message,
    parse,
    response,
    sse,
)

ERROR = api_error(502, "the provider's stream broke: cut", "stream_interrupted")
READ_USAGE = Usage(75, 42, 64)
CREATED, IN_PROGRESS, *_ = answer()
TEXT = event("response.output_text.delta", 4, item_id="msg_1", delta="Hi")
COMPLETED = event("response.completed", 9, response=response())
COMPACTION = {"id": "cmp_1", "type": "compaction", "encrypted_content": ""}


def read(*events: Json | bytes, names: bool = True) -> tuple[StreamReader, bytes]:
    reader = StreamReader(0.0)
    return reader, reader.feed(sse(*events, names=names))


def added(**item: Any) -> Json:
    return event("response.output_item.added", 2, output_index=0, item=item)


# What is held.


@pytest.mark.parametrize(
    "held",
    [
        CREATED,
        IN_PROGRESS,
        event("response.queued", response=response("queued")),
        added(**message()),
        added(**{**message(), "content": [{"type": "output_text", "text": ""}]}),
        added(**REASONING),
        added(**{**REASONING, "summary": [{"type": "summary_text", "text": ""}], "content": None}),
        added(**CALL),
        added(id="ct_1", type="custom_tool_call", name="f", input=""),
        added(id="ws_1", type="web_search_call", status="in_progress"),
        added(id="ci_1", type="code_interpreter_call", code="", outputs=None),
        added(),
        event("response.output_item.added"),
        event("response.output_item.added", item=None),
        event("response.content_part.added", part={"type": "output_text", "text": ""}),
        event("response.reasoning_summary_part.added", part={"type": "summary_text", "text": ""}),
        {**TEXT, "delta": ""},
        event("response.function_call_arguments.delta", delta=""),
        event("response.audio.delta", delta=None),
        event("response.output_text.delta"),
        event("response.mcp_list_tools.in_progress"),
        event("keepalive"),
        event("response.of_a_type_yet_unknown", delta="Hi"),
    ],
    ids=json.dumps,
)
def test_an_event_bears_no_content_but_is_passed_on(held: Json) -> None:
    reader, out = read(held)
    assert (reader.content, reader.complete, reader.failure, out) == (0, False, None, sse(held))


@pytest.mark.parametrize(
    "bearing",
    [
        TEXT,
        {**TEXT, "delta": "half an emoji: \ud83d"},
        event("response.reasoning_summary_text.delta", delta="hm"),
        event("response.reasoning_text.delta", delta="hm"),
        event("response.refusal.delta", delta="no"),
        event("response.function_call_arguments.delta", delta="{"),
        event("response.custom_tool_call_input.delta", delta="*"),
        event("response.code_interpreter_call_code.delta", delta="1"),
        event("response.audio.delta", delta="AAAA"),
        event("response.output_text.done", text=""),
        event("response.content_part.done"),
        event("response.output_item.done", item=CALL),
        event("response.audio.done"),
        added(**message("Hi")),
        added(**{**message(), "content": [{"type": "refusal", "refusal": "no"}]}),
        added(**{**message(), "content": "Hi"}),
        added(**{**REASONING, "summary": [{"type": "summary_text", "text": "hm"}]}),
        added(**{**CALL, "arguments": "{}"}),
        added(type="custom_tool_call", input="x"),
        added(type="code_interpreter_call", code="1"),
        added(type="web_search_call", action={"type": "search", "query": "q"}),
        added(type="image_generation_call", result="AAAA"),
        *[event(f"response.{tool}_call.in_progress") for tool in HOSTED],
        event("response.image_generation_call.partial_image", partial_image_b64="AAAA"),
        event("response.mcp_call.failed"),
        COMPLETED,
        event("response.incomplete", response=response("incomplete")),
    ],
    ids=json.dumps,
)
def test_an_event_bears_content(bearing: Json) -> None:
    reader, out = read(bearing)
    assert (reader.content, reader.failure, out) == (1, None, sse(bearing))


@pytest.mark.parametrize("item", [REASONING, COMPACTION], ids=lambda item: item["type"])
def test_an_item_on_which_a_model_spends_minutes_is_work_and_what_came_before_it_is_none(item: Json) -> None:
    reader, _ = read(CREATED, IN_PROGRESS)
    assert not reader.working
    reader.feed(sse(added(**message()), b"  "))
    assert not reader.working
    reader.feed(sse(added(**item)))
    assert (reader.working, reader.content) == (1, 0)
    signs = ("response.reasoning_summary_part.added", "response.compaction.compacting")
    for sign in (IN_PROGRESS, {**TEXT, "delta": ""}, *map(event, signs)):
        reader.feed(sse(sign, event("keepalive")) + b": ping\n\n")
    assert (reader.working, reader.content) == (5, 0)


def test_the_type_decides_wherever_it_stands_in_the_event() -> None:
    reader, _ = read({"delta": "Hi", "sequence_number": 4, "type": "response.output_text.delta"})
    assert reader.content == 1


# Event lines.


def test_an_event_without_its_line_gets_it_from_its_type() -> None:
    events = answer("Hi")
    assert read(*events, names=False)[1] == sse(*events)


def test_an_event_whose_type_is_only_in_its_line_is_read_by_it() -> None:
    reader, out = read()[0], b'event: response.output_text.delta\ndata: {"delta":"Hi"}\n\n'
    assert (reader.feed(out), reader.content) == (out, 1)


def test_the_data_of_an_event_is_unchanged_byte_for_byte() -> None:
    data = '{ "type" : "response.output_text.delta", "delta":"ä\\u00e4😀 ", "x": 1.50e+00}'.encode()
    stream = b"event: response.output_text.delta\ndata: " + data + b"\n\n"
    assert StreamReader(0.0).feed(stream) == stream


def test_an_event_of_several_lines_stays_one() -> None:
    lines = b'data: {"type":\rdata:"response.output_text.delta",\r\ndata: "delta":"Hi"}\n\n'
    reader = StreamReader(0.0)
    out = reader.feed(lines)
    assert out.startswith(b'event: response.output_text.delta\ndata: {"type":\ndata: "resp')
    assert parse(out) == [{"type": "response.output_text.delta", "delta": "Hi"}]


def test_comments_ids_and_retry_times_are_dropped() -> None:
    stream = b": keep\n\nid: 4\nretry: 10\n" + sse(TEXT) + b": keep\n"
    assert StreamReader(0.0).feed(stream) == sse(TEXT)


@pytest.mark.parametrize("odd", [{}, {"x": 1}, {"type": None}, {"type": 5}, {"type": ""}, b"[]", b"1", b'"x"', b"  "])
def test_json_that_is_no_event_is_dropped_and_counted(odd: Json | bytes) -> None:
    reader, out = read(TEXT, odd if isinstance(odd, bytes) else json.dumps(odd).encode(), COMPLETED)
    assert (out, reader.dropped, reader.failure) == (sse(TEXT, COMPLETED), 1, None)


# The end.


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_the_answer_is_whole_with_its_last_event_and_counts_its_tokens(status: str) -> None:
    reader, _ = read(TEXT, event(f"response.{status}", response=response(status)))
    assert (reader.complete, reader.usage, reader.eof()) == (True, READ_USAGE, None)
    assert reader.closing() == b""


@pytest.mark.parametrize("usage", [None, {}, 5, {"input_tokens": -1}, {"input_tokens": "x"}])
def test_a_usage_that_cannot_be_read_is_none(usage: object) -> None:
    reader, _ = read(event("response.completed", response=response(usage=usage)))
    assert (reader.complete, reader.usage) == (True, None)


def test_a_usage_without_details_has_zeros_there() -> None:
    reader, _ = read(event("response.completed", response=response(usage={"input_tokens": 1, "output_tokens": 2})))
    assert reader.usage == Usage(1, 2)


def test_an_end_mark_behind_the_whole_answer_is_passed_and_ends_it() -> None:
    stream = sse(TEXT, COMPLETED, b"[DONE]")
    reader = StreamReader(0.0)
    assert (reader.feed(stream), reader.finished) == (stream, True)


def test_what_else_comes_behind_the_whole_answer_is_not_read() -> None:
    for behind in (sse(TEXT), b"data: garbage\n\n", sse(event("error", code="x")), b"x" * 2 * EVENT_MAX):
        reader, _ = read(TEXT, COMPLETED)
        assert reader.feed(behind) == b""
        assert (reader.finished, reader.failure, reader.eof()) == (True, None, None)


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (b"data: [DONE]\n\n", "its end mark came too early"),
        (b"data: garbage\n\n", "data that is not JSON"),
        (b'event: a\ndata: {"type":"response.completed"\n\n', "data that is not JSON"),
        (b'data: {"type":"response.completed","x":"\xff"}\n\n', "data that is not JSON"),
        (b"data: " + b"x" * EVENT_MAX, "an event over 1 MiB"),
        (b"event: response.completed\ndata: {", "the stream was cut inside an event"),
        (sse(COMPLETED)[:-1], "the stream was cut inside an event"),
        (b"", "the stream ended before the answer was whole"),
    ],
)
def test_a_stream_breaks(tail: bytes, reason: str) -> None:
    reader, _ = read(CREATED, TEXT)
    assert reader.feed(tail) == b""
    outcome = reader.eof()
    assert outcome is not None
    assert (outcome.kind, outcome.reason, reader.told, reader.complete) == (Kind.BAD_ANSWER, reason, False, False)


def test_a_stream_without_content_says_so() -> None:
    for stream, reason in ((b"", "the stream was empty"), (sse(CREATED), "the stream ended without content")):
        reader = StreamReader(0.0)
        reader.feed(stream)
        outcome = reader.eof()
        assert outcome is not None
        assert outcome.reason == reason


# Failures that the provider names.


def failure(code: str) -> Json:
    return event("response.failed", response=response("failed", error={"code": code, "message": "x"}))


CONTEXT = {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "x"}
FAILURES = [
    (failure("server_error"), "server_error"),
    (failure("rate_limit_exceeded"), "rate_limit_exceeded"),
    (event("error", code="insufficient_quota", message="x", param=None), "insufficient_quota"),
    (event("error", error=CONTEXT), "context_length_exceeded"),
    (event("response.output_text.delta", delta="Hi", error={"code": "server_error"}), "server_error"),
    ({"error": {"code": "rate_limit_exceeded", "message": "x"}}, "rate_limit_exceeded"),
]


@pytest.mark.parametrize(("failure", "code"), FAILURES, ids=[json.dumps(one)[:80] for one, _ in FAILURES])
def test_a_failure_before_content_is_the_http_error_that_its_code_names(failure: Json, code: str) -> None:
    kinds = {
        "server_error": Kind.SERVER_ERROR,
        "rate_limit_exceeded": Kind.RATE_LIMITED,
        "insufficient_quota": Kind.QUOTA,
        "context_length_exceeded": Kind.CONTEXT_LENGTH,
    }
    reader, out = read(CREATED, failure, TEXT)
    assert reader.failure is not None
    assert (reader.failure.kind, reader.failure.code) == (kinds[code], code)
    assert (out, reader.told, reader.content) == (sse(CREATED), False, 0)


@pytest.mark.parametrize("failure", [one for one, _ in FAILURES if "type" in one], ids=lambda one: json.dumps(one)[:80])
def test_a_failure_behind_content_is_passed_on_and_is_the_end(failure: Json) -> None:
    reader, out = read(CREATED, TEXT, failure, COMPLETED)
    assert (out, reader.told, reader.complete) == (sse(CREATED, TEXT, failure), True, False)
    assert reader.failure is not None


def test_a_failure_behind_content_that_names_no_type_is_an_error_event() -> None:
    failure = {"error": {"code": "server_error", "message": "x"}}
    reader, out = read(CREATED, TEXT, failure)
    assert out == sse(CREATED, TEXT) + b"event: error\ndata: " + json.dumps(failure).encode() + b"\n\n"
    assert reader.told


@pytest.mark.parametrize("failure", [event("response.failed"), event("response.failed", response=5), event("error")])
def test_a_failure_that_says_nothing_is_a_bad_answer(failure: Json) -> None:
    reader, _ = read(failure)
    assert reader.failure is not None
    assert reader.failure.kind is Kind.BAD_ANSWER


# Large events.


def large(kind: str, size: int = 400_000, **members: Any) -> Json:
    return event(kind, 7, filler="ä" * (size // 2), **members)


def in_pieces(reader: StreamReader, stream: bytes, size: int = 1000) -> tuple[bytes, int]:
    """What comes out, and the most bytes that were held at a time."""
    out, most = b"", 0
    for at in range(0, len(stream), size):
        out += reader.feed(stream[at : at + size])
        most = max(most, reader.pending)
    return out, most


def test_a_large_event_behind_content_is_passed_on_as_it_comes() -> None:
    events = [
        CREATED,
        TEXT,
        large("response.output_item.done"),
        event("response.completed", 9, response=response(output=[{"x": "y" * 400_000}])),
    ]
    reader = StreamReader(0.0)
    out, most = in_pieces(reader, sse(*events))
    assert parse(out) == events
    assert most < 70_000
    assert (reader.complete, reader.usage, reader.eof()) == (True, READ_USAGE, None)


def test_a_large_event_without_its_line_is_known_by_its_first_bytes_and_gets_the_line() -> None:
    events = [CREATED, TEXT, event("response.completed", 9, response=response(output=[{"x": "y" * 400_000}]))]
    reader = StreamReader(0.0)
    out, most = in_pieces(reader, sse(*events, names=False))
    assert parse(out) == events
    assert most < 70_000
    assert (reader.complete, reader.usage) == (True, READ_USAGE)


@pytest.mark.parametrize("names", [True, False])
def test_a_large_event_whose_kind_is_not_known_or_a_failure_is_waited_for(names: bool) -> None:
    failed = event("response.failed", 7, response=response("failed", error={"code": "server_error"}, x="y" * 100_000))
    hidden = {"x": "y" * 100_000, "type": "response.completed", "response": response()}
    for one in [failed] if names else [failed, hidden]:
        reader = StreamReader(0.0)
        stream = sse(TEXT, one, names=names)
        out, most = in_pieces(reader, stream)
        assert most > 99_000
        assert parse(out) == [TEXT, one]
        assert (reader.told, reader.complete) == (one is failed, one is hidden)


def test_an_item_with_a_crowd_of_parts_is_taken_for_content_undecoded() -> None:
    reader, _ = read(event("response.output_item.added", item={"type": "message", "content": [{}] * 40_000}))
    assert reader.content


def test_a_large_event_before_content_is_held_whole() -> None:
    reader = StreamReader(0.0)
    _, most = in_pieces(reader, sse(large("response.created", 100_000, response=response("in_progress"))))
    assert most > 99_000
    assert (reader.id, reader.content) == (ID, 0)


def test_a_break_inside_a_large_event_spoils_it_so_that_no_client_takes_it_for_whole() -> None:
    stream = sse(CREATED, TEXT, event("response.completed", 9, response=response(output=[{"x": "y" * 100_000}])))
    for cut in (len(stream) - 2, len(stream) - 1, len(stream) - 500, len(stream) - 30_000):
        reader = StreamReader(0.0)
        out, _ = in_pieces(reader, stream[:cut])
        assert reader.eof() is not None
        *_, spoilt, failed = (out + reader.interruption(ERROR, "oxllm-1")).split(b"\n\n")[:-1]
        with pytest.raises(ValueError, match=r"delimiter|Unterminated|Extra data"):
            json.loads(spoilt.partition(b"data: ")[2])
        assert parse(failed + b"\n\n")[0]["sequence_number"] == 10


def test_a_large_event_that_does_not_end_as_json_is_a_break() -> None:
    reader = StreamReader(0.0)
    stream = sse(TEXT) + b'event: response.completed\ndata: {"type":"response.completed","x":"' + b"y" * 100_000
    in_pieces(reader, stream + b"\n\n")
    assert reader.complete is False
    assert reader.failure is not None


@pytest.mark.parametrize("end", [b"}", b'"}', b'"}}', b'"}}}}', b'"}}} {}', b'"}}}x', b'"}}}\xc3', b'"}}\xff}'])
def test_a_large_event_that_ends_in_a_bracket_and_is_not_json_is_a_break_and_stays_open(end: bytes) -> None:
    """One `}` would look like the end of it: all that were opened have to be closed."""
    begun = b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r","x":{"y":"'
    reader = StreamReader(0.0)
    out, _ = in_pieces(reader, sse(TEXT) + begun + b"y" * 100_000 + end + b"\n\n" + sse(TEXT))
    assert (reader.complete, reader.failure) == (False, Outcome(Kind.BAD_ANSWER, "data that is not JSON"))
    _, spoilt, failed = (out + reader.interruption(ERROR, "oxllm-1")).split(b"\n\n")[:-1]
    with pytest.raises(ValueError, match=r"delimiter|Unterminated|Extra data|decode"):
        json.loads(spoilt.partition(b"data: ")[2])
    assert parse(failed + b"\n\n")[0]["type"] == "response.failed"


def test_no_half_of_a_character_of_a_large_event_is_passed_on() -> None:
    """An SDK would fail at that half instead of raising what we say behind it."""
    whole = event("response.completed", 9, response=response(output=[{"x": "aä€😀" * 20_000}]))
    sent = b"event: response.completed\ndata: " + json.dumps(whole, ensure_ascii=False).encode() + b"\n\n"
    for size in (1000, 1001, 65_537, 100_003):
        reader = StreamReader(0.0)
        reader.feed(sse(TEXT))
        parts = [reader.feed(sent[at : at + size]) for at in range(0, len(sent), size)]
        assert [part for part in parts if part.decode() is None] == []
        assert (b"".join(parts), reader.complete) == (sent, True)


def test_of_a_large_event_the_last_usage_counts() -> None:
    whole = event(
        "response.completed", 9, response={"tools": [{"usage": {"input_tokens": 1}}], "x": "y" * 100_000, **response()}
    )
    reader = StreamReader(0.0)
    in_pieces(reader, sse(TEXT, whole), 777)
    assert reader.usage == READ_USAGE


# Our own words.


def test_an_interruption_is_a_failed_response_with_the_id_and_the_next_number() -> None:
    reader, _ = read(CREATED, TEXT)
    (failed,) = parse(reader.interruption(ERROR, "oxllm-1"))
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", TEXT["sequence_number"] + 1)
    assert failed["response"]["id"] == ID
    assert (failed["response"]["status"], failed["response"]["output"]) == ("failed", [])
    assert (failed["response"]["model"], failed["response"]["created_at"]) == ("big-1", 1741476542)
    assert failed["response"]["error"] == {"code": "server_error", "message": ERROR.message}
    assert failed["error"]["message"] == ERROR.message


@pytest.mark.parametrize("created", [event("response.created"), event("response.created", response={"id": "x" * 513})])
def test_an_interruption_of_an_answer_without_an_id_has_the_request_s(created: Json) -> None:
    reader, _ = read(created, TEXT)
    assert parse(reader.interruption(ERROR, "oxllm-1"))[0]["response"]["id"] == "resp_oxllm-1"


@pytest.mark.parametrize("odd", [None, "yesterday", {}, [1], 10**400])
def test_what_is_odd_beside_an_id_does_not_hide_it(odd: object) -> None:
    reader, _ = read(event("response.created", response={"id": ID, "created_at": odd, "model": odd}), TEXT)
    (failed,) = parse(reader.interruption(ERROR, "oxllm-1"))
    assert (reader.id, failed["response"]["id"], failed["response"]["created_at"]) == (ID, ID, 0)


@pytest.mark.parametrize("number", ["x", -1, None, 1.5, 10**20])
def test_a_number_that_is_none_is_not_counted(number: object) -> None:
    reader, _ = read({**CREATED, "sequence_number": 3}, {**TEXT, "sequence_number": number})
    assert parse(reader.interruption(ERROR, "r"))[0]["sequence_number"] == 4


@pytest.mark.parametrize(
    ("status", "code", "sent"),
    [
        (502, "all_targets_failed", "server_error"),
        (503, "overloaded", "server_error"),
        (504, "deadline_exceeded", "server_error"),
        (429, "insufficient_quota", "insufficient_quota"),
        (400, "context_length_exceeded", "context_length_exceeded"),
        (400, None, "invalid_prompt"),
    ],
)
def test_a_refusal_in_a_stream_has_no_code_that_agents_give_up_at_while_it_may_pass(
    status: int, code: str | None, sent: str
) -> None:
    (failed,) = parse(PROTOCOL.error_event(api_error(status, "no", code), "oxllm-1"))
    assert (failed["response"]["error"]["code"], failed["response"]["id"]) == (sent, "resp_oxllm-1")


def test_a_rate_limit_in_a_stream_says_in_words_when_to_come_back() -> None:
    error = api_error(429, "every target is rate-limited", "rate_limit_exceeded", retry_after=7)
    (failed,) = parse(PROTOCOL.error_event(error, "r"))
    assert failed["response"]["error"]["message"].endswith("Please try again in 7s.")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"error":"x"}', b'{"error":{"code":{}}}', b"\xff"])
def test_a_provider_s_refusal_that_cannot_be_read_is_told_by_its_status(body: bytes) -> None:
    (failed,) = parse(PROTOCOL.received_event(422, body, "r"))
    assert failed["error"]["message"] == "the provider answered HTTP 422"


def test_a_provider_s_refusal_keeps_its_words() -> None:
    body = json.dumps({"error": {"message": "too long", "type": "t", "param": "input", "code": "string_too_long"}})
    (failed,) = parse(PROTOCOL.received_event(400, body.encode(), "r"))
    assert failed["response"]["error"] == {"code": "string_too_long", "message": "too long"}
    assert failed["error"] == {"type": "t", "code": "string_too_long", "message": "too long", "param": "input"}


@pytest.mark.parametrize("status", [502, 503])
def test_a_refusal_that_may_pass_is_an_overload_that_says_when_to_come_back(status: int) -> None:
    for error in (api_error(status, "no", "x"), api_error(status, "no", "x", retry_after=7)):
        said = PROTOCOL.refusal(error)
        assert (said.status, said.code, said.type) == (503, "server_is_overloaded", "server_error")
        assert said.retry_after == (error.retry_after or 1)


@pytest.mark.parametrize("status", [429, 500, 504])
def test_any_refusal_says_when_to_come_back(status: int) -> None:
    said = PROTOCOL.refusal(api_error(status, "no", "x"))
    assert (said.status, said.code, said.retry_after) == (status, "x", 1)


def test_a_refusal_that_does_not_pass_has_the_one_status_that_agents_do_not_repeat() -> None:
    error = api_error(502, "no", "all_targets_failed", retry_after=60, should_retry=False)
    said = PROTOCOL.refusal(error)
    assert (said.status, said.code, said.should_retry) == (400, "all_targets_failed", False)


def test_an_answer_whose_owner_cannot_be_asked_keeps_its_code() -> None:
    said = PROTOCOL.refusal(api_error(503, "no", "owner_unavailable", retry_after=4))
    assert (said.status, said.code, said.retry_after) == (503, "owner_unavailable", 4)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413])
def test_a_client_s_fault_is_told_as_everywhere(status: int) -> None:
    error = api_error(status, "no", "x")
    assert PROTOCOL.refusal(error) == error


# Requests.


def asked(**members: Any) -> Any:
    return PROTOCOL.asked(PROTOCOL.endpoints[0], RequestBody.parse(json.dumps({"model": "m", **members}).encode()))


def test_a_request_says_whether_it_wants_a_stream_and_what_it_continues() -> None:
    assert asked(input="Hi") == ResponsesAsked()
    assert asked(stream=True, previous_response_id=ID).stream is True
    assert asked(previous_response_id=ID).previous == ID
    assert asked(background=True).background is True


@pytest.mark.parametrize("odd", [5, "", {}, [], "x" * 513, None])
def test_an_odd_id_is_the_provider_s_to_judge(odd: object) -> None:
    assert asked(previous_response_id=odd).previous is None


def test_a_stream_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(BadBody, match="`stream` must be true or false"):
        asked(stream="yes")


# Plain answers.


def plain(body: object, background: bool = False) -> ResponseReader:
    reader = ResponseReader(background, 0.0)
    reader.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader


@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_a_plain_answer_is_whole_by_its_status(status: str) -> None:
    reader = plain(response(status, [message("Hi")]))
    assert reader.eof() is None
    assert (reader.usage, reader.id) == (READ_USAGE, ID)
    assert reader.closing() == json.dumps(response(status, [message("Hi")])).encode()


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_promise_is_an_answer_only_to_who_asked_for_one(status: str) -> None:
    assert plain(response(status), background=True).eof() is None
    refused = plain(response(status)).eof()
    assert refused is not None
    assert refused.kind is Kind.BAD_ANSWER


def test_what_has_failed_is_no_promise_either() -> None:
    refused = plain(response("failed"), background=True).eof()
    assert refused is not None
    assert refused.kind is Kind.BAD_ANSWER


def test_a_plain_answer_that_failed_is_the_http_error_that_its_code_names() -> None:
    outcome = plain(response("failed", error={"code": "rate_limit_exceeded", "message": "x"})).eof()
    assert outcome is not None
    assert outcome.kind is Kind.RATE_LIMITED


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "HTML instead of an answer"),
        (b"event: response.created", "a stream instead of an answer"),
        (b"", "an empty body"),
        (b'{"status":"completed"', "invalid or cut JSON"),
        ({}, "no response that is completed"),
        ({"choices": [{}]}, "no response that is completed"),
        (response("cancelled"), "no response that is completed"),
        (response("failed"), "no response that is completed"),
        ({**response(), "status": 5}, "no response that is completed"),
    ],
)
def test_a_plain_body_is_no_answer(body: object, reason: str) -> None:
    outcome = plain(body).eof()
    assert outcome is not None
    assert (outcome.kind, outcome.reason) == (Kind.BAD_ANSWER, reason)


def test_a_long_plain_answer_that_failed_is_not_passed_on() -> None:
    reader = ResponseReader(False, 0.0)
    failed = response("failed", [{**message("x"), "filler": "x" * 300_000}], error={"code": "server_error"})
    assert reader.feed(json.dumps({**failed, "output": None, "more": failed["output"]}).encode()) == b""
    assert reader.failure is not None


def test_a_long_plain_answer_is_passed_on_but_for_its_end() -> None:
    body = json.dumps(response(output=[message("x" * 300_000)])).encode()
    reader = ResponseReader(False, 0.0)
    out = reader.feed(body)
    assert body.startswith(out)
    assert 0 < len(out) < len(body)
    assert reader.id == ID
    assert reader.eof() is None
    assert out + reader.closing() == body


@pytest.mark.parametrize("filler", [1, 300_000])
def test_a_plain_answer_that_its_provider_does_not_keep_has_no_id(filler: int) -> None:
    reader = ResponseReader(False, 0.0, stored=False)
    reader.feed(json.dumps(response(output=[message("x" * filler)])).encode())
    assert (reader.eof(), reader.id) == (None, None)
