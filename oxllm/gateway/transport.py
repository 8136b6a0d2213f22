"""What our connections ask of the transport under them: asyncio's has more, and another one needs no more than this."""

from __future__ import annotations

from typing import Any, Protocol


class Transport(Protocol):
    """A stream of bytes to a peer, as a connection uses it."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, now or as the peer takes it. What waits is kept as it is: hand over no view of a shared buffer."""

    def write_eof(self) -> None:
        """Shut our side once all is sent."""

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for the peer."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Past `high` bytes waiting the protocol's `pause_writing` is called, at `low` its `resume_writing`."""

    def pause_reading(self) -> None:
        """Hand over nothing more until `resume_reading`."""

    def resume_reading(self) -> None:
        """Read again."""

    def is_closing(self) -> bool:
        """Whether it is closed, or will be once what waits is sent."""

    def close(self) -> None:
        """Close once what waits is sent."""

    def abort(self) -> None:
        """Close now."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`peername`, `sockname`, or the `socket` if there is one."""
