"""Heads that were read before, byte for byte but for the length of their body: what they mean is known.

An agent sends the same head with each of its requests. One that has been read and checked is kept, with what it meant;
the next that is the same, and whose body has come along with it, needs neither llhttp nor another check.
"""

from __future__ import annotations

from typing import Final

from oxllm.gateway.client.request_reader import COMPLETE, CRLFCRLF, HEAD, HEADER_OVERHEAD, RequestReader, Unreadable

HEADS_MAX: Final = 64
"""Kept at once: 256 KiB at most."""
WEIGHT_MAX: Final = 4 * 1024
"""Bytes of one, as `RequestReader.head_weight` counts; those of SDKs take 3 KiB."""
TITLES: Final[tuple[bytes, ...]] = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")
"""How the line of the length begins. Only at the start of a line can these bytes stand in a head."""
DECIDES: Final = (b"upgrade", b"expect", b"transfer-encoding")
"""A head with one of these is read each time."""


class KnownHead:
    """What a head meant."""

    __slots__ = ("headers", "index", "method", "path", "query", "url", "weight")

    def __init__(self, reader: RequestReader) -> None:
        self.url, self.method, self.path, self.query = reader.url, reader.method, reader.path, reader.query
        self.headers = [field for field in reader.headers if field[0] != b"content-length"]
        self.index = dict(reversed(self.headers))
        self.weight = reader.head_weight


class KnownHeads:
    """Those that all connections share."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}
        """By their bytes, without the digits of the length. The oldest first."""

    def begin(self, buffer: bytearray, start: int, end: int) -> tuple[RequestReader, int]:
        """Read the first bytes of a request. Returns its reader, and how far it came. Raises Unreadable."""
        reader = self.read(buffer, start, end)
        if reader is not None:
            return reader, end
        reader = RequestReader()
        try:
            at = reader.feed(buffer, start, end)
        except Unreadable:
            reader.drop()
            raise
        if reader.stage is not HEAD:
            self.learn(buffer, start, reader)
        return reader, at

    def read(self, buffer: bytearray, start: int, end: int) -> RequestReader | None:
        """The request in `buffer[start:end]`, complete, if that is one known head and its whole body; else None."""
        at = buffer.find(CRLFCRLF, start, end)
        if at < 0:
            return None
        head = bytes(buffer[start : at + 2])
        key = _without_digits(head, b"%d" % (end - at - 4))
        known = self._heads.get(key)
        if known is None:
            return None
        reader = RequestReader()
        reader.stage = COMPLETE
        reader.url, reader.method, reader.path, reader.query = known.url, known.method, known.path, known.query
        reader.headers, reader.index = known.headers, known.index
        reader.head_weight = known.weight
        reader.keep_alive = True
        reader.body = buffer[at + 4 : end]
        reader.length = reader.received = end - at - 4
        return reader

    def learn(self, buffer: bytearray, start: int, reader: RequestReader) -> None:
        """A head that began at `start` has been read, and is sound. It is kept if it is one of the usual kind."""
        if reader.method != "POST" or reader.http10 or not reader.keep_alive or reader.head_weight > WEIGHT_MAX:
            return
        if reader.length is None or any(name in DECIDES for name, _ in reader.headers):
            return
        size = reader.head_weight - HEADER_OVERHEAD * len(reader.headers)
        key = _without_digits(bytes(buffer[start : start + size - 2]), b"%d" % reader.length)
        if key and key not in self._heads:
            if len(self._heads) >= HEADS_MAX:
                del self._heads[next(iter(self._heads))]
            self._heads[key] = KnownHead(reader)

    def clear(self) -> None:
        """Forget all."""
        self._heads.clear()


def _without_digits(head: bytes, digits: bytes) -> bytes:
    """A head without the value of its Content-Length, if that is `digits`; else nothing."""
    for title in TITLES:
        rest = head.replace(b"%b%b\r\n" % (title, digits), title + b"\r\n", 1)
        if len(rest) < len(head):
            return rest
    return b""
