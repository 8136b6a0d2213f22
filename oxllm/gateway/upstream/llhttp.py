"""llhttp (through httptools), for those heads and chunks of a provider that `fast_path` leaves to it.

It rejects the stuff of request smuggling: both kinds of length, two lengths, a bare LF, folded lines. What it lets pass
although it is no HTTP is found here. It is fed one head at a time, up to its end. Chunks are read by a fresh parser,
primed with a head that says `chunked`: the first may have missed that, as it does where a tab follows `chunked`.
"""

from __future__ import annotations

from typing import Final

import httptools

from oxllm.core.request.headers import FIELD_OVERHEAD

HEAD_MAX: Final = 64 * 1024
"""Bytes of all heads of one response together. Providers send 1-4 KiB; node stops at 16 KiB, curl at 300."""

HEADERS_MAX: Final = 200
"""Fields in one head. Envoy and Apache stop at 100; a provider behind two CDNs sends 50."""

START: Final = 8
"""Bytes that show whether a head is one of HTTP: an empty line, then `HTTP/`."""

_FRAMING: Final = frozenset((b"connection", b"content-length", b"transfer-encoding"))

PRIMER: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
"""A head fed to a fresh llhttp, so that it goes on to read chunks."""


class Found:
    """What llhttp finds in one message. Refers to neither parser nor connection, so there is no reference cycle."""

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


class Llhttp:
    """Reads the heads of one response, one after the other, and then its chunks."""

    __slots__ = ("_parser", "_tail", "error", "found", "fruitless")

    def __init__(self) -> None:
        self.error: str | None = None
        """Why this is not HTTP, in our own words."""
        self.fruitless = 0
        """Bytes since the last body byte: of heads, or of chunk framing."""
        self._tail = b""
        """The last bytes fed."""
        self.restart()

    def restart(self) -> None:
        """A head has been dealt with: another follows, or chunks."""
        self.found = Found()
        self._parser: httptools.HttpResponseParser | None = None
        """Made when there is something to read."""

    @property
    def head_weight(self) -> int:
        """Bytes that an incomplete head takes: its own, and those of the objects made of it."""
        return self.fruitless + FIELD_OVERHEAD * len(self.found.headers)

    def head(self, data: bytes) -> bytes:
        """Read up to the end of one head, which is then `found.whole`. Returns the bytes behind it."""
        window = self._tail + data if self._tail else data
        at = window.find(b"\r\n\r\n")
        cut = at + 4 - len(self._tail) if at >= 0 else len(data)
        self._tail = window[-3:] if at < 0 else b""
        self.fruitless += cut
        found, parser = self.found, self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(found)
        if len(found.start) < START:
            found.start = (found.start + data[: min(cut, START)])[:START]
        try:
            parser.feed_data(data[:cut])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not found.ended:  # a 101 is complete by the time llhttp refuses to go on
                self.error = "malformed head"
        if self.fruitless > HEAD_MAX or len(found.headers) > HEADERS_MAX:
            self.error = "head too large"
        elif found.whole != (at >= 0):
            self.error = "malformed head"
        return data[cut:]

    @property
    def status(self) -> int:
        """The status of a whole head."""
        assert self._parser is not None
        return self._parser.get_status_code()

    @property
    def version(self) -> str:
        """The version of a whole head, such as `1.1`; empty if it is not one of HTTP."""
        assert self._parser is not None
        http = self.found.start.lstrip(b"\r\n").startswith(b"HTTP/")  # it may begin with an empty line
        return self._parser.get_http_version() if http else ""

    def chunks(self, data: bytes) -> bytes:
        """Read chunks. Returns what they hold; `found.ended` says whether that was the last."""
        found, parser = self.found, self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(found)
            parser.feed_data(PRIMER)
        self._tail = (self._tail + data[-5:])[-5:]
        try:
            parser.feed_data(data)
        except httptools.HttpParserError:
            if not found.ended:
                self.error = "malformed chunk"
            found.extra = True
        body = b"".join(found.pieces)
        found.pieces.clear()
        self.fruitless = 0 if body else self.fruitless + len(data)
        if self.fruitless > HEAD_MAX and not found.ended:
            self.error = "chunk framing too large"
        return body

    @property
    def exact(self) -> bool:
        """Nothing follows the last chunk and its trailers. (llhttp skips line ends before a message.)"""
        return not self.found.extra and self._tail.endswith(b"\r\n\r\n") and self._tail[:1] not in {b"\r", b"\n"}

    def lacks_only_trailers(self) -> bool:
        """The last chunk has come: nothing but the end of a field, and of all fields, is missing."""
        parser, tail = self._parser, self._tail
        if parser is None:
            return False
        try:
            parser.feed_data(b"\r\n" if tail.endswith(b"\r\n") else b"\n\r\n" if tail.endswith(b"\r") else b":\r\n\r\n")
        except httptools.HttpParserError:
            return False
        return self.found.ended
