"""What the reactor calls: one socket that it serves."""

from __future__ import annotations


class Watched:
    """One socket of the reactor's."""

    __slots__ = ()

    def ready(self, mask: int) -> None:
        """epoll has seen this."""
        raise NotImplementedError

    def flush(self) -> None:
        """The turn ends: send what was gathered."""

    def close_socket(self) -> None:
        """The turn ends, and it has been closed: tell the peer, and close the socket."""

    def fail(self, error: Exception) -> None:
        """A callback has raised this: end."""
        raise NotImplementedError

    def drop(self) -> None:
        """The loop ends: close the socket. Nobody is told."""
        raise NotImplementedError
