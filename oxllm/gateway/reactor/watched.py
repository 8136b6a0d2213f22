"""The interface of a socket that the reactor serves."""

from __future__ import annotations


class Watched:
    """One socket served by the reactor."""

    __slots__ = ()

    def ready(self, mask: int) -> None:
        """epoll has reported the events in `mask`."""
        raise NotImplementedError

    def flush(self) -> None:
        """The turn is ending: send what is queued."""

    def close_socket(self) -> None:
        """The turn is ending, and this has ended: tell the peer, then close the socket."""

    def fail(self, error: Exception) -> None:
        """A callback has raised `error`: a bug."""
        raise NotImplementedError

    def drop(self) -> None:
        """The loop has ended: close the socket, and tell nobody."""
        raise NotImplementedError
