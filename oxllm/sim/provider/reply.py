"""An HTTP response, its bytes on the wire, and a tape that plays them up to any place.

A `Reply` is what a provider means to send: a head, and parts with the time at which each is due. `Tape` turns it into
steps, chunk sizes included. A fault plays the tape up to a place, does its harm, and may play the rest. Parts are
generated lazily: a thousand streams hold a thousand iterators, not their answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

import msgspec

from oxllm.sim.provider.place import Place
from oxllm.sim.provider.steps import Await, Send, Step, Wait, Waitable

ENDINGS = ("closing", "finish")
"""Roles of parts that come after all content."""
LAST_CHUNK = b"0\r\n\r\n"
_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",  # has its old name up to Python 3.12
    498: "Custom",
    499: "Custom",
    520: "Web Server Returned an Unknown Error",
    529: "Site is overloaded",
}


class Part(msgspec.Struct, frozen=True):
    """A piece of the body, due at `at`. `role` is one of: preamble (events before content), token, closing (the end of
    a block or item), finish (completes the answer), usage, done (what may follow), comment, pending, body."""

    at: float
    data: bytes
    role: str
    tokens: int = 0
    number: int = 0
    """The event's number, in protocols that have one."""
    waits: Waitable | None = None
    """For an answer that is passed on: no more has arrived yet, and this tells when there is."""


class Reply(msgspec.Struct):
    """A response: chunked if `stream`, else one body with its length."""

    status: int
    headers: list[tuple[str, str]]
    parts: Iterator[Part]
    stream: bool
    at: float
    """When the head is due."""

    def head(self, *framing: tuple[str, str]) -> bytes:
        told = "".join([f"{name}: {value}\r\n" for name, value in (*self.headers, *framing)])
        return f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Unknown')}\r\n{told}\r\n".encode("latin-1")

    def pieces(self) -> Iterator[Piece]:
        """The response as bytes on the wire."""
        if self.stream:
            return self._chunks()
        return self._whole()

    def _chunks(self) -> Iterator[Piece]:
        yield Piece(self.at, self.head(("transfer-encoding", "chunked")), head=True)
        due = self.at
        for part in self.parts:
            due = part.at
            if part.waits is not None:
                yield Piece(due, b"", waits=part.waits)
            if not part.data:  # a chunk of size 0 would be the last
                continue
            yield Piece(due, b"%x\r\n%b\r\n" % (len(part.data), part.data), tokens=part.tokens)
        yield Piece(due, LAST_CHUNK, keep=len(LAST_CHUNK))

    def at_once(self, now: float) -> bytes | None:
        """The whole response as bytes, if all of it is due by `now`."""
        if self.stream or self.at > now:
            return None
        parts = list(self.parts)
        if parts and parts[-1].at > now:
            self.parts = iter(parts)
            return None
        body = parts[0].data if len(parts) == 1 else b"".join([part.data for part in parts])
        return self.head(("content-length", str(len(body)))) + body

    def _whole(self) -> Iterator[Piece]:
        parts = list(self.parts)
        body = b"".join(part.data for part in parts)
        head = self.head(("content-length", str(len(body))))
        joined = bool(body) and parts[-1].at <= self.at
        yield Piece(self.at, head, head=True, keep=0 if body else 1, joined=joined)
        if body:
            yield Piece(parts[-1].at, body, tokens=sum(part.tokens for part in parts), keep=1)


class Piece(msgspec.Struct, frozen=True):
    """Bytes on the wire, due at `at`. `keep`, of the last piece: how many of its bytes the place `end` holds back."""

    at: float
    data: bytes
    tokens: int = 0
    head: bool = False
    keep: int = 0
    waits: Waitable | None = None
    joined: bool = False
    """The next piece is due at the same time: both are one write, unless something strikes in between."""


class Tape:
    """A reply being played. `sent` counts bytes, `tokens` counts tokens of content."""

    __slots__ = ("_pieces", "_rest", "sent", "tokens")

    def __init__(self, reply: Reply) -> None:
        self._pieces = reply.pieces()
        self._rest: Piece | None = None
        self.sent = 0
        self.tokens = 0

    def until(self, place: Place) -> Iterator[Step]:
        """Play up to `place`, or up to the answer's end if that comes first."""
        while (piece := self._next()) is not None:
            if piece.waits is not None:
                yield Await(piece.waits)
            size = self._reach(piece, place)
            if size:
                yield Wait(piece.at)
                yield Send(piece.data[:size])
                self.sent += size
            if size < len(piece.data):
                share = piece.tokens * size // len(piece.data)
                self._rest = Piece(piece.at, piece.data[size:], piece.tokens - share, keep=piece.keep)
                self.tokens += share
                return
            self.tokens += piece.tokens

    def rest(self, delay: float = 0.0) -> Iterator[Step]:
        """Play the rest, everything `delay` seconds late."""
        before = b""
        while (piece := self._next()) is not None:
            self.sent += len(piece.data)
            self.tokens += piece.tokens
            before += piece.data
            if piece.waits is not None:
                yield Await(piece.waits)
                continue
            if not piece.joined:
                yield Wait(piece.at + delay)
                yield Send(before)
                before = b""

    def remaining(self) -> Iterator[Piece]:
        """The rest, for faults that slice it in their own way."""
        while (piece := self._next()) is not None:
            yield piece

    def _next(self) -> Piece | None:
        piece, self._rest = self._rest, None
        return piece or next(self._pieces, None)

    def _reach(self, piece: Piece, place: Place) -> int:
        """How many of the piece's bytes come before the place."""
        size = len(piece.data) - piece.keep
        match place.word:
            case "connect":
                return 0
            case "half":
                return size if piece.head else len(piece.data) // 2
            case "headers":
                return size // 2 if piece.head else 0
            case "byte":
                return min(size, place.n - self.sent)
            case "token":
                missing = place.n - self.tokens
                if missing <= 0 and place.n:
                    return 0
                return size * missing // piece.tokens if piece.tokens > missing else size
        return size


def remade(part: Part, data: bytes) -> Part:
    """The part with its bytes replaced."""
    return msgspec.structs.replace(part, data=data)


def before(parts: Iterator[Part], tokens: int, last: Callable[[int], bytes] = lambda _number: b"") -> Iterator[Part]:
    """The parts up to `tokens` tokens of content (at most up to its ending), and then `last`, which gets the number of
    its event. A body in one part is cut to that share, or by its last byte if it has no more tokens."""
    for part in parts:
        if part.role in ENDINGS:
            yield Part(part.at, last(part.number), part.role)
            return
        if part.role == "body":
            size = len(part.data) * tokens // part.tokens if part.tokens > tokens else len(part.data) - 1
            yield Part(part.at, part.data[:size] + last(part.number), part.role)
            return
        if part.tokens > tokens:
            yield Part(part.at, last(part.number), part.role)
            return
        tokens -= part.tokens
        yield part
        if part.tokens and not tokens:
            yield Part(part.at, last(part.number + 1), part.role)
            return


def without(parts: Iterator[Part], *roles: str) -> Iterator[Part]:
    """The parts except those of some roles."""
    return (part for part in parts if part.role not in roles)


def changed(parts: Iterator[Part], tokens: int, change: Callable[[Part], Iterable[Part]]) -> Iterator[Part]:
    """The parts, with the first after `tokens` tokens of content changed, or the ending if there are fewer."""
    waiting = True
    for part in parts:
        if waiting and (part.role in ENDINGS or (part.tokens and tokens <= 0)):
            waiting = False
            yield from change(part)
        else:
            yield part
        tokens -= part.tokens
