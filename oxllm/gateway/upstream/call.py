"""One request to a provider, as its caller, the pool and the connection see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from oxllm.core.budget.answers import HeldHolder
from oxllm.core.native import mypyc_attr
from oxllm.core.reading.outcome import Failure

Headers = list[tuple[bytes, bytes]]
Segments = Sequence[bytes | memoryview]


@mypyc_attr(allow_interpreted_subclasses=True)
class Caller(HeldHolder):
    """Who made a request. `connected` and `head` come at most once, but for `reconnecting`; exactly
    one of `whole`, `end` and `failed` comes last, unless the call is cancelled, after which nothing comes. It holds
    what it cannot pass on yet."""

    __slots__ = ()

    def connected(self) -> None:
        """A connection is there and the request goes out on it. Not called for one that was there before (`reused`)."""
        raise NotImplementedError

    def may_send(self) -> bool:
        """A new connection is there. False: the request is not to go out, and `failed` comes (Failure.WITHHELD)."""
        raise NotImplementedError

    def reconnecting(self) -> bool:
        """The connection, which had been idle, was dead: a new one is made, once. `connected` and `sent` come again.
        False: it is not to be made, and `failed` comes (Failure.WITHHELD)."""
        raise NotImplementedError

    def sent(self) -> None:
        """More of the request was handed over, and at last its last byte: a large one comes here often. Not called when
        the response has begun."""
        raise NotImplementedError

    def head(self, status: int, headers: Headers) -> None:
        """The response's head, field names lower-case. Interim 1xx are not reported; 101 is."""
        raise NotImplementedError

    def room(self) -> int:
        """The most bytes that the next read may bring. Asked only while memory for answers is short."""
        raise NotImplementedError

    def data(self, data: bytes) -> None:
        """The next bytes of the body, never empty, without framing."""
        raise NotImplementedError

    def end(self) -> None:
        """The response is whole by its framing."""
        raise NotImplementedError

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """The response has come in one piece: `head`, `data` if there is any, and `end` in one."""
        raise NotImplementedError

    def crashed(self, error: Exception) -> None:
        """A bug of ours ended it, on the way to the caller. It comes in the place of `end` and `failed`."""
        raise NotImplementedError

    def failed(self, failure: Failure, before_response: bool, detail: str) -> None:
        """It broke. `before_response`: not one byte of a response had come. `detail`: own words, or empty."""
        raise NotImplementedError


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


@mypyc_attr(allow_interpreted_subclasses=True)
class Lender:
    """Who lent the connection to a request."""

    __slots__ = ()

    def sent(self) -> None:
        """More of the request was handed over, and at last its last byte."""
        raise NotImplementedError

    def answered(self) -> None:
        """The first byte of a response came: the request need not be kept for another try."""
        raise NotImplementedError

    def finished(self, reusable: bool) -> None:
        """The response is whole. The connection is idle if `reusable`, else already dropped."""
        raise NotImplementedError

    def whole(self, reusable: bool, status: int, headers: Headers, body: bytes) -> None:
        """As `finished`, of a response that has come in one piece, of which the caller has heard nothing yet."""
        raise NotImplementedError

    def broken(self, failure: Failure, before_response: bool, detail: str) -> None:
        """The connection is gone, and the response is not whole."""
        raise NotImplementedError
