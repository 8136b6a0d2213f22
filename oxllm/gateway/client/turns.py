"""The requests of one connection, one after the other: read, handed to the `Service`, and answered in order.

`states` has the table of what is read, and for how long. Whatever arrives behind the request being served stays
unparsed, within bounds (`backlog`), until its turn: no request is parsed before the one in front of it is answered.

An answer may come before the body has (401, 413, a drain). If little of the body is left, it is skipped and
the connection kept alive; otherwise we half-close, read and drop what still comes for 2 s so that no
reset overtakes the answer (RFC 9112 section 9.6), and then close.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway.client.backlog import Backlog
from oxllm.gateway.client.intake import Intake, objection, too_large
from oxllm.gateway.client.known_heads import NOWHERE
from oxllm.gateway.client.output import Output
from oxllm.gateway.client.request import Channel, Request
from oxllm.gateway.client.request_reader import COMPLETE, RequestReader, Unreadable, asked
from oxllm.gateway.client.request_reader import HEAD as IN_HEAD
from oxllm.gateway.client.shared import Connected, Shared
from oxllm.gateway.client.states import (
    BODY,
    BODY_DUE,
    CLOSE,
    CLOSED,
    CUT_SHORT,
    DONE,
    DRAIN_QUIET_S,
    GOODBYE,
    HEAD,
    HEAD_BEGUN,
    IDLE,
    LIMIT_S,
    LINGERING,
    NEW,
    NO_ROOM,
    READ_S,
    SERVING,
    SKIPPING,
    TABLE,
    WAITING,
    WHOLE,
    ConnectionEvent,
)

SKIP_BYTES_MAX: Final = 64 * 1024
"""Bytes of an unwanted body that are still read to keep the connection alive, at most; node and Go do likewise."""

CONNECTION_CLOSE: Final = b"connection: close\r\n"
CONNECTION_KEEP_ALIVE: Final = b"connection: keep-alive\r\n"


class Turns(Channel):
    """Which request's turn it is, and where incoming bytes go. One class, since it is one state machine."""

    __slots__ = (
        "_connection",
        "_head_at",
        "_intake",
        "_reader",
        "_shared",
        "backlog",
        "output",
        "over_limit",
        "request",
        "state",
        "timer",
    )
    __deletable__ = ("_connection", "timer")

    def __init__(self, shared: Shared, connection: Connected, late: Callable[[], None]) -> None:
        """`late` is called when the current state's time limit passes; it should call `time_out`."""
        super().__init__()
        self._shared = shared
        self._connection = connection
        self.output: Output
        self.backlog: Backlog
        """These two are set once there is a transport."""
        self.timer = shared.wheel.timer(late)
        self.request: Request | None = None
        """The request being answered."""
        self._reader: RequestReader | None = None
        """Reads the current request; None once that is complete, or once nothing more will be parsed."""
        self._intake: Intake | None = None
        """The current request's intake, if the service has accepted it or it has a body."""
        self._head_at = NOWHERE  # the place of this connection's last head among the known ones
        self.over_limit = False
        """This was a connection too many when it opened: only operators are served."""
        self.state = NEW

    def _enter(self, event: ConnectionEvent) -> None:
        """Go to the next state, and start its time limit."""
        state = self.state = TABLE.move(self.state, event)
        quiet, connection = self._shared.quiet, self._connection
        if connection in quiet:
            del quiet[connection]
        if state is SERVING:
            return
        if state is IDLE or state is HEAD or state is LINGERING:
            quiet[connection] = None
        limit = LIMIT_S.get(state)
        if limit is not None:
            self.timer.set(self._shared.now() + limit)

    # Reading.

    def read(self, buffer: bytearray, end: int) -> None:
        """Read as much of `buffer[:end]` as is due now; keep the rest in the backlog."""
        try:
            at = self._read_due(buffer, end)
        except Unreadable as unreadable:
            self.decline(unreadable.error, unreadable.line)
            return
        state = self.state
        if at < end and state is not LINGERING and state is not CLOSED:
            self.backlog.append(buffer, at, end)
        if state is BODY:
            assert self._intake is not None
            self._intake.note_progress()
        elif state is HEAD:
            assert self._reader is not None
            quiet = self._shared.quiet
            quiet[self._connection] = quiet.pop(self._connection)  # to the end: it was heard last
            self._shared.head_grew(self, self._reader.weight)

    def _read_due(self, buffer: bytearray, end: int) -> int:
        """Read until the request being served is in the way of the next, or all is read. Returns how far that is."""
        at, answered = 0, False
        while at < end:
            state = self.state
            if state is IDLE or state is NEW or state is HEAD:
                if self.output.blocked:  # no further request is read while the client does not take its answers
                    break
                if answered:  # others have their turn: a read may bring hundreds of requests (nginx does it, too)
                    self._shared.loop.call_soon(self.resume)
                    break
            elif state is not BODY and state is not SKIPPING:
                break
            at = self._step(buffer, at, end)
            answered = self.state is IDLE
        return at

    def _step(self, buffer: bytearray, at: int, end: int) -> int:
        """Read up to the end of the head, of the request, or of the data. Returns where that is."""
        reader, state = self._reader, self.state
        if reader is not None:
            at = reader.feed(buffer, at, end)
        elif state is SKIPPING:
            return end  # too much is unwanted to look for its end
        else:
            reader, at, self._head_at = self._shared.known.begin(buffer, at, end, self._head_at)
            self._reader = reader
        complete = reader.stage is COMPLETE
        if complete:
            self._reader = None
        if state is BODY:
            if complete:
                self._enter(WHOLE)
            assert self._intake is not None
            self._intake.grew()
        elif state is SKIPPING:
            if complete:
                self._enter(DONE if self.request is None else WHOLE)
        elif reader.stage is not IN_HEAD:
            self._head_whole(reader, at < end)
        elif state is not HEAD and reader.line:
            self._enter(HEAD_BEGUN)
        return at

    def _head_whole(self, reader: RequestReader, more: bool) -> None:
        """Ask the service about a request, then take it in. `more`: bytes follow the head."""
        shared = self._shared
        request = self.request = Request(self, self.output, shared.now(), reader)
        request.id = shared.request_id(request)
        if request.last:
            self.keep_alive = False
        if self.state is HEAD:
            shared.heads.drop(self)
        self._enter(WHOLE if reader.stage is COMPLETE else BODY_DUE)
        error = None
        if self.over_limit:
            self.keep_alive = False
            error = shared.shed(request)
        if error is None and reader.expectation is not None:
            error = objection(reader.expectation)
        if error is not None:
            self.refuse(error)
            return
        shared.service.head(request)
        if not request.head_sent and self.state is not CLOSED:
            self._take_in(request, reader, more)

    def _take_in(self, request: Request, reader: RequestReader, more: bool) -> None:
        """Let the body of a request come, or serve it if it has none."""
        shared = self._shared
        if reader.length is not None and reader.length > shared.limits.max_body_bytes:
            self.refuse(too_large(shared.limits.max_body_bytes))
        elif reader.stage is COMPLETE and not request.in_flight and not reader.body:
            shared.service.serve(request)
        else:
            if more:
                reader.expectation = None  # it has not waited for our word
            intake = self._intake = request.intake = Intake(shared, self, reader, request)
            intake.begin()

    def resume(self) -> None:
        """Go on with the backlog, then with the socket."""
        if self.state is LINGERING or self.state is CLOSED:
            return
        try:
            data = self.backlog.pop()
            if data:
                self.read(data, len(data))
            elif self.state is BODY:
                assert self._intake is not None
                self._intake.note_progress()
        except Exception as error:  # noqa: BLE001
            self._connection.crash(error)
        if self.backlog.data is None and self.state is not WAITING:
            self.backlog.resume()

    def _drop_reader(self) -> None:
        """Parse nothing more of what is being read."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.drop()
            self._shared.heads.drop(self)

    # The intake's side.

    def wait(self) -> None:
        self._enter(NO_ROOM)
        self.backlog.pause()

    def admitted(self) -> None:
        intake = self._intake
        if self.state is WAITING and intake is not None:
            try:
                self._enter(WHOLE if self._reader is None else BODY_DUE)
                intake.go_ahead()
            except Exception as error:  # noqa: BLE001
                self._connection.crash(error)
            self.resume()

    # The request's side.

    def answering(self, http10: bool) -> bytes:
        if self.state is BODY or self.state is WAITING:
            self._skip()
        date = self._shared.date()
        if not self.keep_alive or self._shared.life.draining:
            self.keep_alive = False
            return date + CONNECTION_CLOSE
        return date + CONNECTION_KEEP_ALIVE if http10 else date

    def _skip(self) -> None:
        """An answer begins before the body has been read, or before there was room for the request."""
        reader, waited = self._reader, self.state is WAITING
        if reader is not None:
            reader.skip()
            if reader.length is None or reader.left > SKIP_BYTES_MAX or reader.expectation is not None:
                self.keep_alive = False
                self._drop_reader()
        if self._intake is not None:
            self._intake.release()
        self._enter(WHOLE if reader is None else CUT_SHORT)
        if waited:
            self._shared.loop.call_soon(self.resume)

    def answered(self) -> None:
        last = self.request is not None and self.request.last
        self._end_request()
        if self.state is CLOSED:
            return
        draining, more = self._shared.life.draining, self.backlog.data is not None
        if not self.keep_alive or (draining and self.state is not SERVING):
            self._say_goodbye(last)
        elif self.state is SERVING:
            self._enter(DONE)
            if draining:  # its head had gone out before: the client does not know, and may ask once more
                self.timer.set(self._shared.now() + DRAIN_QUIET_S)
            if more:
                self._shared.loop.call_soon(self.resume)
        else:
            self.timer.set(self._shared.now() + LIMIT_S[SKIPPING])

    def broken_off(self) -> None:
        self._shared.loop.call_at(self._shared.now() + READ_S, self.answered)

    def _end_request(self) -> None:
        request, intake = self.request, self._intake
        self.request = self._intake = None
        try:
            if intake is not None:
                intake.release()
        finally:
            if request is not None:
                self._shared.service.ended(request)
                request.gone()

    # Errors of our own.

    def refuse(self, error: ApiError) -> None:
        request = self.request
        assert request is not None
        self._shared.service.refused(request, error)
        self._shared.service.answer(request, error)

    def decline(self, error: ApiError, line: bytes = b"") -> None:
        """Answer `error`, and read no further. `line`: the request line, where no reader knows it."""
        self.keep_alive = False
        request = self.request
        if request is None:
            request = self.request = Request(self, self.output, self._shared.now(), RequestReader())
            request.id = self._shared.request_id(request)
            request.method, request.path = asked(line if self._reader is None else self._reader.line)
        self._drop_reader()
        if self.state is not SERVING and self.state is not SKIPPING:
            self._enter(CUT_SHORT)
        if not request.head_sent:
            self.refuse(error)

    def time_out(self) -> None:
        """The time limit of this state has passed."""
        state = self.state
        if state is HEAD:
            self.decline(api_error(408, f"the head was not whole within {LIMIT_S[HEAD]:.0f} s"))
        elif state is BODY:
            assert self._intake is not None
            self._intake.check_pace()
        elif state is WAITING:
            assert self._intake is not None
            self._intake.give_way()
        elif state is IDLE and self.backlog.data is not None:
            self.timer.set(self._shared.now() + LIMIT_S[IDLE])  # it waits for its output to be taken: `output` watches
        elif self.request is None:
            self._connection.close()

    # The end.

    def _say_goodbye(self, last: bool) -> None:
        """Close so that the answer arrives. After its `last` request a client sends nothing more; else it may."""
        if self.state is SERVING and last and self.backlog.data is None:
            self._connection.close()
            return
        self._enter(GOODBYE)
        self._drop_reader()
        self.backlog.pop()
        self.backlog.resume()
        self.output.shut()

    def close(self) -> None:
        """Stop reading and answering."""
        if self.state is not CLOSED:
            self._enter(CLOSE)
            self._shared.heads.drop(self)

    def connection_lost(self) -> None:
        """The connection is closed."""
        try:
            self.close()
            self.timer.clear()
            del self.timer, self._connection  # they refer back to us: breaking the cycle frees the memory at once
            self._drop_reader()
        finally:
            self._end_request()
