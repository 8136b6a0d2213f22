"""Named events come out whole, or in pieces if they are taken, however their bytes came in."""

from __future__ import annotations

import pytest

from oxllm.core.wire.named_events import END, HEAD_MAX, NAME_MAX, Event, NamedDecoder
from oxllm.core.wire.sse import EVENT_MAX


def feed(*chunks: bytes) -> list[Event]:
    decoder = NamedDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def every_way(stream: bytes) -> list[list[Event]]:
    """The stream whole, cut once at each place, and byte by byte."""
    cuts = [feed(stream[:at], stream[at:]) for at in range(len(stream) + 1)]
    return [feed(stream), feed(*(bytes([byte]) for byte in stream)), *cuts]


LONG = b"n" * (NAME_MAX + 1)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"event: x\ndata: a\n\n", [(b"x", b"a")], id="one event"),
        pytest.param(b"event: x\ndata: a\n\nevent: y\ndata: b\n\n", [(b"x", b"a"), (b"y", b"b")], id="two events"),
        pytest.param(b"event: x\ndata: a\n\ndata: b\n\n", [(b"x", b"a"), (b"", b"b")], id="a name is for one event"),
        pytest.param(b"event: x\n\ndata: b\n\n", [(b"", b"b")], id="also if that one has no data"),
        pytest.param(b"data: a\nevent: x\n\n", [(b"x", b"a")], id="a name behind the data"),
        pytest.param(b"event: x\nevent: y\ndata: a\n\n", [(b"y", b"a")], id="of two names the last"),
        pytest.param(b"event:x\ndata:a\n\n", [(b"x", b"a")], id="no space"),
        pytest.param(b"event\ndata: a\n\n", [(b"", b"a")], id="a name of nothing"),
        pytest.param(b"events: x\ndata: a\n\n", [(b"", b"a")], id="a field that is called otherwise"),
        pytest.param(b"event: x\r\ndata: a\r\n\r\n", [(b"x", b"a")], id="CRLF"),
        pytest.param(b"event: x\rdata: a\r\r", [(b"x", b"a")], id="CR"),
        pytest.param(b"event: x\ndata: a\ndata: b\n\n", [(b"x", b"a\nb")], id="data lines are joined"),
        pytest.param(b"\xef\xbb\xbfevent: x\ndata: a\n\n", [(b"x", b"a")], id="a BOM is skipped"),
        pytest.param(b": hi\n\nid: 1\nretry: 3\nevent: x\n: c\ndata: a\n\n", [(b"x", b"a")], id="the rest is dropped"),
        pytest.param(b"event: x\ndata: a\n\nevent: y\ndata: b\n", [(b"x", b"a")], id="a last event that was cut"),
        pytest.param(b"event: x\ndata: \n\nevent: y\ndata: b\n\n", [(b"y", b"b")], id="an event without data"),
        pytest.param(b"event: x\ndata: a\nid: 1\n\n", [(b"x", b"a")], id="the quick look is not fooled by a field"),
        pytest.param(b"event: x\ndata: a\n\ndata: b\n\n", [(b"x", b"a"), (b"", b"b")], id="nor by a missing name"),
        pytest.param(b"event: x\ndata: a\n\nbogus: \ndata: b\n\n", [(b"x", b"a"), (b"", b"b")], id="nor by another"),
        pytest.param(b"event: %b\ndata: a\n\n" % LONG, [(b"", b"a")], id="a name of any length is none"),
        pytest.param(b"event: \xff\ndata: a\n\n", [(b"", b"a")], id="nor is what an SDK cannot decode"),
        pytest.param(
            b"event: x\ndata: a\n\nevent: \xe2\x82\ndata: b\n\n", [(b"x", b"a"), (b"", b"b")], id="wherever it stands"
        ),
    ],
)
def test_same_events_whole_cut_anywhere_and_byte_by_byte(stream: bytes, events: list[Event]) -> None:
    assert all(found == events for found in every_way(stream))


def test_whole_events_behind_half_of_one_belong_to_it() -> None:
    decoder = NamedDecoder()
    assert decoder.feed(b"event: x\n") == []
    assert decoder.feed(b"event: y\ndata: a\n\n") == [(b"y", b"a")]


def test_an_event_is_known_from_its_first_bytes() -> None:
    decoder = NamedDecoder()
    decoder.feed(b"event: x\ndata: " + b"a" * 2 * HEAD_MAX)
    assert decoder.head() == (b"x", b"a" * HEAD_MAX)


def test_an_event_of_several_lines_is_known_from_its_first_bytes() -> None:
    decoder = NamedDecoder()
    decoder.feed(b"data: a\ndata:b")
    assert decoder.head() == (b"", b"a\nb")


@pytest.mark.parametrize("rest", [b"cd\n\n", b"cd\r\n\r\n", b"cd\r\r", b"cd\nid: 1\n: x\nevent: z\n\n"])
def test_an_event_that_was_taken_comes_in_pieces_and_its_end_alone(rest: bytes) -> None:
    for at in range(len(rest)):
        decoder = NamedDecoder()
        decoder.feed(b"event: x\ndata: ab")
        assert decoder.take(b"x") == b"event: x\ndata: ab"
        events = decoder.feed(rest[:at]) + decoder.feed(rest[at:] + b"event: y\ndata: e\n\n")
        assert b"".join(piece for name, piece in events if name is None) == b"cd\n\n"
        assert events[-2:] == [(None, END), (b"y", b"e")]
        assert not decoder.open


def test_the_lines_of_an_event_that_was_taken_stay_lines() -> None:
    stream = b"data: c\ndata:\ndata:d\ndata\n\n"
    for at in range(len(stream)):
        decoder = NamedDecoder()
        decoder.feed(b"data: a\ndata: b\n")
        assert decoder.take(b"x") == b"event: x\ndata: a\ndata: b"
        pieces = b"".join(piece for _, piece in decoder.feed(stream[:at]) + decoder.feed(stream[at:]))
        assert pieces == b"\ndata: c\ndata: \ndata: d\ndata: \n\n"


def test_nothing_is_held_of_an_event_that_was_taken() -> None:
    decoder = NamedDecoder()
    decoder.feed(b"data: " + b"a" * 70_000)
    decoder.take(b"x")
    for _ in range(50):
        assert decoder.feed(b"a" * 65_536) == [(None, b"a" * 65_536)]
        assert decoder.pending == 0
    assert decoder.feed(b"\n\n") == [(None, END)]
    assert not decoder.too_large


@pytest.mark.parametrize("size", [EVENT_MAX - 6, EVENT_MAX - 5])
def test_an_event_that_nobody_takes_has_its_bound(size: int) -> None:
    decoder = NamedDecoder()
    assert decoder.feed(b"data: " + b"a" * size) == []
    assert decoder.too_large == (size > EVENT_MAX - 6)


def test_what_was_whole_before_an_event_that_is_too_large_is_there() -> None:
    decoder = NamedDecoder()
    assert decoder.feed(b"data: b\n\ndata: " + b"a" * EVENT_MAX + b"\n\ndata: c\n\n") == [(b"", b"b")]
    assert decoder.too_large


def test_a_bom_behind_a_first_line_that_was_taken_is_a_line_like_any_other() -> None:
    decoder = NamedDecoder()
    assert decoder.feed(b"data: ab") == []
    assert decoder.take(b"x") == b"event: x\ndata: ab"
    assert decoder.feed(b"c\n\xef\xbb\xbf\n") == [(None, b"c")]
    assert decoder.open
