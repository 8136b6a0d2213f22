"""One HTTP/1.1 connection to a provider: write a request, read its response, say what happened.

A `Response` is the reading half without I/O. Its phases, and what decides them (RFC 9112 section 6.3):

    phase    on                                          becomes
    HEAD     a head with 1xx but not 101                 HEAD (dropped: RFC 9110 section 15.2)
    HEAD     status 101, 204, 304, Content-Length 0      complete; after 101 the connection is no longer HTTP
    HEAD     Transfer-Encoding: chunked                  CHUNKS
    HEAD     Content-Length: n                           LENGTH
    HEAD     neither                                     UNTIL_EOF, so the connection cannot be used again
    LENGTH   n bytes                                     complete; more than n: complete, not reusable
    CHUNKS   the last chunk and its trailers             complete; trailers dropped; more bytes: not reusable
    UNTIL_EOF  a clean EOF                               complete
    any      anything that is not HTTP/1.x               error

llhttp reads heads and chunks, and rejects what smuggling is made of: both lengths, two lengths, a bare LF,
folded lines. Lengths and EOF are counted here, since llhttp does not say where a message ended.

An `UpstreamConnection` is the protocol of a transport, plain or TLS. Reads of all connections go into one buffer
(DESIGN 1). It reports to a `Caller` what concerns the request, and to its `Owner` what concerns the
connection. Nothing is reported from inside the parser, so a callback may cancel whatever it likes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Protocol

import httptools

from oxllm.core.budget import HeldBudget
from oxllm.core.outcome import Failure
from oxllm.gateway.transport import Peer, Transport

SLICE = 64 * 1024
"""Bytes written at once, and the size of the read buffer: what one `send` or `recv` on a fast socket moves
(nginx's `sendfile_max_chunk` and node's highWaterMark are of the same order)."""

HEAD_MAX = 64 * 1024
"""Bytes of all heads of one response together. Providers send 1-4 KiB; node stops at 16, curl at 300."""

HEADERS_MAX = 200
"""Fields in one head. Envoy and Apache stop at 100; a provider behind two CDNs sends 50."""

Headers = list[tuple[bytes, bytes]]
Socket = socket.socket
Segments = Sequence[bytes | memoryview]


class Caller(Protocol):
    """Who made a request. Each of `connected`, `sent` and `head` comes at most once, but for `reconnecting`; exactly
    one of `end` and `failed` comes last, unless the call is cancelled, after which nothing comes."""

    def connected(self) -> None:
        """A connection is there and the request goes out on it. Not called for one that was there before (`reused`)."""

    def may_send(self) -> bool:
        """A new connection is there. False: the request is not to go out, and `failed` comes (Failure.WITHHELD)."""

    def reconnecting(self) -> bool:
        """The connection, which had been idle, was dead: a new one is made, once. `connected` and `sent` come again.
        False: it is not to be made, and `failed` comes (Failure.WITHHELD)."""

    def sent(self) -> None:
        """The last byte of the request was handed over. Not called when the response began before that."""

    def head(self, status: int, headers: Headers) -> None:
        """The response's head, field names lower-case. Interim 1xx are not reported; 101 is."""

    def room(self) -> int:
        """The most bytes that the next read may bring. Asked only while memory for answers is short."""

    def data(self, data: bytes) -> None:
        """The next bytes of the body, never empty, without framing."""

    def end(self) -> None:
        """The response is whole by its framing."""

    def failed(self, failure: Failure, before_response: bool, detail: str) -> None:
        """It broke. `before_response`: not one byte of a response had come. `detail`: own words, or empty."""


class Call(Protocol):
    """One request under way, as its caller sees it."""

    reused: bool
    """Whether it goes over a connection that had been idle: then it is connected from the start."""

    def cancel(self) -> None:
        """Stop; the connection is closed unless the response was whole. No callback follows."""

    def pause(self) -> None:
        """Read no more. At most what is being read, 64 KiB, still comes."""

    def resume(self) -> None:
        """Read again."""


class Owner(Protocol):
    """Who lent the connection to a request."""

    def sent(self) -> None:
        """The last byte of the request was handed over."""

    def answered(self) -> None:
        """The first byte of a response came: the request need not be kept for another try."""

    def finished(self, reusable: bool) -> None:
        """The response is whole. The connection is idle if `reusable`, else already dropped."""

    def broken(self, failure: Failure, before_response: bool, detail: str) -> None:
        """The connection is gone, and the response is not whole."""


class Broken(ConnectionError):
    """A connection that could not be made or kept, in the terms that callers are told."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(failure, detail)
        self.failure = failure
        self.detail = detail


FAILURE_OF_ERRNO = {
    errno.ECONNREFUSED: (Failure.REFUSED, ""),
    errno.ECONNRESET: (Failure.RESET, ""),
    errno.ECONNABORTED: (Failure.RESET, ""),
    errno.EPIPE: (Failure.RESET, ""),
    errno.ETIMEDOUT: (Failure.UNREACHABLE, "no answer from the host"),
    errno.EHOSTUNREACH: (Failure.UNREACHABLE, "no route to the host"),
    errno.ENETUNREACH: (Failure.UNREACHABLE, "no route to the network"),
    errno.EADDRNOTAVAIL: (Failure.UNREACHABLE, "no local address or port left"),
    errno.EACCES: (Failure.UNREACHABLE, "forbidden by a local rule"),
    errno.EPERM: (Failure.UNREACHABLE, "forbidden by a local rule"),
    errno.EMFILE: (Failure.UNREACHABLE, "too many open files here"),
    errno.ENFILE: (Failure.UNREACHABLE, "too many open files here"),
}

DETAIL_OF_LOOKUP = {
    socket.EAI_NONAME: "no such host",
    socket.EAI_AGAIN: "name server does not answer",
}


def broken(error: Exception | None) -> Broken:
    """What an error of the operating system, or None for an EOF, means to a caller."""
    if error is None:
        return Broken(Failure.EOF)
    if isinstance(error, Broken):
        return error
    if isinstance(error, socket.gaierror):
        return Broken(Failure.DNS, DETAIL_OF_LOOKUP.get(error.errno or 0, "lookup failed"))
    number = error.errno if isinstance(error, OSError) else None
    failure, detail = FAILURE_OF_ERRNO.get(number or 0, (Failure.RESET, ""))
    return Broken(failure, detail)


class Phase(Enum):
    """Where in a response the next byte belongs."""

    HEAD = 1
    LENGTH = 2
    CHUNKS = 3
    UNTIL_EOF = 4


HEAD, LENGTH, CHUNKS, UNTIL_EOF = Phase  # on 3.11 each look at an Enum's member takes 0.1 µs

_FRAMING = frozenset((b"connection", b"content-length", b"transfer-encoding"))


class _Message:
    """What llhttp finds. It knows neither parser nor connection, so there is no cycle to collect."""

    __slots__ = ("ended", "extra", "framing", "headers", "pieces", "whole")

    def __init__(self) -> None:
        self.headers: Headers = []
        self.framing: Headers = []
        self.pieces: list[bytes] = []
        self.whole = False
        self.ended = False
        self.extra = False

    on_status = on_chunk_header = on_chunk_complete = None  # httptools looks for each, and a miss takes longer

    def on_message_begin(self) -> None:
        self.extra = self.ended

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.whole:
            return  # a trailer
        name = name.lower()
        self.headers.append((name, value))
        if name in _FRAMING:
            self.framing.append((name, value))

    def on_headers_complete(self) -> None:
        self.whole = True

    def on_body(self, data: bytes) -> None:
        if not self.ended:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.ended = True


class Response:
    """One response being read: bytes in by `feed` and `eof`, what they meant in the attributes."""

    __slots__ = (
        "_barren",
        "_left",
        "_message",
        "_parser",
        "_tail",
        "complete",
        "error",
        "phase",
        "reusable",
        "started",
        "status",
    )

    def __init__(self) -> None:
        self.started = False
        """Whether any byte has come."""
        self.status = 0
        """0 until the final head is whole."""
        self.complete = False
        self.error: str | None = None
        """Why this is not HTTP, in our own words. Nothing fed after it is looked at."""
        self.reusable = False
        """Whether, once complete, the connection is ready for another request."""
        self.phase = HEAD
        self._barren = 0  # bytes since the last that bore fruit: a head's, or a chunk's framing
        self._left = 0
        self._tail = b""
        self._renew()

    def _renew(self) -> None:
        self._message = _Message()
        self._parser = httptools.HttpResponseParser(self._message)

    def take_headers(self) -> Headers:
        """The final head's fields, names lower-case. They are not kept: a stream lasts long, and its head is as large
        as all else."""
        headers, self._message.headers = self._message.headers, []
        self._message.framing = []
        return headers

    def take(self) -> bytes:
        """The body bytes that came since the last call."""
        pieces = self._message.pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return data

    def feed(self, data: bytes | memoryview) -> None:
        """Read on. `data` is not kept."""
        self.started = True
        if self.phase is HEAD:
            data = self._read_head(bytes(data))
        if data and not self.error:
            self._read_body(data)

    def eof(self) -> None:
        """The peer has cleanly said that there is no more."""
        if self.phase is UNTIL_EOF:
            self.complete = True

    def _read_head(self, data: bytes) -> bytes:
        while data and self.phase is HEAD and not self.error and not self.complete:
            data = self._read_some_head(data)
        return data

    def _read_some_head(self, data: bytes) -> bytes:
        """Feed llhttp up to the end of one head, and return the bytes behind it."""
        window = self._tail + data if self._tail else data
        at = window.find(b"\r\n\r\n")
        cut = at + 4 - len(self._tail) if at >= 0 else len(data)
        self._tail = window[-3:] if at < 0 else b""
        self._barren += cut
        message = self._message
        try:
            self._parser.feed_data(data[:cut])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not message.ended:  # a 101 is whole before llhttp refuses to go on
                self.error = "malformed head"
        if self._barren > HEAD_MAX or len(message.headers) > HEADERS_MAX:
            self.error = "head too large"
        elif message.whole != (at >= 0):
            self.error = "malformed head"
        elif at >= 0 and not self.error:
            self._settle(message)
        return data[cut:]

    def _settle(self, message: _Message) -> None:
        """The head is whole: decide how the body ends."""
        status = self._parser.get_status_code()
        version = self._parser.get_http_version()
        if not 100 <= status <= 599 or version not in {"1.1", "1.0"}:
            self.error = "unknown version or status"
        elif status < 200 and status != 101:
            self._renew()
        else:
            self._frame(status, message.framing, version == "1.1")

    def _frame(self, status: int, framing: Headers, keep_alive: bool) -> None:
        phase, left = UNTIL_EOF, 0
        closes = False
        for name, value in framing:
            if name == b"content-length":
                phase, left = LENGTH, int(value)
            elif name == b"transfer-encoding":
                if phase is CHUNKS or value.strip().lower() != b"chunked":
                    self.error = "transfer coding that was not asked for"
                    return
                phase = CHUNKS
            else:
                tokens = [token.strip() for token in value.lower().split(b",")]
                closes = closes or b"close" in tokens
                keep_alive = keep_alive or b"keep-alive" in tokens
        if status in {101, 204, 304}:
            phase, left = LENGTH, 0
        self.status = status
        self.phase = phase
        self._left = left
        self.complete = phase is LENGTH and left == 0
        self.reusable = keep_alive and not closes and status != 101 and phase is not UNTIL_EOF

    def _read_body(self, data: bytes | memoryview) -> None:
        if self.complete:
            self.reusable = False
        elif self.phase is CHUNKS:
            self._read_chunks(data)
        elif self.phase is UNTIL_EOF or len(data) < self._left:
            self._left -= len(data)
            self._message.pieces.append(bytes(data))
        else:
            self._message.pieces.append(bytes(data[: self._left]))
            self.complete = True
            self.reusable = self.reusable and len(data) == self._left

    def _read_chunks(self, data: bytes | memoryview) -> None:
        message = self._message
        self._tail = (self._tail + bytes(data[-5:]))[-5:]
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not message.ended:
                self.error = "malformed chunk"
            message.extra = True
        self.complete = message.ended
        if message.ended:
            # llhttp skips empty lines before a message, so line ends behind this one have to be looked for.
            exact = self._tail.endswith(b"\r\n\r\n") and self._tail[:1] not in {b"\r", b"\n"}
            self.reusable = self.reusable and exact and not message.extra
            return
        self._barren = 0 if message.pieces else self._barren + len(data)
        if self._barren > HEAD_MAX:
            self.error = "chunk framing too large"


class UpstreamConnection(Peer):
    """One connection, made once and lent to one request after another.

    `view` is the read buffer that all connections of a loop share: `get_buffer` and `buffer_updated` come
    in pairs, with nothing between them. `lost` is called once, when the connection is closed for any reason.
    While `held` is full the caller says how much a read may bring.
    """

    __slots__ = (
        "_caller",
        "_error",
        "_headed",
        "_held",
        "_lost",
        "_owner",
        "_response",
        "_rest",
        "_stuck",
        "_transport",
        "_view",
        "_waiter",
        "babbled",
        "idle_since",
        "proxied",
        "socket",
    )

    def __init__(
        self,
        view: memoryview,
        lost: Callable[[UpstreamConnection], None],
        proxied: bool = False,
        held: HeldBudget | None = None,
    ) -> None:
        self._view = view
        self._held = held or HeldBudget()
        self._lost = lost
        self.proxied = proxied
        """Whether requests go in plain HTTP to a proxy: a 407 is then the proxy's."""
        self._transport: Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: Broken | None = None
        self._owner: Owner | None = None
        self._caller: Caller | None = None
        self._response: Response | None = None
        self._rest: Iterator[bytes | memoryview] | None = None
        self._stuck = False
        self._headed = False
        self.babbled = False
        """Whether bytes came that nobody had asked for."""
        self.idle_since = 0.0
        self.socket: Socket | None = None
        """What it all goes over, under whatever layers of TLS, if there is such a thing."""

    async def opened(self) -> None:
        """Wait until requests can go out, through proxy and handshake. Raises Broken."""
        if self._transport is None and self._error is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error

    @property
    def usable(self) -> bool:
        """Open, as far as we know."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def quiet(self) -> bool:
        """Nothing has come while it was idle: no end, and no bytes that would pass for the next request's answer."""
        return self.socket is None or not readable(self.socket)

    @property
    def sent(self) -> bool:
        """Whether the whole request has been handed over."""
        return self._rest is None

    def start(self, head: bytes, segments: Segments, caller: Caller, owner: Owner) -> None:
        """Write a request: at once if it is small, else in slices as the socket takes them."""
        assert self._transport is not None
        assert self._owner is None
        self._caller = caller
        self._owner = owner
        self._response = Response()
        self._headed = False
        if len(head) + sum(map(len, segments)) <= SLICE:
            self._transport.write(b"".join((head, *segments)))
        else:
            self._rest = _slices(head, segments)
            self._pump()

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Take leave of an idle connection."""
        self._forget(self._transport.close if self._transport is not None else None)

    def drop(self) -> None:
        """Close at once, whatever is under way. Nothing is reported but `lost`."""
        self._forget(self._transport.abort if self._transport is not None else None)

    def _forget(self, end: Callable[[], None] | None) -> None:
        self._transport = self._owner = self._caller = self._response = self._rest = None
        if end is not None:
            end()
            self._lost(self)

    # asyncio's side

    def connection_made(self, transport: Transport) -> None:
        transport.set_write_buffer_limits(0)
        self._transport = transport
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._held.full and self._caller is not None:
            return self._view[: self._caller.room()]
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        response = self._response
        if response is None:
            self.babbled = True
            self.drop()
        else:
            if not response.started and self._owner is not None:
                self._owner.answered()
            response.feed(self._view[:nbytes])
            self._report(response)

    def eof_received(self) -> None:
        response = self._response
        if response is None:
            self.drop()
            return
        response.eof()
        if response.complete:
            self._report(response)
        else:
            self._fail(Broken(Failure.EOF))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None and isinstance(exc, OSError):
            read_last(self._transport, self)
        if self._transport is None:
            self._error = self._error or broken(exc)
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        elif self._response is None:
            self.drop()
        else:
            self._fail(broken(exc))

    def pause_writing(self) -> None:
        self._stuck = True

    def resume_writing(self) -> None:
        self._stuck = False
        self._pump()

    # What it means

    def _pump(self) -> None:
        while self._rest is not None and not self._stuck and self.usable:
            assert self._transport is not None
            piece = next(self._rest, None)
            if piece is not None:
                self._transport.write(piece)
                continue
            self._rest = None
            if self._owner is not None:
                self._owner.sent()

    def _report(self, response: Response) -> None:
        """Tell the caller what `response` has become, as long as it wants to hear it."""
        caller = self._caller
        assert caller is not None
        if response.status and not self._report_head(response, caller):
            return
        data = response.take()
        if data:
            caller.data(data)
            if self._response is not response:
                return
        if response.error is not None:
            self._fail(Broken(Failure.PROTOCOL, response.error))
        elif response.complete:
            self._finish(response.reusable)

    def _report_head(self, response: Response, caller: Caller) -> bool:
        """Report the head if it has not been. False when the call is over after that."""
        if self._headed:
            return True
        self._headed = True
        if self.proxied and response.status == 407:
            self._fail(Broken(Failure.PROXY, "HTTP 407"))
            return False
        if self._rest is not None:
            self._rest = None
            response.reusable = False
        caller.head(response.status, response.take_headers())
        return self._response is response

    def _finish(self, reusable: bool) -> None:
        owner, transport = self._owner, self._transport
        assert owner is not None
        assert transport is not None
        if reusable and transport.get_write_buffer_size() == 0 and not transport.is_closing():
            self._owner = self._caller = self._response = None
            owner.finished(True)
        else:
            self.drop()
            owner.finished(False)

    def _fail(self, error: Broken) -> None:
        owner, response = self._owner, self._response
        assert owner is not None
        assert response is not None
        self.drop()
        where = "in the head" if response.phase is HEAD else "in the body"
        owner.broken(error.failure, not response.started, error.detail or (where if response.started else ""))


def readable(sock: Socket) -> bool:
    """Whether the peer has sent something, or its end, that nobody has read yet. (`select.select` stops at 1,024.)"""
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def read_last(transport: Transport, peer: Peer) -> None:
    """Read once what the peer had sent before it broke the connection, from within `connection_lost`.

    A server that answers 413 or 401 without reading the body and closes resets the connection. The next write
    then fails, and asyncio gives up without looking at the answer, which the kernel still has.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            count = os.readv(sock.fileno(), [peer.get_buffer(-1)])
            if count:
                peer.buffer_updated(count)


def _slices(head: bytes, segments: Segments) -> Iterator[bytes | memoryview]:
    yield head
    for segment in segments:
        if len(segment) <= SLICE:
            yield segment
        else:
            view = memoryview(segment)
            for start in range(0, len(view), SLICE):
                yield view[start : start + SLICE]
