"""For tests that abuse a running gateway: raw sockets, strict checks of what comes back, and of what is left."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
from typing import NamedTuple

import psutil

from tests.support.strict_reader import ResponseReader
from tests.support.user import Gateway, eventually

MB = 2**20
RSS_MB_MAX = 40.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RESET = struct.pack("ii", 1, 0)


class Answer(NamedTuple):
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """The code of its error object; AssertionError if it has none."""
        error = json.loads(self.body)["error"]
        assert set(error) >= {"message", "type", "param", "code"}
        return str(error["code"]) if error["code"] is not None else None


def answers(data: bytes) -> tuple[list[Answer], bytes]:
    """All complete responses in `data`, parsed strictly, and the bytes of an incomplete one. Else AssertionError."""
    found: list[Answer] = []
    while data:
        if data.startswith(CONTINUE):
            data = data[len(CONTINUE) :]
            continue
        head = data.partition(b"\r\n\r\n")[0]
        if b"\r\nconnection: close" in head and not re.search(rb"\r\n(content-length|transfer-encoding):", head):
            return found, data  # to an HTTP/1.0 client: lasts until the close
        reader = ResponseReader(alone=False)
        reader.feed(data)
        if not reader.complete:
            return found, data
        found.append(Answer(reader.status, reader.headers, reader.body))
        data = reader.rest
    return found, b""


class Caller:
    """A client connection that sends any bytes."""

    def __init__(self, port: int, timeout: float = 60.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes, piece: int | None = None) -> Caller:
        """Send all of it, `piece` bytes per segment."""
        for at in range(0, len(data), piece or len(data)):
            self.sock.sendall(data[at : at + (piece or len(data))])
        return self

    def everything(self) -> bytes:
        """Read until the gateway closes its side; then close ours too."""
        data = b""
        with self.sock:
            while part := self.sock.recv(65536):
                data += part
        return data

    def until(self, mark: bytes) -> bytes:
        """Read until these bytes have come."""
        data = b""
        while mark not in data:
            part = self.sock.recv(65536)
            assert part, data
            data += part
        return data

    def leave(self, how: str) -> None:
        """`close`, `half` (shut our side and wait for theirs) or `reset`."""
        if how == "half":
            self.sock.shutdown(socket.SHUT_WR)
            self.everything()
        elif how == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()


class Rest:
    """What a gateway has open at rest."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._process = psutil.Process(gateway.pid)
        gateway.http.get("/health", headers={"connection": "close"})
        time.sleep(0.1)
        self.fds = self._process.num_fds()

    def restored(self) -> None:
        """It is alive and back at rest: descriptors, requests, memory, and no trace of a bug in its log."""
        assert self._gateway.process.alive, self._gateway.log()[-2000:]
        assert eventually(lambda: self._process.num_fds() == self.fds), (self._process.num_fds(), self.fds)
        page = self._gateway.http.get("/metrics", headers={"connection": "close"}).text
        running = re.findall(r"^oxllm_requests_in_flight\S* (\S+)", page, re.MULTILINE)
        assert running
        assert set(map(float, running)) == {0.0}
        assert self._process.memory_info().rss / MB < RSS_MB_MAX
        assert "Traceback" not in self._gateway.log()
