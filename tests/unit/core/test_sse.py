"""Events come out whole and bare, however their bytes came in."""

from __future__ import annotations

import pytest

from oxllm.core.wire.sse import EVENT_MAX, Decoder, TooLarge


def feed(*chunks: bytes) -> list[bytes]:
    decoder = Decoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)]


def every_way(stream: bytes) -> list[list[bytes]]:
    """The stream whole, cut once at each place, and byte by byte."""
    cuts = [feed(stream[:at], stream[at:]) for at in range(len(stream) + 1)]
    return [feed(stream), feed(*(bytes([byte]) for byte in stream)), *cuts]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(b"data: a\n\n", [b"a"], id="one event"),
        pytest.param(b"data: a\n\ndata: b\n\n", [b"a", b"b"], id="two events"),
        pytest.param(b"data:a\n\n", [b"a"], id="no space"),
        pytest.param(b"data:  a\n\n", [b" a"], id="only one space belongs to the field"),
        pytest.param(b"data: a\r\n\r\n", [b"a"], id="CRLF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [b"a", b"b"], id="CR"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"], id="mixed line ends"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="data lines are joined"),
        pytest.param(b"data: a\ndata\ndata: b\n\n", [b"a\n\nb"], id="a data line without a colon is empty"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="a BOM is skipped"),
        pytest.param(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"], id="a BOM later on is not"),
        pytest.param(b": hello\n\ndata: a\n\n", [b"a"], id="a comment alone"),
        pytest.param(b": OPENROUTER PROCESSING\n\n: x\ndata: a\n: y\n\n", [b"a"], id="comments anywhere"),
        pytest.param(b"id: 1\nretry: 3000\nevent: x\ndata: a\n\n", [b"a"], id="id, retry and event are dropped"),
        pytest.param(b"event: ping\n\nretry: 3000\n\nid: 4\n\n", [], id="events without data are none"),
        pytest.param(b"data:\n\ndata: \n\ndata\n\n", [], id="events with empty data are none"),
        pytest.param(b"database: a\n\ndat: b\n\nxdata: c\n\n", [], id="other fields are dropped"),
        pytest.param(
            b'error: {"code":400}\n\ndata: [DONE]\n\n',
            [b'{"error":{"code":400}}', b"[DONE]"],
            id="an error of llama.cpp",
        ),
        pytest.param(b'error:{"code":400}\r\n\r\n', [b'{"error":{"code":400}}'], id="an error without the space"),
        pytest.param(b"error: none\n\nerror:\n\nerrors: {}\n\n", [], id="what is no object is no error"),
        pytest.param(b"\n\n\r\n\rdata: a\n\n\n\n", [b"a"], id="empty lines between events"),
        pytest.param(b"data: a\n\ndata: b\n", [b"a"], id="a last event without its empty line is none"),
        pytest.param(b"data: a\n\ndata: b", [b"a"], id="a last line without its end is none"),
        pytest.param("data: ä😀\n\n".encode(), ["ä😀".encode()], id="characters of several bytes"),
        pytest.param(b"data: a\n\ndata: b\nid: 1\n\n", [b"a", b"b"], id="the quick look is not fooled by a field"),
        pytest.param(b"data: a\n\ndata: b\n\n\n", [b"a", b"b"], id="the quick look is not fooled by empty lines"),
        pytest.param(b"data: a\n\n\n\ndata: b\n\n", [b"a", b"b"], id="nor by empty lines inside"),
        pytest.param(b"data: a\n\ndata: \n\ndata: b\n\n", [b"a", b"b"], id="nor by an empty event"),
    ],
)
def test_same_events_whole_cut_anywhere_and_byte_by_byte(stream: bytes, events: list[bytes]) -> None:
    assert all(found == events for found in every_way(stream))


def test_whole_lines_come_out_after_half_of_one() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: {") == []
    assert decoder.feed(b"data: a\n\n") == [b"{data: a"]


def test_pending_counts_what_is_held_and_falls_to_nothing_between_events() -> None:
    decoder = Decoder()
    assert decoder.pending == 0
    decoder.feed(b"data: ab")
    assert decoder.pending == 8
    decoder.feed(b"\ndata: c")
    assert decoder.pending == 15
    decoder.feed(b"\n\n")
    assert decoder.pending == 0


LARGEST = b"x" * (EVENT_MAX - len(b"data: "))
TWO_LINES = b"data: %b\ndata: %b\n\n" % (b"x" * 1000, b"y" * (EVENT_MAX - 1012))


def in_pieces(stream: bytes) -> list[bytes]:
    return [stream[at : at + 65536] for at in range(0, len(stream), 65536)]


@pytest.mark.parametrize("cut", [lambda stream: [stream], in_pieces], ids=["whole", "in pieces"])
def test_an_event_of_the_largest_size_passes_and_one_byte_more_does_not(cut) -> None:  # type: ignore[no-untyped-def]
    assert feed(*cut(b"data: " + LARGEST + b"\n\n")) == [LARGEST]
    with pytest.raises(TooLarge):
        feed(*cut(b"data: x" + LARGEST + b"\n\n"))
    assert len(feed(*cut(TWO_LINES))) == 1
    with pytest.raises(TooLarge):
        feed(*cut(TWO_LINES.replace(b"x\n", b"xx\n")))
    with pytest.raises(TooLarge):
        feed(*cut(b": " + LARGEST + b"comment\n"))


def test_events_in_front_of_one_that_is_too_large_are_not_lost() -> None:
    with pytest.raises(TooLarge) as caught:
        feed(b"data: a\n\ndata: b\n\ndata: x" + LARGEST)
    assert caught.value.events == [b"a", b"b"]


def test_many_small_events_may_add_up_to_more_than_one_may_have() -> None:
    event = b"data: " + b"x" * 1016 + b"\n\n"
    assert len(feed(event * 2048)) == 2048
