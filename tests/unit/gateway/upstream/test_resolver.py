"""Names are looked up once at a time, remembered for a minute, and kept while the resolver fails."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Iterator

import pytest

from oxllm.core.reading.outcome import Failure
from oxllm.gateway.upstream.failure import broken
from oxllm.gateway.upstream.resolver import (
    FRESH_S,
    LOCALHOST,
    NAMES_MAX,
    PATIENCE_S,
    RETRY_S,
    Address,
    Resolver,
    literal,
)
from tests.support.virtual import VirtualLoop

ONE = (Address(socket.AF_INET, "192.0.2.1"),)
TWO = (Address(socket.AF_INET6, "2001:db8::2"),)


class NameServer:
    """Answers when told to."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.asked: list[str] = []
        self.pending: list[asyncio.Future[tuple[Address, ...]]] = []

    def __call__(self, host: str) -> Awaitable[tuple[Address, ...]]:
        self.asked.append(host)
        self.pending.append(self.loop.create_future())
        return self.pending[-1]

    def answer(self, addresses: tuple[Address, ...]) -> None:
        self.pending.pop(0).set_result(addresses)
        self.loop.settle()

    def fail(self) -> None:
        self.pending.pop(0).set_exception(socket.gaierror(socket.EAI_AGAIN, "try again"))
        self.loop.settle()


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def server(loop: VirtualLoop) -> NameServer:
    return NameServer(loop)


@pytest.fixture
def resolver(loop: VirtualLoop, server: NameServer) -> Resolver:
    return Resolver(loop, server)


def ask(loop: VirtualLoop, resolver: Resolver, host: str = "a.example") -> asyncio.Task[tuple[Address, ...]]:
    task = loop.create_task(resolver.resolve(host))
    loop.settle()
    return task


def know(loop: VirtualLoop, resolver: Resolver, server: NameServer) -> None:
    task = ask(loop, resolver)
    server.answer(ONE)
    assert task.result() == ONE


def test_literals_and_localhost_ask_nobody(loop: VirtualLoop, resolver: Resolver, server: NameServer) -> None:
    assert ask(loop, resolver, "127.0.0.1").result() == (Address(socket.AF_INET, "127.0.0.1"),)
    assert ask(loop, resolver, "::1").result() == (Address(socket.AF_INET6, "::1"),)
    assert ask(loop, resolver, "localhost").result() == LOCALHOST
    assert server.asked == []
    assert literal("1.2.3") == literal("a.example") == ()


def test_all_who_wait_for_a_name_share_one_lookup(loop: VirtualLoop, resolver: Resolver, server: NameServer) -> None:
    tasks = [ask(loop, resolver) for _ in range(3)]
    server.answer(ONE)
    assert [task.result() for task in tasks] == [ONE] * 3
    assert server.asked == ["a.example"]


def test_an_address_is_used_for_a_minute_without_asking(
    loop: VirtualLoop, resolver: Resolver, server: NameServer
) -> None:
    know(loop, resolver, server)
    loop.advance(FRESH_S - 1)
    assert ask(loop, resolver).result() == ONE
    assert len(server.asked) == 1


def test_after_a_minute_the_new_address_is_waited_for(
    loop: VirtualLoop, resolver: Resolver, server: NameServer
) -> None:
    know(loop, resolver, server)
    loop.advance(FRESH_S)
    task = ask(loop, resolver)
    assert not task.done()
    server.answer(TWO)
    assert task.result() == TWO


def test_a_hanging_resolver_delays_nobody_for_more_than_its_patience(
    loop: VirtualLoop, resolver: Resolver, server: NameServer
) -> None:
    know(loop, resolver, server)
    loop.advance(FRESH_S)
    first = ask(loop, resolver)
    loop.advance(PATIENCE_S / 2)
    second = ask(loop, resolver)
    assert not first.done()
    loop.advance(PATIENCE_S / 2)
    assert first.result() == second.result() == ONE
    assert ask(loop, resolver).result() == ONE  # at once: it has hung for long enough
    assert len(server.asked) == 2
    server.answer(TWO)
    assert ask(loop, resolver).result() == TWO


def test_the_old_address_is_used_while_lookups_fail_and_they_are_not_hammered(
    loop: VirtualLoop, resolver: Resolver, server: NameServer
) -> None:
    know(loop, resolver, server)
    loop.advance(FRESH_S)
    task = ask(loop, resolver)
    server.fail()
    assert task.result() == ONE
    assert ask(loop, resolver).result() == ONE
    assert len(server.asked) == 2
    loop.advance(RETRY_S)
    ask(loop, resolver)
    assert len(server.asked) == 3
    server.answer(TWO)


def test_a_name_whose_address_was_of_no_use_is_asked_for_again_but_not_all_the_time(
    loop: VirtualLoop, resolver: Resolver, server: NameServer
) -> None:
    resolver.doubt("b.example")
    know(loop, resolver, server)
    resolver.doubt("a.example")
    loop.advance(RETRY_S - 1)
    assert ask(loop, resolver).result() == ONE
    loop.advance(1)
    resolver.doubt("a.example")
    task = ask(loop, resolver)
    resolver.doubt("a.example")
    assert not task.done()
    server.answer(TWO)
    assert task.result() == ask(loop, resolver).result() == TWO
    assert len(server.asked) == 2


def test_a_name_that_was_never_known_fails_and_is_asked_for_again(
    loop: VirtualLoop, resolver: Resolver, server: NameServer
) -> None:
    for count in (1, 2):
        task = ask(loop, resolver)
        server.fail()
        error = task.exception()
        assert isinstance(error, socket.gaierror)
        assert error.errno == socket.EAI_AGAIN
        assert len(server.asked) == count


def test_a_waiter_that_is_cancelled_takes_the_lookup_from_nobody(
    loop: VirtualLoop, resolver: Resolver, server: NameServer
) -> None:
    leaving, staying = ask(loop, resolver), ask(loop, resolver)
    leaving.cancel()
    loop.settle()
    server.answer(ONE)
    assert staying.result() == ONE


def test_a_lookup_that_fails_when_nobody_waits_any_more_is_forgotten(
    loop: VirtualLoop, resolver: Resolver, server: NameServer
) -> None:
    task = ask(loop, resolver)
    task.cancel()
    loop.settle()
    server.fail()
    assert not ask(loop, resolver).done()
    server.answer(ONE)


def test_the_memory_of_names_is_bounded(loop: VirtualLoop, resolver: Resolver, server: NameServer) -> None:
    for number in range(NAMES_MAX + 1):
        ask(loop, resolver, f"{number}.example")
        server.answer(ONE)
    assert ask(loop, resolver, f"{NAMES_MAX}.example").done()
    assert not ask(loop, resolver, "0.example").done()
    server.answer(ONE)


async def test_the_system_resolver_runs_on_its_own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, str]] = []

    def getaddrinfo(host: object, port: object, type: int) -> list[object]:
        asked.append((host, threading.current_thread().name))
        return [
            (socket.AF_INET6, type, 6, "", ("fe80::1", 0, 0, 3)),
            (socket.AF_INET, type, 6, "", ("192.0.2.1", 0)),
            (socket.AF_INET, type, 6, "", ("192.0.2.1", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = Resolver(asyncio.get_running_loop())
    found = await resolver.resolve("a.example")
    assert found == (Address(socket.AF_INET6, "fe80::1", 3), ONE[0])
    assert [address.sockaddr(443) for address in found] == [("fe80::1", 443, 0, 3), ("192.0.2.1", 443)]
    assert asked[0][0] == b"a.example"
    assert asked[0][1].startswith("names")
    resolver.close()


async def test_names_that_hang_keep_no_other_one_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of a company while its VPN is down."""
    over = threading.Event()

    def getaddrinfo(host: bytes, port: object, type: int) -> list[object]:
        if host.startswith(b"hung"):
            over.wait(60)
        return [(socket.AF_INET, type, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = Resolver(asyncio.get_running_loop())
    hung = [asyncio.create_task(resolver.resolve(f"hung-{number}.example")) for number in range(7)]
    await asyncio.sleep(0)
    try:
        assert await asyncio.wait_for(resolver.resolve("a.example"), 10) == ONE
        assert not any(task.done() for task in hung)
    finally:
        over.set()
        await asyncio.gather(*hung)
        resolver.close()


@pytest.mark.parametrize("host", ["é.example", "a\0.example"])
async def test_what_cannot_be_a_host_name_is_not_found(host: str) -> None:
    resolver = Resolver(asyncio.get_running_loop())
    with pytest.raises(socket.gaierror):
        await resolver.resolve(host)
    resolver.close()


def test_closing_drops_the_lookups_under_way(loop: VirtualLoop, resolver: Resolver, server: NameServer) -> None:
    ask(loop, resolver).cancel()
    resolver.close()
    loop.settle()
    assert server.pending[0].cancelled()


async def test_a_lookup_that_nobody_waits_for_is_busy_until_its_thread_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    done, begun = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        begun.set()
        done.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    resolver = Resolver(asyncio.get_running_loop())

    def busy() -> bool:
        return resolver.busy

    assert not busy()
    task = asyncio.create_task(resolver.resolve("a.example"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    begun.wait(60)
    task.cancel()
    resolver.close()
    await asyncio.sleep(0)
    assert busy()
    done.set()
    for _ in range(1000):
        if not busy():
            break
        await asyncio.sleep(0.005)
    assert not busy()


async def test_where_no_thread_can_be_started_nobody_else_is_blamed_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As under a limit of processes: a container's pids, a user's RLIMIT_NPROC."""
    asked: list[object] = []

    def getaddrinfo(host: object, port: object, type: int) -> list[object]:
        asked.append(host)
        return [(socket.AF_INET, type, 6, "", ("192.0.2.1", 0))]

    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = Resolver(asyncio.get_running_loop())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for host in ("a.example", "b.example"):
            with pytest.raises(OSError, match="lookup failed") as raised:
                await resolver.resolve(host)
            assert broken(raised.value).failure is Failure.LOCAL
            assert broken(raised.value).detail == "no thread for a name look-up"
    assert not resolver.busy
    assert await resolver.resolve("a.example") == ONE
    assert asked == [b"a.example"], "nobody waits for the other one any more"
    resolver.close()
