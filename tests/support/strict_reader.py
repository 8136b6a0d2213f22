"""Responses and streams of events read strictly, by RFC 9112 and SSE: AssertionError for whatever a strict client would
not accept."""

from __future__ import annotations

import re


class ResponseReader:
    """A response. `alone`: nothing may come after it; otherwise what does is in `rest`."""

    def __init__(self, alone: bool = True) -> None:
        self._alone = alone
        self._buffer = b""
        self._state = "head"
        self._left = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    @property
    def complete(self) -> bool:
        return self._state == "done"

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while getattr(self, "_" + self._state)():
            pass

    @property
    def rest(self) -> bytes:
        """What came after it."""
        return self._buffer

    def _done(self) -> bool:
        assert not self._buffer or not self._alone, f"bytes behind the response: {self._buffer[:80]!r}"
        return False

    def _head(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        assert re.fullmatch(r"HTTP/1\.1 \d{3} [ -~]*", first), first
        self.status = int(first[9:12])
        for line in lines:
            assert re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]+: [\x21-\x7e\x80-\xff]?[\t\x20-\x7e\x80-\xff]*", line), line
            name, value = line.split(": ", 1)
            assert name not in self.headers, f"two of {name}"
            self.headers[name] = value
        assert ("content-length" in self.headers) != ("transfer-encoding" in self.headers)
        self._buffer = rest
        self._left = int(self.headers.get("content-length", "0"))
        self._state = "length" if "content-length" in self.headers else "size"
        return True

    def _length(self) -> bool:
        self._take()
        if self._left == 0:
            self._state = "done"
        return self._left == 0

    def _size(self) -> bool:
        line, end, rest = self._buffer.partition(b"\r\n")
        if not end:
            assert len(line) < 20
            return False
        assert re.fullmatch(rb"[0-9a-f]+", line), line
        self._buffer, self._left = rest, int(line, 16)
        self._state = "chunk" if self._left else "last"
        return True

    def _chunk(self) -> bool:
        self._take()
        if self._left or len(self._buffer) < 2:
            return False
        return self._line_end("size")

    def _last(self) -> bool:
        return len(self._buffer) >= 2 and self._line_end("done")

    def _take(self) -> None:
        data, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(data)
        self.body += data

    def _line_end(self, state: str) -> bool:
        assert self._buffer[:2] == b"\r\n", self._buffer[:20]
        self._buffer, self._state = self._buffer[2:], state
        return True


def events(body: bytes) -> list[bytes]:
    """The data of each event of a stream. Only `data:` lines, comments between events and blank lines are allowed."""
    found: list[bytes] = []
    open_event = False
    assert not body or body.endswith(b"\n"), "the stream ends inside a line"
    for line in body.split(b"\n")[:-1]:
        if line.startswith(b"data: "):
            assert not open_event, "an event of two lines"
            open_event = True
            found.append(line[6:])
        elif line == b"":
            open_event = False
        else:
            assert line.startswith(b":"), line
            assert not open_event, "a comment inside an event"
    assert not open_event, "the last event is not ended"
    return found
