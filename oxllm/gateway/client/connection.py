"""One client connection: an HTTP/1.1 server protocol that hands whole requests to a `Service`.

A connection reads one request at a time and answers in order; `states` has the table of what it reads, and how long
for. Whatever arrives behind the request that is being served stays raw, in bounds (`backlog`), until its turn: a
request is not even parsed before the one in front of it is answered. Meanwhile the socket is still read, because that
is how a client that left is noticed. End of file from the client in any state means that it is gone.

Bodies come in by `intake`, answers go out by `output`.

An answer may come before the body has (401, 413, a drain). If little of the body is left it is skipped and
the connection lives; otherwise our side is shut, what still comes is read and dropped for 2 s so that no
reset overtakes the answer (RFC 9112 section 9.6), then the connection closes.
"""

from __future__ import annotations

import socket
import struct

from oxllm.core.errors import ApiError, api_error
from oxllm.gateway.client.backlog import Backlog
from oxllm.gateway.client.intake import Intake, slim
from oxllm.gateway.client.output import Output
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.request_reader import COMPLETE, Refused, RequestReader, Stage
from oxllm.gateway.client.response_head import CONTINUE
from oxllm.gateway.client.shared import Shared
from oxllm.gateway.client.states import (
    BODY,
    CLOSED,
    DRAIN_NEW_S,
    HEAD,
    IDLE,
    LIMIT_S,
    LINGERING,
    NEW,
    NEXT,
    SERVING,
    SKIPPING,
    WAITING,
    State,
)
from oxllm.gateway.transport import Transport

SKIP_BYTES_MAX = 64 * 1024
"""A rest of an unwanted body up to this length is read so that the connection can stay; node and Go do likewise."""

CROWD_MAX = 64
"""Connections over `max_connections` whose head is still read, so that the operator gets in."""

OVERLOAD_RETRY_S = 1
"""Retry-After of our own 503s: room comes back as fast as requests end."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, with no time: close() sends RST instead of FIN."""


def overloaded(message: str) -> ApiError:
    """A 503 that says to come again soon."""
    return api_error(503, message, "overloaded", retry_after=OVERLOAD_RETRY_S)


class ClientConnection:
    """Takes turns: one request is read and answered, then the next. One class, since its states know each other."""

    __slots__ = (
        "_consuming",
        "_crowded",
        "_intake",
        "_paused",
        "_reader",
        "_shared",
        "backlog",
        "keep",
        "output",
        "request",
        "state",
        "timer",
        "transport",
    )
    __deletable__ = ("timer",)

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.timer = shared.wheel.timer(self._expired)
        self.request: Request | None = None
        """What is being answered."""
        self._reader: RequestReader | None = None
        """What is being read; None when it is complete, and once nothing more is going to be understood."""
        self._intake: Intake | None = None
        """Of the request being answered, if its body did not come with its head."""
        self.backlog = Backlog(shared)
        self._consuming = self._crowded = self._paused = False
        self.keep = True
        """Whether there may be another request on this connection."""
        self.state = NEW
        self.transport: Transport
        self.output: Output

    def __repr__(self) -> str:
        request = self.request
        doing = f" {request.method} {request.path.decode('latin-1')} {request.id}" if request is not None else ""
        return f"<ClientConnection {self.state.name}{doing}>"

    # The transport calls these.

    def connection_made(self, transport: Transport) -> None:
        shared = self._shared
        self.transport = transport
        self.output = Output(shared, self.transport, self.abort)
        shared.open.add(self)
        if len(shared.open) > shared.max_connections:
            shared.make_room()
            excess = len(shared.open) - shared.max_connections
            if excess > CROWD_MAX:
                self.abort()
                return
            self._crowded = excess > 0
        shared.quiet[self] = None
        self.timer.set(shared.now() + (DRAIN_NEW_S if shared.life.draining else LIMIT_S[NEW]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = CLOSED
        try:
            self.timer.clear()
            del self.timer  # it refers back to us: without a cycle the memory goes at once
            self._shared.open.discard(self)
            self._shared.quiet.pop(self, None)
            self.output.close()
            self.backlog.take()
            if self._paused:
                self._unwatch()
            self._drop_reader()
        finally:
            self._end_request()

    def eof_received(self) -> None:
        if self.request is not None:
            self.abort()
        else:
            self.close()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared.body_view if self.state is BODY else self._shared.head_view

    def buffer_updated(self, nbytes: int) -> None:
        state = self.state
        if state >= LINGERING:
            return
        try:
            if state is SERVING or state is WAITING or self.backlog.data is not None:
                self._keep(self._shared.buffer, 0, nbytes)
            else:
                self._consume(self._shared.buffer, nbytes)
        except Exception as error:  # noqa: BLE001  a bug of ours ends this request, and no other
            self._crash(error)

    def pause_writing(self) -> None:
        self.output.blocked = True
        if self.request is not None:
            self.request.pressed(True)

    def unsent(self) -> None:
        try:
            self.output.unsent()
        except Exception as error:  # noqa: BLE001
            self._crash(error)

    def resume_writing(self) -> None:
        try:
            if not self.output.relieved():
                return
        except Exception as error:  # noqa: BLE001
            self._crash(error)
            return
        if self.request is not None:
            self.request.pressed(False)
        elif self.backlog.data is not None:
            self._shared.loop.call_soon(self._go_on)

    # Reading.

    def enter(self, state: State) -> None:
        """Go on to `state`, and begin its time."""
        before = self.state
        assert state in NEXT[before], (before, state)
        self.state = state
        if before <= HEAD:
            del self._shared.quiet[self]
        if state is IDLE or state is HEAD or state is LINGERING:
            self._shared.quiet[self] = None
        limit = LIMIT_S.get(state)
        if limit is not None:
            self.timer.set(self._shared.now() + limit)

    def _consume(self, buffer: bytearray, end: int) -> None:
        """Go through `buffer[:end]` as far as the requests' turn has come; keep the rest."""
        self._consuming = True
        at = 0
        try:
            while at < end and self._may_read():
                at = self._step(buffer, at, end)
        except Refused as refused:
            self.decline(refused.error)
            return
        finally:
            self._consuming = False
        if at < end and self.state < LINGERING:
            self._keep(buffer, at, end)
        if self.state is BODY:
            self._body_moved()
        elif self.state is HEAD:
            self._count_head()

    def _count_head(self) -> None:
        """Count a head that is not whole. When there are too many of those, some have to go."""
        heads, now = self._shared.heads, self._shared.now()
        if self._reader is not None:
            heads.grew(self, self._reader.weight, now)
        self._shared.quiet[self] = self._shared.quiet.pop(self)  # the last to be heard
        while (victim := heads.excess(now)) is not None:
            victim.decline(overloaded("too many requests whose heads are not whole"))

    def _may_read(self) -> bool:
        """Whether the next byte can be understood now: not behind an answer that the client does not take."""
        state = self.state
        return state is BODY or state is SKIPPING or (state <= HEAD and not self.output.blocked)

    def _step(self, buffer: bytearray, at: int, end: int) -> int:
        reader = self._reader
        if reader is None:
            if self.state is SKIPPING:
                return end
            reader = self._reader = RequestReader()
        at = reader.feed(buffer, at, end)
        if reader.stage is COMPLETE:
            self._reader = None
        if self.state is BODY:
            self._body_grew(reader)
        elif self.state is SKIPPING:
            if self._reader is None:
                self.enter(IDLE if self.request is None else SERVING)
        elif reader.stage is not Stage.HEAD:
            self._head_whole(reader, at < end)
        elif self.state is not HEAD:
            self.enter(HEAD)
        return at

    def _head_whole(self, reader: RequestReader, more: bool) -> None:
        shared = self._shared
        request = self.request = Request(self, shared.now(), reader)
        request.id = shared.request_id(request)
        if request.last:
            self.keep = False
        if self.state is HEAD:
            shared.heads.drop(self)
        self.enter(SERVING if reader.stage is COMPLETE else BODY)
        error = self._objection(reader, request)
        if error is not None:
            self._answer(request, error)
            return
        shared.service.head(request)
        if request.head_sent or self.state is CLOSED:
            return
        if reader.length is not None and reader.length > shared.limits.max_body_bytes:
            self._answer(request, self._too_large())
        elif reader.stage is COMPLETE and not request.taken:
            shared.service.serve(request)
        else:
            if more:
                reader.expectation = None  # it has not waited for our word
            self._intake = Intake(shared, self, reader)
            if request.taken and not self._intake.take_head(slim(reader, request, shared.service.needs)):
                self._answer(request, overloaded("no memory for the request's head at present"))
            else:
                self._admit(reader, self._intake)

    def _objection(self, reader: RequestReader, request: Request) -> ApiError | None:
        shared = self._shared
        if self._crowded:
            self.keep = False
            if len(shared.open) > shared.max_connections and not shared.service.operator_route(request):
                return overloaded("too many connections")
        if reader.expectation is not None and reader.expectation != b"100-continue":
            return api_error(417, "the only expectation that can be met is 100-continue")
        return None

    def _too_large(self) -> ApiError:
        return api_error(413, f"the body is over {self._shared.limits.max_body_bytes} bytes")

    # The body.

    def _admit(self, reader: RequestReader, intake: Intake) -> None:
        """Let the next part of the body in, or serve what is whole, if there is room for it."""
        if intake.admit():
            self._grant(reader)
        elif self.request is not None and not self.request.head_sent:  # else it knows that there will be none
            self.enter(WAITING)
            self._pause()

    def _grant(self, reader: RequestReader) -> None:
        if reader.stage is COMPLETE:
            assert self._intake is not None
            assert self.request is not None
            self._intake.whole()
            self._shared.service.serve(self.request)
        elif reader.expectation is not None:
            reader.expectation = None
            self.output.send(CONTINUE)

    def admitted(self) -> None:
        """There is room now for what had to wait."""
        if self.state is WAITING and self._intake is not None:
            reader = self._intake.reader
            assert reader is not None
            try:
                self.enter(SERVING if reader.stage is COMPLETE else BODY)
                self._grant(reader)
                self._go_on()
            except Exception as error:  # noqa: BLE001
                self._crash(error)

    def no_room(self) -> None:
        """What waits for room gets none."""
        assert self.request is not None
        self._answer(self.request, overloaded("no memory for the body at present"))

    def _body_grew(self, reader: RequestReader) -> None:
        request, intake = self.request, self._intake
        assert request is not None
        assert intake is not None
        if reader.received > self._shared.limits.max_body_bytes:
            if reader.stage is COMPLETE:  # its end came with the byte too many
                self.enter(SERVING)
            self._answer(request, self._too_large())
        elif reader.stage is COMPLETE:
            intake.whole()
            self.enter(SERVING)
            self._shared.service.serve(request)
        else:
            self._admit(reader, intake)

    def _body_moved(self) -> None:
        """The timer looks at a body's pace now and then."""
        assert self._intake is not None
        look_at = self._intake.moved(self._shared.now())
        if look_at is not None:
            self.timer.set(look_at)

    def _look_at_pace(self) -> None:
        intake, now = self._intake, self._shared.now()
        assert intake is not None
        why = intake.late(now)
        if why is not None:
            self.decline(api_error(408, why))
        else:
            self.timer.set(intake.look_at(now))

    def release_body(self) -> None:
        """The body is held no more, or not wanted."""
        if self._intake is not None:
            self._intake.release()

    # Bytes whose turn has not come.

    def _keep(self, buffer: bytearray, at: int, end: int) -> None:
        if not self.backlog.keep(buffer, at, end):
            self._pause()

    def _go_on(self) -> None:
        """Take up what was kept."""
        if self.state >= LINGERING:
            return
        try:
            data = self.backlog.take()
            if data:
                self._consume(data, len(data))
            elif self.state is BODY:
                self._body_moved()
        except Exception as error:  # noqa: BLE001
            self._crash(error)
        if self.backlog.data is None and self.state is not WAITING:
            self._resume()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                self._shared.hangups.watch(sock.fileno(), self.abort)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._unwatch()
            self.transport.resume_reading()

    def _unwatch(self) -> None:
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            self._shared.hangups.forget(sock.fileno())

    def _drop_reader(self) -> None:
        """Nothing more is going to be understood of what is being read."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.drop()
            self._shared.heads.drop(self)

    # Answering.

    def answering(self) -> bool:
        """A response begins. Whether the connection closes behind it."""
        if self.state is BODY or self.state is WAITING:
            self._skip()
        return not self.keep or self._shared.life.draining

    def _skip(self) -> None:
        """The answer comes before the body has, or before there was room for the request."""
        reader = self._reader
        waited = self.state is WAITING
        if reader is None:
            self.release_body()
            self.enter(SERVING)
            self._shared.loop.call_soon(self._go_on)
            return
        reader.keep = False
        if reader.length is None or reader.left > SKIP_BYTES_MAX or reader.expectation is not None:
            self.keep = False
            self._drop_reader()
        self.release_body()
        self.enter(SKIPPING)
        if waited:
            self._shared.loop.call_soon(self._go_on)

    def answered(self) -> None:
        """The response is complete."""
        last = self.request is not None and self.request.last
        self._end_request()
        if self.state is CLOSED:
            return
        if not self.keep or self._shared.life.draining:
            self._say_goodbye(last)
        elif self.state is SERVING:
            self.enter(IDLE)
            if self.backlog.data is not None and not self._consuming:
                self._shared.loop.call_soon(self._go_on)
        else:
            self.timer.set(self._shared.now() + LIMIT_S[SKIPPING])

    def _end_request(self) -> None:
        request, intake = self.request, self._intake
        self.request = self._intake = None
        try:
            if intake is not None:
                intake.release()
        finally:
            if request is not None:
                self._shared.service.ended(request)
                request.lost()

    def date(self) -> bytes:
        """The Date line."""
        return self._shared.date()

    # Errors of our own.

    def decline(self, error: ApiError) -> None:
        """Answer what cannot be understood or waited for, and read no further."""
        self.keep = False
        self._drop_reader()
        request = self.request
        if request is None:
            request = self.request = Request(self, self._shared.now())
            request.id = self._shared.request_id(request)
        if self.state is not SKIPPING:
            self.enter(SKIPPING)
        if not request.head_sent:
            self._answer(request, error)

    def _answer(self, request: Request, error: ApiError) -> None:
        self._shared.service.refused(request, error)
        self._shared.service.answer(request, error)

    def _crash(self, error: Exception) -> None:
        """A bug of ours: a 500 if nothing has been answered yet. The connection ends, and with it what it holds."""
        request = self.request
        self._shared.service.crashed(request, error)
        handler = request.unwatch() if request is not None else None
        bug = api_error(500, "internal error; the log has a line about it")
        try:
            if request is not None and self.state in (SERVING, WAITING):
                self.keep = False
                if not request.head_sent:
                    self._answer(request, bug)
            elif self.state < LINGERING:
                self.decline(bug)
        except Exception as again:  # noqa: BLE001  it stays without an answer
            self._shared.service.crashed(request, again)
        if self.state < LINGERING:
            self.abort()
        if handler is not None:
            handler.gone()

    def _expired(self) -> None:
        try:
            self._time_out(self.state)
        except Exception as error:  # noqa: BLE001
            self._crash(error)

    def _time_out(self, state: State) -> None:
        if state is HEAD:
            self.decline(api_error(408, f"the head was not whole within {LIMIT_S[HEAD]:.0f} s"))
        elif state is BODY:
            self._look_at_pace()
        elif state is WAITING:
            self.no_room()
        elif state is IDLE and self.backlog.data is not None:
            self.timer.set(self._shared.now() + LIMIT_S[IDLE])  # it waits for its client, which `output` watches
        elif self.request is None:
            self.close()

    # The end.

    def _say_goodbye(self, last: bool) -> None:
        """Close so that the answer arrives. A client whose `last` request it was sends nothing more; others may."""
        if self.state is SERVING and last and self.backlog.data is None:
            self.close()
            return
        self.enter(LINGERING)
        self._drop_reader()
        self.backlog.take()
        self._resume()
        try:
            self.transport.write_eof()
        except OSError:
            self.abort()

    def drain(self) -> None:
        """No request after the present one."""
        if self.state is NEW:
            self.timer.set(self._shared.now() + DRAIN_NEW_S)
        elif self.state is IDLE and self.backlog.data is None:
            self.close()

    def expire(self) -> None:
        """The process ends, and cannot wait for an answer or for the rest of a request."""
        request = self.request
        self.keep = False
        if request is not None and not request.head_sent:
            self._answer(request, api_error(503, "the gateway is shutting down", "overloaded", retry_after=1))

    def spare(self) -> bool:
        """It is idle or silent, and its place is needed: close. False if its client waits for something."""
        if self.output.measure() or self.backlog.data is not None:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Close once what was written has been taken."""
        self._closed()
        self.transport.close()

    def abort(self) -> None:
        """Close now; what was written may be lost."""
        self._closed()
        self.transport.abort()

    def _closed(self) -> None:
        self.state = CLOSED
        self._shared.heads.drop(self)
        self._shared.quiet.pop(self, None)
        self.output.closed = True

    def reset(self) -> None:
        """Close so that the client cannot take what it has for the whole."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.abort()
