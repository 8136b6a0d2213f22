"""What is held of answers and of heads, by many at once: under 40 MB, and every answer whole and its own.

Providers that send much at once and clients that take little, all in this process; the gateway is another.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.soak.conftest import Figures, Profile
from tests.soak.test_memory import LOADED_MB
from tests.support.meter import Peak
from tests.support.user import config, gateway

KIB, MIB = 1024, 1024 * 1024
SETTINGS = "[server]\nport = 0\nmax_in_flight = 4096\n"
BUFFER = 16 * KIB
"""Of a slow client's socket, and of the provider's: so that the gateway has what both do not take."""
DONE = b"data: [DONE]\n\n"
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def plain(mark: bytes, size: int) -> bytes:
    return b'{"choices":[{"index":0,"message":{"content":"%b"},"finish_reason":"stop"}]}' % (mark * (size // len(mark)))


def events(mark: bytes, size: int, count: int) -> bytes:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (mark * (size // len(mark)))
    return event * count + FINISH + DONE


class Wish:
    """What one client asks for: a plain answer, or a stream of so many events, of so many bytes, behind a head with so
    many fields of 1 KiB."""

    def __init__(
        self,
        size: int,
        count: int = 0,
        model: str = "smart",
        rests_s: float = 0.0,
        thinks_s: float = 0.0,
        fields: int = 0,
    ) -> None:
        self.size, self.count, self.model, self.fields = size, count, model, fields
        self.thinks_s = thinks_s
        """Seconds that the provider waits before it sends the last tenth."""
        self.rests_s = rests_s
        """Seconds until the client reads, and after each 256 KiB that it has read."""

    def body(self, mark: bytes) -> bytes:
        words = b"%b %d %d %g %d" % (mark, self.size, self.count, self.thinks_s, self.fields)
        message = b'"messages":[{"role":"user","content":"<%b>"}]' % words
        stream = b"true" if self.count else b"false"
        return b'{"model":"%b","stream":%b,%b}' % (self.model.encode(), stream, message)

    @staticmethod
    def answer(body: bytes) -> tuple[bytes, bytes, float]:
        """Head and body, and how long the provider thinks."""
        mark, size, count, thinks_s, fields = body.split(b"<")[1].split(b">")[0].split(b" ")
        data = events(mark, int(size), int(count)) if int(count) else plain(mark, int(size))
        head = b"content-type: %b\r\n" % (b"text/event-stream" if int(count) else b"application/json")
        head += b"".join(b"openai-%d: %b\r\n" % (number, b"x" * 1000) for number in range(int(fields)))
        return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n" % (head, len(data)), data, float(thinks_s)


async def provide(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A provider that sends as fast as it is read."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            sent, data, thinks_s = Wish.answer(body)
            late = len(sent) + len(data) * 0.9
            sent += data
            for start in range(0, len(sent), BUFFER):
                if start <= late < start + BUFFER:
                    await asyncio.sleep(thinks_s)
                writer.write(sent[start : start + BUFFER])
                await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def provider() -> AsyncIterator[int]:
    open_ = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        await provide(reader, writer)
        open_.remove(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=4096)
    yield server.sockets[0].getsockname()[1]
    server.close()
    while open_:  # the gateway has gone
        await asyncio.sleep(0.01)


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return await asyncio.open_connection(sock=sock, limit=BUFFER)


async def ask(port: int, wish: Wish, number: int) -> str:
    """One client; `whole` if it got its own answer to the last byte."""
    mark = b"[%05d]" % number
    body = wish.body(mark)
    reader, writer = await connect(port)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % len(body) + body)
    got, rested = bytearray(), -1
    while True:
        if wish.rests_s and len(got) // (256 * KIB) > rested:
            rested = len(got) // (256 * KIB)
            await asyncio.sleep(wish.rests_s)
        data = await reader.read(BUFFER)
        if not data:
            break
        got += data
    writer.close()
    return "whole" if _body(bytes(got)) == Wish.answer(body)[1] else bytes(got[:200]).decode("latin-1")


def _body(got: bytes) -> bytes:
    head, _, body = got.partition(b"\r\n\r\n")
    if b"transfer-encoding" not in head:
        return body
    parts = []
    while body:
        at = body.find(b"\r\n")
        size = int(body[:at] or b"0", 16)
        if not size:
            break
        parts.append(body[at + 2 : at + 2 + size])
        body = body[at + 4 + size :]
    return b"".join(parts).replace(b": ping\n", b"")  # of those who wait for 10 s, on a busy machine


Load = Callable[[int], Awaitable[None]]


def under_load(directory: Path, figures: Figures, name: str, load: Load) -> None:
    """Runs `load` on a gateway before a provider, and holds it to the limit."""

    async def run() -> None:
        async with provider() as upstream:
            models = {"smart": ["a"], "held": ["a"]}
            text = config(
                {"a": f"http://127.0.0.1:{upstream}"},
                models,
                settings=SETTINGS,
                of_model={"held": 'hold_back = "full"'},
            )
            with gateway(directory, text) as running:
                start = time.monotonic()
                with Peak(running.pid) as peak:
                    await load(running.port)
                figures.take(name, peak.mb, LOADED_MB, f"in {time.monotonic() - start:.1f} s")
                assert peak.mb < LOADED_MB
                await asyncio.sleep(0.2)
                page = (await asyncio.to_thread(running.http.get, "/metrics")).text
                assert "\noxllm_held_bytes 0\n" in page
                assert "Traceback" not in running.log()

    asyncio.run(run())


def in_full(profile: Profile, only: bool = True) -> None:
    if only and profile.name != "long":
        pytest.skip("only with --profile=long")


CROWDS = {
    "1,000 answers behind heads of 60 KB": (1000, Wish(1000, thinks_s=1.0, fields=60)),
    "1,000 streams behind heads of 60 KB": (1000, Wish(100, count=9, thinks_s=1.0, fields=60)),
    "160 answers of 250 KB at once": (160, Wish(250 * KIB, thinks_s=1.0)),
    "100 streams held back whole": (100, Wish(4 * KIB, count=100, model="held", thinks_s=1.0)),
    "64 streams of events of 1 MB, slow clients": (64, Wish(1000 * KIB, count=2, rests_s=0.2)),
    "200 streams whose clients sleep": (200, Wish(300, count=2000, rests_s=0.3)),
    "4 answers of 50 MB, slow clients": (4, Wish(50 * MIB, rests_s=0.005)),
}


@pytest.mark.parametrize("name", CROWDS)
def test_answers_for_many_at_once_come_whole_under_40_mb(
    tmp_path: Path, figures: Figures, profile: Profile, name: str
) -> None:
    in_full(profile, name in ("200 streams whose clients sleep", "4 answers of 50 MB, slow clients"))
    count, wish = CROWDS[name]

    async def load(port: int) -> None:
        ended = await asyncio.wait_for(asyncio.gather(*(ask(port, wish, number) for number in range(count))), 100)
        assert set(ended) == {"whole"}

    under_load(tmp_path, figures, name, load)


def test_2000_heads_of_30_kb_that_never_end_keep_nobody_out(tmp_path: Path, figures: Figures) -> None:
    async def dribble(port: int) -> None:
        reader, writer = await connect(port)
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ")
            for _ in range(10):
                writer.write(b"x" * 3000)
                await asyncio.sleep(0.3)
            await reader.read()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def load(port: int) -> None:
        dribblers = [asyncio.create_task(dribble(port)) for _ in range(2000)]
        for number in range(8):
            await asyncio.sleep(0.3)
            assert await ask(port, Wish(1000), number) == "whole"
        for dribbler in dribblers:
            dribbler.cancel()
        await asyncio.gather(*dribblers, return_exceptions=True)

    under_load(tmp_path, figures, "2,000 heads of 30 KB", load)


def test_1000_clients_that_pipeline_without_end_stay_in_a_bound(
    tmp_path: Path, figures: Figures, profile: Profile
) -> None:
    in_full(profile)

    async def pipeline(port: int, number: int) -> None:
        body = Wish(100 * KIB, count=10).body(b"[%05d]" % number)
        _, writer = await connect(port)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await asyncio.sleep(1.0)
        writer.write(b"GET /" + b"x" * 60_000)
        await asyncio.sleep(2.0)
        writer.transport.abort()

    async def load(port: int) -> None:
        await asyncio.gather(*(pipeline(port, number) for number in range(1000)))

    under_load(tmp_path, figures, "1,000 clients that pipeline", load)
