"""However a response is cut, it means the same; whatever is fed, nothing is raised."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.budget.answers import HeldBudget
from oxllm.core.known import KEYS_MAX
from oxllm.gateway.upstream import fast_path
from oxllm.gateway.upstream.connection import SLICE, UpstreamConnection
from oxllm.gateway.upstream.llhttp import HEAD_MAX
from oxllm.gateway.upstream.response import CHUNKS, LENGTH, Response
from tests.support.virtual import MemoryTransport, VirtualLoop
from tests.unit.gateway.fakes import BareLender, Recorder


def told(pieces: list[bytes], eof: bool) -> tuple[list[Any], bool | None]:
    """What the caller of one request is told when `pieces` are read one after another."""
    loop = VirtualLoop()
    try:
        caller = Recorder()
        lender = BareLender(caller)
        connection = UpstreamConnection(memoryview(bytearray(SLICE)), HeldBudget(), lambda _: None)
        transport = MemoryTransport(loop, connection)
        connection.connection_made(transport)
        connection.start(b"head", [], caller, lender)
        for piece in pieces:
            transport.deliver(piece)
        still_open = not transport.closing
        if eof:
            transport.eof()
        return caller.events, lender.reusable and still_open
    finally:
        loop.close()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` cut at `places`, each taken modulo its length."""
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


token = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-", min_size=1, max_size=12).map(str.encode)
value = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(lambda text: text.strip().encode())
FRAMING = {b"content-length", b"transfer-encoding", b"connection", b"upgrade"}
fields = st.lists(st.tuples(token.filter(lambda name: name.lower() not in FRAMING), value), max_size=6)
connections = st.sampled_from([b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n"])


@st.composite
def heads(draw: st.DrawFn, framing: bytes) -> bytes:
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]))
    status = draw(
        st.sampled_from([b"200 OK", b"201 Created", b"200 Reason", b"429 Reason", b"500 Reason", b"302 Reason"])
    )
    lines = b"".join(b"%b: %b\r\n" % field for field in draw(fields))
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nlink: </a>\r\n\r\n"]))
    return interim + version + b" " + status + b"\r\n" + lines + draw(connections) + framing + b"\r\n"


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A well-formed response, and its body."""
    kind = draw(st.sampled_from(["length", "chunks", "eof", "none"]))
    body = draw(st.binary(max_size=200))
    if kind == "length":
        return draw(heads(b"Content-Length: %d\r\n" % len(body))) + body, body
    if kind == "eof":
        return draw(heads(b"")) + body, body
    if kind == "none":
        return b"HTTP/1.1 204 No Content\r\n" + draw(connections) + b"\r\n", b""
    pieces = [piece for piece in cut(body, draw(st.lists(st.integers(0, 200), max_size=5))) if piece]
    extension = draw(st.sampled_from([b"", b";a=b"]))
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    trailers = b"".join(b"%b: %b\r\n" % field for field in draw(fields))
    return draw(heads(b"Transfer-Encoding: chunked\r\n")) + chunks + b"0\r\n" + trailers + b"\r\n", body


cuts = st.lists(st.integers(0, 2000), max_size=8)
extras = st.sampled_from([b"", b"", b"x", b"\r\n", b"\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny"])


@given(responses(), cuts)
def test_a_well_formed_response_means_the_same_however_it_is_cut(
    response: tuple[bytes, bytes], places: list[int]
) -> None:
    data, body = response
    whole = told([data], eof=True)
    assert whole[0][0][0] == "head"
    assert b"".join(event[1] for event in whole[0] if event[0] == "data") == body
    assert whole[0][-1] == "end"
    assert told(cut(data, places), eof=True) == whole
    assert told([bytes((byte,)) for byte in data], eof=True) == whole


@given(responses(), extras, st.integers(0, 2000), cuts)
def test_a_response_that_is_cut_off_or_followed_by_more_means_the_same_however_it_is_cut(
    response: tuple[bytes, bytes], extra: bytes, size: int, places: list[int]
) -> None:
    data = (response[0] + extra)[:size]
    whole = told([data], eof=True)
    assert told(cut(data, places), eof=True) == whole
    assert told([bytes((byte,)) for byte in data], eof=True) == whole


@given(responses(), st.integers(0, 2000), st.binary(min_size=1, max_size=4), cuts)
def test_a_damaged_response_ends_in_the_same_way_however_it_is_cut(
    response: tuple[bytes, bytes], place: int, damage: bytes, places: list[int]
) -> None:
    place %= len(response[0])
    data = response[0][:place] + damage + response[0][place + len(damage) :]
    whole = told([data], eof=True)
    assert whole[0][-1] == "end" or whole[0][-1][0] == "failed"
    assert told(cut(data, places), eof=True) == whole
    assert told([bytes((byte,)) for byte in data], eof=True) == whole


ODD_LINES = (
    *(b"Content-Length: 5", b"content-length:5", b"Content-Length: 5 ", b"Content-Length: 05", b"Content-Length: x"),
    *(b"Content-Length: 9" + b"9" * 17, b"Transfer-Encoding: chunked", b"transfer-encoding: chunked "),
    *(b"Transfer-Encoding: gzip", b"Connection: close", b"connection:  Keep-Alive", b"Connection: close, x"),
    *(b"Upgrade: h2c", b"Proxy-Connection: close", b"no colon", b"x", b"", b" x: y", b"x : y", b":", b": y", b"x:"),
    *(b"x:\t", b"x: y \t", b"x: \x80\xff\ty", b"x: \x00", b"x: \x7f", b"x: \r", b"x: \n", b"x\r\n\r: y", b"x: y\n"),
    *(b"x\x80: y", b"Set-Cookie: a=b", b"%b: y" % (b"x" * 65)),
)
FIRST_LINES = (b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 201 Created", b"HTTP/1.1 200 Fine", b"HTTP/1.0 200 OK")
first_lines = st.sampled_from(FIRST_LINES)
odd_lines = st.sampled_from(ODD_LINES)


@given(first_lines, st.lists(odd_lines | st.builds(b"%b: %b".__mod__, st.tuples(token, value)), max_size=6))
def test_a_head_that_is_read_without_llhttp_means_what_llhttp_reads_in_it(first: bytes, lines: list[bytes]) -> None:
    data = b"\r\n".join([first, *lines])
    found = fast_path.head(data)
    if found is not None:
        assert b"\r\n\r\n" not in data
        status, fields, length, closes = found
        told = Response()
        told.feed(data[:1])  # so that llhttp reads it
        told.feed(data[1:] + b"\r\n\r\n")
        assert (told.error, told.status, told.pop_headers()) == (None, status, fields)
        chunked = any(name == b"transfer-encoding" for name, _ in fields)
        assert (length == -1) == chunked
        assert told.phase is (CHUNKS if chunked else LENGTH)
        assert told.reusable is not closes
        told.feed(b"0\r\n\r\n" if chunked else b"x" * length)
        assert (told.complete, told.reusable) == (True, not closes)


@pytest.mark.parametrize("line", [b"Content-Length: 5", b"transfer-encoding: chunked"])
def test_usual_heads_and_chunks_are_read_without_llhttp(line: bytes) -> None:
    found = fast_path.head(b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nConnection: keep-alive\r\n" + line)
    assert found is not None
    assert found[1][0] == (b"content-type", b"x")
    assert fast_path.chunk(b"5\r\nabcde\r\n") == fast_path.chunks(b"2\r\nab\r\n03\r\ncde\r\n") == b"abcde"
    assert fast_path.chunk(b"1A\r\n%b\r\n" % (b"x" * 26)) == b"x" * 26


@pytest.mark.parametrize("form", [b"%x\r\n%b\r\n", b"%X\r\n%b\r\n"])
def test_a_usual_chunk_of_any_size_is_read_without_llhttp(form: bytes) -> None:
    for size in (1, 15, 16, 26, 255, 256, 510, 511, 512, 513, 4095, 4096, 65000):
        assert fast_path.chunk(form % (size, b"x" * size)) == b"x" * size
        assert (
            fast_path.chunk(form % (size, b"x" * (size + 1))) == fast_path.chunk(form % (size + 1, b"x" * size)) == b""
        )


def test_usual_heads_are_read_however_many_names_there_have_been() -> None:
    for number in range(2 * KEYS_MAX):
        data = b"HTTP/1.1 200 OK\r\nX-%d: y\r\nContent-Length: 5" % number
        assert fast_path.head(data) == (200, [(b"x-%d" % number, b"y"), (b"content-length", b"5")], 5, False)


def test_lines_that_come_again_mean_the_same_and_no_more_of_them_are_kept_than_are_useful() -> None:
    for number in range(2 * fast_path.LINES_MAX):
        length = b"%*d" % (number % 2 * fast_path.LINE_MAX, number)
        lines = b"X: %d\r\nContent-Length: %b\r\nSet-Cookie: %b" % (number, length, b"x" * fast_path.LINE_MAX)
        first, again = (fast_path.head(b"HTTP/1.1 200 OK\r\n" + lines) for _ in range(2))
        assert first == again
        assert first is not None
        assert first[1:] == (
            [(b"x", b"%d" % number), (b"content-length", b"%d" % number), (b"set-cookie", b"x" * fast_path.LINE_MAX)],
            number,
            False,
        )
        assert len(fast_path.known) <= fast_path.LINES_MAX
        assert len(fast_path.deciding) <= fast_path.DECIDING_MAX
    assert max(map(len, (*fast_path.known, *fast_path.deciding))) <= fast_path.LINE_MAX


@pytest.mark.parametrize(("size", "error"), [(HEAD_MAX, None), (HEAD_MAX + 1, "head too large")])
def test_a_head_that_is_read_without_llhttp_may_be_as_long_as_another(size: int, error: str | None) -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
    told = Response()
    told.feed(start + b"x" * (size - len(start) - 4) + b"\r\n\r\n")
    assert (told.error, told.complete) == (error, error is None)


@pytest.mark.parametrize("line", [b"X: a\nb", b"X: a\rb", b"X: \0", b"X Y: a", b": a", b"X", b"Content-Length: x"])
def test_a_line_that_was_refused_once_is_refused_again(line: bytes) -> None:
    for _ in range(2):
        assert fast_path.head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + line) is None


sizes = st.sampled_from(b"0,1,01,+1,-1, 1,1 ,1_0,0x1,a,A,10,1;x=y,,x".split(b","))
pieces = st.sampled_from([b"", b"a", b"\r", b"\r\n1\r\n", b"a" * 10, b"\r\n" * 8])
whole = st.sampled_from([(b"1", b"a"), (b"01", b"a"), (b"a", b"a" * 10), (b"A", b"a" * 10), (b"10", b"\r\n" * 8)])
parts = st.lists(whole.map(lambda chunk: (*chunk, True)), max_size=3) | st.lists(
    st.tuples(sizes, pieces, st.booleans())
)


@given(parts)
def test_chunks_that_are_read_without_llhttp_are_what_llhttp_reads(parts: list[tuple[bytes, bytes, bool]]) -> None:
    data = b"".join(b"%b\r\n%b%b" % (size, part, b"\r\n" if ended else b"") for size, part, ended in parts)
    found = fast_path.chunks(data)
    assert fast_path.chunk(data) in (b"", found)
    told = Response()
    told.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for byte in data:
        told.feed(bytes((byte,)))
    if found:
        assert (told.error, told.complete, told.pop_body()) == (None, False, found)
        told.feed(b"0\r\n\r\n")  # and it stands between two of them
        assert (told.error, told.complete, told.reusable) == (None, True, True)


@given(st.lists(st.binary(max_size=300), max_size=10), st.booleans())
def test_garbage_never_raises_and_ends_once(pieces: list[bytes], eof: bool) -> None:
    events, _ = told(pieces, eof)
    ends = [event for event in events if event == "end" or event[0] == "failed"]
    assert len(ends) <= 1
    assert ends == events[-1:] or not ends
    assert ends or not eof
