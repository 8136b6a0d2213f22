"""The two sides of one interface: a transport, and the peer (asyncio's protocol) that it calls.

A `Transport` is asyncio's, with two differences that let writes be coalesced. What is written may not be sent until the
end of the loop's turn, when everything that was ready has been read; until then it does not count as buffered. And
since a `Peer` therefore cannot ask straight after a write, `unsent` tells it that the kernel did not take all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from oxllm.core.native import mypyc_attr

HIGH = 64 * 1024
"""The write buffer's default high-water mark, as asyncio's; the low-water mark is a quarter of it."""


class Transport(Protocol):
    """One connection. Once it is closed its methods do nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, in order, now or at the end of this turn. RuntimeError after `write_eof`."""

    def pause_reading(self) -> None:
        """Stop reading. A read under way is still delivered."""

    def resume_reading(self) -> None:
        """Read again."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """`pause_writing` above `high` bytes in the write buffer, `resume_writing` at `low` or less."""

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not accepted yet."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`socket`, `peername` or `sockname`, if it has one."""

    def set_protocol(self, protocol: Peer) -> None:
        """Replace the peer."""

    def is_closing(self) -> bool:
        """Closed, or about to be."""

    def write_eof(self) -> None:
        """Half-close: nothing more is written, and the other side sees end of file. OSError if it has gone."""

    def close(self) -> None:
        """Stop reading, and close once everything written has been sent."""

    def abort(self) -> None:
        """Close now. What the kernel has not accepted yet is lost."""

    def read_last(self, peer: Peer) -> None:
        """Read once more what the other side had sent before the connection broke. Only within `peer.connection_lost`.

        A server that answers 413 or 401 and closes without reading the body resets the connection. The next write
        then fails and ends it, with the answer still unread in the kernel.
        """


class Connecting(Protocol):
    """A connection that is being made."""

    def cancel(self) -> None:
        """Give up: whatever was opened is closed, and nobody told. No effect once it is made."""


SocketAddress = tuple[str, int] | tuple[str, int, int, int]
"""The socket module's forms for IPv4 and IPv6."""

Done = Callable[[Transport | Exception], None]
"""Gets the transport once it is connected, or what has prevented that; an OSError unless it is a bug. Never called from
within the call that began to connect."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Peer:
    """What a transport calls. `connection_made` comes first; `connection_lost` comes last, and once."""

    __slots__ = ()

    def connection_made(self, transport: Transport) -> None:
        """The transport is open."""

    def queued(self, yes: bool) -> None:
        """Below it a handshake waits for its turn among ours, or no longer does."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed, by us (None) or by the error `exc`. Never called from within a call of ours."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """The buffer for the next read, not empty; all peers may share one."""
        raise NotImplementedError

    def buffer_updated(self, nbytes: int) -> None:
        """`nbytes` were read into the buffer."""

    def eof_received(self) -> bool | None:
        """The other side has half-closed. The transport then closes, unless this returns True."""
        return None

    def pause_writing(self) -> None:
        """The write buffer is above the high-water mark."""

    def resume_writing(self) -> None:
        """The write buffer is back at the low-water mark or below."""

    def unsent(self) -> None:
        """The write buffer was empty, and is no longer."""
