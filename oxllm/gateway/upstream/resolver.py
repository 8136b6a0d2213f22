"""Resolves host names, and caches their addresses.

An address is good for `FRESH_S`. After that the next caller looks the name up again, but waits for at most
`PATIENCE_S`: a DNS server that hangs or fails must not take away a provider whose address we know, so the old
one is used until there is a new one. Only one lookup of a name runs at a time, however many wait for it.

A caller that could not connect to an address says so (`doubt`): the provider may have moved, like a container that
was recreated. The next caller then looks the name up again, if the last lookup was at least `RETRY_S` ago.

Literals and `localhost` need no lookup; where there are no other names, no resolver thread is ever started.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from oxllm.gateway.transport import SocketAddress

FRESH_S = 60.0
"""Seconds. `getaddrinfo` does not report a TTL; providers use 30-300 s."""

PATIENCE_S = 1.0
"""Seconds to wait for a new address when an old one is known: a fifth of the default connect timeout."""

RETRY_S = 5.0
"""Seconds after a lookup that failed, or whose addresses were of no use, before the name is looked up again."""

NAMES_MAX = 256
"""Names cached. A config has a dozen; after reloads the oldest are dropped."""

THREADS = 8
"""Resolver threads at most. A thread hangs as long as its name's server does, say that of a company whose VPN is down,
and is started only when all others are busy: 25 KB each."""


class Address(NamedTuple):
    """What `connect` takes, without the port."""

    family: int
    host: str
    scope: int = 0

    def sockaddr(self, port: int) -> SocketAddress:
        """The address in the socket module's form for its family."""
        if self.family == socket.AF_INET6:
            return (self.host, port, 0, self.scope)
        return (self.host, port)


Lookup = Callable[[str], Awaitable[tuple[Address, ...]]]
"""Looks up a name's addresses, best first. Raises OSError (socket.gaierror) when there are none."""

LOCALHOST = (Address(socket.AF_INET, "127.0.0.1"), Address(socket.AF_INET6, "::1"))
"""RFC 6761 section 6.3. IPv4 first, since that is what local model servers bind."""


def literal(host: str) -> tuple[Address, ...]:
    """The address if `host` is a literal, else nothing."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return (Address(family, host),)
    return ()


class _Entry:
    __slots__ = ("addresses", "asked_at", "due_at", "error", "lookup")

    def __init__(self) -> None:
        self.addresses: tuple[Address, ...] = ()
        self.asked_at = 0.0
        self.due_at = 0.0
        self.error: int | None = None
        self.lookup: asyncio.Task[None] | None = None


class Resolver:
    """The resolver of one event loop. `lookup` is a seam for tests; the default is `getaddrinfo` on threads."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lookup: Lookup | None = None) -> None:
        self._loop = loop
        self._threads = _Threads(loop)
        self._lookup = lookup or self._threads.lookup
        self._entries: dict[str, _Entry] = {}

    def known(self, host: str) -> tuple[Address, ...]:
        """The addresses of `host`, best first, if that needs no look-up; else nothing."""
        if host == "localhost":
            return LOCALHOST
        entry = self._entries.get(host)
        if entry is not None and entry.addresses and self._loop.time() < entry.due_at:
            return entry.addresses
        return literal(host)

    async def resolve(self, host: str) -> tuple[Address, ...]:
        """The addresses of `host`, best first, never empty. Raises socket.gaierror when none is known."""
        return self.known(host) or await self._looked_up(host)

    def doubt(self, host: str) -> None:
        """No connection could be made to the addresses of `host`: they may have changed."""
        entry = self._entries.get(host)
        if entry is not None:
            entry.due_at = min(entry.due_at, entry.asked_at + RETRY_S)

    @property
    def busy(self) -> bool:
        """Whether a thread is in the C library's resolver, which may be loading modules of its own.

        A lookup runs on even when nobody waits for it any longer.
        """
        return bool(self._threads.running)

    def close(self) -> None:
        """Start no more lookups, and wait for none that runs."""
        for entry in self._entries.values():
            if entry.lookup is not None:
                entry.lookup.cancel()
        self._threads.close()

    async def _looked_up(self, host: str) -> tuple[Address, ...]:
        entry = self._entries.get(host) or self._admit(host)
        now = self._loop.time()
        if entry.lookup is None:
            entry.asked_at = now
            entry.lookup = self._loop.create_task(self._ask(host, entry))
        patience = entry.asked_at + PATIENCE_S - now if entry.addresses else None
        if patience is None or patience > 0:
            await asyncio.wait((entry.lookup,), timeout=patience)
        if not entry.addresses:
            raise socket.gaierror(entry.error, "lookup failed")
        return entry.addresses

    def _admit(self, host: str) -> _Entry:
        if len(self._entries) >= NAMES_MAX:
            del self._entries[next(iter(self._entries))]
        entry = self._entries[host] = _Entry()
        return entry

    async def _ask(self, host: str, entry: _Entry) -> None:
        try:
            entry.addresses = await self._lookup(host)
            entry.due_at = self._loop.time() + FRESH_S
        except OSError as error:
            entry.error = error.errno
            entry.due_at = self._loop.time() + RETRY_S
        finally:
            entry.lookup = None


class _Threads:
    """`getaddrinfo` on threads, which are started when a name first needs one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._executor: concurrent.futures.ThreadPoolExecutor | None = None
        self.running: set[concurrent.futures.Future[tuple[Address, ...]]] = set()
        """Lookups that are queued or running."""

    async def lookup(self, host: str) -> tuple[Address, ...]:
        if self._executor is None:
            self._executor = concurrent.futures.ThreadPoolExecutor(THREADS, "names")
        try:
            future = self._executor.submit(_getaddrinfo, host)
        except RuntimeError as error:  # no thread can be started; the name stays queued, so drop this executor
            self._executor.shutdown(wait=False)
            self._executor = None
            raise OSError(errno.EAGAIN, str(error)) from None
        self.running.add(future)
        future.add_done_callback(self.running.discard)  # called on that thread; atomic, so no lock
        return await asyncio.wrap_future(future, loop=self._loop)

    def close(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)


def _getaddrinfo(host: str) -> tuple[Address, ...]:
    """Blocking. The name is passed as bytes: for a `str`, CPython loads its IDNA tables, 1 MB of them."""
    try:
        rows = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    except ValueError:  # not ASCII, a NUL
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from None
    found = (
        Address(family, str(address[0]), int(address[3]) if len(address) == 4 else 0)
        for family, _, _, _, address in rows
    )
    addresses = tuple(dict.fromkeys(found))
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "no addresses")
    return addresses
