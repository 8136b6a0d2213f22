"""However a response is cut, it means the same; whatever is fed, nothing is raised."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.outcome import Failure
from oxllm.gateway.upstream.connection import SLICE, UpstreamConnection
from tests.support.virtual import VirtualLoop
from tests.unit.gateway.fakes import FakeTransport, Recorder


class Borrower:
    """The owner of one connection: notes whether it may be used again."""

    def __init__(self, caller: Recorder) -> None:
        self.caller = caller
        self.reusable: bool | None = None

    def sent(self) -> None:
        pass

    def answered(self) -> None:
        pass

    def finished(self, reusable: bool) -> None:
        self.reusable = reusable
        self.caller.end()

    def broken(self, failure: Failure, before_response: bool, detail: str) -> None:
        self.caller.failed(failure, before_response, detail)


def told(pieces: list[bytes], eof: bool) -> tuple[list[Any], bool | None]:
    """What the caller of one request is told when `pieces` are read one after another."""
    loop = VirtualLoop()
    try:
        caller = Recorder()
        borrower = Borrower(caller)
        connection = UpstreamConnection(memoryview(bytearray(SLICE)), lambda _: None)
        transport = FakeTransport(loop, connection)
        connection.connection_made(transport)
        connection.start(b"head", [], caller, borrower)
        for piece in pieces:
            transport.deliver(piece)
        still_open = not transport.closed
        if eof:
            transport.eof()
        return caller.events, borrower.reusable and still_open
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
    status = draw(st.sampled_from([b"200", b"429", b"500", b"302"]))
    lines = b"".join(b"%b: %b\r\n" % field for field in draw(fields))
    interim = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nlink: </a>\r\n\r\n"]))
    return interim + version + b" " + status + b" Reason\r\n" + lines + draw(connections) + framing + b"\r\n"


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


@given(st.lists(st.binary(max_size=300), max_size=10), st.booleans())
def test_garbage_never_raises_and_ends_once(pieces: list[bytes], eof: bool) -> None:
    events, _ = told(pieces, eof)
    ends = [event for event in events if event == "end" or event[0] == "failed"]
    assert len(ends) <= 1
    assert ends == events[-1:] or not ends
    assert ends or not eof
