"""What the exchange wants done. It decides; `gateway.relay` does.

Effects are values, performed in the order in which they are returned.
"""

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
    """Stop reading the attempt's response and give its connection up. Nothing to do if it has ended."""

    __slots__ = ("attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt


class Begin:
    """Send the response head; a body of `length` bytes follows, or of unknown length when None."""

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
    """The body is whole: end the response as the framing wants it."""

    __slots__ = ()


class Answer:
    """Send a whole response."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Break:
    """Send `tail`, then close the connection without the end of the framing: the body is not whole."""

    __slots__ = ("tail",)

    def __init__(self, tail: bytes = b"") -> None:
        self.tail = tail


Action = Try | Cancel | Begin | Write | End | Answer | Break
END_OF_BODY: Final = End()
