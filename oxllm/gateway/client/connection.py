"""One client's connection, as its transport sees it: opened, read, throttled and closed.

What is read goes to `turns`, which takes one request after the other. The socket is also read while a request is being
served, because that is how we notice a client that has left: end of file from the client, in any state, means that it
is gone.

A bug of ours in anything called from here ends the request that it concerns, and no other.
"""

from __future__ import annotations

import select
from typing import Final

from oxllm.core.wire.errors import api_error
from oxllm.gateway.client.backlog import Backlog
from oxllm.gateway.client.output import Output
from oxllm.gateway.client.shared import Shared, overloaded
from oxllm.gateway.client.states import BODY, CLOSED, DRAIN_QUIET_S, IDLE, LIMIT_S, LINGERING, NEW, ON_ITS_WAY_S
from oxllm.gateway.client.turns import Turns
from oxllm.gateway.transport import Peer, Transport

CROWD_MAX: Final = 64
"""Connections over `max_connections` whose request head is still read, so that an operator gets in."""


class ClientConnection(Peer):
    """Stands between a transport and the requests that arrive on it."""

    __slots__ = ("_shared", "backlog", "output", "transport", "turns")

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.transport: Transport
        self.output: Output
        self.backlog: Backlog
        """These three are set by `connection_made`."""
        self.turns = Turns(shared, self, self._time_out)

    def __repr__(self) -> str:
        request = self.turns.request
        doing = f" {request.method} {request.path.decode('latin-1')} {request.id}" if request is not None else ""
        return f"<ClientConnection {self.turns.state.name}{doing}>"

    # The transport calls these.

    def connection_made(self, transport: Transport) -> None:
        shared = self._shared
        self.transport = transport
        turns, gone = self.turns, self.abort
        self.output = turns.output = Output(shared, transport, gone)
        self.backlog = turns.backlog = Backlog(shared, transport, gone)
        shared.open.add(self)
        if shared.too_many:
            shared.make_room(len(shared.open) - shared.max_connections > CROWD_MAX)
            excess = len(shared.open) - shared.max_connections
            if excess > CROWD_MAX:
                self.abort()
                return
            turns.over_limit = excess > 0
        shared.quiet[self] = None
        turns.timer.set(shared.now() + (DRAIN_QUIET_S if shared.life.draining else LIMIT_S[NEW]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.open.discard(self)
        try:
            self.output.close()
        finally:
            try:
                self.backlog.close()
            finally:
                self.turns.connection_lost()

    def eof_received(self) -> None:
        if self.turns.request is not None:
            self.abort()
        else:
            self.close()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._shared.body_view if self.turns.state is BODY else self._shared.head_view

    def buffer_updated(self, nbytes: int) -> None:
        state = self.turns.state
        if state is LINGERING or state is CLOSED:
            return
        try:
            if self.backlog.data is not None:
                self.backlog.append(self._shared.buffer, 0, nbytes)
            else:
                self.turns.read(self._shared.buffer, nbytes)
        except Exception as error:  # noqa: BLE001
            self.crash(error)

    def pause_writing(self) -> None:
        self.output.blocked = True
        if self.turns.request is not None:
            self.turns.request.pause_writing()

    def unsent(self) -> None:
        try:
            self.output.unsent()
        except Exception as error:  # noqa: BLE001
            self.crash(error)

    def resume_writing(self) -> None:
        try:
            if not self.output.unblock():
                return
        except Exception as error:  # noqa: BLE001
            self.crash(error)
            return
        if self.turns.request is not None:
            self.turns.request.resume_writing()
        elif self.backlog.data is not None:
            self._shared.loop.call_soon(self.turns.resume)

    def _time_out(self) -> None:
        try:
            self.turns.time_out()
        except Exception as error:  # noqa: BLE001
            self.crash(error)

    # Its end.

    def crash(self, error: Exception) -> None:
        """A bug of ours: answer 500 if nothing has been answered, then end the connection and free what it holds."""
        turns, service = self.turns, self._shared.service
        request = turns.request
        service.crashed(request, error)
        handler = request.unwatch() if request is not None else None
        try:
            if turns.state is not LINGERING and turns.state is not CLOSED:
                turns.decline(api_error(500, "internal error; the log has a line about it"))
        except Exception as again:  # noqa: BLE001  then it gets no answer
            service.crashed(request, again)
        if turns.state is not LINGERING and turns.state is not CLOSED:
            self.abort()
        if handler is not None:
            handler.gone()

    def drain(self) -> None:
        """Take no request after the current one."""
        turns, now = self.turns, self._shared.now()
        if turns.state is NEW:
            turns.timer.set(now + DRAIN_QUIET_S)
        elif turns.state is IDLE and self.backlog.data is None:
            until = turns.timer.when - LIMIT_S[IDLE] + DRAIN_QUIET_S
            if until > now:
                turns.timer.set(until)
            else:
                self.close()

    def expire(self) -> None:
        """The process is ending, and cannot wait for an answer or for the rest of a request."""
        turns, request = self.turns, self.turns.request
        turns.keep_alive = False
        if request is None:
            if turns.state is not LINGERING:
                self.close()
        elif not request.head_sent:
            turns.refuse(overloaded("the gateway is shutting down"))

    def evict(self, needed: bool) -> bool:
        """Close to make room for another. False if output is unsent, or input waits to be read; and unless that room is
        `needed`, if a request may be on its way."""
        if self.output.measure() or self.backlog.data is not None:
            return False
        if self.turns.state is not LINGERING and (not (needed or self._is_silent()) or self._has_input()):
            return False
        self.close()
        return True

    def _is_silent(self) -> bool:
        """Whether nothing has come for so long that no request is on its way."""
        turns = self.turns
        return turns.timer.when - LIMIT_S[turns.state] + ON_ITS_WAY_S <= self._shared.now()

    def _has_input(self) -> bool:
        """Whether bytes wait in its socket: of many that come at once, most are not read when the last is accepted."""
        sock = self.transport.get_extra_info("socket")
        fd = -1 if sock is None else sock.fileno()
        if fd < 0:  # its end has not been told yet
            return False
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close once everything written has been sent."""
        self.turns.close()
        self.output.closed = True
        self.transport.close()

    def abort(self) -> None:
        """Close now; what was written may be lost."""
        self.turns.close()
        self.output.closed = True
        self.transport.abort()
