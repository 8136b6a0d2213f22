"""What makes an answer whole, and what each provider's way of failing reads as."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from oxllm.core.protocols import chat
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Usage
from oxllm.core.protocols.chat import ChatReader, StreamReader
from oxllm.core.protocols.embeddings import VectorReader
from oxllm.core.protocols.large_event import LARGE
from oxllm.core.protocols.plain import HELD_MAX, TAIL_MAX, PlainReader
from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.wire.errors import api_error
from oxllm.core.wire.sse import EVENT_MAX


def sse(*events: object) -> bytes:
    return b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events)


def chunk(delta: object = None, finish: object = None, index: int = 0, **more: object) -> dict[str, object]:
    return {"id": "x", "choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **more}


ROLE = chunk({"role": "assistant", "content": ""})
TEXT = chunk({"content": "Hi"})
STOP = chunk(finish="stop")
USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}}
PING = {"type": "ping"}
ERROR = {"error": {"message": "no", "type": "server_error", "code": "boom"}}
DONE = b"[DONE]"


def read(*events: object, n: int = 1, strip_usage: bool = False) -> tuple[StreamReader, bytes]:
    reader = StreamReader(n, strip_usage)
    return reader, reader.feed(sse(*events))


def reason(result: Outcome | None) -> str | None:
    return None if result is None else result.reason


# What bears content.


@pytest.mark.parametrize(
    "event",
    [
        TEXT,
        chunk({"content": " "}),
        chunk({"content": [{"type": "text", "text": "Hi"}]}),
        chunk({"reasoning": "hm"}),
        chunk({"reasoning_content": "hm"}),
        chunk({"reasoning_details": [{"text": "hm"}]}),
        chunk({"content": "", "refusal": "no"}),
        chunk({"content": None, "tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}),
        chunk({"function_call": {"name": "f"}}),
        chunk({"audio": {"data": "AAAA"}}),
        STOP,
        chunk(finish="length"),
        chunk({"content": ""}, finish="tool_calls"),
        {"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {"content": "Hi"}}]},
        {"choices": [{"delta": {"content": "Hi"}}]},
        {"choices": [{"index": None, "delta": {"content": "Hi"}, "finish_reason": None}], "error": None, "usage": None},
    ],
    ids=json.dumps,
)
def test_an_event_bears_content(event: object) -> None:
    reader, out = read(event)
    assert (reader.content, out) == (1, sse(event))


@pytest.mark.parametrize(
    "event",
    [
        ROLE,
        chunk({"role": "assistant"}),
        chunk({"role": "assistant", "content": None, "refusal": None, "tool_calls": []}),
        chunk({"content": ""}, finish=""),
        chunk({"audio": {}}),
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        {"choices": []},
        {"choices": [{"index": 0, "delta": None}]},
        {"choices": [{"index": 0, "content_filter_offsets": {"check_offset": 1}}]},
        USAGE,
    ],
    ids=json.dumps,
)
def test_an_event_bears_no_content_but_is_passed_on(event: object) -> None:
    reader, out = read(event)
    assert (reader.content, out, reader.dropped) == (0, sse(event), 0)


def spoken(audio: object) -> dict[str, object]:
    """An event as OpenAI's models that speak end a choice: without a word about its finish_reason."""
    return {"id": "x", "choices": [{"index": 0, "delta": {"audio": audio}}], "usage": None}


KEPT = spoken({"expires_at": 1780697155})


def test_a_choice_that_is_spoken_is_done_once_its_audio_is_kept_for_later() -> None:
    said = (chunk({"audio": {"id": "audio_1", "transcript": "Hi"}}), chunk({"audio": {"data": "AAAA"}}), USAGE)
    reader, out = read(*said)
    assert (reader.complete, reason(reader.eof())) == (False, "the stream ended without a finish_reason")
    reader, out = read(*said, KEPT, DONE)
    assert (reader.complete, reason(reader.eof()), out) == (True, None, sse(*said, KEPT))
    assert reader.closing() == sse(DONE)


@pytest.mark.parametrize(
    "audio", [{"expires_at": None}, {"expires_at": 0}, {"data": "expires_at"}, {"x": {"expires_at": 9}}, '"expires_at"']
)
def test_audio_that_is_not_kept_ends_no_choice(audio: object) -> None:
    reader, _ = read(spoken(audio), DONE)
    assert (reader.complete, reason(reader.eof())) == (False, "its end mark came before a finish_reason")


@pytest.mark.parametrize(
    "event", [PING, {}, {"choices": None}, {"error": None}, [], [TEXT], "x", 1, None], ids=json.dumps
)
def test_json_without_choices_or_error_is_dropped_and_counted(event: object) -> None:
    reader, out = read(TEXT, event, STOP)
    assert (out, reader.dropped, reader.failure, reader.complete) == (sse(TEXT, STOP), 1, None, True)


@pytest.mark.parametrize("event", [b"  ", b"\t", b"\ndata:"])
def test_data_of_white_space_is_dropped_and_counted_as_it_cannot_have_been_content(event: bytes) -> None:
    reader, out = read(TEXT, event, STOP)
    assert (out, reader.dropped, reader.complete) == (sse(TEXT, STOP), 1, True)


def test_names_ids_retries_and_comments_are_dropped() -> None:
    reader = StreamReader(1, False)
    stream = b": OPENROUTER PROCESSING\n\nid: 1\nevent: message\nretry: 3000\ndata: %b\n\nevent: ping\n\n"
    assert reader.feed(stream % json.dumps(TEXT).encode()) == sse(TEXT)
    assert reader.dropped == 0


def test_the_data_of_an_event_is_unchanged_byte_for_byte() -> None:
    event = '{ "choices" : [{"delta":{"content":"ä\\u00e4😀 "}, "x": 1.50e+00}], "y":"\u2028"}'.encode()
    assert read(event)[1] == sse(event)


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\\\uDE00", rb"\ude00\ud83d", rb"\ud83d\u0041", rb"\ud83d\n"])
def test_half_an_emoji_is_a_text_and_passed_on_as_it_came(half: bytes) -> None:
    event = json.dumps(TEXT).encode().replace(b"Hi", half)
    reader, out = read(event, STOP)
    assert (reader.content, reader.failure, reader.complete, out) == (2, None, True, sse(event, STOP))


def test_an_event_of_several_lines_stays_one() -> None:
    stream = b'data: {"choices":\rdata:[{"delta":\r\ndata: {"content":"Hi"}}]}\n\n'
    assert StreamReader(1, False).feed(stream) == b'data: {"choices":\ndata: [{"delta":\ndata: {"content":"Hi"}}]}\n\n'


# Complete, or broken.


def test_complete_needs_the_finish_reason_of_every_choice_seen() -> None:
    events = [TEXT, chunk({"content": "Ho"}, index=1), STOP]
    assert not read(*events)[0].complete
    assert read(*events, chunk(finish="stop", index=1))[0].complete


def test_complete_needs_as_many_choices_as_were_asked_for() -> None:
    reader, _ = read(TEXT, STOP, n=2)
    assert not reader.complete
    assert reason(reader.eof()) == "1 of 2 choices"


def test_a_choice_that_comes_late_takes_completeness_back() -> None:
    reader, _ = read(TEXT, STOP, chunk({"content": "Ho"}, index=3))
    assert not reader.complete


def test_a_choice_that_comes_late_and_failed_is_a_break() -> None:
    reader, out = read(TEXT, STOP, chunk(finish="error", index=1))
    assert (out, reader.complete, reason(reader.failure)) == (sse(TEXT, STOP), False, 'finish_reason "error"')


def test_done_is_never_passed_on_and_ends_a_complete_stream() -> None:
    reader, out = read(TEXT, STOP, DONE, TEXT)
    assert (out, reader.finished, reader.failure) == (sse(TEXT, STOP), True, None)
    assert reader.feed(sse(TEXT)) == b""


def test_usage_behind_the_finish_reason_still_passes() -> None:
    reader, out = read(TEXT, STOP, USAGE)
    assert (out, reader.complete, reader.finished) == (sse(TEXT, STOP, USAGE), True, False)
    assert reader.usage == Usage(5, 7)


@pytest.mark.parametrize(
    ("events", "why", "code"),
    [
        pytest.param([DONE], "its end mark came before a finish_reason", None, id="[DONE] at once"),
        pytest.param([TEXT, DONE], "its end mark came before a finish_reason", None, id="[DONE] after content"),
        pytest.param([ROLE, b"{garbled", TEXT], "data that is not JSON", None, id="garbage"),
        pytest.param([b"DONE"], "data that is not JSON", None, id="almost [DONE]"),
        pytest.param([b'{"choices":[NaN]}'], "data that is not JSON", None, id="NaN"),
        pytest.param([b"[NaN]"], "data that is not JSON", None, id="garbage that begins as an array"),
        pytest.param([b'{"choices":[1],'], "data that is not JSON", None, id="cut after odd choices"),
        pytest.param([b'{"choices":[],"x":"\xff"}'], "data that is not JSON", None, id="not UTF-8"),
        pytest.param([b'"\xff"'], "data that is not JSON", None, id="a string that is not UTF-8"),
        pytest.param([b'{"x":' + b"[" * 100_000], "data that is not JSON", None, id="too deep"),
        pytest.param([ERROR], "an error in the stream", "boom", id="error (OpenAI)"),
        pytest.param(
            [{**ERROR, "choices": []}], "an error in the stream", "boom", id="error, choices empty (OpenRouter)"
        ),
        pytest.param(
            [TEXT, {"error": {"code": 502, "message": "x"}, **chunk({"content": ""}, "error")}],
            "an error in the stream",
            "502",
            id="error and finish_reason error (OpenRouter)",
        ),
        pytest.param([TEXT, chunk(finish="error")], 'finish_reason "error"', None, id="finish_reason error alone"),
        pytest.param(
            [TEXT, {"error": {"object": "error", "type": "BadRequestError", "code": 400}}, DONE],
            "an error in the stream",
            "BadRequestError",
            id="error, then [DONE] (vLLM)",
        ),
        pytest.param([TEXT, {"error": "text"}], "an error in the stream", None, id="error that is a string"),
        pytest.param(
            [{"error": {"code": "x"}, "choices": 1}], "an error in the stream", "x", id="error and odd choices"
        ),
        pytest.param([{"choices": {"0": 1}}], "choices of an unknown shape", None, id="choices that are no list"),
        pytest.param([chunk(finish=3)], "choices of an unknown shape", None, id="finish_reason that is a number"),
        pytest.param([chunk(TEXT, index=1024)], "a choice with an impossible index", None, id="index too high"),
        pytest.param([chunk(TEXT, index=-1)], "a choice with an impossible index", None, id="index negative"),
    ],
)
def test_a_break_stops_the_stream_and_hides_itself(events: list[object], why: str, code: str | None) -> None:
    reader, out = read(*events)
    assert reader.failure is not None
    assert_refused(reader.failure, why, code)
    assert out in (b"", sse(events[0]))
    assert reader.feed(sse(TEXT, STOP)) == b""
    assert not reader.complete
    assert reader.eof() is reader.failure


def test_anthropic_reports_an_error_with_an_event_name() -> None:
    reader = StreamReader(1, False)
    error = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    assert reader.feed(sse(ROLE) + b"event: error\ndata: " + error + b"\n\n") == sse(ROLE)
    assert reader.failure is not None
    assert reader.failure.code == "overloaded_error"


@pytest.mark.parametrize(
    "event", [DONE, b"garbage", ERROR, {"choices": 1}, b" " * EVENT_MAX], ids=lambda e: str(e)[:20]
)
def test_behind_a_complete_answer_nothing_is_a_break(event: object) -> None:
    reader, out = read(TEXT, STOP, event)
    assert (out, reader.complete, reader.finished, reader.failure) == (sse(TEXT, STOP), True, True, None)
    assert reader.eof() is None


def test_an_event_over_the_bound_is_a_break_and_those_before_it_are_passed_on() -> None:
    reader, out = read(ROLE, TEXT, b" " * EVENT_MAX)
    assert out == sse(ROLE, TEXT)
    assert reason(reader.failure) == "an event over 1 MiB"


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([], "the stream was empty"),
        ([PING], "the stream was empty"),
        ([ROLE], "the stream ended without content"),
        ([TEXT], "the stream ended without a finish_reason"),
        ([TEXT, chunk({"content": ""}, finish="")], "the stream ended without a finish_reason"),
    ],
    ids=["nothing", "only a ping", "only a role", "cut", "the error that Ollama turns into an empty event"],
)
def test_an_end_without_completion_says_what_is_missing(events: list[object], why: str) -> None:
    assert reason(read(*events)[0].eof()) == why


def test_an_end_inside_an_event_is_a_cut_even_if_the_event_is_all_there() -> None:
    reader = StreamReader(1, False)
    reader.feed(sse(TEXT, STOP)[:-1])
    assert reason(reader.eof()) == "the stream was cut inside an event"


# Large events.


def large(size: int, finish: str | None = None, index: int = 0) -> bytes:
    """An event with so many bytes of text."""
    return sse(chunk({"content": "x" * size + '\\"}]'}, finish, index))


def feed(reader: StreamReader, stream: bytes, step: int) -> bytes:
    return b"".join(reader.feed(stream[at : at + step]) for at in range(0, len(stream), step))


@pytest.mark.parametrize("step", [1000, 4096, 65_536])
@pytest.mark.parametrize("finish", [None, "stop"])
def test_behind_content_an_event_of_any_size_is_passed_as_it_comes(step: int, finish: str | None) -> None:
    reader = StreamReader(1, False)
    event, out, most = large(2_000_000, finish), reader.feed(sse(TEXT)), 0
    stream = event + (b"" if finish else sse(STOP)) + sse(DONE)
    for at in range(0, len(stream), step):
        out += reader.feed(stream[at : at + step])
        most = max(most, reader.pending)
    assert out == sse(TEXT) + event + (b"" if finish else sse(STOP))
    assert (reader.complete, reader.finished, reader.failure) == (True, True, None)
    assert most <= LARGE + step
    assert reader.content == 3 - (finish is not None)


def test_a_large_event_of_another_choice_wants_its_finish_reason() -> None:
    reader = StreamReader(1, False)
    stream = sse(TEXT) + large(100_000, index=1) + sse(STOP)
    for at in range(0, len(stream), 9000):
        reader.feed(stream[at : at + 9000])
    assert not reader.complete
    reader.feed(sse(chunk(finish="stop", index=1)))
    assert reader.complete


BIG = "x" * 90_000
TOOL = {"tool_calls": [{"function": {"arguments": BIG}, "index": 7, "finish_reason": "inner"}]}


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "finish_reason": None, "delta": TOOL},
        {"finish_reason": None, "index": 0, "delta": TOOL},
        {"delta": TOOL, "finish_reason": None, "index": 0},
        {"delta": TOOL, "x": "index"},
        {"delta": {"content": BIG, "x": '"finish_reason":"stop"'}, "y": [{"finish_reason": "stop"}]},
        {"delta": {"content": BIG}, "logprobs": {"content": [{"token": "x", "index": 3}] * 4000}},
    ],
    ids=["index first", "index between", "index last", "no index", "quoted", "logprobs"],
)
def test_a_large_event_is_of_the_choice_that_it_names_and_does_not_end_it(choice: dict[str, object]) -> None:
    reader = StreamReader(1, False)
    assert feed(reader, sse(TEXT, {"choices": [choice]}), 16_000) == sse(TEXT, {"choices": [choice]})
    assert (reader.complete, reader.failure) == (False, None)
    feed(reader, sse(chunk(finish="tool_calls"), DONE), 16_000)
    assert (reader.complete, reader.failure, reader.reasons) == (True, None, ("tool_calls",))


@pytest.mark.parametrize("behind", [0, 2000, 90_000])
def test_a_large_event_ends_its_choice_wherever_it_says_so(behind: int) -> None:
    choice = {"index": 0, "delta": {"content": BIG}, "finish_reason": "stop", "x": "z" * behind}
    reader = StreamReader(1, False)
    feed(reader, sse(TEXT, {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}, DONE), 16_000)
    assert (reader.complete, reader.failure, reader.reasons) == (True, None, ("stop",))
    assert reader.usage == Usage(5, 7)


def test_a_large_event_may_have_several_choices() -> None:
    reader = StreamReader(2, False)
    two = [{"index": index, "delta": {"content": BIG}, "finish_reason": "stop"} for index in (0, 1)]
    feed(reader, sse(TEXT, {"choices": two}, DONE), 16_000)
    assert (reader.complete, reader.reasons) == (True, ("stop", "stop"))


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"choices": [{"delta": {"content": BIG}}], "error": {"message": "x", "code": 503}}, "an error in the stream"),
        ({"choices": [{"delta": {"content": BIG}, "finish_reason": "error"}]}, 'finish_reason "error"'),
        ({"choices": [{"index": 5000, "delta": {"content": BIG}}]}, "a choice with an impossible index"),
        ({"choices": [{"index": "0", "delta": {"content": BIG}}]}, "choices of an unknown shape"),
        ({"choices": [{"delta": {"content": BIG}}], "x": [0] * 90_000}, "an event too large to be read"),
        ({"x": {"choices": [{"delta": {"content": BIG}}]}}, "choices of an unknown shape"),
    ],
    ids=["error", "finish_reason", "index", "shape", "numbers", "deeper"],
)
def test_a_large_event_may_be_a_break_as_a_small_one_may(event: dict[str, object], why: str) -> None:
    reader = StreamReader(1, False)
    feed(reader, sse(TEXT, event, STOP, DONE), 16_000)
    assert str(reason(reader.eof())).startswith(why)
    assert reader.interruption(api_error(502, "x"), "").startswith(b"\n\ndata: {")


@pytest.mark.parametrize("end", ["", "}", "]}]}", "]} x"])
def test_a_large_event_that_is_not_json_is_a_break(end: str) -> None:
    reader = StreamReader(1, False)
    feed(reader, sse(TEXT, b'{"choices":[{"index":0,"delta":{"content":"%b"}}%b' % (BIG.encode(), end.encode())), 999)
    assert reason(reader.failure) == "data that is not JSON"


def test_before_content_a_large_event_waits_for_its_end() -> None:
    reader = StreamReader(1, False)
    event = large(500_000)
    assert reader.feed(event[:300_000]) == b""
    assert reader.feed(event[300_000:]) == event


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({"choices": [{}] * 40_000}, "an event too large to be read"),
        ({"choices": [{"delta": {}}] * 40_000}, "an event too large to be read"),
        ({"choices": [{"delta": {"content": "{}:," * 40_000}}] * 2, "prompt_token_ids": [1] * 100_000}, None),
        ({"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [{"token": "a"}] * 20_000}}]}, None),
    ],
    ids=["empty", "deltas", "text and numbers", "logprobs"],
)
def test_a_large_event_with_a_crowd_of_choices_is_not_decoded(event: object, why: str | None) -> None:
    reader = StreamReader(1, False)
    reader.feed(sse(event))
    assert reason(reader.failure) == why


@pytest.mark.parametrize("cut", [b"", b"\n", b"\n\n"])
def test_a_large_event_that_is_cut_is_a_break_behind_which_the_error_can_be_read(cut: bytes) -> None:
    reader = StreamReader(1, False)
    reader.feed(sse(TEXT))
    assert reader.feed(large(200_000)[:100_000]) != b""
    reader.feed(cut)
    assert reader.eof() is not None
    assert reader.interruption(api_error(502, "x"), "").startswith(b"\n\ndata: {")


def test_a_large_event_that_is_no_answer_is_kept_to_its_bound() -> None:
    reader = StreamReader(1, False)
    reader.feed(sse(TEXT))
    assert reader.feed(b'data: {"error":{"message":"' + b"x" * 100_000) == b""
    assert reader.pending > 100_000


# Usage.


def test_the_usage_event_is_stripped_when_only_we_asked_for_it() -> None:
    reader, out = read(TEXT, STOP, USAGE, strip_usage=True)
    assert (out, reader.usage) == (sse(TEXT, STOP), Usage(5, 7))


def test_an_event_without_choices_that_is_not_about_usage_is_not_stripped() -> None:
    events = [{"choices": [], "prompt_filter_results": [{}]}, {"choices": [], "usage": None}]
    assert read(*events, strip_usage=True)[1] == sse(*events)


def test_usage_that_comes_with_choices_is_read_and_never_stripped() -> None:
    event = chunk(finish="stop", usage={"prompt_tokens": 1, "completion_tokens": 2})
    reader, out = read(event, strip_usage=True)
    assert (out, reader.usage) == (sse(event), Usage(1, 2))


@pytest.mark.parametrize(
    ("usage", "read_as"),
    [({"prompt_tokens": 5}, Usage(5)), ({"completion_tokens": 7}, Usage(0, 7)), ({"total_tokens": 12}, Usage())],
)
def test_what_usage_does_not_say_counts_as_none(usage: object, read_as: Usage) -> None:
    assert read(TEXT, chunk(finish="stop", usage=usage))[0].usage == read_as


@pytest.mark.parametrize("usage", [None, {}, [], "x", {"prompt_tokens": None}, {"prompt_tokens": -1}], ids=json.dumps)
def test_odd_usage_breaks_nothing(usage: object) -> None:
    reader, out = read({"choices": [], "usage": usage}, TEXT, STOP)
    assert reader.complete
    assert out.endswith(sse(TEXT, STOP))
    assert reader.usage in (None, Usage())


def test_an_idle_reader_is_small() -> None:
    readers = []
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            reader = StreamReader(1, False)
            reader.feed(sse(TEXT))
            readers.append(reader)
        held = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert held / len(readers) < 600


# Answers that are no stream.

CHAT = b'{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1}}'
VECTORS = b'{"object":"list","data":[{"embedding":"AAAA","index":0}],"usage":{"prompt_tokens":3,"total_tokens":3}}'
BOM = b"\xef\xbb\xbf"
PAGE = b"\n<!DOCTYPE html><html><title>502</title></html>"


def plain(body: bytes, kind: type[PlainReader] = ChatReader) -> tuple[PlainReader, Outcome | None]:
    reader = kind()
    for at in range(0, len(body), 7):
        assert reader.feed(body[at : at + 7]) == b""
    return reader, reader.eof()


@pytest.mark.parametrize(
    ("kind", "body", "usage"),
    [
        (ChatReader, CHAT, Usage(1)),
        (ChatReader, b"\n \n" + CHAT, Usage(1)),
        (ChatReader, CHAT.replace(b"}}", b'},"error":null}'), Usage(1)),
        (ChatReader, b'{"choices":[{"message":{"content":"\xf0\x9f\x98\x80"}}]}', None),
        (ChatReader, CHAT.replace(b"Hi", rb"a \ud83d"), Usage(1)),
        (ChatReader, CHAT.replace(b"Hi", rb"\uDE00 \ud83d\ude00"), Usage(1)),
        (ChatReader, BOM + CHAT, Usage(1)),
        (VectorReader, VECTORS, Usage(3)),
        (VectorReader, b'{"data":[{"embedding":[0.1,-2e-3]}]}', None),
    ],
    ids=[
        "chat",
        "white space first",
        "error null",
        "emoji",
        "half an emoji",
        "the other half",
        "BOM",
        "base64",
        "numbers",
    ],
)
def test_an_answer_that_is_whole_is_handed_out_as_it_came(
    kind: type[PlainReader], body: bytes, usage: Usage | None
) -> None:
    reader, verdict = plain(body, kind)
    assert (verdict, reader.usage, reader.pending) == (None, usage, len(body))
    assert (reader.closing(), reader.pending) == (body, 0)


@pytest.mark.parametrize(
    ("body", "why", "code"),
    [
        pytest.param(b"", "an empty body", None, id="empty"),
        pytest.param(b" \n ", "an empty body", None, id="keep-alive white space and nothing else (OpenRouter)"),
        pytest.param(PAGE, "HTML instead of an answer", None, id="HTML"),
        pytest.param(b"data: {}\n\n", "a stream instead of an answer", None, id="SSE"),
        pytest.param(b": ping\n\ndata: {}\n\n", "a stream instead of an answer", None, id="SSE after a comment"),
        pytest.param(CHAT[:-1], "invalid or cut JSON", None, id="cut"),
        pytest.param(CHAT + b"x", "invalid or cut JSON", None, id="more than one value"),
        pytest.param(CHAT.replace(b"Hi", b"\xff"), "invalid or cut JSON", None, id="not UTF-8"),
        pytest.param(CHAT.replace(b"Hi", b"\\ud83d\xff"), "invalid or cut JSON", None, id="half an emoji, not UTF-8"),
        pytest.param(CHAT[:-1].replace(b"Hi", rb"\ud83d"), "invalid or cut JSON", None, id="half an emoji, and cut"),
        pytest.param(BOM + PAGE, "HTML instead of an answer", None, id="HTML behind a BOM"),
        pytest.param(b"[" * 100_000, "invalid or cut JSON", None, id="too deep"),
        pytest.param(b"[]", "invalid or cut JSON", None, id="no object"),
        pytest.param(b'{"choices":[1]}', "invalid or cut JSON", None, id="choices of another shape"),
        pytest.param(b"{}", "no choices", None, id="no choices"),
        pytest.param(b'{"choices":[]}', "no choices", None, id="choices empty"),
        pytest.param(b'{"choices":null}', "no choices", None, id="choices null"),
        pytest.param(
            b'{"object":"error","type":"BadRequestError","code":400}', "no choices", "BadRequestError", id="vLLM"
        ),
        pytest.param(b'{"error":{"code":"boom"}}', "an error instead of an answer", "boom", id="error"),
        pytest.param(b'{"error":"no"}', "an error instead of an answer", None, id="error that is a string"),
        pytest.param(CHAT.replace(b'"stop"', b'"error"'), 'finish_reason "error"', None, id="finish_reason error"),
        pytest.param(CHAT.replace(b'"stop"', b'"network_error"'), 'finish_reason "network_error"', None, id="Z.AI"),
    ],
)
def test_a_200_that_is_no_answer(body: bytes, why: str, code: str | None) -> None:
    found = plain(body)[1]
    assert found is not None
    assert_refused(found, why, code)


def assert_refused(found: Outcome, why: str, code: str | None) -> None:
    """No answer; an error that names an HTTP error is read as that."""
    assert found.reason.startswith(why)
    assert found.code == code
    assert found.status is not None or found.kind is Kind.BAD_ANSWER


@pytest.mark.parametrize("end", [[], [DONE]])
@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"object": "error", "message": "Rate limit reached", "code": 429}, Kind.RATE_LIMITED),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, Kind.QUOTA),
        ({"type": "ping"}, Kind.BAD_ANSWER),
    ],
)
def test_an_event_without_choices_says_what_failed_if_it_is_all_there_is(
    event: object, kind: Kind, end: list[object]
) -> None:
    reader, out = read(event, *end)
    failure = reader.eof()
    assert failure is not None
    assert (out, failure.kind) == (b"", kind)
    reader, _ = read(event, TEXT, *end)
    failure = reader.eof()
    assert failure is not None
    assert failure.kind is Kind.BAD_ANSWER


def test_an_error_inside_a_200_is_read_as_the_http_error_that_it_names() -> None:
    too_long = b'{"error":{"code":400,"message":"the request exceeds the available context size"}}'
    found = plain(too_long)[1]
    assert found is not None
    assert (found.kind, found.status) == (Kind.CONTEXT_LENGTH, 400)
    reader, _ = read({"error": {"code": "rate_limit_exceeded", "message": "Please try again in 7s."}})
    assert reader.failure is not None
    assert (reader.failure.kind, reader.failure.retry_after) == (Kind.RATE_LIMITED, 7.0)
    balance = b'{"choices":null,"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}'
    found = plain(balance)[1]
    assert found is not None
    assert found.kind is Kind.QUOTA


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (CHAT, "no embeddings"),
        (b'{"data":[]}', "no embeddings"),
        (b'{"data":1}', "invalid or cut JSON"),
        (b'{"error":{}, "data":[]}', "no embeddings"),
        (b'{"error":{"code":1}, "data":[1]}', "an error instead of an answer"),
    ],
)
def test_a_200_that_holds_no_embeddings(body: bytes, why: str) -> None:
    assert reason(plain(body, VectorReader)[1]) == why


START = b'{"choices":[{"message":{"content":"'


def long(body: bytes, kind: type[PlainReader] = ChatReader) -> tuple[PlainReader, bytes]:
    """A reader of a body that is filled up to one byte over the bound, and what it has passed on."""
    reader = kind()
    return reader, reader.feed(body + b"x" * (HELD_MAX + 1 - len(body)))


def test_an_answer_over_the_bound_is_passed_on_by_its_start() -> None:
    reader = ChatReader()
    held = [reader.feed(START), reader.feed(b"x" * (HELD_MAX - reader.pending))]
    assert (held, reader.content, reader.pending) == ([b"", b""], 0, HELD_MAX)
    passed = reader.feed("ä".encode()[:1])
    assert (len(passed), reader.content, reader.pending) == (HELD_MAX + 1, 1, 0)
    assert reader.feed("ä".encode()[1:] + b'"}}]}\n') == "ä".encode()[1:] + b'"}}]'
    assert (reader.eof(), reader.closing()) == (None, b"}\n")


@pytest.mark.parametrize("start", [START + rb"\ud83d ", BOM + START, BOM + START + rb"\ude00"])
def test_a_long_answer_may_begin_with_a_bom_or_have_half_an_emoji_in_it(start: bytes) -> None:
    reader, passed = long(start)
    assert (len(passed), reader.content, reader.failure) == (HELD_MAX + 1, 1, None)
    assert reader.feed(b'"}}]}') == b'"}}]'
    assert (reader.eof(), reader.closing()) == (None, b"}")


@pytest.mark.parametrize("tail", [b'more"}', b'more"}}]', b'more"}}] ', b'more\\"}}]}', b"}"])
def test_a_long_answer_that_ends_inside_is_cut_whatever_its_last_byte(tail: bytes) -> None:
    reader, passed = long(START)
    passed += reader.feed(tail)
    assert reason(reader.eof()) == "cut JSON"
    assert passed.endswith(tail)


def test_a_long_answer_that_is_cut_in_the_read_that_crosses_the_bound_is_not_whole() -> None:
    reader, passed = long(START)
    assert (len(passed), reason(reader.eof())) == (HELD_MAX + 1, "cut JSON")


def test_the_last_bracket_of_a_long_answer_waits_for_the_end() -> None:
    body = START + b"x" * HELD_MAX + b'"}}]}'
    reader = ChatReader()
    assert reader.feed(body) == body[:-1]
    assert (reader.feed(b" \n"), reader.pending) == (b"", 3)
    assert (reader.eof(), reader.closing()) == (None, b"} \n")


@pytest.mark.parametrize("behind", [b"}", b"x", b"\n{}", b" " * (TAIL_MAX + 1)])
def test_what_stands_behind_a_long_answer_is_a_break(behind: bytes) -> None:
    reader, _ = long(START)
    assert reader.feed(b'"}}]}') == b'"}}]'
    assert (reader.feed(behind), reason(reader.failure)) == (b"", "more than one JSON value")
    assert reader.eof() is reader.failure


@pytest.mark.parametrize(
    ("body", "kind", "why"),
    [
        (b'{"error":{"message":"', ChatReader, "invalid or cut JSON"),
        (PAGE, ChatReader, "HTML instead of an answer"),
        (b'{"choices":[{"a":"\xff', ChatReader, "invalid or cut JSON"),
        (b'{"choices":[{"a":', ChatReader, "invalid or cut JSON"),
        (b'{"choices":[{"a":' + b"[" * 200_000, ChatReader, "invalid or cut JSON"),
        (b'{"choices":[{"a":"', VectorReader, "invalid or cut JSON"),
    ],
    ids=["error", "HTML", "not UTF-8", "garbage", "too deep", "the other endpoint's"],
)
def test_a_long_body_that_begins_no_answer(body: bytes, kind: type[PlainReader], why: str) -> None:
    reader, passed = long(body, kind)
    assert (passed, reader.content, reason(reader.failure)) == (b"", 0, why)
    assert reader.feed(b"x") == b""


NUMBERS = b'{"data":[{"embedding":[-0.5,1e5,2.5E-7,3e+9,0,-12],"s":"a\\u00e9\\\\","t":true,"f":false,"n":null},{"e":1'


@pytest.mark.parametrize("end", range(NUMBERS.index(b"[-"), len(NUMBERS)))
def test_an_answer_may_be_released_wherever_it_stands(end: int) -> None:
    """Also inside a number: "-" and "1." are none, but one may begin so."""
    reader = VectorReader()
    reader.feed(NUMBERS[:end])
    assert (reader.release(), reader.failure) == (NUMBERS[:end], None)


@pytest.mark.parametrize("wrong", [b"x", b"1.x", b"--", b"-x", b"1e+-", b"+", b".", b"01"])
def test_what_is_no_number_is_not_released(wrong: bytes) -> None:
    reader = VectorReader()
    reader.feed(b'{"data":[{"embedding":[' + wrong)
    assert reader.release() == b""


def test_an_answer_is_released_early_if_it_begins_as_one() -> None:
    reader = ChatReader()
    reader.feed(START)
    assert (reader.release(), reader.content, reader.pending) == (START, 1, 0)
    assert reader.release() == b""
    assert reader.feed(b'Hi"}}]}') == b'Hi"}}]'
    assert (reader.eof(), reader.closing()) == (None, b"}")


@pytest.mark.parametrize("body", [b"", b"{", PAGE, CHAT.replace(b'"stop"', b'"error"')])
def test_what_begins_no_answer_is_not_released(body: bytes) -> None:
    reader = ChatReader()
    reader.feed(body)
    assert (reader.release(), reader.content, reader.failure) == (b"", 0, None)
    assert reader.eof() is not None


# Heads.


@pytest.mark.parametrize(
    ("status", "headers", "stream", "why"),
    [
        (200, [(b"content-type", b"application/json")], False, None),
        (200, [(b"content-type", b"text/event-stream")], True, None),
        (200, [(b"content-type", b"text/event-stream; charset=utf-8")], True, None),
        (200, [], True, None),
        (201, [(b"content-type", b"text/plain")], True, None),
        (200, [(b"content-encoding", b"identity")], False, None),
        (200, [(b"content-type", b"application/json")], True, None),
        (200, [(b"content-type", b"text/event-stream")], False, "a stream instead of an answer"),
        (200, [(b"content-type", b"text/html; charset=UTF-8")], False, "HTML instead of an answer"),
        (200, [(b"content-type", b"text/html")], True, "HTML instead of a stream"),
        (200, [(b"x", b"y"), (b"content-encoding", b"gzip")], True, "a content-encoding nobody asked for"),
        (204, [], False, "HTTP 204"),
        (205, [], False, "HTTP 205"),
        (206, [], True, "HTTP 206"),
    ],
)
def test_a_head_may_already_say_no(
    status: int, headers: list[tuple[bytes, bytes]], stream: bool, why: str | None
) -> None:
    verdict = chat.PROTOCOL.check_head(status, headers, Asked(stream))
    assert reason(verdict) == why
    assert verdict is None or verdict == Outcome(Kind.BAD_ANSWER, verdict.reason, status)
