"""Connections to providers: made when needed, kept while idle, lent to one call at a time.

A call, as its caller does not see it:

    state       event                            becomes
    CONNECTING  connection made                  UNDER_WAY
    CONNECTING  no address, proxy or handshake   DONE, failed
    UNDER_WAY   response whole, connection good  DONE, connection idle
    UNDER_WAY   response whole, else             DONE, connection closed
    UNDER_WAY   lost before any byte, on a       CONNECTING: once, on a new connection, not counted (SPEC 5:
                connection that had been idle    the provider closed it while the request was on its way)
    UNDER_WAY   lost otherwise, not HTTP         DONE, failed
    any         cancelled                        DONE, connection closed, half-made ones too, nothing reported

Of several idle connections the youngest is taken, so that the others can expire. Addresses are tried as
RFC 8305 has it. Nothing here limits time but the idle expiry: the caller cancels when it has waited enough.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from oxllm import plan
from oxllm.core.budget import HeldBudget
from oxllm.core.outcome import Failure
from oxllm.gateway.reactor.sockets import adopt
from oxllm.gateway.transport import Peer, Transport
from oxllm.gateway.upstream import proxy
from oxllm.gateway.upstream.connection import SLICE, Broken, Call, Caller, Segments, UpstreamConnection, broken
from oxllm.gateway.upstream.proxy import Tunnel
from oxllm.gateway.upstream.resolver import Address, Resolver
from oxllm.gateway.upstream.tls import RECORD, Contexts, TlsTransport
from oxllm.gateway.wheel import Wheel

IDLE_S = 30.0
"""Seconds. Below the 60 s after which common load balancers close, so that it is mostly us who do, and half
of the 60 s in which SPEC 9 wants the memory of a burst given back."""

IDLE_MAX = 64
"""Idle connections of one origin; nginx's documentation suggests 16-32 a worker. A TLS one is 25 KB."""

DISTRUST_S = 60.0
"""Seconds for which an origin that has sent bytes unasked gets each request on a new connection: such bytes, if they
came a moment later, would be taken for the answer to the next request, which may be another client's."""

STAGGER_S = 0.25
"""Seconds between two connection attempts (RFC 8305 section 8, Connection Attempt Delay)."""

KEEPALIVE_S = 60
"""Seconds of silence until TCP asks whether the peer is there. An answer may take 300 s of silence, and the
shortest idle limits of NAT and cloud balancers are 240-350 s."""

Dial = Callable[[Address, int, Peer], Awaitable[Transport]]
"""Connects to an address and port and gives the peer its transport. Raises OSError. Safe to cancel:
whatever was made until then is closed."""


async def dial(address: Address, port: int, peer: Peer) -> Transport:
    """A TCP connection on the running loop."""
    loop = asyncio.get_running_loop()
    sock = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        await loop.sock_connect(sock, address.sockaddr(port))
    except BaseException:
        sock.close()
        raise
    return await adopt(sock, peer)


class Origin(NamedTuple):
    """What two requests must agree in to go over the same connection."""

    host: str
    port: int
    tls: bool
    proxy: plan.Proxy | None
    ca_file: str | None

    @property
    def authority(self) -> str:
        """Host and port, as CONNECT and absolute-form want it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def origin_of(provider: plan.Provider) -> Origin:
    """Where the provider's requests go, and how."""
    return Origin(provider.host, provider.port, provider.tls, provider.proxy, provider.ca_file)


_Reached = tuple[Transport, UpstreamConnection]
"""A connected transport, and the connection on top of it, which may still have a handshake to do."""


class _Shelf:
    """The connections of one origin."""

    __slots__ = ("_pool", "_timer", "absolute", "gone", "idle", "origin", "trusted_from")

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self._pool = pool
        self._timer = pool.wheel.timer(self._expire)
        self.origin = origin
        self.absolute = origin.proxy is not None and not origin.tls
        """Whether requests go to a proxy in plain HTTP."""
        self.idle: list[UpstreamConnection] = []
        """Oldest first."""
        self.gone = False
        """Whether the config no longer names it: nothing is put back."""
        self.trusted_from = 0.0
        """Loop time before which nothing is put back either."""

    def rewrite(self, head: bytes) -> bytes:
        """The request head as the proxy wants it."""
        assert self.origin.proxy is not None
        return proxy.absolute(head, self.origin.authority, self.origin.proxy.authorization)

    def take(self) -> UpstreamConnection | None:
        """The youngest idle connection that is still open, and has been silent."""
        while self.idle:
            connection = self.idle.pop()
            if connection.usable:
                if connection.quiet:
                    return connection
                connection.close()
        return None

    def put(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose response is whole."""
        now = self._pool.loop.time()
        if self.gone or now < self.trusted_from:
            connection.close()
            return
        if len(self.idle) == IDLE_MAX:
            self.idle[0].close()
        connection.idle_since = now
        self.idle.append(connection)
        if len(self.idle) == 1:
            self._timer.set(now + IDLE_S)

    def lost(self, connection: UpstreamConnection) -> None:
        """A connection was closed, by whomever."""
        self._pool.connections.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
            if not self.idle:
                self._timer.clear()
        if connection.babbled:
            self.trusted_from = self._pool.loop.time() + DISTRUST_S
            self.clear()

    def clear(self) -> None:
        """Close what is idle."""
        self._timer.clear()
        for connection in tuple(self.idle):
            connection.close()

    def _expire(self) -> None:
        due = self._pool.loop.time() - IDLE_S
        while self.idle and self.idle[0].idle_since <= due:
            self.idle[0].close()
        if self.idle:
            self._timer.set(self.idle[0].idle_since + IDLE_S)


class _Lease:
    """One call: the `Call` of its caller and the `Owner` of its connection."""

    __slots__ = (
        "_caller",
        "_connection",
        "_head",
        "_paused",
        "_pool",
        "_segments",
        "_shelf",
        "_task",
        "_told_sent",
        "reused",
    )

    def __init__(self, pool: Pool, shelf: _Shelf, head: bytes, segments: Segments, caller: Caller) -> None:
        self._pool = pool
        self._shelf = shelf
        self._head = head
        self._segments: Segments = segments
        self._caller: Caller | None = caller
        """None once done."""
        self._connection: UpstreamConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._paused = False
        self._told_sent = True
        """Whether nobody waits to hear that the request is sent."""
        self.reused = False

    # Call

    def cancel(self) -> None:
        task, connection = self._task, self._connection
        self._done()
        if task is not None:
            task.cancel()
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
        """Go over an idle connection at once, or else over a new one."""
        connection = self._shelf.take()
        if connection is None:
            self._connect()
            return
        self.reused = True
        self._start(connection)
        self._told_sent = connection.sent

    def _connect(self) -> None:
        self._task = self._pool.loop.create_task(self._make())
        self._pool.connecting.add(self)

    async def _make(self) -> None:
        try:
            connection = await self._pool.connect(self._shelf)
        except Broken as error:
            self._fail(error.failure, True, error.detail)
            return
        self._task = None
        self._pool.connecting.discard(self)
        assert self._caller is not None
        if self._caller.may_send():
            self._start(connection)
            self._announce(connection)
        else:
            self._shelf.put(connection)
            self._fail(Failure.WITHHELD, True, "")

    def _start(self, connection: UpstreamConnection) -> None:
        assert self._caller is not None
        self._connection = connection
        connection.start(self._head, self._segments, self._caller, self)
        if self._paused:
            connection.pause()
        if not self.reused:
            self._forget_request()

    def _announce(self, connection: UpstreamConnection) -> None:
        assert self._caller is not None
        self._told_sent = False
        self._caller.connected()
        if connection.sent:
            self.sent()

    # Owner

    def sent(self) -> None:
        if not self._told_sent and self._caller is not None:
            self._told_sent = True
            self._caller.sent()

    def answered(self) -> None:
        self._forget_request()

    def finished(self, reusable: bool) -> None:
        caller, connection = self._caller, self._connection
        assert caller is not None
        assert connection is not None
        paused = self._paused
        self._done()
        if reusable:
            if paused:
                connection.resume()
            self._shelf.put(connection)
        caller.end()

    def broken(self, failure: Failure, before_response: bool, detail: str) -> None:
        self._connection = None
        assert self._caller is not None
        if not self.reused or not before_response:
            self._fail(failure, before_response, detail)
        elif self._caller.reconnecting():
            self.reused = False
            self._told_sent = True
            self._connect()
        else:
            self._fail(Failure.WITHHELD, True, "")

    # The end

    def _fail(self, failure: Failure, before_response: bool, detail: str) -> None:
        caller = self._caller
        assert caller is not None
        self._done()
        caller.failed(failure, before_response, detail)

    def _forget_request(self) -> None:
        """A body may be 8 MiB, and the caller may have let go of it by now."""
        self._head = b""
        self._segments = ()

    def _done(self) -> None:
        self._pool.connecting.discard(self)
        self._caller = self._connection = self._task = None
        self._forget_request()


class Pool:
    """All connections of one event loop to all providers."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wheel: Wheel,
        resolver: Resolver,
        dial: Dial = dial,
    ) -> None:
        self.loop = loop
        self.wheel = wheel
        self.connections: set[UpstreamConnection] = set()
        self.connecting: set[_Lease] = set()
        self._resolver = resolver
        self._dial = dial
        self._contexts = Contexts()
        self.held = HeldBudget()
        """For what is held of answers."""
        self._view = memoryview(bytearray(SLICE))
        self._ciphertext = memoryview(bytearray(RECORD))
        self._shelves: dict[Origin, _Shelf] = {}
        self._by_name: dict[str, tuple[plan.Provider, _Shelf]] = {}

    def request(self, provider: plan.Provider, head: bytes, segments: Segments, caller: Caller) -> Call:
        """Send `head` (whole, with its blank line) and `segments` to `provider`, and its response to `caller`.

        No callback comes before this has returned, and no `connected` if the call that it returns is `reused`.
        """
        known = self._by_name.get(provider.name)
        shelf = known[1] if known is not None and known[0] is provider else self._find(provider)
        if shelf.absolute:
            head = shelf.rewrite(head)
        lease = _Lease(self, shelf, head, segments, caller)
        lease.begin()
        return lease

    @property
    def idle(self) -> int:
        """Open connections that wait for a request."""
        return sum(len(shelf.idle) for shelf in self._shelves.values())

    @property
    def open(self) -> int:
        """Open connections, idle and lent."""
        return len(self.connections)

    def retain(self, providers: Iterable[plan.Provider]) -> None:
        """Keep only what these providers need: idle connections of other origins are closed, others when idle."""
        kept = {origin_of(provider) for provider in providers}
        self._by_name.clear()
        self._contexts.clear()
        for origin in self._shelves.keys() - kept:
            shelf = self._shelves.pop(origin)
            shelf.gone = True
            shelf.clear()

    def close(self) -> None:
        """Close everything. Calls under way are cancelled."""
        self.retain(())
        for lease in tuple(self.connecting):
            lease.cancel()
        for connection in tuple(self.connections):
            connection.drop()

    async def connect(self, shelf: _Shelf) -> UpstreamConnection:
        """A new connection that is ready for a request. Raises Broken; leaves nothing behind when cancelled."""
        hop = shelf.origin.proxy or shelf.origin
        try:
            addresses = await self._resolver.resolve(hop.host)
            transport, connection = await self._race(shelf, interleave(addresses), hop.port)
        except OSError as error:
            raise _blame(broken(error), hop is not shelf.origin) from None
        try:
            await connection.opened()
        except BaseException:
            transport.abort()
            raise
        connection.socket = transport.get_extra_info("socket")
        self.connections.add(connection)
        return connection

    async def _race(self, shelf: _Shelf, addresses: list[Address], port: int) -> _Reached:
        """Connect to the first address that lets us, as RFC 8305 section 5. Raises OSError."""
        if len(addresses) == 1:
            return await self._reach(shelf, addresses[0], port)
        tasks: list[asyncio.Task[_Reached]] = []
        running: set[asyncio.Task[_Reached]] = set()
        errors: list[Broken] = []
        winner: asyncio.Task[_Reached] | None = None
        try:
            while addresses or running:
                if addresses:
                    tasks.append(self.loop.create_task(self._reach(shelf, addresses.pop(0), port)))
                    running.add(tasks[-1])
                patience = STAGGER_S if addresses else None
                done, running = await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    error = task.exception()
                    if error is None:
                        winner = task
                        return task.result()
                    if not isinstance(error, OSError):
                        raise error
                    errors.append(broken(error))
        finally:
            for task in tasks:
                if task is not winner:
                    task.cancel()
                    task.add_done_callback(_discard)
        raise next((error for error in errors if error.failure is not Failure.UNREACHABLE), errors[0])

    async def _reach(self, shelf: _Shelf, address: Address, port: int) -> _Reached:
        connection = UpstreamConnection(self._view, shelf.lost, shelf.absolute, self.held)
        return await self._dial(address, port, self._stack(connection, shelf.origin)), connection

    def _stack(self, connection: UpstreamConnection, origin: Origin) -> Peer:
        """What stands on the transport: `connection`, under it TLS, under that a tunnel, as needed."""
        if not origin.tls:
            return connection
        tls = TlsTransport(connection, self._contexts.get(origin.ca_file), origin.host, self._ciphertext)
        if origin.proxy is None:
            return tls
        return Tunnel(tls, proxy.connect(origin.authority, origin.proxy.authorization), self._ciphertext)

    def _find(self, provider: plan.Provider) -> _Shelf:
        origin = origin_of(provider)
        shelf = self._shelves.get(origin)
        if shelf is None:
            shelf = self._shelves[origin] = _Shelf(self, origin)
        self._by_name[provider.name] = (provider, shelf)
        return shelf


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """The families in turn, the first address's first (RFC 8305 section 4)."""
    same = [address for address in addresses if address.family == addresses[0].family]
    other = [address for address in addresses if address.family != addresses[0].family]
    return [address for address in chain.from_iterable(zip_longest(same, other)) if address is not None]


def _blame(error: Broken, proxied: bool) -> Broken:
    """Whatever keeps us from reaching a proxy is the proxy's fault."""
    if not proxied or error.failure in {Failure.PROXY, Failure.TLS}:
        return error
    return Broken(Failure.PROXY, error.detail or error.failure.value)


def _discard(task: asyncio.Task[_Reached]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result()[0].abort()
