"""Providers that send exactly the bytes they are told to, over real sockets, and remember who asked.

    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [answer(503, b"{}"), [HEAD, GATE, b"garbage"]]
        ... alpha.url, alpha.asked, alpha.open_gate() ...

A reply is a list of steps: bytes to send, or one of the words below. After its steps the connection is closed,
unless KEEP stands at its end. The last reply of the list is given again and again. `healthy` makes a reply that
looks at the request.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, Self, TypeVar

from tests.support.chat_bytes import DONE, FINISH, LAST_CHUNK, ROLE, chunk, chunked_head, sized, token

T = TypeVar("T")

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Word(Enum):
    """A step that is no bytes."""

    GATE = "wait until the test opens the gate"
    HANG = "say nothing more until the peer leaves"
    PAUSE = "say nothing for 20 ms"
    RESET = "end with a TCP reset"
    KEEP = "leave the connection open for another request"


GATE, HANG, PAUSE, RESET, KEEP = Word.GATE, Word.HANG, Word.PAUSE, Word.RESET, Word.KEEP
Steps = list[bytes | Word]


def answer(status: int, body: bytes = b"", *fields: str, content_type: str = "application/json") -> Steps:
    """A whole response with its length; the connection is closed behind it."""
    return [sized(status, body, *fields, content_type=content_type)]


def stream(*parts: bytes | Word, end: bool = True, content_type: str = "text/event-stream") -> Steps:
    """A chunked response, a chunk for each part; without `end` the last chunk is left out."""
    chunks = [chunk(part) if isinstance(part, bytes) else part for part in parts]
    return [chunked_head(content_type), *chunks, *([LAST_CHUNK] if end else [])]


class Asked:
    """One request that arrived."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body


Reply = Sequence[bytes | Word] | Callable[[Asked], Sequence[bytes | Word]]


def completion(text: str) -> bytes:
    """A chat completion with this content."""
    choice = b'{"index":0,"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}' % text.encode()
    return b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[%b]}' % choice


def vectors(text: str) -> bytes:
    """An embeddings answer whose base64 is this text."""
    return b'{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":"%b"}]}' % text.encode()


def healthy(text: str) -> Callable[[Asked], Steps]:
    """The right answer to whatever is asked, with this content."""

    def reply(asked: Asked) -> Steps:
        if b"/embeddings " in asked.head:
            return answer(200, vectors(text))
        if b'"stream":true' in asked.body:
            return stream(ROLE, token(text), FINISH, DONE)
        return answer(200, completion(text))

    return reply


class Provider:
    """One listening port. Made by `Scripted.add`."""

    def __init__(self, cast: Scripted, name: str) -> None:
        self.name = name
        self.replies: list[Reply] = []
        self.asked: list[Asked] = []
        self.greeting = b""
        """Sent as soon as a connection is accepted, which is then closed: a port that speaks something else."""
        self.hasty = False
        """It answers as soon as it has a head, and never reads the body."""
        self.connections = 0
        self.left = threading.Event()
        """The gateway has closed a connection on which HANG was being played."""
        self.left_at = 0.0
        self._cast = cast
        self._writers: set[asyncio.StreamWriter] = set()
        self._gate = asyncio.Event()
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def open_gate(self) -> None:
        """Let every reply that waits at GATE, now or later, go on."""
        self._cast.loop.call_soon_threadsafe(self._gate.set)

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in tuple(self._writers):
            self._cast.loop.call_soon_threadsafe(writer.close)

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self._serve, sock=self._socket)

    def swallow(self) -> None:
        """Listen with a full queue, so that no handshake is ever completed."""
        self._socket.listen(0)
        self._fillers = [socket.socket() for _ in range(2)]
        for filler in self._fillers:
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for filler in getattr(self, "_fillers", ()):
            filler.close()
        self._socket.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._cast.tasks.add(task)
        self._writers.add(writer)
        try:
            if self.greeting:
                writer.write(self.greeting)
                return
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._cast.tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = None if self.hasty else _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        self.asked.append(Asked(head, body))
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        return await self._play(reply(self.asked[-1]) if callable(reply) else reply, reader, writer)

    async def _play(
        self, reply: Sequence[bytes | Word], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        for step in reply:
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case Word.GATE:
                    await self._gate.wait()
                case Word.HANG:
                    await self._until_left(reader)
                case Word.PAUSE:
                    await asyncio.sleep(0.02)
                case Word.RESET:
                    writer.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    writer.transport.abort()
        return bool(reply) and reply[-1] is KEEP

    async def _until_left(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self.left_at = time.monotonic()
        self.left.set()


class Scripted:
    """Any number of providers in one thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.tasks: set[asyncio.Task[Any]] = set()
        self.providers: dict[str, Provider] = {}
        self._thread = threading.Thread(target=self.loop.run_forever, name="scripted", daemon=True)

    def add(self, name: str, *, listens: bool = True) -> Provider:
        """A provider on a free port. Without `listens` the port refuses until told otherwise."""
        provider = self.providers[name] = Provider(self, name)
        if listens:
            self.run(provider.listen())
        return provider

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run in the providers' thread and wait."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=10)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _close(self) -> None:
        for provider in self.providers.values():
            provider.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
