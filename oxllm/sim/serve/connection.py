"""A simulated provider's side of one connection: requests in, scripts out.

Parses HTTP/1.1 with httptools and plays what the engine says. The same class serves real sockets and, in the gateway's
tests, in-memory transports under a virtual clock. Paths under `/-/` belong to the control API: a connection whose first
request is for one is handed over, bytes and all, to a protocol that `control` makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httptools

from oxllm.sim.serve.engine import Provider, Script
from oxllm.sim.serve.local import is_local
from oxllm.sim.serve.player import Clock, Gates, Player, Timer, finish, reset

CONTROL = b"/-/"
_FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 53\r\nconnection: close\r\n\r\n"
    b'{"error":"the control API answers this machine only"}'
)
_SNIFF = 16
"""Bytes after which it is certain whether a connection is for the control API: a method, a blank and the prefix."""


class Arrived:
    """A request being read, or waiting for the answers before it."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path")

    def __init__(self) -> None:
        self.method = ""
        self.path = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.keep_alive = True


NOTHING = Arrived()
"""Stands for no request being read."""


class ProviderProtocol(asyncio.Protocol):
    """One connection. `clock` is the loop or a substitute; `connections` is updated to hold the open ones."""

    __slots__ = (
        "_accepting", "_came", "_clock", "_closing", "_connections", "_control", "_early", "_first", "_full", "_gates",
        "_ordinal", "_parser", "_player", "_reading", "_timer", "_transport", "_waiting", "provider",
    )  # fmt: skip

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        gates: Gates,
        control: Callable[[], asyncio.Protocol] | None = None,
        connections: set[asyncio.BaseTransport] | None = None,
    ) -> None:
        self.provider = provider
        self._clock = clock
        self._gates = gates
        self._control = control
        self._connections = connections
        self._parser: httptools.HttpRequestParser | None = None
        """The parser of the request being read; dropped while a stream is played."""
        self._reading = NOTHING
        self._waiting: list[Arrived] = []
        self._player: Player | None = None
        self._transport: asyncio.Transport
        self._ordinal = 0
        self._closing = False
        self._first = b""
        self._full = False
        """The write buffer is full: the peer reads too slowly."""
        self._accepting = False
        self._early = b""
        """Bytes that arrived while a fault kept the connection from being served."""
        self._came: float | None = None
        """When the first of them arrived; None if there are none."""
        self._timer: Timer | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        if self._connections is not None:
            self._connections.add(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        if self._player is not None and self._player.forgotten:
            reset(self._transport)
            return
        if self._accepting:
            self._came = self._clock.time() if self._came is None else self._came
            self._early += data
        if self._closing:
            return
        if self._control is not None:
            self._sniff(data)
        else:
            self._feed(data)

    def pause_writing(self) -> None:
        self._full = True
        if self._player is not None:
            self._player.pause()

    def resume_writing(self) -> None:
        self._full = False
        if self._player is not None:
            self._player.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._connections is not None:
            self._connections.discard(self._transport)
        if self._player is not None:
            self._player.gone()
        if self._timer is not None:
            self._timer.cancel()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._reading = Arrived()

    def on_url(self, url: bytes) -> None:
        self._reading.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reading.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None, "it calls this"
        self._reading.method = self._parser.get_method().decode("ascii")
        if (b"expect", b"100-continue") in self._reading.headers:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._reading.body += body

    def on_message_complete(self) -> None:
        assert self._parser is not None, "it calls this"
        self._reading.keep_alive = self._parser.should_keep_alive()
        self._waiting.append(self._reading)
        self._reading = NOTHING

    # our own

    def _begin(self) -> None:
        """Count the connection, and play the fault that strikes it before anything is read, if any."""
        self._ordinal, script = self.provider.connect(self._clock.time())
        if script is not None:
            self._closing = self._accepting = True
            self._play(script, self._again)

    def _sniff(self, data: bytes) -> None:
        """Wait for enough bytes to tell whether the connection is for the control API."""
        self._first += data
        _method, blank, path = self._first.partition(b" ")
        if blank and len(path) < len(CONTROL) and len(self._first) < _SNIFF and CONTROL.startswith(path):
            return
        if not blank and len(self._first) < _SNIFF:
            return
        assert self._control is not None
        make, self._control = self._control, None
        if path.startswith(CONTROL) and not is_local(self._transport):
            self._closing = True
            self._transport.write(_FORBIDDEN)
            self._close()
        elif path.startswith(CONTROL):
            self._hand_over(make())
        else:
            self._feed(self._first)
            self._first = b""

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        if self._connections is not None:
            self._connections.discard(self._transport)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._first)

    def _feed(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._closing = True
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self._close()
            return
        self._answer()

    def _answer(self) -> None:
        """Answer the waiting requests, one at a time."""
        while self._waiting and self._player is None and not self._closing:
            arrived = self._waiting.pop(0)
            now, path = self._clock.time(), arrived.path.decode("latin-1")
            body = bytes(arrived.body)
            script = self.provider.accept(arrived.method, path, arrived.headers, body, now, self._ordinal, self._came)
            if script.at_once is None or self._full:
                self._play(script, self._again if arrived.keep_alive else self._close)
                continue
            script.record.complete(script.at_once, now - self.provider.start)
            self._transport.write(script.at_once)
            if not arrived.keep_alive:
                self._close()

    def _play(self, script: Script, done: Callable[[], None]) -> None:
        if script.reply is not None and self._reading is NOTHING and not self._waiting:
            self._parser = None
        self._player = Player(self._clock, self._gates, self._transport, script, self.provider.start, done)
        self._player.run()

    def _again(self) -> None:
        """The script has ended: serve the next request, or what arrived before the connection was served."""
        self._player = None
        if self._accepting:
            self._closing = self._accepting = False
            early, self._early = self._early, b""
            self.data_received(early)
            self._came = None
        else:
            self._answer()

    def _close(self) -> None:
        self._closing = True
        self._timer = finish(self._transport, self._clock)
