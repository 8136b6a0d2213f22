"""The decoder of named events finds what a naive reader of lines finds, however the bytes are cut and taken."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from oxllm.core.wire.named_events import END, NamedDecoder
from tests.property.core.cuts import cut

LINES = st.one_of(
    st.sampled_from([b"", b"", b"data: a", b"data:b", b"data", b"data:", b": c", b"id: 1", b"\xef\xbb\xbf"]),
    st.sampled_from([b"event: e", b"event:f", b"event: ", b"event", b"events: g", b"data: abcdefgh"]),
    st.binary(max_size=12).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")),
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)
Named = tuple[bytes, bytes]


def naive(stream: bytes) -> list[Named]:
    """WHATWG HTML, 9.2.6, word for word, on a stream that is all there."""
    stream = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, name, data = [], b"", b""
    for line in stream.split(b"\n")[:-1]:
        field, _, value = line.partition(b":")
        if field == b"data" and line:
            data += value.removeprefix(b" ") + b"\n"
        if field == b"event" and line:
            name = value.removeprefix(b" ")
        if not line:
            events.append((name, data[:-1]))
            name, data = b"", b""
    return [event for event in events if event[1]]


@given(STREAMS | st.binary(max_size=100), st.data())
@example(b"event: a\r\ndata: a\r\n\r\n", None).via("CRLF")
def test_same_events_as_a_naive_reader(stream: bytes, data: st.DataObject | None) -> None:
    decoder = NamedDecoder()
    assert [event for chunk in cut(stream, data) for event in decoder.feed(chunk)] == naive(stream)
    assert decoder.pending <= len(stream)


@given(STREAMS, st.data())
def test_what_is_sent_of_events_that_were_taken_is_the_same_events(stream: bytes, data: st.DataObject) -> None:
    """A reader that takes events wherever it likes, and passes all on: a client finds the data that it would have
    found in the stream, once each event that was taken is whole."""
    decoder, sent = NamedDecoder(), b""
    for chunk in cut(stream, data):
        for name, piece in decoder.feed(chunk):
            if name is None:
                sent += piece
            else:
                sent += b"event: %b\ndata: %b" % (name, piece.replace(b"\n", b"\ndata: ")) + END
        if not decoder.open and decoder.head()[1] and data.draw(st.booleans(), "take"):
            sent += decoder.take(b"taken")
            assert decoder.open
    found = [payload for _, payload in naive(sent)]
    assert found == [payload for _, payload in naive(stream)]
