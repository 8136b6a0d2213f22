"""One client request, and the way to answer it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from oxllm.core.native import trait
from oxllm.core.protocols.base import Protocol as Api
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.gateway.client.fields import NO_FIELDS, Fields
from oxllm.gateway.client.rendering import bodiless, chunk, render
from oxllm.gateway.client.request_reader import RequestReader

JOIN_BYTES_MAX: Final = 16 * 1024
"""A response body up to this length is copied into one write with its head, to save a system call."""


@trait
class Writer:
    """Writes to the client."""

    __slots__ = ()

    def defer(self, head: bytes) -> None:
        """Send `head` along with what follows it, or alone at the end of this turn of the loop."""

    def send(self, data: bytes) -> None:
        """Send `data`. If the client has gone, nothing is sent and no error raised."""

    def measure(self) -> int:
        """Bytes that are unsent."""
        raise NotImplementedError

    def address(self, end: str) -> str:
        """The IP address of `peername` or `sockname`; empty when the client has gone."""
        raise NotImplementedError

    def reset(self) -> None:
        """Close with a RST, so that the client cannot take a partial response for a whole one."""


class Kept(Protocol):
    """The memory that is accounted to a request."""

    def release(self) -> None:
        """The request no longer needs it."""


class Channel:
    """The connection that a request came on."""

    __slots__ = ("keep_alive",)

    def __init__(self) -> None:
        self.keep_alive = True
        """Whether another request may follow on it."""

    def answering(self, http10: bool) -> bytes:
        """A response begins. Returns its Date and Connection header lines."""
        raise NotImplementedError

    def answered(self) -> None:
        """The response is complete."""

    def broken_off(self) -> None:
        """The response is incomplete, and the last that was written says so."""


class Handler(Protocol):
    """Is told how the client is doing."""

    def gone(self) -> None:
        """The client has left, or has taken nothing for 60 s. Nothing written from now on arrives."""

    def pause_writing(self) -> None:
        """The unsent output is over its high-water mark: 64 KiB, or 1 KiB while memory for answers is short."""

    def resume_writing(self) -> None:
        """The unsent output is down to its low-water mark."""


class Request:
    """One request and the way to answer it. Once the client has gone, answers are dropped without an error."""

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_connection",
        "_handler",
        "_http10",
        "_until_close",
        "_writer",
        "body",
        "config",
        "fields",
        "head_sent",
        "id",
        "in_flight",
        "intake",
        "last",
        "method",
        "path",
        "place",
        "query",
        "started",
    )

    def __init__(self, connection: Channel, writer: Writer, started: float, reader: RequestReader) -> None:
        """`reader` has read the head; it is a fresh one for a head that cannot be read."""
        self._connection: Channel | None = connection
        self._writer = writer
        self._handler: Handler | None = None
        self._bodiless = self._chunked = self._until_close = False
        self._http10 = reader.http10
        self.method = reader.method
        self.path = reader.path
        self.query = reader.query
        """Path and query are as sent, percent escapes and all."""
        self.fields = Fields(reader.headers) if reader.fields is None else reader.fields
        """Its header fields; none after `release`."""
        self.body: bytes | bytearray = reader.body
        """Complete when `serve` is called; empty after `release`."""
        self.last = not reader.keep_alive
        """The client will send no further request on this connection."""
        self.started = started
        """Loop time at which the head was complete."""
        self.id = ""
        self.place: tuple[Api, Endpoint] | None = None
        """The provider API's endpoint that it is for; None for routes of our own."""
        self.config: object = None
        """The config that the service has accepted it under, until it is served."""
        self.in_flight = False
        """The service has accepted it, and counts it until it ends."""
        self.intake: Kept | None = None
        """The memory accounted to it, if any."""
        self.head_sent = False

    @property
    def peer(self) -> str:
        """The client's IP address; empty when it has gone."""
        return self._writer.address("peername") if self._connection is not None else ""

    @property
    def local(self) -> str:
        """The IP address on which the connection arrived; empty when the client has gone."""
        return self._writer.address("sockname") if self._connection is not None else ""

    @property
    def unsent(self) -> int:
        """Bytes that are unsent."""
        return self._writer.measure() if self._connection is not None else 0

    def get(self, name: bytes) -> bytes | None:
        """The value of the first header called `name` (lower case)."""
        return self.fields.first.get(name)

    def watch(self, handler: Handler) -> None:
        """Tell `handler` from now on, until the response is complete. To be called inside `head` or `serve`."""
        self._handler = handler

    def respond(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole response. Content-Length is added; the body of a response to HEAD is left out."""
        connection = self._connection
        if connection is not None and not self.head_sent:
            size = len(body)
            large = size > JOIN_BYTES_MAX
            self._writer.send(self._head(connection, status, headers, size, b"" if large else body))
            if large:
                self.write(body)
            self._finish(connection)

    def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]], length: int | None) -> None:
        """Begin a response whose body is written piece by piece; the head goes out with the first piece.

        `length` None means chunked or, for an HTTP/1.0 client, until the connection closes.
        """
        connection = self._connection
        if connection is not None and not self.head_sent:
            self._writer.defer(self._head(connection, status, headers, length))

    def write(self, data: bytes) -> None:
        """A piece of the body, after `begin`."""
        connection = self._connection
        if connection is not None and data and not self._bodiless:
            self._writer.send(chunk(data) if self._chunked else data)

    def end(self) -> None:
        """The response begun with `begin` is complete."""
        connection = self._connection
        if connection is not None:
            self._writer.send(b"0\r\n\r\n" if self._chunked else b"")
            self._finish(connection)

    def abort(self, tail: bytes = b"") -> None:
        """End a response so that the client can tell it is incomplete: `tail`, then close without the final chunk.

        A body that only the close delimits is ended with a reset instead, unless `tail` says what is wrong.
        """
        connection = self._connection
        if connection is None:
            return
        self.write(tail)
        connection.keep_alive = False
        if self.head_sent and tail:
            self._detach()
            connection.broken_off()
        elif self.head_sent and not self._until_close:
            self._finish(connection)
        else:
            self._detach()
            self._writer.reset()

    def unwatch(self) -> Handler | None:
        """Tell the handler nothing more. Returns it."""
        handler, self._handler = self._handler, None
        return handler

    def release(self) -> None:
        """Head and body are no longer needed: free their memory for others."""
        self.fields, self.body = NO_FIELDS, b""
        if self.intake is not None:
            self.intake.release()

    def _head(
        self,
        connection: Channel,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        length: int | None,
        body: bytes = b"",
    ) -> bytes:
        """The head of a response, followed by `body` if it may have one."""
        self.head_sent = True
        ends_here = bodiless(status)
        self._bodiless = ends_here or self.method == "HEAD"
        if length is None and self._http10:
            self._until_close = not self._bodiless
            connection.keep_alive = False
        framing = connection.answering(self._http10)
        if not ends_here:
            if length is not None:
                framing = b"%bcontent-length: %d\r\n" % (framing, length)
            elif not self._http10:
                self._chunked = not self._bodiless
                framing += b"transfer-encoding: chunked\r\n"
        return render(status, self.id, headers, framing, b"" if self._bodiless else body)

    def _finish(self, connection: Channel) -> None:
        self._detach()
        connection.answered()

    def _detach(self) -> None:
        self._connection = self._handler = self.intake = None

    # Called by the connection.

    def gone(self) -> None:
        """There is nobody left to answer. No effect once the response is complete, or was aborted."""
        handler = self._handler
        self._detach()
        if handler is not None:
            handler.gone()

    def pause_writing(self) -> None:
        """The output is over its high-water mark."""
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """The output is down to its low-water mark."""
        if self._handler is not None:
            self._handler.resume_writing()
