"""Reads one HTTP/1.1 request: bytes in, a checked head and a body out. No I/O, no clock.

llhttp (through httptools) parses. What it accepts but RFC 9112 or we do not is checked by hand once it has returned,
before anything acts on the request: exactly one Host, and a possible one; HTTP/1.0 or 1.1; `chunked` as the only
coding, and none in 1.0; trailers are dropped. Keep-alive is decided here, too. llhttp never sees the empty lines that
may precede a request: it would take half of one for a whole one.

**llhttp never sees two messages.** It would go on into the next one within the same call, so that a request
could not be judged before the one behind it was parsed. What it reads, a head or chunks, can only end at an empty
line: so it is fed exactly up to there, and the caller keeps the rest. `feed` returns how far it read. A body of
declared length needs no parser.

**Upgrade and CONNECT** make llhttp stop after the head and leave chunks unparsed; to carry on as if there were
none would be to read them as the next request. A fresh parser, primed with a head of the same framing, reads them.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

import httptools

from oxllm.core.request.headers import FIELD_OVERHEAD
from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway.client.fields import Fields

HEAD_BYTES_MAX: Final = 32 * 1024
"""Request line, headers and the empty line together. nginx takes four lines of 8 KiB, node 16 KiB."""

HEADERS_MAX: Final = 100
"""Apache's default. A browser sends 20, an SDK 15."""

CHUNK_OVERHEAD_MAX: Final = 16 * 1024
"""Bytes of chunk heads, extensions and trailers, on top of 16 per body byte (one-byte chunks need 5). node's limit."""

CRLFCRLF: Final = b"\r\n\r\n"
CR, LF = 13, 10


class Unreadable(Exception):
    """The request is broken or too large. The connection cannot be read any further."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error
        self.line = b""
        """What had come of the request line, if its head cannot be read: `asked` says for what."""


class Progress(IntEnum):
    """How far a request has been read."""

    HEAD = 0
    BODY = 1
    COMPLETE = 2


HEAD: Final[Progress] = Progress.HEAD  # on 3.11 each look at an Enum's member takes 0.1 µs
BODY: Final[Progress] = Progress.BODY
COMPLETE: Final[Progress] = Progress.COMPLETE

COMMON: Final = {
    name: name.lower()
    for name in (
        *(b"Host", b"Accept", b"Accept-Encoding", b"Accept-Language", b"Authorization", b"Connection"),
        *(b"Content-Length", b"Content-Type", b"Cookie", b"Expect", b"Forwarded", b"Origin", b"Referer"),
        *(b"Transfer-Encoding", b"User-Agent", b"X-Forwarded-For", b"X-Request-Id", b"X-Request-ID", b"traceparent"),
        *(b"X-Stainless-Arch", b"X-Stainless-Lang", b"X-Stainless-OS", b"X-Stainless-Async", b"X-Stainless-Runtime"),
        *(b"X-Stainless-Package-Version", b"X-Stainless-Runtime-Version", b"x-stainless-retry-count"),
        *(b"x-stainless-read-timeout", b"X-Stainless-Read-Timeout", b"x-stainless-timeout", b"X-Stainless-Timeout"),
    )
}
COMMON.update({name: name for name in list(COMMON.values())})
"""Header names as they are sent -> one shared lower-case object, so that a thousand requests do not hold a thousand."""

_HOST: Final = re.compile(rb"(?:\[[\w:.%]+\]|[-\w.~!$&'()*+,;=%]*)(?::[0-9]*)?", re.ASCII)
"""A Host field (RFC 9110 section 7.2): a bracketed IPv6 literal, an RFC 3986 name, or nothing; then maybe a port."""

DECIDING: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"))
CONTINUE: Final = b"100-continue"
METHODS: Final = {name.encode(): name for name in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH")}


_PROXY: Final = "not HTTP but the PROXY protocol, which is not read here: do not have the balancer send it"
_OTHERS: Final = (
    (b"PROXY ", _PROXY),
    (b"\0\r\nQUIT\n", _PROXY),
    (b"\x16\x03", "not HTTP but TLS, which is not spoken here: use http://, or put a proxy that ends TLS in front"),
)
"""How what is often sent instead of HTTP begins, behind empty lines, and what to say about it: the PROXY protocol's
versions 1 and 2 (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2), a handshake of TLS (RFC 8446 section 5.1)."""


def _instead_of_http(data: bytes) -> str | None:
    return next((what for begin, what in _OTHERS if data.lstrip(b"\r\n").startswith(begin)), None)


def bad_request(message: str) -> Unreadable:
    """400, after which the connection closes: where the next request would begin is anybody's guess."""
    return Unreadable(api_error(400, message))


class RequestReader:
    """One request: one class, since llhttp calls it back. Feed it until `stage` is BODY (the head is complete and
    sound), then until it is COMPLETE."""

    __slots__ = (
        "_after_cr",
        "_head_whole",
        "_parser",
        "_skips",
        "_tail",
        "_whole",
        "_wire",
        "body",
        "expectation",
        "fields",
        "head_weight",
        "headers",
        "http10",
        "keep_alive",
        "left",
        "length",
        "line",
        "method",
        "path",
        "query",
        "received",
        "stage",
        "url",
    )

    def __init__(self) -> None:
        self.stage = HEAD
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        """In order; names in lower case, values stripped of white space."""
        self.fields: Fields | None = None
        """The same, if they are already known (see `known_heads`)."""
        self.length: int | None = 0
        """Declared length of the body; None when it is chunked."""
        self.head_weight = 0
        """Bytes that the complete head takes (see `weight`)."""
        self.left = 0
        """Bytes still to come of a body of declared length."""
        self.received = 0
        """Body bytes so far, kept or not."""
        self.body = bytearray()
        self.expectation: bytes | None = None
        """The Expect header (HTTP/1.1 only), in lower case; of several members the first that is not 100-continue."""
        self.http10 = False
        self.keep_alive = True
        """Whether the client wants to send another request on this connection."""
        self.method = ""
        self.path = b""
        """Undecoded, without the query; `*` or an authority where the method has such a target."""
        self.query = b""
        self.line = b""
        """What has come of the request line; empty before it begins and once the head is complete."""
        self._tail = b""
        self._wire = 0
        self._after_cr = self._head_whole = self._whole = self._skips = False
        self._parser: httptools.HttpRequestParser | None = None
        """Made when there is something to read."""

    def drop(self) -> None:
        """Nothing more will be fed. The parser refers back to us, and the cycle would keep the body alive for long."""
        self._parser = None

    def skip(self) -> None:
        """The body is not wanted: drop what has come of it, and read the rest without keeping it."""
        self._skips = True
        self.body = bytearray()

    def feed(self, buffer: bytearray, start: int, end: int) -> int:
        """Read `buffer[start:end]` up to the end of the head, of the request, or of the data; returns where that is.

        Raises Unreadable. Reads nothing once COMPLETE.
        """
        if self.stage is HEAD:
            try:
                return self._feed_head(buffer, start, end)
            except Unreadable as unreadable:
                unreadable.line = self.line
                raise
        if self.stage is COMPLETE:
            return start
        if self.length is None:
            return self._feed_chunks(buffer, start, end)
        at = min(start + self.left, end)
        self.received += at - start
        self.left -= at - start
        if not self._skips:
            self.body += memoryview(buffer)[start:at]
        if not self.left:
            self.stage = COMPLETE
        return at

    @property
    def weight(self) -> int:
        """Bytes that the head takes so far: its own, and the overhead of the objects made of it."""
        return self._wire + len(self.line) + FIELD_OVERHEAD * len(self.headers)

    def _feed_head(self, buffer: bytearray, start: int, end: int) -> int:
        if not self.line:
            at = self._skip_empty_lines(buffer, start, end)
            self._wire += at - start
            start = at
        at = self._boundary(buffer, start, end)
        if not self.line.endswith(b"\n"):
            self.line += buffer[start : buffer.find(b"\n", start, at) + 1 or at]
        self._wire += at - start
        excess = max(self._wire - HEAD_BYTES_MAX, 0)
        upgrade = self._parse(buffer, start, at - excess)
        if excess:
            raise Unreadable(api_error(431, f"the request's head is over {HEAD_BYTES_MAX} bytes"))
        if len(self.headers) > HEADERS_MAX:
            raise Unreadable(api_error(431, f"the request has over {HEADERS_MAX} headers"))
        if self._head_whole:
            self._judge()
            self.line = self._tail = b""
            self.head_weight = self.weight
            self._wire = 0
            self.stage = COMPLETE if self.length == 0 else BODY
            if self.length is not None:
                self.drop()
            elif upgrade:
                self._prime()
        elif self.line.endswith(b"\n"):
            self._judge_line()
        return at

    def _skip_empty_lines(self, buffer: bytearray, start: int, end: int) -> int:
        """Where a request begins after any empty lines, which mean nothing (RFC 9112 section 2.2)."""
        while start < end:
            byte = buffer[start]
            if byte == CR and not self._after_cr:
                self._after_cr = True
            elif byte == LF and self._after_cr:
                self._after_cr = False
            elif byte == LF or self._after_cr:
                raise bad_request("a request cannot begin with half an empty line")
            else:
                break
            start += 1
        return start

    def _feed_chunks(self, buffer: bytearray, start: int, end: int) -> int:
        while start < end and not self._whole:
            at = self._boundary(buffer, start, end)
            self._parse(buffer, start, at)
            self._wire += at - start
            start = at
        if self._wire - self.received > CHUNK_OVERHEAD_MAX + 16 * self.received:
            raise bad_request("the chunked body is nearly all framing")
        if self._whole:
            self.stage = COMPLETE
            self.drop()
        return start

    def _boundary(self, buffer: bytearray, start: int, end: int) -> int:
        """The end of the first empty line, which may have begun in an earlier read; `end` if there is none."""
        tail, self._tail = self._tail, b""
        if tail:
            found = (tail + buffer[start : min(start + 3, end)]).find(CRLFCRLF)
            if found >= 0:
                return start + found + 4 - len(tail)
        found = buffer.find(CRLFCRLF, start, end)
        if found >= 0:
            return found + 4
        self._tail = (tail + buffer[max(start, end - 3) : end])[-3:]
        return end

    def _parse(self, buffer: bytearray, start: int, end: int) -> bool:
        """Feed llhttp. True if it stopped because of Upgrade or CONNECT."""
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(memoryview(buffer)[start:end])
        except httptools.HttpParserUpgrade:
            return True
        except httptools.HttpParserError as error:
            version = parser.get_http_version()
            if not self._head_whole and version not in ("0.0", "1.0", "1.1"):
                raise bad_request(f"HTTP/{version} is not spoken here; use HTTP/1.1") from None
            named = _instead_of_http(bytes(buffer[start : min(start + 16, end)])) if self.stage is HEAD else None
            raise bad_request(named or f"not valid HTTP: {error}") from None
        return False

    def _prime(self) -> None:
        """Go on reading chunks as HTTP/1.1 although the client asked to switch protocols."""
        url, headers = self.url, self.headers
        self.headers = []
        self._head_whole = self._whole = False
        parser = self._parser = httptools.HttpRequestParser(self)
        parser.feed_data(b"POST / HTTP/1.1\r\nHost: primed\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.url, self.headers = url, headers

    # Checks by hand.

    def _judge(self) -> None:
        method = self._judge_line()
        self.method = METHODS.get(method) or method.decode("ascii")
        self._judge_fields()
        self._split_target()

    def _judge_line(self) -> bytes:
        """Check a complete request line; returns its method. Also called before the head is complete, since HTTP/0.9
        sends no more than this line."""
        parser = self._parser
        assert parser is not None
        version = parser.get_http_version().replace("0.0", "0.9")  # of a line without one, until more comes
        if version != "1.1":
            if version != "1.0":
                raise bad_request(f"HTTP/{version} is not spoken here; use HTTP/1.1")
            self.http10 = True
        method = parser.get_method()
        if self.line != b"%b %b HTTP/%b\r\n" % (method, self.url, version.encode()):  # llhttp is laxer (section 3)
            raise bad_request("the request line is no method, target and HTTP version")
        return method

    def _judge_fields(self) -> None:
        hosts = 0
        codings: list[bytes] = []
        options: list[bytes] = []
        expected: list[bytes] = []
        for name, value in self.headers:
            if name in DECIDING:
                if name == b"host":
                    hosts += 1
                    if _HOST.fullmatch(value) is None:  # RFC 9112 section 3.2
                        raise bad_request("the Host header names no host")
                elif name == b"transfer-encoding":
                    codings.append(value)
                elif name == b"content-length":
                    self.length = self.left = _length(value)
                elif name == b"connection":
                    options += _members(value)
                else:
                    expected += _members(value)
        if hosts != 1 and (hosts or not self.http10):
            raise bad_request("a request needs exactly one Host header")
        if codings:
            _judge_codings(codings, self.http10)
            self.length = None
        self.keep_alive = b"close" not in options and (not self.http10 or b"keep-alive" in options)
        if expected and not self.http10:
            self.expectation = next((one for one in expected if one != CONTINUE), CONTINUE)

    def _split_target(self) -> None:
        """RFC 9112 section 3.2: origin-form, absolute-form, asterisk-form for OPTIONS, authority-form for CONNECT."""
        url = self.url
        if b"#" in url:  # it would go along with the query, to a provider that may cut there
            raise bad_request("a request target has no fragment")
        if not url.startswith(b"/") and self.method != "CONNECT" and url != b"*":
            url = self._absolute(url)
        if url == b"*" and self.method != "OPTIONS":
            raise bad_request("only OPTIONS may ask for *")
        self.path, _, self.query = url.partition(b"?")

    def _absolute(self, url: bytes) -> bytes:
        """The origin-form of `http://host/path`, whose host stands in for the Host header (RFC 9112 section 3.2.2)."""
        scheme, _, rest = url.partition(b"://")
        cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
        host, path = rest[:cut], rest[cut:]
        if scheme.lower() not in (b"http", b"https") or not host or _HOST.fullmatch(host) is None:
            raise bad_request("the request target is neither a path nor an http URL")
        self.headers = [(b"host", host), *[field for field in self.headers if field[0] != b"host"]]
        return path if path.startswith(b"/") else b"/" + path

    # Called by httptools, inside feed_data.

    # It looks each of these up, and a miss takes longer.
    on_message_begin = None
    on_status = None
    on_chunk_header = None
    on_chunk_complete = None

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_whole:
            self.headers.append((COMMON.get(name) or name.lower(), value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._head_whole:
            raise ValueError("a second message in one")  # our cut was wrong; httptools raises its own error of it
        self._head_whole = True

    def on_body(self, data: bytes) -> None:
        self.received += len(data)
        if not self._skips:
            self.body += data

    def on_message_complete(self) -> None:
        self._whole = True


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19:
        raise bad_request("Content-Length is not a number of bytes")
    return int(value)


def _judge_codings(codings: list[bytes], http10: bool) -> None:
    if http10:
        raise bad_request("HTTP/1.0 has no Transfer-Encoding")
    if len(codings) != 1 or codings[0].lower() != b"chunked":
        raise bad_request("the only Transfer-Encoding understood is chunked")


def _members(value: bytes) -> list[bytes]:
    """The members of a list field (RFC 9110 section 5.6.1), in lower case, without the empty ones."""
    return [member for part in value.lower().split(b",") if (member := part.strip(b" \t"))]


def asked(line: bytes) -> tuple[str, bytes]:
    """The method and the path of a request whose head cannot be read any further, each empty if unknown: the answer
    to HEAD has no body (RFC 9110 section 9.3.2), and each API has its own format for errors."""
    method, begun, rest = line.partition(b" ")
    target, whole, _ = rest.partition(b" ")
    return METHODS.get(method, "") if begun else "", target.partition(b"?")[0] if whole else b""
