"""Connecting: told once, never from within, and nothing is left of what is given up."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from oxllm.gateway.reactor.sockets import CHOICES, connect
from oxllm.gateway.transport import Connecting, Transport
from tests.support.turned import Told, no_room_in_epoll, take, turn, turning

both = pytest.mark.parametrize("choice", CHOICES)


class Awaiting:
    """Somebody who connects, and notes what comes of it."""

    connecting: Connecting

    def __init__(self, server: socket.socket) -> None:
        self.address = server.getsockname()
        self.peer = Told()
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.results: list[Transport | Exception] = []

    def begin_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, and stop the loop before it looks for what has come of it."""
        loop.call_soon(self._begin)
        turn(loop, 1)
        assert self.results == []

    def _begin(self) -> None:
        self.connecting = connect(self.sock, self.address, self.peer, self.done)

    def done(self, result: Transport | Exception) -> None:
        self.results.append(result)


class Failing(Awaiting):
    """Fails when told."""

    def done(self, result: Transport | Exception) -> None:
        raise ZeroDivisionError


@pytest.fixture
def server() -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    return server


@both
def test_whom_it_reaches_gets_a_peer(choice: str, server: socket.socket) -> None:
    with turning(choice) as loop, server:
        one = Awaiting(server)
        one.begin_on(loop)
        turn(loop)
        assert one.results == [one.peer.transport]
        assert one.peer.told == ["made"]
        one.connecting.cancel()  # too late
        far, _ = server.accept()
        with far:
            far.send(b"hello")
            turn(loop)
            assert one.peer.data == b"hello"
            one.peer.transport.abort()
            turn(loop)
            assert one.peer.told[-1] == "lost: NoneType"
            assert take(far) == (b"", "end")


@both
def test_a_refusal_is_told_and_leaves_no_socket(choice: str, server: socket.socket) -> None:
    with turning(choice) as loop:
        with server:
            one = Awaiting(server)
        one.begin_on(loop)
        turn(loop)
        assert [type(result) for result in one.results] == [ConnectionRefusedError]
        assert one.peer.told == []
        assert one.sock.fileno() == -1


@both
def test_who_gives_up_is_told_nothing_and_leaves_no_socket(choice: str, server: socket.socket) -> None:
    with turning(choice) as loop, server:
        one = Awaiting(server)
        one.begin_on(loop)
        one.connecting.cancel()
        one.connecting.cancel()
        turn(loop)
        assert (one.results, one.peer.told, one.sock.fileno()) == ([], [], -1)


@pytest.mark.parametrize("at", ["the start", "the end"])
def test_what_epoll_has_no_room_for_fails_and_is_not_watched(at: str, server: socket.socket) -> None:
    with turning() as loop, server:
        one = Awaiting(server)
        with one.sock:
            if at == "the start":
                with no_room_in_epoll(loop):
                    one.begin_on(loop)
                assert [context["exception"].errno for context in loop.complaints] == [errno.ENOSPC]  # type: ignore[attr-defined]
                loop.complaints.clear()  # type: ignore[attr-defined]
            else:
                one.begin_on(loop)
                with no_room_in_epoll(loop):
                    turn(loop)
                assert [result.errno for result in one.results if isinstance(result, OSError)] == [errno.ENOSPC]
                assert one.sock.fileno() == -1
        assert one.peer.told == []
        assert not loop.reactor.watched  # type: ignore[attr-defined]


def test_a_fault_in_who_is_told_keeps_nobody_else_from_being_told(server: socket.socket) -> None:
    with turning() as loop, server:
        first, second = Failing(server), Awaiting(server)
        for one in (first, second):
            one.begin_on(loop)
        turn(loop)
        assert [type(context["exception"]) for context in loop.complaints] == [ZeroDivisionError]  # type: ignore[attr-defined]
        loop.complaints.clear()  # type: ignore[attr-defined]
        assert second.results == [second.peer.transport]
        first.peer.transport.abort()
        second.peer.transport.abort()


def test_a_closed_loop_leaves_no_socket_that_is_connecting(server: socket.socket) -> None:
    with turning() as loop, server:
        one = Awaiting(server)
        one.begin_on(loop)
        loop.close()
        assert (one.results, one.sock.fileno()) == ([], -1)
