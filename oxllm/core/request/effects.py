"""What the exchange wants done, as values: it decides, `gateway.relay` performs them in the order returned."""

from __future__ import annotations

from typing import Final

from oxllm.core.reading.hints import Headers
from oxllm.core.request.attempt import Attempt


class Try:
    """Send the request to the attempt's target."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt


class Cancel:
    """Stop reading the attempt's response and drop its connection. A no-op if the response has ended."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt


class Begin:
    """Send the response head. A body of `length` bytes follows; None: of unknown length."""

    __slots__ = ("headers", "length", "status")

    def __init__(self, status: int, headers: Headers, length: int | None = None) -> None:
        self.status = status
        self.headers = headers
        self.length = length


class Write:
    """Send a part of the body."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class End:
    """The body is whole: end the response properly, as its framing requires."""

    __slots__ = ()


class Answer:
    """Send a whole response."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Break:
    """The body is not whole: send `tail`, then close the connection without ending the framing."""

    __slots__ = ("tail",)

    def __init__(self, tail: bytes = b"") -> None:
        self.tail = tail


Action = Try | Cancel | Begin | Write | End | Answer | Break
END_OF_BODY: Final = End()
