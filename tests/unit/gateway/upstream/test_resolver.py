"""Names are looked up once at a time, remembered for a minute, and kept while the resolver fails."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Iterator

import pytest

from oxllm.gateway.upstream.resolver import FRESH_S, LOCALHOST, NAMES_MAX, PATIENCE_S, RETRY_S, Address, Names, literal
from tests.support.virtual import VirtualLoop
from tests.unit.gateway.fakes import advance, settle

ONE = (Address(socket.AF_INET, "192.0.2.1"),)
TWO = (Address(socket.AF_INET6, "2001:db8::2"),)


class Resolver:
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
        settle(self.loop)

    def fail(self) -> None:
        self.pending.pop(0).set_exception(socket.gaierror(socket.EAI_AGAIN, "try again"))
        settle(self.loop)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def resolver(loop: VirtualLoop) -> Resolver:
    return Resolver(loop)


@pytest.fixture
def names(loop: VirtualLoop, resolver: Resolver) -> Names:
    return Names(loop, resolver)


def ask(loop: VirtualLoop, names: Names, host: str = "a.example") -> asyncio.Task[tuple[Address, ...]]:
    task = loop.create_task(names.resolve(host))
    settle(loop)
    return task


def know(loop: VirtualLoop, names: Names, resolver: Resolver) -> None:
    task = ask(loop, names)
    resolver.answer(ONE)
    assert task.result() == ONE


def test_literals_and_localhost_ask_nobody(loop: VirtualLoop, names: Names, resolver: Resolver) -> None:
    assert ask(loop, names, "127.0.0.1").result() == (Address(socket.AF_INET, "127.0.0.1"),)
    assert ask(loop, names, "::1").result() == (Address(socket.AF_INET6, "::1"),)
    assert ask(loop, names, "localhost").result() == LOCALHOST
    assert resolver.asked == []
    assert literal("1.2.3") == literal("a.example") == ()


def test_all_who_wait_for_a_name_share_one_lookup(loop: VirtualLoop, names: Names, resolver: Resolver) -> None:
    tasks = [ask(loop, names) for _ in range(3)]
    resolver.answer(ONE)
    assert [task.result() for task in tasks] == [ONE] * 3
    assert resolver.asked == ["a.example"]


def test_an_address_is_used_for_a_minute_without_asking(loop: VirtualLoop, names: Names, resolver: Resolver) -> None:
    know(loop, names, resolver)
    advance(loop, FRESH_S - 1)
    assert ask(loop, names).result() == ONE
    assert len(resolver.asked) == 1


def test_after_a_minute_the_new_address_is_waited_for(loop: VirtualLoop, names: Names, resolver: Resolver) -> None:
    know(loop, names, resolver)
    advance(loop, FRESH_S)
    task = ask(loop, names)
    assert not task.done()
    resolver.answer(TWO)
    assert task.result() == TWO


def test_a_hanging_resolver_delays_nobody_for_more_than_its_patience(
    loop: VirtualLoop, names: Names, resolver: Resolver
) -> None:
    know(loop, names, resolver)
    advance(loop, FRESH_S)
    first = ask(loop, names)
    advance(loop, PATIENCE_S / 2)
    second = ask(loop, names)
    assert not first.done()
    advance(loop, PATIENCE_S / 2)
    assert first.result() == second.result() == ONE
    assert ask(loop, names).result() == ONE  # at once: it has hung for long enough
    assert len(resolver.asked) == 2
    resolver.answer(TWO)
    assert ask(loop, names).result() == TWO


def test_the_old_address_is_used_while_lookups_fail_and_they_are_not_hammered(
    loop: VirtualLoop, names: Names, resolver: Resolver
) -> None:
    know(loop, names, resolver)
    advance(loop, FRESH_S)
    task = ask(loop, names)
    resolver.fail()
    assert task.result() == ONE
    assert ask(loop, names).result() == ONE
    assert len(resolver.asked) == 2
    advance(loop, RETRY_S)
    ask(loop, names)
    assert len(resolver.asked) == 3
    resolver.answer(TWO)


def test_a_name_that_was_never_known_fails_and_is_asked_for_again(
    loop: VirtualLoop, names: Names, resolver: Resolver
) -> None:
    for count in (1, 2):
        task = ask(loop, names)
        resolver.fail()
        error = task.exception()
        assert isinstance(error, socket.gaierror)
        assert error.errno == socket.EAI_AGAIN
        assert len(resolver.asked) == count


def test_a_waiter_that_is_cancelled_takes_the_lookup_from_nobody(
    loop: VirtualLoop, names: Names, resolver: Resolver
) -> None:
    leaving, staying = ask(loop, names), ask(loop, names)
    leaving.cancel()
    settle(loop)
    resolver.answer(ONE)
    assert staying.result() == ONE


def test_a_lookup_that_fails_when_nobody_waits_any_more_is_forgotten(
    loop: VirtualLoop, names: Names, resolver: Resolver
) -> None:
    task = ask(loop, names)
    task.cancel()
    settle(loop)
    resolver.fail()
    assert not ask(loop, names).done()
    resolver.answer(ONE)


def test_the_memory_of_names_is_bounded(loop: VirtualLoop, names: Names, resolver: Resolver) -> None:
    for number in range(NAMES_MAX + 1):
        ask(loop, names, f"{number}.example")
        resolver.answer(ONE)
    assert ask(loop, names, f"{NAMES_MAX}.example").done()
    assert not ask(loop, names, "0.example").done()
    resolver.answer(ONE)


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
    names = Names(asyncio.get_running_loop())
    found = await names.resolve("a.example")
    assert found == (Address(socket.AF_INET6, "fe80::1", 3), ONE[0])
    assert [address.sockaddr(443) for address in found] == [("fe80::1", 443, 0, 3), ("192.0.2.1", 443)]
    assert asked[0][0] == b"a.example"
    assert asked[0][1].startswith("names")
    names.close()


@pytest.mark.parametrize("host", ["é.example", "a\0.example"])
async def test_what_cannot_be_a_host_name_is_not_found(host: str) -> None:
    names = Names(asyncio.get_running_loop())
    with pytest.raises(socket.gaierror):
        await names.resolve(host)
    names.close()


def test_closing_drops_the_lookups_under_way(loop: VirtualLoop, names: Names, resolver: Resolver) -> None:
    ask(loop, names).cancel()
    names.close()
    settle(loop)
    assert resolver.pending[0].cancelled()
