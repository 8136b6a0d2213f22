"""The simulator on real sockets, read byte by byte by a client that knows no HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import httpx
import pytest

from oxllm.sim.provider.ledger import Record
from oxllm.sim.provider.steps import Send
from oxllm.sim.serve.engine import Script
from oxllm.sim.serve.player import Gates, Player
from oxllm.sim.serve.ports import State
from oxllm.sim.testing import Sim

BODY = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


def test_a_keep_alive_connection_serves_one_request_after_the_other() -> None:
    with Sim("alpha") as sim, httpx.Client(base_url=sim.url("alpha")) as client:
        for _ in range(3):
            assert client.post("/chat/completions", content=BODY).text.endswith("data: [DONE]\n\n")
        assert [record.end for record in sim.ledger("alpha")] == ["complete"] * 3
        assert sim.connections("alpha") == 1


def test_pipelined_requests_are_answered_in_order() -> None:
    with (
        Sim("alpha", faults={"alpha": ["500 x1"]}) as sim,
        socket.create_connection(("127.0.0.1", sim.port("alpha"))) as client,
    ):
        client.sendall(REQUEST * 2)
        seen = b""
        while b"[DONE]" not in seen:
            seen += client.recv(65536)
    assert seen.index(b" 500 ") < seen.index(b" 200 ")


def test_a_patched_port_refuses_and_comes_back_by_itself() -> None:
    with Sim("alpha") as sim:
        sim.patch("alpha", ["refuse"], ttl=0.2)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=1)
        deadline = time.monotonic() + 5
        while sim.state("alpha") is not State.OPEN:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=1).close()


def test_a_black_hole_completes_no_handshake() -> None:
    with Sim("alpha", faults={"alpha": ["blackhole@connect"]}) as sim, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=0.3)


def test_a_client_that_leaves_is_recorded_as_gone() -> None:
    with Sim("alpha", pace="ttft 0ms, itl 10s, out 20") as sim:
        with socket.create_connection(("127.0.0.1", sim.port("alpha"))) as client:
            client.sendall(REQUEST)
            client.recv(1024)
        deadline = time.monotonic() + 5
        while (record := sim.ledger("alpha")[0]).end is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert record.end == "gone"


def test_a_connection_accepted_just_as_the_port_closes_is_reset_and_not_forgotten() -> None:
    with Sim("alpha") as sim:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as client:
                sim.patch("alpha", ["refuse"])
                with pytest.raises(OSError, match="reset"):
                    ask(client)
            sim.patch("alpha")


def ask(client: socket.socket) -> None:
    client.sendall(REQUEST)
    assert client.recv(1) == b""


async def test_what_is_due_at_once_is_not_written_to_a_peer_that_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio would complain of each write but the first five, on the terminal of whoever runs it."""
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=here)
    there.close()
    record = Record("alpha", 1, "1", loop.time(), 1, "POST", "/v1/chat/completions", "m")
    script = Script(iter([Send(b"x")] * 20), record)
    Player(loop, Gates(), transport, script, loop.time(), lambda: None).run()
    transport.abort()
    await asyncio.sleep(0)
    assert caplog.records == []
