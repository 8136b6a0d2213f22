"""What a connection stands on, and what it is to that: the two sides of one interface.

A `Transport` is what asyncio calls one, with two differences that let writes be gathered. What is written may go out
only at the end of the turn, when all that was ready has been read; until then it is no part of the write buffer. And
a `Peer` hears by `unsent` that the kernel did not take all of it, since it cannot ask straight after a write.
"""

from __future__ import annotations

from typing import Any, Protocol

from oxllm.core.native import mypyc_attr

HIGH = 64 * 1024
"""The write buffer's high-water mark where nobody sets another, as asyncio's; the low one is a quarter of it."""


class Transport(Protocol):
    """One connection. Once it is closed its methods do nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, in order, now or at the end of this turn. RuntimeError after `write_eof`."""

    def pause_reading(self) -> None:
        """Read no more. What is being read now still comes."""

    def resume_reading(self) -> None:
        """Read again."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """`pause_writing` above `high` bytes in the write buffer, `resume_writing` at `low` or less."""

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has refused so far."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`, `peername` or `sockname`, of what has them."""

    def set_protocol(self, protocol: Peer) -> None:
        """Another peer takes over."""

    def is_closing(self) -> bool:
        """Closed, or about to be."""

    def write_eof(self) -> None:
        """No more is written: the other side sees the end. OSError if it has gone."""

    def close(self) -> None:
        """Read no more, and close once all that was written has been taken."""

    def abort(self) -> None:
        """Close now. What the kernel has refused is lost."""

    def read_last(self, peer: Peer) -> None:
        """From within `connection_lost` of `peer` alone: read once what the other side had sent before it broke.

        A server that answers 413 or 401 without reading the body and closes resets the connection. The next write
        then fails, and that ends it without a look at the answer, which the kernel still has.
        """


@mypyc_attr(allow_interpreted_subclasses=True)
class Peer:
    """What stands on a transport. `connection_made` comes first, `connection_lost` last and once."""

    __slots__ = ()

    def connection_made(self, transport: Transport) -> None:
        """It is open."""

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed: by us (None), or by the error that broke it. Never from within a call of ours."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next read goes; all peers may share it. Not empty."""
        raise NotImplementedError

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read into it."""

    def eof_received(self) -> bool | None:
        """The other side writes no more. It is then closed, unless this says True."""
        return None

    def pause_writing(self) -> None:
        """The write buffer is above its mark."""

    def resume_writing(self) -> None:
        """It is down again."""

    def unsent(self) -> None:
        """The write buffer was empty, and is not."""
