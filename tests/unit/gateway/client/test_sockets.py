"""The client's side on real sockets: what another parser could read differently, and the kernel's part in it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from oxllm.gateway.client.backlog import BACKLOG_MAX
from oxllm.gateway.client.output import RESET
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.server import Server
from oxllm.gateway.reactor.sockets import accept
from oxllm.plan import Server as Limits
from tests.support import client_side
from tests.support.client_side import Recorder, chunked, get, post
from tests.support.odd_http import SMUGGLING

HANG_S = 30
"""What has not happened by then never will."""
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"


class Site:
    """A server on a loopback port."""

    def __init__(self, server: Server, service: Recorder, port: int) -> None:
        self.server = server
        self.service = service
        self.port = port

    async def connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return sock

    async def ask(self, data: bytes) -> bytes:
        """Send `data`; all that comes back until the server closes, or has shut its side."""
        loop = asyncio.get_running_loop()
        sock = await self.connect()
        try:
            await loop.sock_sendall(sock, data)
            output = b""
            while part := await asyncio.wait_for(loop.sock_recv(sock, 65536), 10):
                output += part
            return output
        finally:
            sock.close()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    loop = asyncio.get_running_loop()
    service = Recorder()
    server = client_side.server(loop, service, Limits())
    sock = socket.create_server(("127.0.0.1", 0))
    listener = await accept(sock, server.protocol, batch=64, backlog=64)
    yield Site(server, service, listener.sockets[0].getsockname()[1])
    listener.close()
    server.close_all()
    while server.connections:
        await asyncio.sleep(0)


def statuses(output: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", output)]


POST = b"POST / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize("case", SMUGGLING)
async def test_what_two_parsers_could_read_differently_is_one_400_and_a_close(site: Site, case: str) -> None:
    output = await site.ask(SMUGGLING[case] + HIDDEN)
    assert statuses(output) == [400]
    assert b"connection: close" in output
    assert site.service.served == []


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        POST + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + chunked(HIDDEN).split(b"here\r\n")[1],
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        post(HIDDEN),
        chunked(HIDDEN),
    ],
)
async def test_a_body_that_looks_like_a_request_is_a_body(site: Site, data: bytes) -> None:
    bodies: list[bytes] = []

    def serve(request: Request) -> None:
        bodies.append(bytes(request.body))
        request.respond(200, [], b"")

    site.service.on_serve = serve
    output = await site.ask(data + get("/next", "Connection: close"))
    assert statuses(output) == [200, 200]
    assert [request.path for request in site.service.served[1:]] == [b"/next"]
    assert bodies == [HIDDEN, b""]


async def test_an_early_answer_arrives_although_a_large_body_was_under_way(site: Site) -> None:
    site.service.on_head = lambda request: request.respond(413, [], b"no")
    loop = asyncio.get_running_loop()
    sock = await site.connect()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await loop.sock_sendall(sock, post(b"x" * 6_000_000))
    output = b""
    while part := await loop.sock_recv(sock, 65536):
        output += part
    sock.close()
    assert statuses(output) == [413]
    assert output.endswith(b"no")


@pytest.mark.parametrize("how", ["close", "shutdown"])
async def test_a_client_that_leaves_is_noticed(site: Site, how: str) -> None:
    site.service.keep_waiting()
    sock = await site.connect()
    await asyncio.get_running_loop().sock_sendall(sock, get())
    while not site.service.served:
        await asyncio.sleep(0)
    if how == "close":
        sock.close()
    else:
        sock.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(HANG_S):
        while not site.service.gone:
            await asyncio.sleep(0)
    sock.close()
    assert site.service.gone == 1


def leave(sock: socket.socket, how: str) -> None:
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    if how == "shutdown":
        sock.shutdown(socket.SHUT_WR)
    else:
        sock.close()


@pytest.mark.skipif(sys.platform != "linux", reason="without epoll it is noticed when the socket is read again")
@pytest.mark.parametrize("how", ["close", "shutdown", "reset"])
@pytest.mark.parametrize("while_", ["its body waits", "much is pipelined"])
async def test_a_client_that_leaves_while_it_is_not_read_is_noticed(site: Site, how: str, while_: str) -> None:
    site.service.keep_waiting()
    site.server.bodies.limit = 1000
    request = post(b"x" * 100_000) if while_ == "its body waits" else get() + b"x" * 90_000
    before = len(os.listdir("/proc/self/fd"))
    sock = await site.connect()
    await asyncio.get_running_loop().sock_sendall(sock, request)
    while not site.server.hangups:
        await asyncio.sleep(0)
    leave(sock, how)
    async with asyncio.timeout(HANG_S):
        while site.server.connections:
            await asyncio.sleep(0)
    sock.close()
    assert (site.server.backlog, site.server.bodies.total, site.server.bodies.waiting) == (0, 0, 0)
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has this option")
async def test_a_client_that_acknowledges_nothing_for_60_s_is_given_up(site: Site) -> None:
    sock = await site.connect()
    while not site.server.connections:
        await asyncio.sleep(0)
    (connection,) = site.server.open
    accepted = connection.transport.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
    sock.close()


async def test_who_is_read_again_is_watched_no_more(site: Site) -> None:
    site.service.keep_waiting()
    sock = await site.connect()
    loop = asyncio.get_running_loop()
    while not site.server.connections:
        await asyncio.sleep(0)
    before = len(os.listdir("/proc/self/fd"))
    await loop.sock_sendall(sock, get() + get() * (2 * BACKLOG_MAX // len(get())))
    while not site.server.hangups:
        await asyncio.sleep(0)
    site.service.on_serve = lambda request: request.respond(200, [], b"")
    site.service.served[0].respond(200, [], b"")
    async with asyncio.timeout(10):
        while site.server.hangups:
            await asyncio.sleep(0)
    assert site.server.connections == 1
    assert len(os.listdir("/proc/self/fd")) == before
    sock.close()


async def test_an_http_10_answer_that_broke_is_reset_not_ended(site: Site) -> None:
    def serve(request: Request) -> None:
        request.begin(200, [], None)
        request.write(b"half")
        request.abort()

    site.service.on_serve = serve
    with pytest.raises(ConnectionResetError):
        await site.ask(b"GET / HTTP/1.0\r\n\r\n")


async def test_small_pieces_are_not_held_back_by_nagle(site: Site) -> None:
    sock = await site.connect()
    await asyncio.get_running_loop().sock_sendall(sock, get())
    while not site.service.served:
        await asyncio.sleep(0)
    (connection,) = site.server.open
    inner = connection.transport.get_extra_info("socket")
    assert inner.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    sock.close()


async def test_a_client_that_does_not_read_holds_back_the_writer(site: Site) -> None:
    site.service.on_serve = lambda request: request.begin(200, [], None)
    loop = asyncio.get_running_loop()
    sock = await site.connect()
    await loop.sock_sendall(sock, get())
    while not site.service.served:
        await asyncio.sleep(0)
    request = site.service.served[0]
    written = 0
    while not site.service.pressure:
        request.write(b"x" * 50_000)
        written += 50_000
        await asyncio.sleep(0)
    assert site.service.pressure == ["paused"]
    got = 0
    while got < written:
        got += len(await loop.sock_recv(sock, 1 << 20))
    while site.service.pressure != ["paused", "resumed"]:
        await asyncio.sleep(0)
    sock.close()
