"""The provider in C says what the one in Python says, byte for byte."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from tests.bench import simulator
from tests.support import wire
from tests.support.processes import Running, accepts, free_port

pytestmark = pytest.mark.skipif(
    not simulator.COMPILER or sys.platform != "linux", reason="needs Linux and a compiler of C"
)


def chunk(events: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(events), events)


def stream_of(events: int) -> bytes:
    """As it is framed: the end goes with the last content."""
    told = [chunk(wire.FIRST_EVENT), *(chunk(wire.content_event(index)) for index in range(events))]
    return b"".join(told) + chunk(wire.LAST_EVENT + wire.DONE) + b"0\r\n\r\n"


def test_it_answers_what_comes_on_a_kept_connection_however_it_is_cut(tmp_path: Path) -> None:
    port = free_port()
    bodies = [
        wire.chat_body(wire.answer(20), model="m", stream=False),
        wire.chat_body(wire.play(3, 0.01), model="m", stream=True),
        wire.chat_body("no word of how", model="m", stream=True, size=3000),
    ]
    ends = [wire.plain_answer(20), stream_of(3), stream_of(1)]
    with Running([str(simulator.built(tmp_path)), str(port)], output=tmp_path / "log") as process:
        process.wait_until(lambda: accepts(port))
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            for body, end in zip(bodies, ends, strict=True):
                request = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-LENGTH: %d\r\n\r\n%b" % (len(body), body)
                for piece in (request[:50], request[50:]):
                    client.sendall(piece)
                got = b""
                while not got.endswith(end):
                    part = client.recv(65536)
                    assert part, got
                    got += part
                head, _, rest = got.partition(b"\r\n\r\n")
                assert rest == end
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
