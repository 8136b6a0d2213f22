"""The decoder finds what a naive reader of lines finds, however the bytes are cut."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from oxllm.core.wire.sse import Decoder
from tests.property.core.cuts import cut

LINES = st.one_of(
    st.sampled_from(
        [b"", b"", b"data: a", b"data:b", b"data", b"data:", b": c", b"id: 1", b"event: e", b"\xef\xbb\xbf"]
    ),
    st.binary(max_size=12).map(lambda line: line.replace(b"\r", b"").replace(b"\n", b"")),
    st.text(max_size=5).map(lambda text: b"data: " + text.replace("\r", "").replace("\n", "").encode(errors="replace")),
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])), max_size=30).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


def naive(stream: bytes) -> list[bytes]:
    """WHATWG HTML, 9.2.6, word for word, on a stream that is all there."""
    stream = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, data = [], b""
    for line in stream.split(b"\n")[:-1]:
        field, _, value = line.partition(b":")
        if field == b"data" and line:
            data += value.removeprefix(b" ") + b"\n"
        if not line:
            events.append(data[:-1])
            data = b""
    return [event for event in events if event]


@given(STREAMS | st.binary(max_size=100), st.data())
@example(b"data: a\r\n\r\n", None).via("CRLF")
def test_same_events_as_a_naive_reader(stream: bytes, data: st.DataObject | None) -> None:
    chunks = cut(stream, data)
    decoder = Decoder()
    assert [event for chunk in chunks for event in decoder.feed(chunk)] == naive(stream)
    assert decoder.pending <= len(stream)
