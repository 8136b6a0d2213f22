"""Reads one HTTP/1.1 response, without I/O. Its phases, and what ends each (RFC 9112 section 6.3):

    phase    on                                          becomes
    HEAD     a head with 1xx but not 101                 HEAD (dropped: RFC 9110 section 15.2)
    HEAD     status 101, 204, 304, Content-Length 0      complete; after 101 the connection is no longer HTTP, and after
                                                         a 204 or 304 that announces a body it is not reusable
    HEAD     Transfer-Encoding: chunked                  CHUNKS; in HTTP/1.0 not reusable (section 6.1)
    HEAD     Content-Length: n                           LENGTH
    HEAD     neither                                     UNTIL_EOF, so the connection cannot be used again
    LENGTH   n bytes                                     complete; more than n: complete, not reusable
    CHUNKS   the last chunk and its trailers             complete; trailers dropped; more bytes: not reusable
    CHUNKS   the last chunk, and a clean EOF             complete, whatever of the trailers is missing (section 8)
    UNTIL_EOF  a clean EOF                               complete
    any      anything that is not HTTP/1.x               error

llhttp reads heads and chunks, and rejects the stuff of request smuggling: both kinds of length, two lengths, a bare LF,
folded lines. Lengths and EOF are tracked here, since llhttp does not say where a message ended. Framing is decided here
alone: a fresh parser, primed with a head that says `chunked`, reads the chunks. A complete head of the usual form, and
a read that is exactly one chunk, are parsed without llhttp (`usual`).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import httptools

from oxllm.core.reading.hints import Headers
from oxllm.core.request.headers import FIELD_OVERHEAD, HEAD_FREE
from oxllm.gateway.upstream import usual

HEAD_MAX: Final = 64 * 1024
"""Bytes of all heads of one response together. Providers send 1-4 KiB; node stops at 16 KiB, curl at 300."""

HEADERS_MAX: Final = 200
"""Fields in one head. Envoy and Apache stop at 100; a provider behind two CDNs sends 50."""


LENGTH_DIGITS_MAX: Final = 20
"""Digits of a Content-Length: 2**64 has 20. llhttp takes any number of leading zeros, int() only 4,300 digits."""

START: Final = 8
"""Bytes that show whether a head is one of HTTP: an empty line, then `HTTP/`."""


class Phase(Enum):
    """Where in a response the next byte belongs."""

    HEAD = 1
    LENGTH = 2
    CHUNKS = 3
    UNTIL_EOF = 4


HEAD: Final[Phase] = Phase.HEAD  # on 3.11 each look at an Enum's member takes 0.1 µs
LENGTH: Final[Phase] = Phase.LENGTH
CHUNKS: Final[Phase] = Phase.CHUNKS
UNTIL_EOF: Final[Phase] = Phase.UNTIL_EOF

_FRAMING: Final = frozenset((b"connection", b"content-length", b"transfer-encoding"))


PRIMER: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
"""A head fed to a fresh llhttp, so that it goes on to read chunks."""


class _Message:
    """What llhttp finds. Refers to neither parser nor connection, so there is no reference cycle."""

    __slots__ = ("between", "ended", "extra", "framing", "headers", "pieces", "start", "whole")

    def __init__(self) -> None:
        self.start = b""
        """The first bytes of its head: llhttp reads RTSP and ICE, too, and does not say which it was."""
        self.headers: list[tuple[bytes, bytes]] = []
        self.framing: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.whole = False
        self.between = False
        """A chunk has ended, and the size line of the next has not been read."""
        self.ended = False
        self.extra = False

    on_status = None  # httptools looks it up, and a miss takes longer

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

    def on_chunk_header(self) -> None:
        self.between = False

    def on_chunk_complete(self) -> None:
        self.between = True

    def on_body(self, data: bytes) -> None:
        if not self.ended:
            self.pieces.append(data)

    def on_message_complete(self) -> None:
        self.ended = True


class Response:
    """One response being read: bytes go in through `feed` and `eof`, what they mean comes out as attributes."""

    __slots__ = (
        "_between",
        "_body",
        "_fields",
        "_fruitless",
        "_left",
        "_message",
        "_parser",
        "_tail",
        "complete",
        "error",
        "overran",
        "phase",
        "reusable",
        "started",
        "status",
    )

    def __init__(self) -> None:
        self.started = False
        """Whether any byte has come."""
        self.status = 0
        """0 until the final head is complete."""
        self.complete = False
        self.error: str | None = None
        """Why this is not HTTP, in our own words. Anything fed afterwards is ignored."""
        self.reusable = False
        """Whether, once complete, the connection is ready for another request."""
        self.overran = False
        """Whether unsolicited bytes followed its end; the connection is not reusable then."""
        self.phase = HEAD
        self._between = False
        """The next byte begins a chunk's size line."""
        self._body = b""
        self._fields: Headers | None = None
        self._fruitless = 0  # bytes since the last body byte: of heads, or of chunk framing
        self._left = 0
        self._tail = b""
        self._message: _Message | None = None
        self._parser: httptools.HttpResponseParser | None = None
        """Made when needed."""

    @property
    def head_weight(self) -> int:
        """Bytes that an incomplete head takes, beyond HEAD_FREE: its own, and those of the objects made of it."""
        fields = 0 if self._message is None else len(self._message.headers)
        return max(0, self._fruitless + FIELD_OVERHEAD * fields - HEAD_FREE)

    def pop_headers(self) -> Headers:
        """The final head's fields, names in lower case. Not kept: a stream lasts long, and its head is as large as all
        the rest of it in memory."""
        fields, self._fields = self._fields, None
        return fields or []

    def pop_body(self) -> bytes:
        """The body bytes that have come since the last call."""
        data, self._body = self._body, b""
        return data

    def feed(self, data: bytes) -> None:
        """Read the next bytes."""
        self.started = True
        if self.phase is HEAD:
            data = self._read_head(data)
            if self.complete and not data:
                return
        if data and not self.error:
            self._read_body(data)

    def chunk(self, data: bytes) -> bytes:
        """The body bytes in `data`, if that is exactly one chunk and not the last. Else nothing, and `data` must be
        fed."""
        return usual.chunk(data) if self._between else b""

    def eof(self) -> None:
        """The peer has ended the connection cleanly."""
        if self.phase is UNTIL_EOF:
            self.complete = True
        elif self.phase is CHUNKS and not self.complete:
            self.complete = self._lacks_only_trailers()
            self.reusable = False

    def _lacks_only_trailers(self) -> bool:
        """The last chunk has come: nothing but the end of a field, and of all fields, is missing for llhttp."""
        parser, message = self._parser, self._message
        if parser is None or message is None or self.error:
            return False
        tail = self._tail
        try:
            parser.feed_data(b"\r\n" if tail.endswith(b"\r\n") else b"\n\r\n" if tail.endswith(b"\r") else b":\r\n\r\n")
        except httptools.HttpParserError:
            return False
        return message.ended

    def _read_head(self, data: bytes) -> bytes:
        if not self._fruitless:
            lines, end, behind = data.partition(b"\r\n\r\n")
            head = usual.head(lines) if end and len(lines) <= HEAD_MAX - 4 else None
            if head is not None:
                return self._begin(head, behind)
        while data and self.phase is HEAD and not self.error and not self.complete:
            data = self._read_some_head(data)
        return data

    def _begin(self, head: usual.Head, behind: bytes) -> bytes:
        """The head is complete, and a usual one. Returns what remains to be read of the bytes behind it."""
        self.status, self._fields, length, closes = head
        self.reusable = not closes
        if length < 0:
            self.phase = CHUNKS
            self._between = True
            return behind
        self.phase = LENGTH
        self._left = length
        if length == len(behind):
            self._body = behind
            self.complete = True
            return b""
        self.complete = not length
        return behind

    def _llhttp(self) -> httptools.HttpResponseParser:
        """The parser, ready for what comes next."""
        parser = self._parser
        if parser is None:
            self._message = _Message()
            parser = self._parser = httptools.HttpResponseParser(self._message)
            if self.phase is CHUNKS:
                parser.feed_data(PRIMER)
        return parser

    def _read_some_head(self, data: bytes) -> bytes:
        """Feed llhttp up to the end of one head. Returns the bytes behind it."""
        window = self._tail + data if self._tail else data
        at = window.find(b"\r\n\r\n")
        cut = at + 4 - len(self._tail) if at >= 0 else len(data)
        self._tail = window[-3:] if at < 0 else b""
        self._fruitless += cut
        parser = self._llhttp()
        message = self._message
        assert message is not None
        if len(message.start) < START:
            message.start = (message.start + data[: min(cut, START)])[:START]
        try:
            parser.feed_data(data[:cut])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not message.ended:  # a 101 is complete by the time llhttp refuses to go on
                self.error = "malformed head"
        if self._fruitless > HEAD_MAX or len(message.headers) > HEADERS_MAX:
            self.error = "head too large"
        elif message.whole != (at >= 0):
            self.error = "malformed head"
        elif at >= 0 and not self.error:
            self._settle(parser, message)
        return data[cut:]

    def _settle(self, parser: httptools.HttpResponseParser, message: _Message) -> None:
        """The head is complete: decide the body's framing."""
        status = parser.get_status_code()
        version = parser.get_http_version()
        http = message.start.lstrip(b"\r\n").startswith(b"HTTP/")  # it may begin with an empty line
        if not 100 <= status <= 599 or version not in {"1.1", "1.0"} or not http:
            self.error = "unknown version or status"
        elif status < 200 and status != 101:
            self._parser = None
        else:
            self._fields, message.headers = message.headers, []
            self._frame(status, message.framing, version == "1.0")
            if self.phase is CHUNKS:
                self._parser = self._message = None  # it may have missed that: it trips over a tab after `chunked`

    def _frame(self, status: int, framing: Headers, http10: bool) -> None:
        phase, left = UNTIL_EOF, 0
        keep_alive = not http10
        closes = False
        for name, value in framing:
            if name == b"content-length":
                if len(value.strip()) > LENGTH_DIGITS_MAX:
                    self.error = "a length of too many digits"
                    return
                phase, left = LENGTH, int(value)
            elif name == b"transfer-encoding":
                if phase is CHUNKS or value.strip().lower() != b"chunked":
                    self.error = "transfer coding that was not asked for"
                    return
                phase = CHUNKS
                closes = closes or http10
            else:
                tokens = [token.strip() for token in value.lower().split(b",")]
                closes = closes or b"close" in tokens
                keep_alive = keep_alive or b"keep-alive" in tokens
        if status in {101, 204, 304}:
            closes = closes or phase is CHUNKS or left > 0
            phase, left = LENGTH, 0
        self.status = status
        self.phase = phase
        self._left = left
        self._between = phase is CHUNKS
        self.complete = phase is LENGTH and left == 0
        self.reusable = keep_alive and not closes and status != 101 and phase is not UNTIL_EOF

    def _read_body(self, data: bytes) -> None:
        if self.complete:
            self._overrun()
        elif self.phase is CHUNKS:
            self._read_chunks(data)
        elif self.phase is UNTIL_EOF or len(data) < self._left:
            self._left -= len(data)
            self._body += data
        else:
            self.complete = True
            self._body += data[: self._left]
            if len(data) > self._left:
                self._overrun()

    def _overrun(self) -> None:
        self.overran = True
        self.reusable = False

    def _read_chunks(self, data: bytes) -> None:
        if not self._between:
            self._read_some_chunks(data)
        elif data == usual.LAST_CHUNK:
            self.complete = True
        elif part := usual.chunks(data):
            self._body += part
            self._fruitless = 0
        else:
            self._read_some_chunks(data)

    def _read_some_chunks(self, data: bytes) -> None:
        """Feed llhttp."""
        parser = self._llhttp()
        message = self._message
        assert message is not None
        self._tail = (self._tail + data[-5:])[-5:]
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            if not message.ended:
                self.error = "malformed chunk"
            message.extra = True
        if message.pieces:
            self._body += b"".join(message.pieces)
            message.pieces.clear()
            self._fruitless = 0
        else:
            self._fruitless += len(data)
        self._between = message.between and data.endswith(b"\r\n")
        self.complete = message.ended
        if message.ended:
            # llhttp skips empty lines before a message, so line ends after this one must be looked for here.
            exact = self._tail.endswith(b"\r\n\r\n") and self._tail[:1] not in {b"\r", b"\n"}
            if message.extra or not exact:
                self._overrun()
        elif self._fruitless > HEAD_MAX:
            self.error = "chunk framing too large"
