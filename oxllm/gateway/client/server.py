"""The downstream side as a whole: makes a connection for each client, and closes them all in the end.

`connection` is what a transport calls, `turns` takes its requests one after the other, `request` is what a service
gets, `request_reader` parses, `rendering` does the reverse.
"""

from __future__ import annotations

from oxllm.gateway.client.connection import ClientConnection
from oxllm.gateway.client.shared import Shared


class Server(Shared):
    """All client connections."""

    def protocol(self) -> ClientConnection:
        """A new peer for a new client's transport."""
        return ClientConnection(self)

    def __repr__(self) -> str:
        return f"<Server {len(self.open)} connections, {len(self.quiet)} silent, {self.backlog} B unparsed>"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.open)

    def drain(self) -> None:
        """`life` is draining: what has been idle for a second closes now, the others after the response under way,
        which says so. Where its head has been sent, or after a shorter rest, one more request may come for a second."""
        for connection in list(self.open):
            connection.drain()

    def expire(self) -> None:
        """Answer 503 to every request that has no answer yet, and close what has no request."""
        for connection in list(self.open):
            connection.expire()

    def close_all(self) -> None:
        """Close every connection, answered or not. What was written is still sent as long as the loop runs."""
        for connection in list(self.open):
            connection.close()
