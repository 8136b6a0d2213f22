"""One connection: what is written, what is read, and what its caller is told."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from oxllm.core.budget.answers import HeldBudget
from oxllm.core.reading.outcome import Failure
from oxllm.gateway.upstream.connection import SLICE, UpstreamConnection
from oxllm.gateway.upstream.failure import Broken, broken
from oxllm.gateway.upstream.llhttp import HEAD_MAX, HEADERS_MAX
from oxllm.gateway.upstream.response import Response
from tests.support.virtual import MemoryTransport, VirtualLoop
from tests.unit.gateway.fakes import BareLender, Recorder

OK = b"HTTP/1.1 200 OK\r\n"


class Rig:
    """A connection over a fake transport, and a request on it."""

    def __init__(self, loop: VirtualLoop, proxied: bool = False) -> None:
        self.lost: list[UpstreamConnection] = []
        self.caller = Recorder()
        self.lender = BareLender(self.caller)
        self.connection = UpstreamConnection(memoryview(bytearray(SLICE)), HeldBudget(), self.lost.append, proxied)
        self.transport = MemoryTransport(loop, self.connection)
        self.connection.connection_made(self.transport)

    def start(self, head: bytes = b"POST / HTTP/1.1\r\n\r\n", *segments: bytes | memoryview) -> None:
        self.connection.start(head, segments, self.caller, self.lender)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def rig(loop: VirtualLoop) -> Rig:
    return Rig(loop)


def read(*pieces: bytes, eof: bool = False) -> Response:
    response = Response()
    for piece in pieces:
        response.feed(piece)
    if eof:
        response.eof()
    return response


# What is read


def test_a_body_of_known_length_is_complete_with_its_last_byte() -> None:
    response = read(OK + b"Content-Length: 3\r\nX-Two:  b \r\n\r\nab")
    assert (response.status, response.complete) == (200, False)
    assert response.pop_headers() == [(b"content-length", b"3"), (b"x-two", b"b ")]
    response.feed(b"c")
    assert response.pop_body() == b"abc"
    assert (response.complete, response.reusable) == (True, True)


def test_a_chunked_body_is_unwrapped_and_its_trailers_are_dropped() -> None:
    response = read(OK + b"transfer-encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\n\r\n")
    assert response.pop_body() == b"abcd"
    assert response.pop_headers() == [(b"transfer-encoding", b"Chunked")]
    assert (response.complete, response.reusable) == (True, True)


def test_a_body_without_length_is_complete_only_at_eof_and_the_connection_is_done() -> None:
    response = read(OK + b"\r\nabc")
    assert not response.complete
    response.eof()
    assert response.pop_body() == b"abc"
    assert (response.complete, response.reusable) == (True, False)


@pytest.mark.parametrize(
    "cut",
    [b"", b"HTTP/1.1 2", OK + b"Content-Length: 3\r\n\r\nab", OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
)
def test_eof_before_the_announced_end_is_not_complete(cut: bytes) -> None:
    assert not read(cut, eof=True).complete


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("trailers", [b"", b"X", b"X-T: a", b"X-T: a\r", b"X-T: a\r\n", b"X-T: a\r\nY"])
@pytest.mark.parametrize("last", [b"0\r\n", b"0;x=y\r\n", b"000\r\n"])
def test_eof_in_the_trailers_is_the_end_of_a_whole_body(last: bytes, trailers: bytes) -> None:
    response = read(CHUNKED + b"3\r\nabc\r\n", last + trailers)
    assert not response.complete
    response.eof()
    assert response.pop_body() == b"abc"
    assert (response.complete, response.reusable, response.overran) == (True, False, False)


@pytest.mark.parametrize("left", [b"", b"3", b"3\r\n", b"2\r\n", b"4\r\n", b"3\r\na", b"3\r\nabc", b"3\r\nabc\r", b"0"])
def test_eof_before_the_last_chunk_is_none(left: bytes) -> None:
    response = read(CHUNKED + b"3\r\nabc\r\n", left, eof=True)
    assert not response.complete


def test_interim_responses_are_skipped() -> None:
    response = read(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK + b"content-length: 0\r\n\r\n"
    )
    assert (response.status, response.pop_headers()) == (200, [(b"content-length", b"0")])
    assert response.complete


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 101 S\r\n\r\n", b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"]
)
def test_a_101_is_reported_without_body_and_ends_the_connection(head: bytes) -> None:
    response = read(head + b"\x00\x01")
    assert (response.status, response.complete, response.reusable, response.pop_body()) == (101, True, False, b"")


@pytest.mark.parametrize("status", [b"204", b"304"])
@pytest.mark.parametrize(
    ("framing", "reusable"),
    [
        (b"", True),
        (b"Content-Length: 0\r\n", True),
        (b"Content-Length: 7\r\n", False),
        (b"Transfer-Encoding: chunked\r\n", False),
    ],
)
def test_a_204_or_304_has_no_body_and_one_that_announces_some_is_not_trusted_with_another_request(
    status: bytes, framing: bytes, reusable: bool
) -> None:
    response = read(b"HTTP/1.1 " + status + b" x\r\n" + framing + b"\r\n")
    assert (response.complete, response.pop_body(), response.reusable) == (True, b"", reusable)


@pytest.mark.parametrize("value", [b"chunked", b"\tchunked", b"chunked\t", b" Chunked \t "])
def test_chunks_are_read_as_such_whatever_white_space_is_around_the_coding(value: bytes) -> None:
    """RFC 9112 section 5: optional white space is spaces and tabs. llhttp knows a coding only without a tab behind."""
    data = OK + b"Transfer-Encoding:" + value + b"\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n"
    for at in range(1, len(data)):
        response = read(data[:at], data[at:])
        assert (response.pop_body(), response.complete, response.reusable) == (b"hello", True, True)


def test_chunks_in_http_10_are_read_and_nothing_is_asked_behind_them() -> None:
    """RFC 9112 section 6.1: the framing of such a message is to be taken for faulty."""
    response = read(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    )
    assert (response.pop_body(), response.complete, response.reusable) == (b"a", True, False)


@pytest.mark.parametrize(
    "whole",
    [
        OK + b"Content-Length: 1\r\n\r\na",
        OK + b"Content-Length: 0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n",
    ],
)
@pytest.mark.parametrize("extra", [b"x", b"\r\n", b"\n", b"\r", OK + b"Content-Length: 1\r\n\r\nb", OK + b"\r\n"])
def test_bytes_after_a_response_are_not_its_body_and_end_the_connection(whole: bytes, extra: bytes) -> None:
    plain = read(whole)
    assert (plain.reusable, plain.overran) == (True, False)
    body = plain.pop_body()
    for at in range(len(whole)):
        response = read(whole[:at], whole[at:] + extra)
        assert (response.complete, response.reusable, response.overran) == (True, False, True)
        assert response.pop_body() == body


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection:\tclose\t,x\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: closed\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_keep_alive_is_what_version_and_connection_header_say(head: bytes, reusable: bool) -> None:
    assert read(head + b"Content-Length: 0\r\n\r\n").reusable is reusable


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-x\r\n",
        b"\r\n\r\n" + OK + b"\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"ICE/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nRTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n",
        OK + b"Content-Length: +3\r\n\r\n",
        OK + b"Content-Length: 3, 3\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999\r\n\r\n",
        OK + b"Content-Length: " + b"0" * 4400 + b"3\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\n",
        OK + b"a: b\n\r\n",
        OK + b"a: b\r\n c\r\n\r\n",
        OK + b"a b: c\r\n\r\n",
        OK + b"a: \x00\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\na\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ],
)
def test_what_is_not_http_is_an_error_whole_or_byte_by_byte(garbage: bytes) -> None:
    whole = read(garbage)
    assert whole.error
    assert not whole.complete
    assert (whole.status == 200) == ("chunk" in whole.error)
    assert read(*(bytes((byte,)) for byte in garbage)).error == whole.error


def test_heads_may_be_as_large_as_the_limit_and_no_larger() -> None:
    def head(size: int) -> bytes:
        return OK + b"a: " + b"x" * (size - len(OK) - 7) + b"\r\n\r\n"

    assert len(head(HEAD_MAX)) == HEAD_MAX
    assert read(head(HEAD_MAX)).status == 200
    assert read(head(HEAD_MAX + 1)).error == "head too large"
    assert read(b"HTTP/1.1 100 C\r\n\r\n", head(HEAD_MAX)).error == "head too large"


def test_heads_may_have_as_many_fields_as_the_limit_and_no_more() -> None:
    assert read(OK + b"a: b\r\n" * HEADERS_MAX + b"\r\n").status == 200
    assert read(OK + b"a: b\r\n" * (HEADERS_MAX + 1) + b"\r\n").error == "head too large"


def test_chunk_framing_without_end_is_an_error_and_does_not_pile_up() -> None:
    response = read(OK + b"Transfer-Encoding: chunked\r\n\r\n1;")
    for _ in range(HEAD_MAX // 1000 + 1):
        response.feed(b"x" * 1000)
    assert response.error == "chunk framing too large"


# What the caller is told


def test_a_small_request_is_one_write_and_its_response_leaves_the_connection_idle(rig: Rig) -> None:
    rig.start(b"POST / HTTP/1.1\r\n\r\n", b"{", memoryview(b"}"))
    assert bytes(rig.transport.written) == b"POST / HTTP/1.1\r\n\r\n{}"
    assert rig.connection.sent
    rig.transport.deliver(OK + b"content-length: 2\r\n\r\nhi")
    assert rig.caller.events == [("head", 200, [(b"content-length", b"2")]), ("data", b"hi"), "end"]
    assert (rig.lender.reusable, rig.lost) == (True, [])


def test_a_big_body_goes_out_in_slices_as_the_socket_takes_them(rig: Rig) -> None:
    body = bytes(range(256)) * 1024
    rig.transport.room = 100_000
    rig.start(b"head", body[:100], memoryview(body)[100:])
    assert not rig.connection.sent
    assert len(rig.transport.unsent) <= SLICE
    while len(rig.transport.written) < len(body) + 4:
        assert not rig.connection.sent
        rig.transport.take(10_000)
        assert len(rig.transport.unsent) <= SLICE
    assert bytes(rig.transport.written) == b"head" + body
    assert rig.transport.largest_write == SLICE
    assert rig.caller.events == ["sent"]
    assert rig.caller.taken >= len(body) // SLICE - 1, "at each slice that is taken"


def test_a_response_before_the_request_is_sent_stops_the_sending_and_the_connection(rig: Rig) -> None:
    rig.transport.room = 70_000
    rig.start(b"head", b"x" * 1_000_000)
    rig.transport.deliver(b"HTTP/1.1 100 Continue\r\n\r\n")
    rig.transport.take(70_000)
    rig.transport.deliver(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nn")
    rig.transport.take(1_000_000)
    assert len(rig.transport.written) < 300_000
    rig.transport.deliver(b"o")
    assert rig.caller.names == ["sent", "head", "data", "end"]
    assert rig.caller.taken == 1, "what was taken before"
    assert rig.lender.reusable is False
    assert rig.transport.aborted


def test_a_request_that_is_still_in_our_buffer_when_its_answer_is_whole_ends_the_connection(rig: Rig) -> None:
    rig.transport.room = 10
    rig.start(b"POST / HTTP/1.1\r\n\r\n", b"{}")
    rig.transport.deliver(OK + b"content-length: 0\r\n\r\n")
    assert rig.caller.names == ["head", "end"]
    assert (rig.lender.reusable, rig.transport.aborted) == (False, True)


@pytest.mark.parametrize("phase", ["head", "data", "end"])
def test_dropping_from_within_a_callback_is_the_last_of_it(rig: Rig, phase: str) -> None:
    rig.caller.on[phase] = rig.connection.drop
    rig.start()
    rig.transport.deliver(OK + b"content-length: 2\r\n\r\nh")
    rig.transport.deliver(b"i" + b"extra")
    assert rig.caller.names[-1] == phase
    assert rig.lost == [rig.connection]


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Timeout\r\n\r\n", b"\r\n"])
def test_bytes_on_an_idle_connection_close_it_quietly(rig: Rig, unasked: bytes) -> None:
    rig.transport.deliver(unasked)
    assert (rig.lost, rig.transport.aborted, rig.caller.events) == ([rig.connection], True, [])


def test_eof_or_reset_on_an_idle_connection_closes_it_quietly(loop: VirtualLoop) -> None:
    for end in (MemoryTransport.eof, lambda transport: transport.lose(ConnectionResetError(errno.ECONNRESET, ""))):
        rig = Rig(loop)
        end(rig.transport)
        loop.settle()
        assert (rig.lost, rig.caller.events) == ([rig.connection], [])


@pytest.mark.parametrize(
    ("received", "before", "where"),
    [(b"", True, ""), (b"HTTP", False, "in the head"), (OK + b"Content-Length: 9\r\n\r\na", False, "in the body")],
)
def test_eof_and_reset_tell_how_far_the_response_had_come(
    loop: VirtualLoop, received: bytes, before: bool, where: str
) -> None:
    closed, reset = Rig(loop), Rig(loop)
    for rig in (closed, reset):
        rig.start()
        rig.transport.deliver(received)
    closed.transport.eof()
    reset.transport.lose(ConnectionResetError(errno.ECONNRESET, "by peer"))
    loop.settle()
    assert closed.caller.events[-1] == ("failed", Failure.EOF, before, where)
    assert reset.caller.events[-1] == ("failed", Failure.RESET, before, where)
    assert closed.lost == [closed.connection]
    assert reset.lost == [reset.connection]


def test_what_came_before_garbage_is_still_told(rig: Rig) -> None:
    rig.start()
    rig.transport.deliver(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n")
    assert rig.caller.names == ["head", "data", "failed"]
    assert rig.caller.events[-1] == ("failed", Failure.PROTOCOL, False, "malformed chunk")
    assert rig.transport.aborted


def test_an_eof_ends_a_body_without_length_but_a_reset_breaks_it(loop: VirtualLoop) -> None:
    closed, reset = Rig(loop), Rig(loop)
    for rig in (closed, reset):
        rig.start()
        rig.transport.deliver(OK + b"\r\nabc")
    closed.transport.eof()
    reset.transport.lose(ConnectionResetError(errno.ECONNRESET, "by peer"))
    assert closed.caller.names == ["head", "data", "end"]
    assert closed.lender.reusable is False
    assert reset.caller.names == ["head", "data", "failed"]


def test_a_407_of_a_plain_proxy_is_the_proxys(loop: VirtualLoop) -> None:
    rig = Rig(loop, proxied=True)
    rig.start()
    rig.transport.deliver(b"HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n")
    assert rig.caller.events == [("failed", Failure.PROXY, False, "HTTP 407")]


def test_a_broken_socket_stops_the_writing_of_a_big_body(rig: Rig) -> None:
    rig.transport.closing = True
    rig.start(b"head", b"x" * 1_000_000)
    assert rig.transport.largest_write == 0
    assert not rig.connection.sent


def test_a_connection_lost_before_it_was_ready_says_why() -> None:
    connection = UpstreamConnection(memoryview(bytearray(SLICE)), HeldBudget(), lambda _: None)
    told: list[str] = []
    connection.tell(lambda: told.append("settled"))
    assert not connection.opened
    connection.connection_lost(Broken(Failure.TLS, "certificate expired"))
    assert told == ["settled"]
    with pytest.raises(Broken) as caught:
        _ = connection.opened
    assert (caught.value.failure, caught.value.detail) == (Failure.TLS, "certificate expired")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (None, Failure.EOF),
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), Failure.REFUSED),
        (OSError(errno.EHOSTUNREACH, ""), Failure.UNREACHABLE),
        (TimeoutError(errno.ETIMEDOUT, ""), Failure.UNREACHABLE),
        (BrokenPipeError(errno.EPIPE, ""), Failure.RESET),
        (OSError(errno.EIO, ""), Failure.RESET),
        *((OSError(number, ""), Failure.LOCAL) for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)),
        *((OSError(number, ""), Failure.LOCAL) for number in (errno.EADDRNOTAVAIL, errno.EACCES, errno.EPERM)),
        (socket.gaierror(errno.EMFILE, ""), Failure.LOCAL),
        (socket.gaierror(socket.EAI_MEMORY, ""), Failure.LOCAL),
        (socket.gaierror(socket.EAI_NONAME, ""), Failure.DNS),
        (Broken(Failure.PROXY), Failure.PROXY),
    ],
)
def test_errors_of_the_system_have_one_meaning(error: OSError | None, failure: Failure) -> None:
    assert broken(error).failure is failure


@pytest.mark.skipif(not hasattr(socket, "EAI_NODATA"), reason="a code of glibc's")
def test_a_name_without_an_address_is_said_to_be_one() -> None:
    assert broken(socket.gaierror(socket.EAI_NODATA, "")).detail == "the host has no address"
