"""In-memory stand-ins for the outside of the upstream side: caller and network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Failure
from oxllm.gateway.reactor.bridge import Awaited
from oxllm.gateway.transport import Done, Peer, Transport
from oxllm.gateway.upstream.call import Call, Caller, Lender, Segments
from oxllm.gateway.upstream.pool import Pool
from oxllm.gateway.upstream.resolver import Address
from oxllm.plan import Provider
from tests.support.virtual import MemoryTransport, VirtualLoop


class Recorder(Caller):
    """A `Caller` that writes down what it is told, body bytes joined."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.head_and_body: tuple[bytes, Segments] = b"", ()
        """Its request."""
        self.rooms = 1
        self.taken = 0
        """How often it heard that more of its request was sent; in a row they are one event."""
        self.on: dict[str, Callable[[], object]] = {}
        """What to do when an event of that name comes."""
        self.call: Call | None = None
        self.sends = True
        """Whether the request may go out on a new connection."""
        self.reconnects = True
        """Whether a dead connection may be replaced."""

    def _note(self, name: str, *facts: object) -> None:
        self.events.append((name, *facts) if facts else name)
        if name in self.on:
            self.on[name]()

    def ask(self, pool: Pool, provider: Provider, head: bytes, segments: Segments) -> Call:
        """Send this request."""
        self.head_and_body = head, segments
        self.call = pool.request(provider, self)
        return self.call

    def request(self) -> tuple[bytes, Segments]:
        return self.head_and_body

    def connected(self) -> None:
        self._note("connected")

    def waits(self, yes: bool) -> None:
        self._note("waits", yes)

    def may_send(self) -> bool:
        return self.sends

    def reconnecting(self) -> bool:
        self._note("reconnecting")
        return self.reconnects

    def sent(self) -> None:
        self.taken += 1
        if self.events[-1:] != ["sent"]:
            self._note("sent")

    def room(self) -> int:
        return self.rooms

    def heading(self, size: int) -> None:
        self._note("heading", size)

    def head(self, status: int, headers: Headers) -> None:
        self._note("head", status, headers)

    def data(self, data: bytes) -> None:
        assert data
        if self.events and self.events[-1][0] == "data":
            data = self.events.pop()[1] + data
        self._note("data", data)

    def end(self) -> None:
        self._note("end")

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.head(status, headers)
        if body:
            self.data(body)
        self.end()

    def crashed(self, error: Exception) -> None:
        self._note("crashed", type(error))

    def failed(self, failure: Failure, before_response: bool, detail: str) -> None:
        self._note("failed", failure, before_response, detail)

    @property
    def names(self) -> list[str]:
        """The events without their facts."""
        return [event if isinstance(event, str) else event[0] for event in self.events]

    @property
    def body(self) -> bytes:
        return b"".join(event[1] for event in self.events if event[0] == "data")

    @property
    def over(self) -> bool:
        return bool({"end", "failed"} & set(self.names))


class BareLender(Lender):
    """The lender of one connection, which passes its news to the caller and does nothing else."""

    def __init__(self, caller: Recorder) -> None:
        self.caller = caller
        self.reusable: bool | None = None

    def sent(self) -> None:
        self.caller.sent()

    def finished(self, reusable: bool) -> None:
        self.reusable = reusable
        self.caller.end()

    def whole(self, reusable: bool, status: int, headers: Headers, body: bytes) -> None:
        self.reusable = reusable
        self.caller.whole(status, headers, body)

    def broken(self, failure: Failure, before_response: bool, detail: str) -> None:
        self.caller.failed(failure, before_response, detail)


class Network:
    """A `pool.Dial`: each host's answer is set by the test, and everything made is remembered."""

    def __init__(self, loop: VirtualLoop, after: Mapping[str, float | OSError] | None = None) -> None:
        self.loop = loop
        self.after = dict(after or {})
        """Host -> seconds until it answers, or the error it answers with at once."""
        self.dialled: list[tuple[float, str]] = []
        self.made: list[MemoryTransport] = []
        self.sock: socket.socket | None = None
        """What connections say that they go over."""
        self.cancelled = 0
        self.greet: Callable[[MemoryTransport], None] = lambda transport: None
        """What happens to each connection the moment it is made, before anybody else has had a turn."""
        self.shakes_hands = False
        """Whether that moment comes a while after its transport is there, as with TLS."""

    def __call__(self, address: Address, port: int, protocol: Peer, done: Done) -> Awaited:
        return Awaited(self.loop, self._connect(address, protocol), done)

    async def _connect(self, address: Address, protocol: Peer) -> Transport:
        self.dialled.append((self.loop.time(), address.host))
        answer = self.after.get(address.host, 0.0)
        if isinstance(answer, OSError):
            raise answer
        try:
            await asyncio.sleep(answer)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        transport = MemoryTransport(self.loop, protocol, sock=self.sock)
        self.made.append(transport)
        if self.shakes_hands:
            self.loop.call_later(0.1, self._open, protocol, transport)
        else:
            self._open(protocol, transport)
        return transport

    def _open(self, protocol: Peer, transport: MemoryTransport) -> None:
        if not transport.closing:
            protocol.connection_made(transport)
            self.greet(transport)

    @property
    def open(self) -> list[MemoryTransport]:
        return [transport for transport in self.made if not transport.closing]


def lookup_in(table: Mapping[str, tuple[Address, ...]]) -> Callable[[str], Awaitable[tuple[Address, ...]]]:
    """A `names.Lookup` that knows only `table`."""

    async def lookup(host: str) -> tuple[Address, ...]:
        return table[host]

    return lookup
