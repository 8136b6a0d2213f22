"""One request to a provider, as seen by its caller, the pool and the connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from oxllm.core.budget.readers import HeldHolder
from oxllm.core.native import mypyc_attr
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Failure

Segments = Sequence[bytes | memoryview]


@mypyc_attr(allow_interpreted_subclasses=True)
class Caller(HeldHolder):
    """Gets the events of a request. `connected` and `head` come at most once (`connected` again after `reconnecting`).
    Exactly one of `whole`, `end`, `failed` and `crashed` comes last; after `cancel` nothing comes. It holds what it
    cannot pass on yet."""

    __slots__ = ()

    def request(self) -> tuple[bytes, Segments]:
        """The request: its head, complete with the blank line, and its body. Asked each time that it is to be written,
        so that nobody keeps a copy meanwhile: a thousand may wait for their connection, or a thousand for an answer."""
        raise NotImplementedError

    def connected(self) -> None:
        """A new connection is open and the request goes out on it. Not called for an idle one that is `reused`."""
        raise NotImplementedError

    def waits(self, yes: bool) -> None:
        """The new connection's TLS handshake waits for its turn among ours, or no longer does: that is not the fault of
        the provider."""

    def may_send(self) -> bool:
        """A new connection is open. Return False to withhold the request: `failed` comes, with Failure.WITHHELD."""
        raise NotImplementedError

    def reconnecting(self) -> bool:
        """The reused connection was dead: a new one is made, once, and `connected` and `sent` come again. Return False
        to withhold the request: `failed` comes, with Failure.WITHHELD."""
        raise NotImplementedError

    def sent(self) -> None:
        """More of the request has been written; called often for a large one, the last time after its last byte. Not
        called once the response has begun."""
        raise NotImplementedError

    def heading(self, size: int) -> None:
        """The response's head is not whole, and takes `size` bytes so far, beyond those that no budget counts."""
        raise NotImplementedError

    def head(self, status: int, headers: Headers) -> None:
        """The response's head, field names in lower case. Interim 1xx responses are not reported; 101 is."""
        raise NotImplementedError

    def room(self) -> int:
        """The most bytes that the next read may bring. Asked only while memory for answers is short."""
        raise NotImplementedError

    def data(self, data: bytes) -> None:
        """The next bytes of the body, never empty, without framing."""
        raise NotImplementedError

    def end(self) -> None:
        """The response is complete according to its framing."""
        raise NotImplementedError

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """The response has arrived in one piece: stands for `head`, `data` (if there is a body) and `end`."""
        raise NotImplementedError

    def crashed(self, error: Exception) -> None:
        """A bug of ours, on the way to the caller, has ended the call. Comes instead of `end` or `failed`."""
        raise NotImplementedError

    def failed(self, failure: Failure, before_response: bool, detail: str) -> None:
        """The call broke. `before_response`: no byte of a response had come. `detail`: in our own words, or empty."""
        raise NotImplementedError


class Call(Protocol):
    """One request in flight, as its caller sees it."""

    reused: bool
    """Whether it uses a connection that had been idle, and so is connected from the start."""

    def cancel(self) -> None:
        """Stop. The connection is closed unless the response was complete. No callback follows."""

    def pause(self) -> None:
        """Stop reading. A read under way, of 64 KiB at most, is still delivered."""

    def resume(self) -> None:
        """Read again."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Lender:
    """Lends a connection to a request, and is told what concerns the connection."""

    __slots__ = ()

    def sent(self) -> None:
        """More of the request has been written; the last time, its last byte."""
        raise NotImplementedError

    def finished(self, reusable: bool) -> None:
        """The response is complete. The connection is idle if `reusable`, else already dropped."""
        raise NotImplementedError

    def whole(self, reusable: bool, status: int, headers: Headers, body: bytes) -> None:
        """As `finished`, for a response that has arrived in one piece and that the caller has not been told of yet."""
        raise NotImplementedError

    def broken(self, failure: Failure, before_response: bool, detail: str) -> None:
        """The connection is gone, and the response is incomplete."""
        raise NotImplementedError
