"""A stream is read as a naive reader reads it that has it all, however its bytes are cut."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn

from hypothesis import event, example, given
from hypothesis import strategies as st

from oxllm.core.protocols.base import Usage
from oxllm.core.protocols.chat import ChatReader, StreamReader
from oxllm.core.protocols.embeddings import VectorReader
from oxllm.core.protocols.plain import PlainReader
from tests.property.core.cuts import cut, told
from tests.property.core.test_sse import naive as naive_events

BEARING = [
    "content",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "images",
]
EMPTY: list[Any] = [None, "", [], {}]
VALUES = st.sampled_from(
    [*EMPTY, "Hi", " ", "ä😀", "\ud83d", 'q"\\n\n', [{"index": 0}], {"name": "f"}, {"expires_at": 9}]
)
DELTAS = st.none() | st.dictionaries(st.sampled_from([*BEARING, "role", "other"]), VALUES, max_size=3)
REASONS = st.sampled_from([None, None, None, "", "stop", "stop", "length", "error"])
CHOICES = st.fixed_dictionaries(
    {}, optional={"index": st.sampled_from([0, 0, 0, 1, 2, None]), "delta": DELTAS, "finish_reason": REASONS}
)
USAGES = st.sampled_from([None, None, {"prompt_tokens": 3, "completion_tokens": 4}, {"prompt_tokens": 9}, {"x": 1}, 5])
EVENTS = st.one_of(
    st.fixed_dictionaries({"choices": st.lists(CHOICES, max_size=2)}, optional={"usage": USAGES, "id": st.just("x")}),
    st.fixed_dictionaries({"choices": st.lists(CHOICES, min_size=1, max_size=1)}),
    st.sampled_from([{"type": "ping"}, {}, {"choices": None}, [], 1, {"choices": [], "error": None}]),
    st.sampled_from([{"error": {"code": "x"}}, {"choices": [], "error": "no"}, {"choices": [1]}, {"choices": {}}]),
)
PAYLOADS = st.one_of(
    st.builds(
        lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(
            errors="surrogatepass"
        ),
        EVENTS,
        st.booleans(),
        st.sampled_from([None, None, None, 1]),
    ),
    EVENTS.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [b"[DONE]", b"[DONE]", b"garbage", b'{"choices":[]', b'{"choices":[],"x":"\xff"}', b'"\\ud800"', b"[DONE] "]
    ),
    st.just(b"\t"),
    st.binary(max_size=6).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b"")),
)
NOISE = st.sampled_from([b"", b"", b"", b": ping\n", b"id: 4\n", b"event: message\n", b": a\n\n"])


GOOD = [
    json.dumps({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": reason}]}).encode()
    for index in (0, 1)
    for text, reason in [("Hi", None), ("", None), ("", "stop")]
]
HEALTHY = st.tuples(
    st.lists(st.sampled_from(GOOD), max_size=5),
    st.sampled_from([[GOOD[2]], [GOOD[2], GOOD[5]]]),
    st.lists(PAYLOADS, max_size=2),
).map(lambda parts: parts[0] + parts[1] + parts[2])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    parts = []
    for payload in draw(HEALTHY | st.lists(PAYLOADS, max_size=6)):
        lines = b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n"))
        parts.append(draw(NOISE) + lines + b"\n")
    return told(draw, b"".join(parts))


class Reading(NamedTuple):
    out: bytes
    content: int
    complete: bool
    finished: bool
    failed: bool
    usage: Usage | None
    dropped: int


def strictly(payload: bytes) -> Any:
    """The value of strict JSON, which may have halves of characters in it. Raises ValueError."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    return json.loads(payload.decode(), parse_constant=refuse)


def known_shape(choices: object) -> bool:
    return isinstance(choices, list) and all(isinstance(choice, dict) for choice in choices)


def is_done(choice: dict[str, Any]) -> bool:
    """Whether this is the end of a choice: it has a finish_reason, or its audio is kept."""
    audio = (choice.get("delta") or {}).get("audio")
    return bool(choice.get("finish_reason")) or (isinstance(audio, dict) and "expires_at" in audio)


def naive(stream: bytes, n: int, strip: bool) -> Reading:
    """docs/failures.md, read slowly: the whole stream is there, and every event is parsed in full."""
    out, content, dropped, usage = b"", 0, 0, None
    done: dict[int, bool] = {}

    def stopped(complete: bool) -> Reading:
        return Reading(out, content, complete, complete, not complete, usage, dropped)

    for payload in naive_events(stream):
        complete = len(done) >= n and all(done.values())
        if not payload.strip():
            dropped += 1
            continue
        try:
            value = strictly(payload)
        except ValueError:
            return stopped(complete)
        if not isinstance(value, dict):
            dropped += 1
            continue
        choices = value.get("choices")
        if value.get("error") not in [None, *EMPTY] or (choices is not None and not known_shape(choices)):
            return stopped(complete)
        found = value.get("usage")
        if isinstance(found, dict) and found:
            usage = Usage(found.get("prompt_tokens", 0), found.get("completion_tokens", 0))
        if choices is None:
            dropped += 1
            continue
        if any(choice.get("finish_reason") == "error" for choice in choices):
            first = next(i for i, choice in enumerate(choices) if choice.get("finish_reason") == "error")
            fresh = any((choice.get("index") or 0) not in done for choice in choices[: first + 1])
            return stopped(complete and not fresh)
        if not choices and strip and found is not None:
            continue
        bears = False
        for choice in choices:
            index = choice.get("index") or 0
            done[index] = done.get(index, False) or is_done(choice)
            delta = choice.get("delta") or {}
            bears |= bool(choice.get("finish_reason")) or any(delta.get(name) not in EMPTY for name in BEARING)
        content += bears
        out += b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n")) + b"\n"
    return Reading(out, content, len(done) >= n and all(done.values()), False, False, usage, dropped)


@given(streams(), st.integers(1, 2), st.booleans(), st.data())
@example(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: "\\ud800"\n\n', 1, False, None)
@example(b'data: {"choices":[{"delta":{"audio":{"expires_at":9}}}]}\n\ndata: [DONE]\n\n', 1, False, None)
def test_a_stream_is_read_as_a_naive_reader_reads_it(
    stream: bytes, n: int, strip: bool, data: st.DataObject | None
) -> None:
    reader = StreamReader(n, strip)
    out = b"".join(reader.feed(chunk) for chunk in cut(stream, data))
    failed = reader.failure is not None
    found = Reading(out, reader.content, reader.complete, reader.finished, failed, reader.usage, reader.dropped)
    assert found == naive(stream, n, strip)
    assert (reader.eof() is None) == reader.complete
    event(f"complete {found.complete}, failed {found.failed}, finished {found.finished}")


@given(streams(), st.integers(1, 3), st.data())
def test_complete_means_that_the_client_has_the_end_of_every_choice(stream: bytes, n: int, data: st.DataObject) -> None:
    reader, out = StreamReader(n, False), b""
    for chunk in cut(stream, data):
        out += reader.feed(chunk)
        if reader.complete:
            choices = [choice for payload in naive_events(out) for choice in json.loads(payload)["choices"]]
            seen = {choice.get("index") or 0 for choice in choices}
            done = {choice.get("index") or 0 for choice in choices if is_done(choice)}
            assert seen == done
            assert len(done) >= n


@given(streams() | st.binary(max_size=200), st.data())
def test_what_comes_out_is_strict_json_in_whole_events_and_never_done(stream: bytes, data: st.DataObject) -> None:
    reader = StreamReader(1, False)
    for chunk in cut(stream, data):
        out = reader.feed(chunk)
        assert out == b"" or (out.startswith(b"data: ") and out.endswith(b"\n\n"))
        assert all(isinstance(strictly(payload)["choices"], list) for payload in naive_events(out))


@given(
    st.binary(max_size=60) | EVENTS.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([ChatReader, VectorReader]),
)
def test_a_plain_body_is_an_answer_only_if_it_is_strict_json_with_choices_or_data(
    body: bytes, kind: type[PlainReader]
) -> None:
    reader = kind()
    reader.feed(body)
    if reader.eof() is None:
        assert strictly(body)["choices" if kind is ChatReader else "data"]
        assert reader.closing() == body


@given(st.lists(CHOICES, min_size=1, max_size=3), st.data())
def test_no_proper_prefix_of_an_answer_is_an_answer(choices: list[dict[str, Any]], data: st.DataObject) -> None:
    body = json.dumps({"id": "x", "choices": choices}).encode()
    whole, part = ChatReader(), ChatReader()
    whole.feed(body)
    assert (whole.eof() is None) == all(choice.get("finish_reason") != "error" for choice in choices)
    part.feed(body[: data.draw(st.integers(0, len(body) - 1))])
    assert part.eof() is not None


@given(st.lists(CHOICES, min_size=1, max_size=3), st.sampled_from(["", "}", '"}]}', "ä\\\\", "[{"]), st.data())
def test_an_answer_passed_on_before_its_end_is_whole_only_if_all_of_it_came(
    choices: list[dict[str, Any]], text: str, data: st.DataObject
) -> None:
    body = json.dumps({"choices": [{"index": 0}, *choices], "x": text}).encode() + b"\n"
    begun = data.draw(st.integers(body.index(b"0"), len(body) - 3))
    end = data.draw(st.integers(begun, len(body)))
    reader = ChatReader()
    reader.feed(body[:begun])
    out = reader.release()
    if not reader.content:
        return
    assert out == body[:begun]
    out += b"".join(reader.feed(part) for part in cut(body[begun:end], data))
    whole = end >= len(body) - 1
    assert (reader.eof() is None) == whole
    assert out == body[: min(end, len(body) - 2)]
    assert out + reader.closing() == body[:end]
