"""What the exchange wants done. It decides; `gateway.relay` does.

Effects are values, performed in the order in which they are returned.
"""

from __future__ import annotations

from typing import Final

from oxllm.core.reading.hints import Headers
from oxllm.core.request.attempt import Attempt
from oxllm.core.shape import Leaf


class Try(Leaf, frozen=True, gc=False):
    """Send the request to the attempt's target."""

    attempt: Attempt


class Cancel(Leaf, frozen=True, gc=False):
    """Stop reading the attempt's response and give its connection up. Nothing to do if it has ended."""

    attempt: Attempt


class Begin(Leaf, frozen=True, gc=False):
    """Send the response head; a body of `length` bytes follows, or of unknown length when None."""

    status: int
    headers: Headers
    length: int | None = None


class Write(Leaf, frozen=True, gc=False):
    """Send a part of the body."""

    data: bytes


class End(Leaf, frozen=True, gc=False):
    """The body is whole: end the response as the framing wants it."""


class Answer(Leaf, frozen=True, gc=False):
    """Send a whole response."""

    status: int
    headers: Headers
    body: bytes


class Break(Leaf, frozen=True, gc=False):
    """Send `tail`, then close the connection without the end of the framing: the body is not whole."""

    tail: bytes = b""


Action = Try | Cancel | Begin | Write | End | Answer | Break
END_OF_BODY: Final = End()
