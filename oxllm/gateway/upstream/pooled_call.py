"""One call of the pool: gets a connection, idle or new, sends the request on it, and tells the caller what comes back.

state       event                            becomes
CONNECTING  connection made                  UNDER_WAY
CONNECTING  no address, proxy or handshake   DONE, failed
UNDER_WAY   response whole, connection good  DONE, connection idle
UNDER_WAY   response whole, else             DONE, connection closed
UNDER_WAY   lost before any byte and within  CONNECTING: once, on a new connection, not counted: the provider
            DEAD_S, on a connection that     closed it while the request was on its way, or had vanished before
            had been idle
UNDER_WAY   lost otherwise, not HTTP         DONE, failed
any         cancelled                        DONE, connection closed, half-made ones too, nothing reported
"""

from __future__ import annotations

from typing import Final, final

from oxllm.core import machine
from oxllm.core.machine import Table
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Failure
from oxllm.gateway.upstream.call import Caller, Lender
from oxllm.gateway.upstream.connection import UpstreamConnection
from oxllm.gateway.upstream.connector import Connector
from oxllm.gateway.upstream.dial import VANISHED_S
from oxllm.gateway.upstream.failure import Broken
from oxllm.gateway.upstream.opening import Opening
from oxllm.gateway.upstream.origin import OriginConnections

DEAD_S: Final = VANISHED_S + 5.0
"""Seconds after sending within which the loss of a reused connection means that it had been dead already: a peer that
has vanished is noticed by then. A later loss counts as the provider's failure: it may have worked on the request."""


class CallState(machine.State):
    """How far a call has come."""

    CONNECTING = 1
    UNDER_WAY = 2
    DONE = 3


class CallEvent(machine.Event):
    """What happens to a call."""

    CONNECTED = 1
    DEAD = 2
    """The reused connection was dead."""
    ENDED = 3
    """The call is complete, broken or cancelled."""


CONNECTING: Final[CallState] = CallState.CONNECTING
UNDER_WAY: Final[CallState] = CallState.UNDER_WAY
DONE: Final[CallState] = CallState.DONE
CONNECTED: Final[CallEvent] = CallEvent.CONNECTED
DEAD: Final[CallEvent] = CallEvent.DEAD
ENDED: Final[CallEvent] = CallEvent.ENDED

TABLE: Final = Table(
    {
        (CONNECTING, CONNECTED): UNDER_WAY,
        (CONNECTING, ENDED): DONE,
        (UNDER_WAY, DEAD): CONNECTING,
        (UNDER_WAY, ENDED): DONE,
        (DONE, ENDED): DONE,
    }
)
"""A call that is done may still be cancelled: its caller may not have been told yet."""


@final
class PooledCall(Lender):
    """The `Call` of its caller, the `Opener` and the `Lender` of its connection. One class, since it stands between."""

    __slots__ = (
        "_caller",
        "_connecting",
        "_connection",
        "_connections",
        "_connector",
        "_dead_until",
        "_opening",
        "_paused",
        "_told_sent",
        "reused",
        "state",
    )

    def __init__(
        self,
        connector: Connector,
        connecting: set[PooledCall],
        connections: OriginConnections,
        caller: Caller,
    ) -> None:
        """`connecting`: the calls whose connection is being made."""
        self._connector = connector
        self._connecting = connecting
        self._connections = connections
        self._caller: Caller | None = caller
        """None once the call is done."""
        self._connection: UpstreamConnection | None = None
        self._opening: Opening | None = None
        self._dead_until = 0.0
        """Loop time until which a lost connection is taken to have been dead already."""
        self._paused = False
        self._told_sent = True
        """False while `Caller.sent` is to be called."""
        self.reused = False
        self.state = CONNECTING

    def __repr__(self) -> str:
        how = "paused, " if self._paused else ""
        return f"<PooledCall {self.state.name} {how}{self._connections.origin.authority}>"

    # Call

    def cancel(self) -> None:
        opening, connection = self._opening, self._connection
        self._done()
        if opening is not None:
            opening.cancel()
        if connection is not None:
            connection.drop()

    def pause(self) -> None:
        self._paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        self._paused = False
        if self._connection is not None:
            self._connection.resume()

    # Getting a connection

    def begin(self) -> None:
        """Start on an idle connection at once, or else make a new one."""
        connection = self._connections.borrow()
        if connection is None:
            self._connect()
            return
        self.reused = True
        self._dead_until = self._connections.clock() + DEAD_S
        try:
            self._start(connection)
        except Exception:
            connection.drop()
            raise
        self._told_sent = connection.sent

    def _connect(self) -> None:
        self._opening = Opening(self._connector, self._connections, self)
        self._connecting.add(self)

    # Opener

    def waits(self, yes: bool) -> None:
        caller, opening = self._caller, self._opening
        assert caller is not None
        assert opening is not None
        if yes or caller.may_send():
            caller.waits(yes)
        else:
            opening.cancel()
            self._fail(Failure.WITHHELD, before_response=True)

    def opened(self, connection: UpstreamConnection) -> None:
        self._opening = None
        self._connecting.discard(self)
        try:
            self._send_on(connection)
        except Exception as error:  # noqa: BLE001
            connection.drop()
            self.crashed(error)

    def not_opened(self, error: Broken) -> None:
        self._fail(error.failure, before_response=True, detail=error.detail)

    def crashed(self, error: Exception) -> None:
        """It ends this request, or, when that has ended, is raised for the log."""
        caller = self._caller
        self._done()
        if caller is None:
            raise error
        caller.crashed(error)

    def _send_on(self, connection: UpstreamConnection) -> None:
        assert self._caller is not None
        if self._caller.may_send():
            self._start(connection)
            self._announce(connection)
        else:
            self._connections.put_back(connection)
            self._fail(Failure.WITHHELD, before_response=True)

    def _start(self, connection: UpstreamConnection) -> None:
        caller = self._caller
        assert caller is not None
        head, segments = caller.request()
        if self._connections.absolute:
            head = self._connections.rewrite(head)
        self.state = TABLE.move(self.state, CONNECTED)
        self._connection = connection
        connection.start(head, segments, caller, self)
        if self._paused:
            connection.pause()

    def _announce(self, connection: UpstreamConnection) -> None:
        assert self._caller is not None
        self._told_sent = False
        self._caller.connected()
        if connection.sent:
            self.sent()

    # Lender

    def sent(self) -> None:
        connection = self._connection
        if not self._told_sent and connection is not None and self._caller is not None:
            self._told_sent = connection.sent
            self._caller.sent()

    def finished(self, reusable: bool) -> None:
        caller = self._caller
        assert caller is not None
        self._give_back(reusable)
        caller.end()

    def whole(self, reusable: bool, status: int, headers: Headers, body: bytes) -> None:
        caller = self._caller
        assert caller is not None
        self._give_back(reusable)
        caller.whole(status, headers, body)

    def _give_back(self, reusable: bool) -> None:
        """The response is complete: the connection may serve another request."""
        connection = self._connection
        assert connection is not None
        paused = self._paused
        self._done()
        if reusable:
            try:
                if paused:
                    connection.resume()
                self._connections.put_back(connection)
            except Exception:
                connection.drop()
                raise

    def broken(self, failure: Failure, before_response: bool, detail: str) -> None:
        self._connection = None
        assert self._caller is not None
        if not self.reused or not before_response or self._connections.clock() > self._dead_until:
            self._fail(failure, before_response, detail)
        elif self._caller.reconnecting():
            self.state = TABLE.move(self.state, DEAD)
            self.reused = False
            self._told_sent = True
            self._connect()
        else:
            self._fail(Failure.WITHHELD, before_response=True)

    # The end

    def _fail(self, failure: Failure, before_response: bool, detail: str = "") -> None:
        caller = self._caller
        assert caller is not None
        self._done()
        caller.failed(failure, before_response, detail)

    def _done(self) -> None:
        self.state = TABLE.move(self.state, ENDED)
        self._connecting.discard(self)
        self._caller = self._connection = self._opening = None
