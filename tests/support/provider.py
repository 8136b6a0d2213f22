"""A fake provider that costs almost nothing: `python -m tests.support.provider --port P`.

A bare asyncio Protocol, so that one core can play a thousand streams while it also drives the load. It is not a
simulator (`oxllm.sim` is): it speaks just enough HTTP/1.1 for the gateways under test, which all send Content-Length,
and fails only where the path says so: under `/limited` every answer is a 429, under `/cut` a stream ends by EOF after
its content, under `/close` each answer ends its connection. `POST /hang-up` closes all other connections. Every event
is due at an absolute time, so a late one does not delay the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import Running, accepts, free_port, module, raise_open_files
from tests.support.wire import (
    CHAT,
    EMBEDDING,
    HEAD_END,
    numbered,
    plain_answer,
    told,
    wanted_answer,
    wanted_echo,
    wanted_size,
    wanted_stream,
)

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream" *: *true')
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"X-Accel-Buffering: no\r\nx-request-id: req_1\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_JSON_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nx-request-id: req_1\r\nContent-Length: %d\r\n\r\n"
_LIMITED = b"429 Too Many Requests\r\nretry-after-ms: 1"
"""So short that the provider itself refuses the next request, not a cooldown."""
_numbers = itertools.count(1)
_ERROR = b'{"error":{"message":"no","type":"x","param":null,"code":null}}'


class Provider(asyncio.Protocol):
    """One connection. Requests are answered in order; the next is read only after the last answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, others: set[Provider]) -> None:
        self._loop = loop
        self._others = others
        self._buffer = bytearray()
        self._cut = False
        self._busy = False
        self._told = CHAT
        self._large = self._size = self._number = 0
        """Of the current stream: the API's events, bytes of each, bytes in the last one, the stream's number."""
        self._due: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._others.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._others.discard(self)
        if self._due is not None:
            self._due.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def _next(self) -> None:
        while not self._busy and (end := self._buffer.find(HEAD_END)) >= 0:
            start = end + len(HEAD_END)
            length = _LENGTH.search(self._buffer, 0, end)
            stop = start + (int(length[1]) if length else 0)
            if len(self._buffer) < stop:
                return
            head, body = bytes(self._buffer[:end]), bytes(self._buffer[start:stop])
            del self._buffer[:stop]
            self._serve(head, body)

    def _serve(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        if path.endswith(b"/embeddings"):
            self._answer(b"200 OK", EMBEDDING)
        elif path == b"/hang-up":
            self._hang_up()
        elif not path.endswith((b"/chat/completions", b"/responses", b"/messages")):
            self._answer(b"404 Not Found", _ERROR)
        elif path.startswith(b"/limited"):
            self._answer(_LIMITED, _ERROR)
        elif _STREAM.search(body):
            self._busy = True
            self._cut = path.startswith(b"/cut")
            self._number = next(_numbers)
            self._told, self._large, self._size = told(path), wanted_size(body), wanted_answer(body)
            self._transport.write(_STREAM_HEAD + _chunk(numbered(self._told.first(wanted_echo(body)), self._number)))
            events, every_s, after_s = wanted_stream(body)
            self._play(0, events, every_s, self._loop.time() + after_s)
        else:
            self._answer(b"200 OK", plain_answer(wanted_answer(body)))
        if path.startswith(b"/close"):
            self._transport.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _hang_up(self) -> None:
        for other in self._others - {self}:
            other.close()
        self._answer(b"200 OK", b"{}")

    def _answer(self, status: bytes, body: bytes) -> None:
        self._transport.write(_JSON_HEAD % (status, len(body)) + body)

    def _play(self, index: int, events: int, every_s: float, due: float) -> None:
        if index:
            self._transport.write(_chunk(self._told.content(index - 1, self._large)))
        if index < events:
            self._due = self._loop.call_at(due, self._play, index + 1, events, every_s, due + every_s)
            return
        if self._cut:
            self._transport.close()
            return
        self._transport.write(_chunk(numbered(self._told.last(self._size), self._number)) + b"0\r\n\r\n")
        self._busy = False
        self._due = None
        self._next()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _main(port: int, context: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    connections: set[Provider] = set()
    await loop.create_server(lambda: Provider(loop, connections), "127.0.0.1", port, backlog=4096, ssl=context)
    await stopped.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.provider")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", help="PEM file of key and certificates: speak TLS")
    return parser.parse_args()


@contextlib.contextmanager
def running(directory: Path, *, tls: bool = False, cpus: set[int] | None = None) -> Iterator[int]:
    """A provider process on a loopback port, which is yielded. With `tls` its CA is `directory/ca.pem`."""
    port = free_port()
    command = module("tests.support.provider", "--port", str(port))
    if tls:
        command += ["--certificate", str(make_certificates(directory))]
    with Running(command, output=directory / f"provider-{port}.log", cpus=cpus) as process:
        process.wait_until(lambda: accepts(port))
        yield port


def hang_up(port: int, *, tls: bool = False) -> None:
    """Has the provider close all its connections, as providers do with idle ones."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain, contextlib.ExitStack() as stack:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = stack.enter_context(context.wrap_socket(plain)) if tls else plain
        connection.sendall(b"POST /hang-up HTTP/1.1\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 200")


def make_certificates(directory: Path) -> Path:
    """Writes `ca.pem` and the provider's own certificate for `localhost` and 127.0.0.1, whose path is returned."""
    import trustme

    ca = trustme.CA()
    ca.cert_pem.write_to_path(directory / "ca.pem")
    own = directory / "provider.pem"
    ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(own)
    return own


def main() -> None:
    arguments = _arguments()
    raise_open_files()
    context = None
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate)
    asyncio.run(_main(arguments.port, context))


if __name__ == "__main__":
    main()
