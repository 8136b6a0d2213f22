"""One client connection: an HTTP/1.1 server protocol that hands whole requests to a `Service`.

Theory. A connection reads one request at a time and answers in order. Reading has a state, and each state a
limit; what happens when the limit passes is the table below. Whatever arrives behind the request that is
being served stays raw, in bounds, until its turn: a request is not even parsed before the one in front of it
is answered. Meanwhile the socket is still read, because that is how a client that left is noticed.

    state      what the client owes us             limit               when it passes
    NEW        the first byte of a first request   20 s                close without a word
    IDLE       the first byte of a next request    75 s                close without a word
    HEAD       the rest of a head                  20 s in all         408, close
    BODY       the rest of a body                  20 s of silence     408, close
    WAITING    nothing: no room for its body       5 s                 503 and Retry-After
    SERVING    nothing: the service has it         the service's own
    SKIPPING   a rest of a body nobody wants       20 s once answered  close
    LINGERING  its end of file; we said goodbye    2 s                 close
    CLOSED     -

Beside it, in whatever state: output that waits while the client takes nothing for 60 s ends the connection.
End of file from the client in any state means that it is gone (SPEC 4).

An answer may come before the body has (401, 413, a drain). If little of the body is left it is skipped and
the connection lives; otherwise our side is shut, what still comes is read and dropped for 2 s so that no
reset overtakes the answer (RFC 9112 section 9.6), then the connection closes.

All connections share one read buffer: nothing is left in it when `buffer_updated` returns.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, cast

from oxllm.core.budget import HELD_FREE, HeldHolder
from oxllm.core.errors import ApiError, api_error
from oxllm.gateway.client.pace import LOOK_S, Stall, Upload
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.request_reader import COMPLETE, Refused, RequestReader, Stage
from oxllm.gateway.client.response_head import CONTINUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oxllm.core.budget import BodyHolder
    from oxllm.gateway.client.server import Server


class State(IntEnum):
    """What a connection reads."""

    NEW = 0
    IDLE = 1
    HEAD = 2
    BODY = 3
    WAITING = 4
    SERVING = 5
    SKIPPING = 6
    LINGERING = 7
    CLOSED = 8


NEW, IDLE, HEAD, BODY, WAITING, SERVING, SKIPPING, LINGERING, CLOSED = State

NEXT = {
    NEW: (HEAD, BODY, SERVING, SKIPPING),
    IDLE: (HEAD, BODY, SERVING, SKIPPING),
    HEAD: (BODY, SERVING, SKIPPING),
    BODY: (WAITING, SERVING, SKIPPING),
    WAITING: (BODY, SKIPPING),
    SERVING: (IDLE, LINGERING),
    SKIPPING: (IDLE, SERVING, LINGERING),
    LINGERING: (),
    CLOSED: (),
}
"""Any may also become CLOSED."""

LIMIT_S = {NEW: 20.0, IDLE: 75.0, HEAD: 20.0, WAITING: 5.0, SKIPPING: 20.0, LINGERING: 2.0}
"""SPEC 4 and 9. 75 s is nginx's keepalive_timeout; Apache gives a head 20 s. BODY's limit is in `pace`."""

READ_BYTES = 64 * 1024
"""The shared buffer, and the most that one read of a body takes: what a Linux socket typically has ready."""

HEAD_READ_BYTES = 16 * 1024
"""The most that a read takes while no body is due. A request of usual size fits; and so little of a body whose
budget is not granted yet can come along with its head, and stay raw outside the budget."""

NARROW_READ_BYTES = 1024
"""The same while too much is held unparsed: 4,096 connections may each bring one such read more."""

RAW_BYTES_MAX = 64 * 1024
"""Unparsed bytes that one connection may have waiting behind the request being served; then it is not read."""

RAW_BYTES_TOTAL = 1024 * 1024
"""The same over all connections together: pipelining is rare, and not worth more memory."""

UNSENT_BYTES_HIGH = 64 * 1024
"""SPEC 8: past 64 KiB waiting for the client the provider is not read."""

SKIP_BYTES_MAX = 64 * 1024
"""A rest of an unwanted body up to this length is read so that the connection can stay; node and Go do likewise."""

CROWD_MAX = 64
"""Connections over `max_connections` whose head is still read, so that the operator gets in (SPEC 2)."""

DRAIN_NEW_S = 1.0
"""While draining, what a connection gets that was accepted but has not sent anything: its request may be queued."""

OVERLOAD_RETRY_S = 1
"""Retry-After of our own 503s: room comes back as fast as requests end."""


RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, with no time: close() sends RST instead of FIN."""


class ClientConnection(asyncio.BufferedProtocol, HeldHolder):
    """One client connection."""

    __slots__ = (
        "_blocked",
        "_budgeted",
        "_consuming",
        "_crowded",
        "_held",
        "_paused",
        "_raw",
        "_reader",
        "_request",
        "_server",
        "_stall",
        "_tight",
        "_timer",
        "_upload",
        "keep",
        "state",
        "transport",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._timer = server.wheel.timer(self._expired)
        self._request: Request | None = None
        """What is being answered."""
        self._reader: RequestReader | None = None
        """What is being read; None when it is complete, and once nothing more is going to be understood."""
        self._upload: Upload | None = None
        self._stall: Stall | None = None
        self._raw: bytearray | None = None
        """Bytes behind the request being served; of its body while that waits for room."""
        self._held = b""
        """A response head that goes out with the first piece of its body."""
        self._blocked = self._budgeted = self._consuming = self._crowded = self._paused = self._tight = False
        self.keep = True
        """Whether there may be another request on this connection."""
        self.state = NEW
        self.transport: asyncio.Transport

    # asyncio calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        server = self._server
        server.open.add(self)
        excess = len(server.open) - server.max_connections
        if excess > CROWD_MAX:
            self.lose()
            return
        self._crowded = excess > 0
        self.transport.set_write_buffer_limits(high=UNSENT_BYTES_HIGH)
        self._timer.set(server.now() + (DRAIN_NEW_S if server.life.draining else LIMIT_S[NEW]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = CLOSED
        self._timer.clear()
        del self._timer  # it refers back to us: without a cycle the memory goes at once
        if self._stall is not None:
            self._stall.timer.clear()
            self._stall = None
        self._take_raw()
        if self._paused:
            self._unwatch()
        self._server.open.discard(self)
        self._server.held.drop(self)
        self._drop_reader()
        self._end_request()

    def eof_received(self) -> None:
        if self._request is not None:
            self.lose()
        else:
            self.close()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.body_view if self.state is BODY else self._server.head_view

    def buffer_updated(self, nbytes: int) -> None:
        state = self.state
        if state >= LINGERING:
            return
        if state is SERVING or state is WAITING or self._raw is not None:
            self._keep_raw(self._server.buffer, 0, nbytes)
        else:
            self._consume(self._server.buffer, nbytes)

    def pause_writing(self) -> None:
        self._blocked = True
        if self._request is not None:
            self._request.pressed(True)

    def resume_writing(self) -> None:
        self._blocked = False
        self._weigh(self.measure())
        if self._blocked:
            return  # by a lower limit
        if self._request is not None:
            self._request.pressed(False)
        elif self._raw is not None:
            self._server.loop.call_soon(self._go_on)

    # Reading.

    def _enter(self, state: State) -> None:
        assert state in NEXT[self.state], (self.state, state)
        self.state = state
        limit = LIMIT_S.get(state)
        if limit is not None:
            self._timer.set(self._server.now() + limit)

    def _consume(self, buffer: bytearray, end: int) -> None:
        """Go through `buffer[:end]` as far as the requests' turn has come; keep the rest."""
        self._consuming = True
        at = 0
        try:
            while at < end and self._hungry():
                at = self._step(buffer, at, end)
        except Refused as refused:
            self._refuse(refused.error)
            return
        except BaseException:
            self.lose()
            raise
        finally:
            self._consuming = False
        if at < end and self.state < LINGERING:
            self._keep_raw(buffer, at, end)
        if self.state is BODY:
            self._pace()
        elif self.state is HEAD:
            self._weigh_head()

    def _weigh_head(self) -> None:
        """Count a head that is not whole. When there are too many of those, some have to go."""
        heads, now = self._server.heads, self._server.now()
        if self._reader is not None:
            heads.grew(self, self._reader.weight, now)
        while (victim := heads.excess(now)) is not None:
            busy = "too many requests whose heads are not whole"
            victim._refuse(api_error(503, busy, "overloaded", retry_after=OVERLOAD_RETRY_S))

    def _hungry(self) -> bool:
        """Whether the next byte can be understood now: not behind an answer that the client does not take."""
        state = self.state
        return state is BODY or state is SKIPPING or (state <= HEAD and not self._blocked)

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
                self._enter(IDLE if self._request is None else SERVING)
        elif reader.stage is not Stage.HEAD:
            self._head_whole(reader, at < end)
        elif self.state is not HEAD:
            self._enter(HEAD)
        return at

    def _head_whole(self, reader: RequestReader, more: bool) -> None:
        server = self._server
        request = self._request = Request(self, server.now(), reader)
        request.id = server.request_id(request)
        if request.last:
            self.keep = False
        if self.state is HEAD:
            server.heads.drop(self)
        self._enter(SERVING if reader.stage is COMPLETE else BODY)
        error = self._objection(reader, request)
        if error is not None:
            self._decline(request, error)
            return
        server.service.head(request)
        if request.head_sent or self.state is CLOSED:
            return
        if reader.stage is COMPLETE:
            server.service.serve(request)
        elif reader.length is not None and reader.length > server.limits.max_body_bytes:
            self._decline(request, self._too_large())
        else:
            if more:
                reader.expectation = None  # it has not waited for our word
            self._admit(reader)

    def _objection(self, reader: RequestReader, request: Request) -> ApiError | None:
        server = self._server
        if self._crowded:
            self.keep = False
            if len(server.open) > server.max_connections and not server.service.operator_route(request):
                return api_error(503, "too many connections", "overloaded", retry_after=OVERLOAD_RETRY_S)
        if reader.expectation is not None and reader.expectation != b"100-continue":
            return api_error(417, "the only expectation that can be met is 100-continue")
        return None

    def _too_large(self) -> ApiError:
        return api_error(413, f"the body is over {self._server.limits.max_body_bytes} bytes")

    # The body.

    def _admit(self, reader: RequestReader) -> None:
        """Let the next part of the body in, if the budget has room for it."""
        self._budgeted = True
        whole = self._server.limits.max_body_bytes if reader.length is None else reader.length
        size = min(reader.received + READ_BYTES, whole)
        if self._server.bodies.take(self, size, reader.length):
            self._welcome(reader)
        else:
            self._enter(WAITING)
            self._pause()
            self._untie()

    def _untie(self) -> None:
        """Let bodies go that wait for each other, the youngest first."""
        bodies = self._server.bodies
        while (victim := bodies.deadlocked()) is not None:
            assert isinstance(victim, ClientConnection)
            victim.no_room()

    def no_room(self) -> None:
        """The body that waits for room gets none."""
        assert self._request is not None
        busy = api_error(503, "no memory for the body at present", "overloaded", retry_after=OVERLOAD_RETRY_S)
        self._decline(self._request, busy)

    def _welcome(self, reader: RequestReader) -> None:
        if reader.expectation is not None:
            reader.expectation = None
            self.send(CONTINUE)

    def room(self) -> None:
        """The budget's answer to `take`, later."""
        if self.state is WAITING and self._reader is not None:
            self._upload = None
            self._enter(BODY)
            self._welcome(self._reader)
            self._go_on()

    def _body_grew(self, reader: RequestReader) -> None:
        request = self._request
        assert request is not None
        if reader.received > self._server.limits.max_body_bytes:
            if reader.stage is COMPLETE:  # its end came with the byte too many
                self._upload = None
                self._enter(SERVING)
            self._decline(request, self._too_large())
        elif reader.stage is COMPLETE:
            self._upload = None
            if reader.length is None:
                self._let_in(self._server.bodies.settle(self, reader.received))
            self._enter(SERVING)
            self._server.service.serve(request)
        else:
            self._admit(reader)

    def _pace(self) -> None:
        """Note that the body moves; the timer looks at it now and then."""
        now = self._server.now()
        if self._upload is None:
            assert self._reader is not None
            self._upload = Upload(now, self._reader.received)
            self._timer.set(self._upload.look_at(now))
        else:
            self._upload.heard = now

    def _look_at_pace(self) -> None:
        upload, reader, now = self._upload, self._reader, self._server.now()
        assert upload is not None
        assert reader is not None
        why = upload.late(now, reader.received, self._server.bodies.waiting > 0)
        if why is not None:
            self._refuse(api_error(408, why))
            return
        if not upload.quick:
            self._let_in(self._server.bodies.lapse(self))
        self._timer.set(upload.look_at(now))

    def release_body(self) -> None:
        """The body is held no more, or not wanted."""
        if self._budgeted:
            self._budgeted = False
            self._let_in(self._server.bodies.release(self))

    def _let_in(self, holders: Sequence[BodyHolder]) -> None:
        for holder in holders:
            self._server.loop.call_soon(holder.room)

    # Bytes whose turn has not come.

    def _keep_raw(self, buffer: bytearray, at: int, end: int) -> None:
        if self._raw is not None:
            self._raw += buffer[at:end]
        elif buffer is self._server.buffer:
            self._raw = buffer[at:end]
        else:
            del buffer[:at]
            self._raw = buffer
        self._server.keep_raw(end - at)
        if len(self._raw) >= RAW_BYTES_MAX or self._server.raw_bytes >= RAW_BYTES_TOTAL:
            self._pause()

    def _take_raw(self) -> bytearray | None:
        raw = self._raw
        if raw is not None:
            self._raw = None
            self._server.keep_raw(-len(raw))
        return raw

    def _go_on(self) -> None:
        """Take up what was kept."""
        if self.state >= LINGERING:
            return
        raw = self._take_raw()
        if raw:
            self._consume(raw, len(raw))
        elif self.state is BODY:
            self._pace()
        if self._raw is None and self.state is not WAITING:
            self._resume()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()
            sock = self.transport.get_extra_info("socket")
            if sock is not None:
                self._server.hangups.watch(sock.fileno(), self.lose)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._unwatch()
            self.transport.resume_reading()

    def _unwatch(self) -> None:
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            self._server.hangups.forget(sock.fileno())

    def _drop_reader(self) -> None:
        """Nothing more is going to be understood of what is being read."""
        reader, self._reader, self._upload = self._reader, None, None
        if reader is not None:
            reader.drop()
            self._server.heads.drop(self)

    # Answering.

    def answering(self) -> bool:
        """A response begins. Whether the connection closes behind it."""
        if self.state is BODY or self.state is WAITING:
            self._skip()
        return not self.keep or self._server.life.draining

    def _skip(self) -> None:
        """The answer comes before the body has."""
        reader = self._reader
        assert reader is not None
        waited = self.state is WAITING
        reader.keep = False
        self._upload = None
        if reader.length is None or reader.left > SKIP_BYTES_MAX or reader.expectation is not None:
            self.keep = False
            self._drop_reader()
        self.release_body()
        self._enter(SKIPPING)
        if waited:
            self._server.loop.call_soon(self._go_on)

    def hold(self, head: bytes) -> None:
        """Send `head` with what follows it, at the latest when this turn of the loop is over."""
        self._held = head
        self._server.loop.call_soon(self.send, b"")

    def send(self, data: bytes) -> None:
        """Write, and watch whether the client takes it."""
        if self._held:
            data = self._held + data
            self._held = b""
        if not data or self.state is CLOSED:
            return
        if len(data) <= UNSENT_BYTES_HIGH:
            self.transport.write(data)
        else:
            self._write(data)
        if self._stall is not None:
            self._stall.added += len(data)
            self._weigh(self.measure())
        else:
            unsent = self.transport.get_write_buffer_size()
            if unsent:
                now = self._server.now()
                self._stall = Stall(self._server.wheel.timer(self._look_at_output), now, unsent)
                self._stall.timer.set(now + LOOK_S)
                self._weigh(unsent)

    def _write(self, data: bytes) -> None:
        """In pieces: of what waits, a transport keeps the whole piece until its last byte is taken."""
        for start in range(0, len(data), UNSENT_BYTES_HIGH):
            self.transport.write(data[start : start + UNSENT_BYTES_HIGH])

    def measure(self) -> int:
        """Bytes that wait for the client."""
        return self.transport.get_write_buffer_size()

    def _weigh(self, unsent: int) -> None:
        """Count what waits; while memory for that is short, have the provider stopped earlier."""
        held = self._server.held
        held.hold(self, unsent)
        if self._tight != held.full and (unsent > HELD_FREE or self._tight):
            self._tight = held.full
            self.transport.set_write_buffer_limits(HELD_FREE if self._tight else UNSENT_BYTES_HIGH)

    def _look_at_output(self) -> None:
        stall, now = self._stall, self._server.now()
        assert stall is not None
        unsent = self.measure()
        self._weigh(unsent)
        if not unsent:
            self._stall = None
        elif stall.over(now, unsent):
            self.lose()
        else:
            stall.timer.set(now + LOOK_S)

    def answered(self) -> None:
        """The response is complete."""
        last = self._request is not None and self._request.last
        self._end_request()
        if self.state is CLOSED:
            return
        if not self.keep or self._server.life.draining:
            self._part(last)
        elif self.state is SERVING:
            self._enter(IDLE)
            if self._raw is not None and not self._consuming:
                self._server.loop.call_soon(self._go_on)
        else:
            self._timer.set(self._server.now() + LIMIT_S[SKIPPING])

    def _end_request(self) -> None:
        request = self._request
        if request is not None:
            self._request = None
            self.release_body()
            request.lost()

    def date(self) -> bytes:
        """The Date line."""
        return self._server.date()

    # Errors of our own.

    def _refuse(self, error: ApiError) -> None:
        """Answer what cannot be understood, and read no further."""
        self.keep = False
        self._drop_reader()
        request = self._request
        if request is None:
            request = self._request = Request(self, self._server.now())
            request.id = self._server.request_id(request)
        if self.state is not SKIPPING:
            self._enter(SKIPPING)
        if not request.head_sent:
            self._decline(request, error)

    def _decline(self, request: Request, error: ApiError) -> None:
        self._server.service.refused(request, error)
        self._server.service.answer(request, error)

    def _expired(self) -> None:
        state = self.state
        if state is HEAD:
            self._refuse(api_error(408, f"the head was not whole within {LIMIT_S[HEAD]:.0f} s"))
        elif state is BODY:
            self._look_at_pace()
        elif state is WAITING:
            self.no_room()
        elif state is IDLE and self._raw is not None:
            self._timer.set(self._server.now() + LIMIT_S[IDLE])  # it waits for its client; see _look_at_output
        elif self._request is None:
            self.close()

    # The end.

    def _part(self, last: bool) -> None:
        """Close so that the answer arrives. A client whose `last` request it was sends nothing more; others may."""
        if self.state is SERVING and last and self._raw is None:
            self.close()
            return
        self._enter(LINGERING)
        self._drop_reader()
        self._take_raw()
        self._resume()
        try:
            self.transport.write_eof()
        except OSError:
            self.lose()

    def drain(self) -> None:
        """No request after the present one."""
        if self.state is NEW:
            self._timer.set(self._server.now() + DRAIN_NEW_S)
        elif self.state is IDLE and self._raw is None:
            self.close()

    def expire(self) -> None:
        """The process ends, and cannot wait for an answer or for the rest of a request."""
        request = self._request
        self.keep = False
        if request is not None and not request.head_sent:
            self._decline(request, api_error(503, "the gateway is shutting down", "overloaded", retry_after=1))

    def close(self) -> None:
        """Close once what was written has been taken."""
        self.state = CLOSED
        self.transport.close()

    def lose(self) -> None:
        """Close now; what was written may be lost."""
        self.state = CLOSED
        self.transport.abort()

    def reset(self) -> None:
        """Close so that the client cannot take what it has for the whole."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.lose()
