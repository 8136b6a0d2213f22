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

A complete head of the usual form, and a read that is exactly one chunk, are parsed by `fast_path`, all others by
`llhttp`. Framing is decided here alone. Lengths and EOF are tracked here: llhttp does not say where a message ended.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from oxllm.core.reading.hints import Headers
from oxllm.core.request.headers import HEAD_FREE
from oxllm.gateway.upstream import fast_path
from oxllm.gateway.upstream.llhttp import HEAD_MAX, Llhttp

LENGTH_DIGITS_MAX: Final = 20
"""Digits of a Content-Length: 2**64 has 20. llhttp takes any number of leading zeros, int() only 4,300 digits."""


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


class Response:
    """One response being read: bytes go in through `feed` and `eof`, what they mean comes out as attributes."""

    __slots__ = (
        "_between",
        "_body",
        "_fields",
        "_left",
        "_llhttp",
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
        self._left = 0
        """Body bytes still to come, if their number is declared."""
        self._llhttp: Llhttp | None = None
        """Made when something is not usual."""

    @property
    def head_weight(self) -> int:
        """Bytes that an incomplete head takes, beyond HEAD_FREE: its own, and those of the objects made of it."""
        return 0 if self._llhttp is None else max(0, self._llhttp.head_weight - HEAD_FREE)

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
        return fast_path.chunk(data) if self._between else b""

    def eof(self) -> None:
        """The peer has ended the connection cleanly."""
        if self.phase is UNTIL_EOF:
            self.complete = True
        elif self.phase is CHUNKS and not self.complete:
            self.complete = self._llhttp is not None and not self.error and self._llhttp.lacks_only_trailers()
            self.reusable = False

    def _read_head(self, data: bytes) -> bytes:
        """Read up to the end of the head, or of the data. Returns the bytes behind it."""
        llhttp = self._llhttp
        if llhttp is None:
            lines, end, behind = data.partition(b"\r\n\r\n")
            head = fast_path.head(lines) if end and len(lines) <= HEAD_MAX - 4 else None
            if head is not None:
                return self._begin(head, behind)
            llhttp = self._llhttp = Llhttp()
        while data and self.phase is HEAD and not self.error:
            data = llhttp.head(data)
            self.error = llhttp.error
            if llhttp.found.whole and not self.error:
                self._settle(llhttp)
        return data

    def _begin(self, head: fast_path.Head, behind: bytes) -> bytes:
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

    def _settle(self, llhttp: Llhttp) -> None:
        """A head is whole: drop it if it is an interim one, else decide the body's framing."""
        status, version, found = llhttp.status, llhttp.version, llhttp.found
        if not 100 <= status <= 599 or version not in {"1.1", "1.0"}:
            self.error = "unknown version or status"
        elif status >= 200 or status == 101:
            self._fields = found.headers
            self._frame(status, found.framing, version == "1.0")
        llhttp.restart()

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
        elif data == fast_path.LAST_CHUNK:
            self.complete = True
        elif part := fast_path.chunks(data):
            self._body += part
            if self._llhttp is not None:
                self._llhttp.fruitless = 0
        else:
            self._read_some_chunks(data)

    def _read_some_chunks(self, data: bytes) -> None:
        llhttp = self._llhttp
        if llhttp is None:
            llhttp = self._llhttp = Llhttp()
        self._body += llhttp.chunks(data)
        self.error = llhttp.error
        found = llhttp.found
        self._between = found.between and data.endswith(b"\r\n")
        self.complete = found.ended
        if found.ended and not llhttp.exact:
            self._overrun()
