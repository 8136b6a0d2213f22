"""A provider on a real socket that sends one recorded stream, and breaks it where and how the prompt says.

`break at 17 by rst` anywhere in a request's body: 17 bytes of the stream, then a reset. So one gateway can be shown
each place to break at, in any API. The ways to break:

    fin      the connection is closed
    rst      it is reset
    clean    the chunks end properly
    stall    nothing more comes
    garbage  an event comes that is none, and then the proper end
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Protocol

WAYS = ("fin", "rst", "clean", "stall", "garbage")
_WANTED = re.compile(rb"break at (\d+) by (\w+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": *true')
_PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = b"0\r\n\r\n"


def prompt(at: int, way: str) -> str:
    """What to say to have the stream broken there."""
    return f"break at {at} by {way}"


class Breaking:
    """`steady` does not care what the prompt says. `plain` is the answer to a request that wants no stream."""

    def __init__(self, stream: bytes, *, steady: bool = False, plain: bytes | None = None) -> None:
        self._stream = stream
        self._plain = plain
        self._steady = steady
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request. Whether the connection may be used again."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        self.asked += 1
        if self._plain is not None and _STREAM.search(body) is None:
            writer.write(_PLAIN % len(self._plain) + self._plain)
            await writer.drain()
            return True
        wanted = None if self._steady else _WANTED.search(body)
        at, way = (int(wanted[1]), wanted[2].decode()) if wanted else (len(self._stream), "clean")
        writer.write(_HEAD + (_chunk(self._stream[:at]) if at else b""))
        if way in ("clean", "garbage"):
            writer.write((_chunk(b"data: {garbage\n\n") if way == "garbage" else b"") + _END)
            await writer.drain()
            return True
        await writer.drain()
        if way == "stall":
            await reader.read()
        elif way == "rst":
            await asyncio.sleep(0.02)  # so that what was sent arrives first
            found = writer.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return False


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Served(Protocol):
    """What answers on a socket."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""


@contextlib.contextmanager
def serving(provider: Served) -> Iterator[str]:
    """Its base URL, while it listens."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(provider.serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _stop() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
