"""A cache of parsed request heads, keyed by all their bytes except the value of Content-Length.

An agent sends the same head with each of its requests. A head that has been parsed and checked is kept with the result;
an identical one whose body has arrived with it then needs neither llhttp nor another check.
"""

from __future__ import annotations

from typing import Final

from oxllm.core.request.headers import FIELD_OVERHEAD
from oxllm.gateway.client.fields import Fields
from oxllm.gateway.client.request_reader import COMPLETE, CRLFCRLF, RequestReader, Unreadable

HEADS_MAX: Final = 64
"""Heads kept: 256 KiB at most."""
WEIGHT_MAX: Final = 4 * 1024
"""Bytes of one head, as `RequestReader.head_weight` counts them; those of SDKs take 3 KiB."""
TITLES: Final[tuple[bytes, ...]] = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
"""How the Content-Length line begins. In a head these bytes occur only at the start of a line."""
NOT_THERE: Final = (b"", b"")
NOWHERE: Final = HEADS_MAX
"""The place of an unknown head."""
DECIDES: Final = (b"upgrade", b"expect", b"transfer-encoding")
"""A head with one of these fields is never cached."""


class KnownHead:
    """One parsed head."""

    __slots__ = ("_after", "_before", "_fields", "_method", "_path", "_query", "_size", "_url", "_weight", "around")

    def __init__(self, reader: RequestReader, around: tuple[bytes, bytes]) -> None:
        """`around`: its bytes before and after the value of Content-Length."""
        self.around = around
        self._before, self._after = around
        self._size = len(self._before) + len(self._after)
        self._url, self._method, self._path, self._query = reader.url, reader.method, reader.path, reader.query
        self._fields = Fields([field for field in reader.headers if field[0] != b"content-length"])
        self._weight = reader.head_weight

    def body_at(self, buffer: bytearray, start: int, end: int) -> int:
        """Where the body begins, if `buffer[start:end]` is this head and its whole body; else -1.

        Also -1 for a few lengths just below a power of ten (9, 98, 99, 997 and so on): those requests are parsed.
        """
        digits_and_body = end - start - self._size
        length = digits_and_body - len(str(digits_and_body))
        if length < 0:
            return -1
        head = b"%b%d%b" % (self._before, length, self._after)
        at = start + len(head)
        return at if at + length == end and buffer.startswith(head, start) else -1

    def read(self, body: bytearray) -> RequestReader:
        """A complete request with this head and `body`."""
        reader = RequestReader()
        reader.stage = COMPLETE
        reader.url, reader.method, reader.path, reader.query = self._url, self._method, self._path, self._query
        reader.fields = self._fields
        reader.head_weight = self._weight
        reader.body = body
        reader.length = reader.received = len(body)
        return reader


class KnownHeads:
    """The cache that all connections share. Each connection remembers the place of its last head, to try it first."""

    __slots__ = ("_heads", "_oldest", "_places")

    def __init__(self) -> None:
        self._heads: list[KnownHead] = []
        self._places: dict[tuple[bytes, bytes], int] = {}
        """Where each is, by its bytes around the value of Content-Length."""
        self._oldest = 0
        """The place to overwrite next, once the cache is full."""

    def begin(self, buffer: bytearray, start: int, end: int, place: int) -> tuple[RequestReader, int, int]:
        """Read the first bytes of a request. Returns its reader, how far that read, and the place of its head.

        `place`: where this connection's last head is. Raises Unreadable.
        """
        at = self._body_at(place, buffer, start, end)
        if at < 0:
            place = self._find(buffer, start, end)
            at = self._body_at(place, buffer, start, end)
        if at >= 0:
            return self._heads[place].read(buffer[at:end]), end, place
        reader = RequestReader()
        try:
            at = reader.feed(buffer, start, end)
        except Unreadable:
            reader.drop()
            raise
        return reader, at, self._learn(buffer, start, reader)

    def clear(self) -> None:
        """Forget all heads."""
        self._heads.clear()
        self._places.clear()
        self._oldest = 0

    def _body_at(self, place: int, buffer: bytearray, start: int, end: int) -> int:
        return self._heads[place].body_at(buffer, start, end) if place < len(self._heads) else -1

    def _find(self, buffer: bytearray, start: int, end: int) -> int:
        """The place of the head that `buffer[start:end]` begins with, if the rest is its body."""
        at = buffer.find(CRLFCRLF, start, end) + len(CRLFCRLF)
        if at < len(CRLFCRLF):
            return NOWHERE
        return self._places.get(_around(bytes(buffer[start:at]), end - at), NOWHERE)

    def _learn(self, buffer: bytearray, start: int, reader: RequestReader) -> int:
        """Keep the head that `reader` has just read at `start`, if sound and of the usual kind. Returns its place."""
        length = reader.length
        if reader.method != "POST" or reader.http10 or not reader.keep_alive or reader.head_weight > WEIGHT_MAX:
            return NOWHERE  # an incomplete one has no method yet
        if length is None or any(name in DECIDES for name, _ in reader.headers):
            return NOWHERE
        size = reader.head_weight - FIELD_OVERHEAD * len(reader.headers)
        around = _around(bytes(buffer[start : start + size]), length)
        return self._keep(KnownHead(reader, around)) if around != NOT_THERE else NOWHERE

    def _keep(self, head: KnownHead) -> int:
        place = self._places.get(head.around)
        if place is not None:
            return place
        if len(self._heads) < HEADS_MAX:
            place = len(self._heads)
            self._heads.append(head)
        else:
            place, self._oldest = self._oldest, (self._oldest + 1) % HEADS_MAX
            del self._places[self._heads[place].around]
            self._heads[place] = head
        self._places[head.around] = place
        return place


def _around(head: bytes, length: int) -> tuple[bytes, bytes]:
    """The bytes before and after the value of a head's Content-Length, if that is `length`; else NOT_THERE."""
    for title in TITLES:
        before, found, behind = head.partition(b"%b%d\r\n" % (title, length))
        if found:
            return before + title, b"\r\n" + behind
    return NOT_THERE
