"""Requests in rounds: many of one kind, then silence, so that a process's memory can be measured at rest.

Two ends in one file, as in `load`, which measures under load:

    with rounds.running(directory) as driver:
        driver.run(Ask(port=port, requests=(text,), answer="200 whole .*"), 500)     # returns when all are answered

The other end is `python -m tests.support.rounds`: a line of JSON on stdin is a round, a line on stdout its result.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import msgspec

from tests.support.load import Response
from tests.support.processes import module, raise_open_files


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of request, to be sent again and again."""

    port: int
    requests: tuple[str, ...]
    """Whole requests, head and body, taken in turn."""
    answer: str
    """A regular expression for the entire answer, written as `STATUS whole|cut BODY`. A cut one ends by EOF."""
    fresh: bool = False
    """A new connection for each request; otherwise connections are reused if the gateway allows it."""
    leave: bool = False
    """Hang up as soon as `answer` matches what has come, instead of waiting for the end."""
    connections: int = 16


NOTHING = Ask(port=0, requests=(), answer="")


class WrongAnswerError(AssertionError):
    """Not all answers were right. The message shows one of each kind of wrong answer."""


class Round(msgspec.Struct, frozen=True):
    """A round for the driver to run."""

    ask: Ask
    count: int


class Came(msgspec.Struct, frozen=True):
    """The result of a round."""

    done: int
    failed: dict[str, int]


class Player:
    """The driver's end: one round at a time. Connections are kept for the next round of the same kind."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ask: Ask | None = None
        self._idle: list[Client] = []
        self._left = self._busy = 0
        self._done = 0
        self._failed: Counter[str] = Counter()
        self._over: asyncio.Future[None] = loop.create_future()

    async def play(self, order: Round) -> Came:
        if order.ask != self._ask:
            self._change(order.ask)
        self._left, self._done, self._over = order.count, 0, self.loop.create_future()
        self._failed.clear()
        if not order.count:
            return Came(0, {})
        for _ in range(min(order.ask.connections, order.count)):
            self._busy += 1
            self.next(self._idle.pop() if self._idle else None)
        await self._over
        return Came(self._done, dict(self._failed))

    def _change(self, ask: Ask) -> None:
        for client in tuple(self._idle):
            client.close()
        self._idle.clear()
        self._ask = ask
        self.fresh, self.leave = ask.fresh, ask.leave
        self.requests = cycle([request.encode() for request in ask.requests])
        self.answer = re.compile(ask.answer.encode(), re.DOTALL)

    def next(self, client: Client | None) -> None:
        """Send the next request, as one of the parallel clients; on the connection of `client`, if given."""
        if self._left == 0:
            self._rest(client)
            return
        self._left -= 1
        if client is not None:
            client.ask(next(self.requests))
        else:
            self.loop.create_task(self._connect())

    def _rest(self, client: Client | None) -> None:
        if client is not None:
            self._idle.append(client)
        self._busy -= 1
        if self._busy == 0:
            self._over.set_result(None)

    async def _connect(self) -> None:
        assert self._ask is not None
        try:
            _, client = await self.loop.create_connection(lambda: Client(self), "127.0.0.1", self._ask.port)
        except OSError as error:
            self._failed[f"connect: {error.strerror}"] += 1
            self.next(None)
        else:
            client.ask(next(self.requests))

    def answered(self, client: Client | None, response: Response, end: str) -> None:
        """An answer has ended; `client`, if there is one, can be used again."""
        said = b"%d %b " % (response.status, end.encode()) + response.body
        if self.answer.fullmatch(said):
            self._done += 1
        else:
            self._failed[said[:200].decode(errors="replace")] += 1
        self.next(client)

    def forget(self, client: Client) -> None:
        """The gateway has closed an idle connection."""
        if client in self._idle:
            self._idle.remove(client)


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._response: Response | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes) -> None:
        self._response = Response()
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            return
        response.feed(data)
        if response.complete:
            again = not self._player.fresh and response.header(b"connection") != b"close"
            self._end("whole", self if again else None)
        elif self._player.leave and self._player.answer.fullmatch(b"%d cut " % response.status + response.body):
            self._end("cut", None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._response is not None:
            self._end("cut" if exc is None else "reset", None)
        else:
            self._player.forget(self)

    def _end(self, how: str, client: Client | None) -> None:
        assert self._response is not None
        response, self._response = self._response, None
        if client is None:
            self._transport.abort()
        self._player.answered(client, response, how)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    player = Player(loop)
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        came = await player.play(msgspec.json.decode(line, type=Round))
        sys.stdout.write(msgspec.json.encode(came).decode() + "\n")
        sys.stdout.flush()


class Driver:
    """The parent's end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def run(self, ask: Ask, count: int) -> None:
        """Ask `count` times. Raises WrongAnswerError if an answer was wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(Round(ask, count)) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the driver died: exit status {self._process.wait(60)}"
        came = msgspec.json.decode(line, type=Came)
        if came.done != count:
            raise WrongAnswerError(f"{came.done} of {count} were right; wrong: {came.failed}")

    def rest(self) -> None:
        """Close all connections."""
        self.run(NOTHING, 0)


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Driver]:
    """A driver process, killed at the end of the block."""
    with (directory / "rounds.log").open("ab") as errors:
        process = subprocess.Popen(
            module("tests.support.rounds"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield Driver(process)
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    raise_open_files()
    asyncio.run(_main())
