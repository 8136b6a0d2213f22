"""Heads that were read before, byte for byte but for the length of their body: what they mean is known.

An agent sends the same head with each of its requests. One that has been read and checked is kept, with what it meant;
the next that is the same, and whose body has come along with it, needs neither llhttp nor another check.
"""

from __future__ import annotations

from typing import Final

from oxllm.gateway.client.fields import Fields
from oxllm.gateway.client.request_reader import COMPLETE, CRLFCRLF, HEADER_OVERHEAD, RequestReader, Unreadable

HEADS_MAX: Final = 64
"""Kept at once: 256 KiB at most."""
WEIGHT_MAX: Final = 4 * 1024
"""Bytes of one, as `RequestReader.head_weight` counts; those of SDKs take 3 KiB."""
TITLES: Final[tuple[bytes, ...]] = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
"""How the line of the length begins. Only at the start of a line can these bytes stand in a head."""
NOT_THERE: Final = (b"", b"")
NOWHERE: Final = HEADS_MAX
"""The place of a head that is not known."""
DECIDES: Final = (b"upgrade", b"expect", b"transfer-encoding")
"""A head with one of these is read each time."""


class KnownHead:
    """What a head meant."""

    __slots__ = ("_after", "_before", "_fields", "_method", "_path", "_query", "_size", "_url", "_weight", "around")

    def __init__(self, reader: RequestReader, around: tuple[bytes, bytes]) -> None:
        """`around`: its bytes before and behind the value of its Content-Length."""
        self.around = around
        self._before, self._after = around
        self._size = len(self._before) + len(self._after)
        self._url, self._method, self._path, self._query = reader.url, reader.method, reader.path, reader.query
        self._fields = Fields([field for field in reader.headers if field[0] != b"content-length"])
        self._weight = reader.head_weight

    def body_at(self, buffer: bytearray, start: int, end: int) -> int:
        """Where the body begins, if `buffer[start:end]` is this head and its whole body; else -1.

        Of a few lengths just below a power of ten, 9 and 98 are the first, it says -1, too.
        """
        digits_and_body = end - start - self._size
        length = digits_and_body - len(str(digits_and_body))
        if length < 0:
            return -1
        head = b"%b%d%b" % (self._before, length, self._after)
        at = start + len(head)
        return at if at + length == end and buffer.startswith(head, start) else -1

    def read(self, body: bytearray) -> RequestReader:
        """A request with this head, complete."""
        reader = RequestReader()
        reader.stage = COMPLETE
        reader.url, reader.method, reader.path, reader.query = self._url, self._method, self._path, self._query
        reader.fields = self._fields
        reader.head_weight = self._weight
        reader.body = body
        reader.length = reader.received = len(body)
        return reader


class KnownHeads:
    """Those that all connections share. Each connection remembers where its last one is kept: the next is the same."""

    __slots__ = ("_heads", "_oldest", "_places")

    def __init__(self) -> None:
        self._heads: list[KnownHead] = []
        self._places: dict[tuple[bytes, bytes], int] = {}
        """Where each is, by what is around the value of its length."""
        self._oldest = 0
        """The place whose head goes next, once there are too many."""

    def begin(self, buffer: bytearray, start: int, end: int, place: int) -> tuple[RequestReader, int, int]:
        """Read the first bytes of a request. Returns its reader, how far it came, and the place of its head.

        `place`: of the last head of this connection. Raises Unreadable.
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
        """Forget all."""
        self._heads.clear()
        self._places.clear()
        self._oldest = 0

    def _body_at(self, place: int, buffer: bytearray, start: int, end: int) -> int:
        return self._heads[place].body_at(buffer, start, end) if place < len(self._heads) else -1

    def _find(self, buffer: bytearray, start: int, end: int) -> int:
        """The place of the head that `buffer[start:end]` begins with, if all of its body is there, too."""
        at = buffer.find(CRLFCRLF, start, end) + len(CRLFCRLF)
        if at < len(CRLFCRLF):
            return NOWHERE
        return self._places.get(_around(bytes(buffer[start:at]), end - at), NOWHERE)

    def _learn(self, buffer: bytearray, start: int, reader: RequestReader) -> int:
        """What began at `start` was read. If it is a sound head of the usual kind it is kept. Returns its place."""
        length = reader.length
        if reader.method != "POST" or reader.http10 or not reader.keep_alive or reader.head_weight > WEIGHT_MAX:
            return NOWHERE  # one that is not whole has no method yet
        if length is None or any(name in DECIDES for name, _ in reader.headers):
            return NOWHERE
        size = reader.head_weight - HEADER_OVERHEAD * len(reader.headers)
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
    """What is before and behind the value of a head's Content-Length, if that is `length`."""
    for title in TITLES:
        before, found, behind = head.partition(b"%b%d\r\n" % (title, length))
        if found:
            return before + title, b"\r\n" + behind
    return NOT_THERE
