"""Listening, on the reactor and on asyncio: batches, and what happens when there is no room."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oxllm.gateway.reactor import listener as listeners
from oxllm.gateway.reactor.sockets import CHOICES, Listening, accept
from tests.support.turned import Told, no_room_in_epoll, take, turn, turning

LINUX = sys.platform == "linux"
on_both = pytest.mark.parametrize("choice", CHOICES if LINUX else ["asyncio"])
on_ours = pytest.mark.skipif(not LINUX, reason="the reactor stands on epoll, which Linux alone has")


class Guest(Told):
    all: list[Guest]

    def connection_made(self, transport: object) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self.all.append(self)


def opened(loop: asyncio.AbstractEventLoop, guests: list[Guest], batch: int = 64) -> Listening:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    guest = type("Guest", (Guest,), {"all": guests})
    return loop.run_until_complete(accept(sock, guest, batch, backlog=128))


def called(listener: Listening, count: int = 1) -> list[socket.socket]:
    address = listener.sockets[0].getsockname()
    return [socket.create_connection(address) for _ in range(count)]


@on_both
def test_who_comes_is_served_without_delay(choice: str) -> None:
    with turning(choice) as loop:
        guests: list[Guest] = []
        listener = opened(loop, guests)
        clients = called(listener, 3)
        clients[1].send(b"hello")
        turn(loop)
        assert [guest.data for guest in guests] == [b"", b"hello", b""]
        sock = guests[0].transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        for client in clients:
            client.close()
        turn(loop)
        assert all(guest.told[-1] == "lost: NoneType" for guest in guests)
        listener.close()


@on_both
def test_once_closed_it_takes_nobody_and_keeps_those_it_has(choice: str) -> None:
    with turning(choice) as loop:
        guests: list[Guest] = []
        listener = opened(loop, guests)
        address = listener.sockets[0].getsockname()
        (client,) = called(listener)
        turn(loop)
        listener.close()
        assert not listener.sockets
        client.send(b"still here")
        turn(loop)
        assert guests[0].data == b"still here"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        client.close()
        turn(loop)


@on_ours
def test_no_more_than_a_batch_is_taken_in_one_turn() -> None:
    with turning() as loop:
        guests: list[Guest] = []
        listener = opened(loop, guests, batch=4)
        clients = called(listener, 10)
        seen = []
        for _ in range(4):
            turn(loop, 1)
            seen.append(len(guests))
        assert seen == [4, 8, 10, 10]
        for client in clients:
            client.close()
        turn(loop)
        listener.close()


@contextmanager
def no_files_left() -> Iterator[None]:
    """Not one more file can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)  # the lowest number that is free
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@on_ours
def test_without_files_it_says_so_once_rests_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each time that it has rested: how often it has in twenty turns is the machine's business."""
    monkeypatch.setattr(listeners, "RETRY_S", 0.02)
    with turning() as loop:
        guests: list[Guest] = []
        listener = opened(loop, guests)
        clients = called(listener, 2)
        began = loop.time()
        with no_files_left():
            turn(loop, 20)
        complaints = loop.complaints  # type: ignore[attr-defined]
        assert 1 <= len(complaints) <= 1 + (loop.time() - began) / listeners.RETRY_S
        assert {complaint["exception"].errno for complaint in complaints} == {errno.EMFILE}
        complaints.clear()
        assert not guests
        until = loop.time() + 30.0
        while len(guests) < 2 and loop.time() < until:
            loop.run_until_complete(asyncio.sleep(listeners.RETRY_S))
        assert len(guests) == 2
        for client in clients:
            client.close()
        turn(loop)
        listener.close()


@on_ours
def test_whom_epoll_has_no_room_for_is_closed_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "RETRY_S", 0.02)
    with turning() as loop:
        guests: list[Guest] = []
        listener = opened(loop, guests)
        watched = len(loop.reactor.watched)  # type: ignore[attr-defined]
        clients = called(listener, 2)
        with no_room_in_epoll(loop):
            turn(loop, 20)
            (complaint,) = loop.complaints  # type: ignore[attr-defined]
            assert complaint["exception"].errno == errno.ENOSPC
            clients[0].setblocking(False)
            assert take(clients[0]) == (b"", "end")
            loop.run_until_complete(asyncio.sleep(0.05))  # now it cannot even watch for clients
            assert len(loop.reactor.watched) < watched  # type: ignore[attr-defined]
        loop.complaints.clear()  # type: ignore[attr-defined]
        loop.run_until_complete(asyncio.sleep(0.05))
        assert len(guests) == 1, "the second one, who has waited"
        for client in clients:
            client.close()
        turn(loop)
        assert len(loop.reactor.watched) == watched  # type: ignore[attr-defined]
        listener.close()


@on_ours
def test_closed_while_it_rests_it_stays_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "RETRY_S", 0.01)
    with turning() as loop:
        guests: list[Guest] = []
        listener = opened(loop, guests)
        clients = called(listener)
        with no_files_left():
            turn(loop)
        loop.complaints.clear()  # type: ignore[attr-defined]
        listener.close()
        loop.run_until_complete(asyncio.sleep(0.05))
        assert not guests
        clients[0].close()


@on_ours
def test_a_guest_that_cannot_be_received_is_closed_and_the_next_one_served() -> None:
    with turning() as loop:
        guests: list[Guest] = []
        made = iter([True, False])

        class Moody(Guest):
            all = guests

            def connection_made(self, transport: object) -> None:
                if next(made):
                    raise ZeroDivisionError
                super().connection_made(transport)

        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        listener = loop.run_until_complete(accept(sock, Moody, 64, backlog=128))
        clients = called(listener, 2)
        turn(loop)
        assert len(loop.complaints) == 1  # type: ignore[attr-defined]
        loop.complaints.clear()  # type: ignore[attr-defined]
        assert take(clients[0]) == (b"", "end")
        assert len(guests) == 1
        for client in clients:
            client.close()
        turn(loop)
        listener.close()
