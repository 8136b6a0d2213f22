"""An event that is like one before is not read again, and means what it would have meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.protocols import chat, completions, messages
from oxllm.core.protocols.alike import FRAME_MAX, TRIES_MAX, Alike
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Reader

ASKED = Asked(stream=True)
NEXT = b'data: {"id":"c-1","choices":[{"index":0,"delta":{"content":%b}}],"usage":null%b}\n\n'
TEXTS = (
    "a",
    "",
    " the",
    '"',
    "\\",
    "\n",
    "\u00e9",
    "\u2028",
    "\x7f",
    "obfuscation",
    "content",
    "id",
    "c-1",
    '","x":"',
    "]}",
)

texts = st.sampled_from(TEXTS) | st.text(max_size=4)
members: st.SearchStrategy[Any] = st.none() | st.booleans() | texts | st.lists(texts, max_size=2)
deltas = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("content", "reasoning", "reasoning_content", "role", "obfuscation"), members)
)
choices = st.fixed_dictionaries(
    {"index": st.integers(0, 1), "delta": deltas},
    optional={"finish_reason": st.sampled_from([None, "stop", "error"]), "text": members},
)
usages = st.sampled_from([None, {}, {"prompt_tokens": 3}, {"completion_tokens": 4}])
events = st.fixed_dictionaries(
    {"choices": st.lists(choices, min_size=0, max_size=2)},
    optional={"id": texts, "usage": usages, "obfuscation": texts, "error": st.sampled_from([None, {"message": "x"}])},
)


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Events, many of which are like one another."""
    kinds = draw(st.lists(events, min_size=1, max_size=3))
    found = []
    for _ in range(draw(st.integers(1, 12))):
        event = json.loads(json.dumps(draw(st.sampled_from(kinds))))
        if draw(st.booleans()):
            event["obfuscation"] = draw(texts)
        for choice in event["choices"]:
            for place in (choice["delta"], choice):
                for name, value in place.items():
                    if isinstance(value, str) and draw(st.booleans()):
                        place[name] = draw(texts)
        plain = draw(st.booleans())
        data = b"data: %b\n\n" % json.dumps(event, ensure_ascii=plain, separators=(",", ":")).encode()
        if draw(st.integers(0, 15)) == 0:
            at = draw(st.integers(0, len(data) - 1))
            data = data[:at] + draw(st.sampled_from([b"", b'"', b"\\", b"\n", b"x", b"\xff"])) + data[at + 1 :]
        found.append(data)
    return found


KINDS = (*["content_block_delta"] * 2, "content_block_start", "content_block_stop", "message_delta", "ping")
START = b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":1}}}\n\n'
BLOCK = (
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text"}}\n\n'
)
pieces = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS), "index": st.integers(0, 1)},
    optional={
        "delta": st.fixed_dictionaries(
            {"type": texts},
            optional=dict.fromkeys(("text", "thinking", "partial_json", "obfuscation"), members)
            | {"stop_reason": st.sampled_from([None, "end_turn", "error"])},
        ),
        "usage": usages,
        "error": st.sampled_from([None, {"message": "x"}]),
    },
)


@st.composite
def named_streams(draw: st.DrawFn) -> list[bytes]:
    """The same of a message."""
    kinds = draw(st.lists(pieces, min_size=1, max_size=3))
    found = [START, BLOCK]
    for _ in range(draw(st.integers(1, 12))):
        event = json.loads(json.dumps(draw(st.sampled_from(kinds))))
        for name, value in event.get("delta", {}).items():
            if name != "stop_reason" and isinstance(value, str) and draw(st.booleans()):
                event["delta"][name] = draw(texts)
        text = json.dumps(event, ensure_ascii=draw(st.booleans()), separators=(",", ":"))
        found.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), text.encode()))
    return found


def told(reader: Reader) -> dict[str, Any]:
    names = ("content", "working", "complete", "finished", "failure", "usage", "dropped", "pending", "reasons")
    return {name: getattr(reader, name) for name in names}


@pytest.mark.parametrize("kind", [chat.StreamReader, completions.TextStreamReader])
@given(streams(), st.integers(1, 2))
def test_an_event_means_the_same_whether_it_is_like_another_or_not(
    kind: type[chat.StreamReader], stream: list[bytes], count: int
) -> None:
    whole, cut = kind(count, False), kind(count, False)
    for event in stream:
        passed = whole.feed(event)
        assert cut.feed(event[:5]) + cut.feed(event[5:-1]) + cut.feed(event[-1:]) == passed
        assert told(whole) == told(cut)


@given(named_streams())
def test_an_event_of_a_message_means_the_same_whether_it_is_like_another_or_not(stream: list[bytes]) -> None:
    whole, cut = (
        messages.PROTOCOL.stream_reader(ASKED, (), False, 0.0),
        messages.PROTOCOL.stream_reader(ASKED, (), False, 0.0),
    )
    for event in stream:
        passed = whole.feed(event)
        assert cut.feed(event[:9]) + cut.feed(event[9:-1]) + cut.feed(event[-1:]) == passed
        assert told(whole) == told(cut)


def test_events_that_differ_in_their_text_and_padding_alone_are_like_one_another() -> None:
    alike = Alike()
    alike.remember(NEXT % (b'"a"', b',"obfuscation":"xyz","z":1'), b'"a"')
    assert alike.holds(NEXT % (b'"some text"', b',"obfuscation":"q","z":1'))
    for text, behind in (
        (b'"some text"', b',"obfuscation":"q","z":2'),
        (b'"some text"', b',"obfuscation":"","z":1'),
        (b'""', b',"obfuscation":"q","z":1'),
        (b'"a\\n"', b',"obfuscation":"q","z":1'),
        (b'"a","x":"b"', b',"obfuscation":"q","z":1'),
        (b'"a\xff"', b',"obfuscation":"q","z":1'),
        (b'"a"', b',"obfuscation":"q","x":"q","z":1'),
        (b'"a"', b',"z":1'),
    ):
        assert not alike.holds(NEXT % (text, behind)), (text, behind)


def test_an_event_whose_text_stands_in_it_twice_is_not_remembered() -> None:
    alike = Alike()
    event = NEXT % (b'"id"', b"")
    alike.remember(event, b'"id"')
    assert not alike.holds(event.replace(b'"id"', b'"error"', 1))
    assert not alike.holds(event)


def test_an_event_with_much_around_its_text_is_not_remembered() -> None:
    alike = Alike()
    for padding, holds in ((FRAME_MAX // 2, True), (FRAME_MAX, False)):
        event = NEXT % (b'"%b"' % (b"a" * FRAME_MAX), b',"x":"%b"' % (b"b" * padding))
        alike.remember(event, b'"%b"' % (b"a" * FRAME_MAX))
        assert alike.holds(event) is holds


def test_a_stream_whose_events_are_all_different_is_soon_not_looked_at_any_more() -> None:
    alike = Alike()
    for number in range(TRIES_MAX):
        assert alike.tries == TRIES_MAX - number
        alike.remember(NEXT % (b'"a"', b',"n":%d' % number), b'"a"')
    assert not alike.tries
    assert alike.holds(NEXT % (b'"b"', b',"n":%d' % (TRIES_MAX - 1)))
    assert alike.tries
