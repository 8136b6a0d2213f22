"""Providers that send exactly the bytes they are told to, and remember who asked.

    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [answer(503, b"{}"), [HEAD, GATE, b"garbage"]]
        ... alpha.url, alpha.asked, alpha.open_gate() ...

A reply is a list of steps: bytes to send, seconds to wait, or one of the words below. The last of the replies is
repeated; one that depends on the request is a function (`healthy` makes one). After its steps the connection is
closed, unless it ends with KEEP, or the script `keeps` connections.

`Script` and `Playing` know nothing of sockets: `Scripted` has them play on real ones, `house.House` in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from typing import Any, Self, TypeVar, cast

from tests.support.chat_bytes import DONE, FINISH, LAST_CHUNK, ROLE, chunk, chunked_head, sized, token
from tests.support.virtual import MemoryTransport

T = TypeVar("T")

UNREAD_MAX = 128 * 1024
"""At most how many bytes that it does not want a provider reads."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Word(StrEnum):
    """A step that is neither bytes nor a time."""

    GATE = "wait until the test opens the gate"
    HANG = "say nothing more until the peer leaves"
    CLOSE = "close"
    RESET = "reset"
    KEEP = "leave the connection open for another request"


GATE, HANG, CLOSE, RESET, KEEP = Word
PAUSE = 0.02
Step = bytes | float | str
"""Bytes to send, seconds to wait, or a word."""
Steps = list[Step]


def answer(status: int, body: bytes = b"", *fields: str, content_type: str = "application/json") -> Steps:
    """A whole response with its length."""
    return [sized(status, body, *fields, content_type=content_type)]


def stream(*parts: Step, end: bool = True, content_type: str = "text/event-stream") -> Steps:
    """A chunked response, a chunk for each part; without `end` the last chunk is left out."""
    chunks = [chunk(part) if isinstance(part, bytes) else part for part in parts]
    return [chunked_head(content_type), *chunks, *([LAST_CHUNK] if end else [])]


class Asked(bytes):
    """One request that arrived, head and body."""

    @property
    def head(self) -> bytes:
        """The head, with the empty line at its end."""
        return self[: self.index(b"\r\n\r\n") + 4]

    @property
    def body(self) -> bytes:
        return self[self.index(b"\r\n\r\n") + 4 :]


Reply = Sequence[Step] | Callable[[Asked], Sequence[Step]]


def completion(text: str) -> bytes:
    """A chat completion with this content."""
    choice = b'{"index":0,"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}' % text.encode()
    return b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[%b]}' % choice


def vectors(text: str) -> bytes:
    """An embeddings answer whose base64 is this text."""
    return b'{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":"%b"}]}' % text.encode()


def healthy(text: str) -> Callable[[Asked], Steps]:
    """The right answer to any kind of request, with this content."""

    def reply(asked: Asked) -> Steps:
        if b"/embeddings " in asked.head:
            return answer(200, vectors(text))
        if b'"stream":true' in asked.body:
            return stream(ROLE, token(text), FINISH, DONE)
        return answer(200, completion(text))

    return reply


class Script:
    """What a provider does, and what happened to it."""

    keeps = True
    """Whether connections stay open after a reply without KEEP."""

    def __init__(self) -> None:
        self.replies: Sequence[Reply] = []
        self.asked: list[bytes] = []
        """Each request that has arrived, head and body."""
        self.greeting = b""
        """Sent as soon as a connection is accepted, which is then closed: as on a port that speaks another protocol."""
        self.hasty = False
        """It answers as soon as it has a head, and never reads the body."""
        self.playing: set[Playing] = set()
        """Open connections."""
        self.connected = 0
        """How many connections there have been."""
        self.gate = asyncio.Event()
        self.left = threading.Event()
        """The gateway has closed a connection on which HANG was being played."""

    @property
    def connections(self) -> int:
        """Number of open connections."""
        return len(self.playing)

    @property
    def last(self) -> Asked:
        """The last request."""
        return Asked(self.asked[-1])

    def next(self) -> Sequence[Step]:
        """The reply to the last request."""
        reply = self.replies[min(len(self.asked), len(self.replies)) - 1]
        return reply(self.last) if callable(reply) else reply


class Playing(asyncio.Protocol):
    """One connection to a provider, which plays its script, one request after another."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._hanging = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._script.playing.add(self)
        self._script.connected += 1
        if self._script.greeting:
            self.transport.write(self._script.greeting)
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()
        elif len(self._buffer) > UNREAD_MAX:
            self.transport.pause_reading()

    def _next(self) -> None:
        """Play the reply to the next request, if all of it has come."""
        self._task = None
        head, found, _ = self._buffer.partition(b"\r\n\r\n")
        length = None if self._script.hasty else _LENGTH.search(head)
        size = len(head) + 4 + (int(length[1]) if length else 0)
        if not found or len(self._buffer) < size:
            return
        self._script.asked.append(self._buffer[:size])
        self._buffer = self._buffer[size:]
        self._task = asyncio.get_running_loop().create_task(self._play(self._script.next()))

    async def _play(self, reply: Sequence[Step]) -> None:
        for step in reply:
            match step:
                case bytes():
                    self.transport.write(step)
                    await self._writable.wait()
                case Word.GATE:
                    await self._script.gate.wait()
                case Word.HANG:
                    self._hanging = True
                    await asyncio.Event().wait()
                case Word.CLOSE:
                    self.transport.close()
                case Word.RESET:
                    reset(self.transport)
                case float():
                    await asyncio.sleep(step)
        if not self._script.keeps and (not reply or reply[-1] != KEEP):
            self.transport.close()
        self._next()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._script.playing.discard(self)
        if self._hanging:
            self._script.left.set()
        if self._task is not None:
            self._task.cancel()


def reset(transport: asyncio.Transport) -> None:
    """End as by a TCP reset."""
    if isinstance(transport, MemoryTransport):
        transport.reset()
        return
    found = transport.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Provider(Script):
    """One listening port. Made by `Scripted.add`."""

    keeps = False

    def __init__(self, cast: Scripted, name: str) -> None:
        super().__init__()
        self.name = name
        self._cast = cast
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._fillers: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def open_gate(self) -> None:
        """Let every reply go on that waits at GATE, now or later."""
        self._cast.loop.call_soon_threadsafe(self.gate.set)

    def hang_up(self) -> None:
        """Close every connection."""
        for playing in tuple(self.playing):
            self._cast.loop.call_soon_threadsafe(playing.transport.close)

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Playing(self), sock=self._socket)

    def swallow(self) -> None:
        """Listen with a full queue, so that no handshake ever completes."""
        self._socket.listen(0)
        self._fillers = [socket.socket() for _ in range(2)]
        for filler in self._fillers:
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))

    def close(self) -> None:
        """Stop listening, and cut every connection."""
        if self._server is not None:
            self._server.close()
        for playing in tuple(self.playing):
            playing.transport.abort()
        for filler in self._fillers:
            filler.close()
        self._socket.close()


class Scripted:
    """Any number of providers in one thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.providers: dict[str, Provider] = {}
        self._thread = threading.Thread(target=self.loop.run_forever, name="scripted", daemon=True)

    def add(self, name: str, *, listens: bool = True) -> Provider:
        """A provider on a free port. Without `listens` the port refuses until told otherwise."""
        provider = self.providers[name] = Provider(self, name)
        if listens:
            self.run(provider.listen())
        return provider

    def counts(self) -> tuple[int, ...]:
        """How often each provider has been asked."""
        return tuple(len(provider.asked) for provider in self.providers.values())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run in the providers' thread and wait."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=60)

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
        await asyncio.sleep(0)  # so that connection_lost() is called
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
