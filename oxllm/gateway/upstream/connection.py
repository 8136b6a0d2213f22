"""One HTTP/1.1 connection to a provider: writes a request, reads its response, reports what happened.

It is the peer of a transport, plain or TLS. All connections read into one buffer. What concerns the request is reported
to its `Caller`, what concerns the connection to its `Lender`. Nothing is reported from inside the parser, so a callback
may cancel whatever it likes.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from typing import Final

from oxllm.core.budget.answers import HeldBudget
from oxllm.core.reading.outcome import Failure
from oxllm.gateway.transport import Peer, Transport
from oxllm.gateway.upstream.call import Caller, Lender, Segments
from oxllm.gateway.upstream.failure import Broken, broken
from oxllm.gateway.upstream.response import HEAD, Response

SLICE: Final = 64 * 1024
"""Bytes written at once, and the size of the read buffer: what one `send` or `recv` on a fast socket moves
(nginx's `sendfile_max_chunk` and node's highWaterMark are of the same order)."""

Socket = socket.socket


class UpstreamConnection(Peer):
    """One connection, lent to one request after another. One class, since it is both a transport's peer and the loan.

    `view` is the read buffer that all connections of a loop share: `get_buffer` and `buffer_updated` come
    in pairs, with nothing between them. `closed` is called once, when the connection is closed for any reason.
    While `held` is tight, the caller says how much a read may bring.
    """

    __slots__ = (
        "_caller",
        "_closed",
        "_error",
        "_headed",
        "_held",
        "_lender",
        "_poll",
        "_response",
        "_rest",
        "_settled",
        "_transport",
        "_view",
        "_write_paused",
        "idle_since",
        "proxied",
        "socket",
        "spoke_unasked",
        "waits",
    )

    def __init__(
        self,
        view: memoryview,
        held: HeldBudget,
        closed: Callable[[UpstreamConnection], None],
        proxied: bool = False,
    ) -> None:
        self._view = view
        self._held = held
        self._closed = closed
        self.proxied = proxied
        """Whether requests go to a proxy in plain HTTP: a 407 is then the proxy's."""
        self._transport: Transport | None = None
        self._settled: Callable[[], object] | None = None
        self.waits = False
        """Its TLS handshake waits for its turn among ours."""
        self._error: Broken | None = None
        self._lender: Lender | None = None
        self._caller: Caller | None = None
        self._response: Response | None = None
        self._rest: Iterator[bytes | memoryview] | None = None
        self._write_paused = False
        self._headed = False
        self._poll: select.poll | None = None
        """Polls its socket; made on first use."""
        self.spoke_unasked = False
        """Whether unsolicited bytes came."""
        self.idle_since = 0.0
        self.socket: Socket | None = None
        """The socket beneath any TLS, if the transport has one."""

    def __repr__(self) -> str:
        if self._transport is None:
            state = "not open"
        elif self._response is None:
            state = "idle"
        else:
            state = f"reading {self._response.phase.name.lower()}, {self._transport.get_write_buffer_size()} B unsent"
        return f"<UpstreamConnection {state}>"

    @property
    def opened(self) -> bool:
        """Whether requests can be sent, after proxy tunnel and TLS handshake. Raises Broken once they never will."""
        if self._error is not None:
            raise self._error
        return self._transport is not None

    def tell(self, settled: Callable[[], object]) -> None:
        """Call `settled` when `opened` has become clear, or `waits` has changed. It may only make a note of that."""
        self._settled = settled

    @property
    def usable(self) -> bool:
        """Open, as far as we know."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def quiet(self) -> bool:
        """Nothing has come while it was idle: neither EOF, nor bytes that would pass for the next response."""
        if self._poll is None:
            if self.socket is None:
                return True
            self._poll = watching(self.socket)
        return not self._poll.poll(0)

    @property
    def sent(self) -> bool:
        """Whether the whole request has been written."""
        return self._rest is None

    def start(self, head: bytes, segments: Segments, caller: Caller, lender: Lender) -> None:
        """Write a request: at once if small, else in slices as the socket takes them."""
        assert self._transport is not None
        assert self._lender is None
        self._caller = caller
        self._lender = lender
        self._response = Response()
        self._headed = False
        size = len(head)
        for segment in segments:
            size += len(segment)
        if size <= SLICE:
            self._transport.write(head + b"".join(segments))
        else:
            self._rest = _slices(head, segments)
            self._pump()

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close an idle connection gracefully."""
        self._forget(self._transport.close if self._transport is not None else None)

    def drop(self) -> None:
        """Close at once, whatever is in flight. Only `closed` is called."""
        self._forget(self._transport.abort if self._transport is not None else None)

    def _forget(self, end: Callable[[], None] | None) -> None:
        self._error = self._error or Broken(Failure.EOF)  # whoever waits for it to open may not have looked yet
        self._transport = self._lender = self._caller = self._response = self._rest = None
        if end is not None:
            end()
            self._closed(self)

    def _settle(self) -> None:
        settled, self._settled = self._settled, None  # it refers to us
        if settled is not None:
            settled()

    # The transport's side

    def queued(self, yes: bool) -> None:
        if yes is not self.waits:
            self.waits = yes
            self._settle()

    def connection_made(self, transport: Transport) -> None:
        transport.set_write_buffer_limits(0)
        self._transport = transport
        self._settle()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._held.tight and self._caller is not None:
            return self._view[: self._caller.room()]
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        response = self._response
        if response is None:
            self.spoke_unasked = True
            self.drop()
            return
        caller = self._caller
        try:
            data = self._view[:nbytes].tobytes()
            if self._headed and caller is not None and (part := response.chunk(data)):
                caller.data(part)
                return
            first = not response.started
            response.feed(data)
            if first and response.complete and self._rest is None and not self.proxied:
                self._report_whole(response)
            else:
                self._report(response)
        except Exception as error:  # noqa: BLE001  ends this request, and no other
            self._crash(caller, error)

    def eof_received(self) -> None:
        response = self._response
        if response is None:
            self.drop()
            return
        caller = self._caller
        try:
            response.eof()
            if response.complete:
                self._report(response)
            else:
                self._fail(Broken(Failure.EOF))
        except Exception as error:  # noqa: BLE001
            self._crash(caller, error)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None and isinstance(exc, OSError):
            self._transport.read_last(self)
        if self._transport is None:
            self._error = self._error or broken(exc)
            self._settle()
        elif self._response is None:
            self._error = broken(exc)
            self.drop()
        else:
            caller = self._caller
            try:
                self._fail(broken(exc))
            except Exception as error:  # noqa: BLE001
                self._crash(caller, error)

    def unsent(self) -> None:
        """Nothing to do: a provider that takes nothing runs into the exchange's deadlines."""

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        caller = self._caller
        try:
            self._pump()
            if self._rest is not None and self._lender is not None:
                self._lender.sent()
        except Exception as error:  # noqa: BLE001
            self._crash(caller, error)

    # Reporting

    def _pump(self) -> None:
        while self._rest is not None and not self._write_paused and self.usable:
            assert self._transport is not None
            piece = next(self._rest, None)
            if piece is not None:
                self._transport.write(piece)
                continue
            self._rest = None
            if self._lender is not None:
                self._lender.sent()

    def _report(self, response: Response) -> None:
        """Report the progress of `response` to the caller, until that cancels."""
        caller = self._caller
        assert caller is not None
        if response.status:
            if not self._report_head(response, caller):
                return
        elif response.error is None and (size := response.head_weight):
            caller.heading(size)
            if self._response is not response:
                return
        data = response.pop_body()
        if data:
            caller.data(data)
            if self._response is not response:
                return
        if response.error is not None:
            self._fail(Broken(Failure.PROTOCOL, response.error))
        elif response.complete:
            self._finish(response)

    def _report_head(self, response: Response, caller: Caller) -> bool:
        """Report the head, unless it has been. False if the call is over after that."""
        if self._headed:
            return True
        self._headed = True
        if self.proxied and response.status == 407:
            self._fail(Broken(Failure.PROXY, "HTTP 407"))
            return False
        if self._rest is not None:
            self._rest = None
            response.reusable = False
        caller.head(response.status, response.pop_headers())
        return self._response is response

    def _report_whole(self, response: Response) -> None:
        """Report a response that arrived in one piece."""
        lender = self._lender
        assert lender is not None
        reusable = self._give_back(response)
        lender.whole(reusable, response.status, response.pop_headers(), response.pop_body())

    def _finish(self, response: Response) -> None:
        lender = self._lender
        assert lender is not None
        lender.finished(self._give_back(response))

    def _give_back(self, response: Response) -> bool:
        """The response is complete: make the connection idle, or drop it. Returns whether it is idle."""
        transport = self._transport
        assert transport is not None
        self.spoke_unasked = response.overran
        if response.reusable and transport.get_write_buffer_size() == 0 and not transport.is_closing():
            self._lender = self._caller = self._response = None
            return True
        self.drop()
        return False

    def _crash(self, caller: Caller | None, error: Exception) -> None:
        """A bug of ours: it ends the call. Without a call it is raised, for the log."""
        self.drop()
        if caller is None:
            raise error
        caller.crashed(error)

    def _fail(self, error: Broken) -> None:
        lender, response = self._lender, self._response
        assert lender is not None
        assert response is not None
        self.drop()
        where = "in the head" if response.phase is HEAD else "in the body"
        lender.broken(error.failure, not response.started, error.detail or (where if response.started else ""))


def watching(sock: Socket) -> select.poll:
    """A poll that reports unread bytes or EOF from the peer. (`select.select` only takes file numbers below 1,024.)"""
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return poll


def _slices(head: bytes, segments: Segments) -> Iterator[bytes | memoryview]:
    yield head
    for segment in segments:
        if len(segment) <= SLICE:
            yield segment
        else:
            view = memoryview(segment)
            for start in range(0, len(view), SLICE):
                yield view[start : start + SLICE]
