"""Makes one connection to an origin: name resolution, Happy Eyeballs over the addresses (RFC 8305), proxy, TLS.

state       event                                becomes
LOOKING_UP  addresses known                      DIALLING: the first, after STAGGER_S or its failure the next, and so on
LOOKING_UP  no address                           DONE, failed
DIALLING    an address accepts                   HANDSHAKE; the other dials are given up
DIALLING    no address is left                   DONE, failed with what says most
HANDSHAKE   tunnel and TLS stand, if any         DONE, opened
HANDSHAKE   refused, cut                         DONE, failed
any         cancelled, a bug of ours             DONE, and nothing half-made is left behind

Nothing here has a deadline: the caller cancels when it has waited long enough. There is no task unless a name must be
looked up: a thousand clients may come at once, each with a connection to be made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import chain, zip_longest
from typing import Final, Protocol, final

from oxllm.core import machine
from oxllm.core.machine import Table
from oxllm.core.reading.outcome import Failure
from oxllm.gateway.transport import Connecting, Transport
from oxllm.gateway.upstream.connection import UpstreamConnection
from oxllm.gateway.upstream.connector import Connector
from oxllm.gateway.upstream.failure import Broken, broken
from oxllm.gateway.upstream.origin import OriginConnections
from oxllm.gateway.upstream.resolver import Address

STAGGER_S: Final = 0.25
"""Seconds between two connection attempts (RFC 8305 section 8, Connection Attempt Delay)."""

SAYS_LITTLE: Final = {Failure.LOCAL: 1, Failure.UNREACHABLE: 2}
"""Of several addresses' errors the most telling is reported: those not listed first, and last that of an address family
which this machine lacks."""


class OpeningState(machine.State):
    """How far a connection is from being open."""

    LOOKING_UP = 1
    DIALLING = 2
    HANDSHAKE = 3
    DONE = 4


class OpeningEvent(machine.Event):
    """What happens to it."""

    FOUND = 1
    ACCEPTED = 2
    ENDED = 3
    """It is open, has failed, or was cancelled."""


LOOKING_UP: Final[OpeningState] = OpeningState.LOOKING_UP
DIALLING: Final[OpeningState] = OpeningState.DIALLING
HANDSHAKE: Final[OpeningState] = OpeningState.HANDSHAKE
DONE: Final[OpeningState] = OpeningState.DONE
FOUND: Final[OpeningEvent] = OpeningEvent.FOUND
ACCEPTED: Final[OpeningEvent] = OpeningEvent.ACCEPTED
ENDED: Final[OpeningEvent] = OpeningEvent.ENDED

TABLE: Final = Table(
    {
        (LOOKING_UP, FOUND): DIALLING,
        (LOOKING_UP, ENDED): DONE,
        (DIALLING, ACCEPTED): HANDSHAKE,
        (DIALLING, ENDED): DONE,
        (HANDSHAKE, ENDED): DONE,
    }
)


class Opener(Protocol):
    """Whoever wants the connection. All but `waits` are its end: one of them is called, once, and not from within what
    began it."""

    def waits(self, yes: bool) -> None:
        """Its TLS handshake waits for its turn among ours, or no longer does."""

    def opened(self, connection: UpstreamConnection) -> None:
        """It is ready for a request."""

    def not_opened(self, error: Broken) -> None:
        """It could not be made."""

    def crashed(self, error: Exception) -> None:
        """A bug of ours has kept it from being made."""


@final
class Opening:
    """One connection on its way."""

    __slots__ = (
        "_addresses",
        "_connection",
        "_connections",
        "_connector",
        "_dials",
        "_errors",
        "_lookup",
        "_opener",
        "_stagger",
        "_transport",
        "_waits",
        "state",
    )

    def __init__(self, connector: Connector, connections: OriginConnections, opener: Opener) -> None:
        self._connector = connector
        self._connections = connections
        self._opener = opener
        self._lookup: asyncio.Task[tuple[Address, ...]] | None = None
        self._addresses: list[Address] = []
        """Those not tried yet."""
        self._dials: dict[UpstreamConnection, Connecting] = {}
        self._errors: list[Broken] = []
        self._stagger: asyncio.TimerHandle | None = None
        self._connection: UpstreamConnection | None = None
        self._transport: Transport | None = None
        """Of the address that has accepted."""
        self._waits = False
        self.state = LOOKING_UP
        connector.loop.call_soon(self._begin)

    def __repr__(self) -> str:
        return f"<Opening {self.state.name} {self._connections.origin.authority}>"

    def cancel(self) -> None:
        """Give up; nobody is told. No effect once it is open or has failed."""
        if self.state is not DONE:
            self._abandon()

    # The name

    def _begin(self) -> None:
        if self.state is DONE:
            return
        try:
            addresses = self._connector.resolver.known(self._hop)
            if addresses:
                self._found(addresses)
            else:
                self._lookup = self._connector.loop.create_task(self._connector.resolver.resolve(self._hop))
                self._lookup.add_done_callback(self._looked_up)
        except Exception as error:  # noqa: BLE001
            self._crash(error)

    def _looked_up(self, lookup: asyncio.Task[tuple[Address, ...]]) -> None:
        if lookup.cancelled():
            return
        error = lookup.exception()
        if self.state is DONE:
            return
        try:
            if error is None:
                self._found(lookup.result())
            elif isinstance(error, OSError):
                self._fail(broken(error))
            else:
                raise error
        except Exception as bug:  # noqa: BLE001
            self._crash(bug)

    def _found(self, addresses: Sequence[Address]) -> None:
        self.state = TABLE.move(self.state, FOUND)
        self._addresses = interleave(addresses)
        self._next()

    # The addresses

    def _next(self) -> None:
        """Dial the next address; fail when all have."""
        self._stop_timer()
        origin, loop = self._connections.origin, self._connector.loop
        while self._addresses:
            address = self._addresses.pop(0)
            connection = self._connector.connection(self._connections)
            done = partial(self._dialled, connection)
            try:
                port = (origin.proxy or origin).port
                self._dials[connection] = self._connector.dial(connection, self._connections, address, port, done)
            except OSError as error:
                self._errors.append(broken(error))
            else:
                if self._addresses:
                    self._stagger = loop.call_later(STAGGER_S, self._overdue)
                return
        if not self._dials:
            self._fail(min(self._errors, key=lambda error: SAYS_LITTLE.get(error.failure, 0)))

    def _overdue(self) -> None:
        try:
            self._next()
        except Exception as error:  # noqa: BLE001
            self._crash(error)

    def _dialled(self, connection: UpstreamConnection, result: Transport | Exception) -> None:
        del self._dials[connection]
        try:
            if isinstance(result, OSError):
                self._errors.append(broken(result))
                self._next()
            elif isinstance(result, Exception):
                raise result
            else:
                self._accepted(connection, result)
        except Exception as error:  # noqa: BLE001
            self._crash(error)

    def _accepted(self, connection: UpstreamConnection, transport: Transport) -> None:
        self.state = TABLE.move(self.state, ACCEPTED)
        self._connection, self._transport = connection, transport
        self._stop_dials()
        self._look()

    # The handshake

    def _look(self) -> None:
        """Is it done? If not, look again when it is."""
        connection, transport = self._connection, self._transport
        if self.state is not HANDSHAKE or connection is None or transport is None:
            return
        try:
            if not connection.opened:
                connection.tell(partial(self._connector.loop.call_soon, self._look))
                if connection.waits is not self._waits:
                    self._waits = connection.waits
                    self._opener.waits(self._waits)
                return
        except Broken as error:
            self._fail(error)
            return
        self.state = TABLE.move(self.state, ENDED)
        connection.socket = transport.get_extra_info("socket")
        self._connector.every.add(connection)
        self._opener.opened(connection)

    # The end

    def _fail(self, error: Broken) -> None:
        self._abandon()
        self._opener.not_opened(_blame(error, self._connections.origin.proxy is not None))

    def _crash(self, error: Exception) -> None:
        if self.state is not DONE:
            self._abandon()
        self._opener.crashed(error)

    def _abandon(self) -> None:
        """Leave nothing behind."""
        self.state = TABLE.move(self.state, ENDED)
        self._connector.resolver.doubt(self._hop)
        self._stop_dials()
        if self._lookup is not None:
            self._lookup.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _stop_dials(self) -> None:
        self._stop_timer()
        self._addresses.clear()
        for dial in self._dials.values():
            dial.cancel()
        self._dials.clear()

    def _stop_timer(self) -> None:
        if self._stagger is not None:
            self._stagger.cancel()
            self._stagger = None

    @property
    def _hop(self) -> str:
        """The host that we connect to."""
        origin = self._connections.origin
        return (origin.proxy or origin).host


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Alternates the address families, beginning with that of the first address (RFC 8305 section 4)."""
    same = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    return [address for address in chain.from_iterable(zip_longest(same, other)) if address is not None]


def _blame(error: Broken, proxied: bool) -> Broken:
    """Blame a proxy for whatever keeps us from reaching it, but not for the TLS behind it, nor for this machine."""
    if not proxied or error.failure in {Failure.PROXY, Failure.TLS, Failure.LOCAL}:
        return error
    return Broken(Failure.PROXY, error.detail or error.failure.value)
