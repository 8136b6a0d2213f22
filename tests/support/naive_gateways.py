"""Gateways as written in an afternoon, in place of the real one in a world. Each has one bad habit:

stubborn   knows the first provider only, asks it three times at once, and ends each stream properly however it ended
cutter     fails over well, and cuts off its client when a stream breaks
ostrich    says that its breakers are open, and asks anyway
sluggish   waits for a while before it asks the next provider
grudge     never goes back to a provider that has failed once
hoarder    sends nothing until it has the whole answer
"""

from __future__ import annotations

import asyncio
import re
from enum import Enum

from oxllm.gateway.upstream.resolver import Address
from tests.support.in_memory import Setup, World

THINKS_S = 1.5
TAIL = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
REFUSAL = b'{"error":{"message":"bad gateway","code":null}}'
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: %d\r\n\r\n%b" % (len(REFUSAL), REFUSAL)
Habit = Enum("Habit", ["STUBBORN", "CUTTER", "OSTRICH", "SLUGGISH", "GRUDGE", "HOARDER"])


class NaiveWorld(World):
    """A world whose clients meet a naive gateway."""

    def __init__(self, setup: Setup, habit: Habit) -> None:
        super().__init__(setup)
        self.habit = habit
        self._ports = [provider.port for provider in self.plan.providers]
        self._grudges: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def front(self) -> asyncio.BaseProtocol:
        reader = asyncio.StreamReader(loop=self.loop)
        return asyncio.StreamReaderProtocol(reader, self._connected, loop=self.loop)

    def breakers(self) -> dict[str, tuple[str, float]]:
        state = "open" if self.habit is Habit.OSTRICH else "closed"
        return dict.fromkeys(self.providers, (state, 60.0))

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self.loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        request = head[:-2] + b"connection: close\r\n\r\n" + await reader.readexactly(length(head))
        for port in self._ports[:1] * 3 if self.habit is Habit.STUBBORN else self._ports:
            if port in self._grudges:
                continue
            if await self._try(port, request, writer):
                break
            if self.habit is Habit.GRUDGE:
                self._grudges.add(port)
            if self.habit is Habit.SLUGGISH:
                await asyncio.sleep(THINKS_S)
        else:
            writer.write(BAD_GATEWAY)
        writer.close()

    async def _try(self, port: int, request: bytes, client: asyncio.StreamWriter) -> bool:
        """Ask one provider; False if it refuses."""
        reader = asyncio.StreamReader(loop=self.loop)
        try:
            transport = await self.reach(
                Address(2, "127.0.0.1"), port, asyncio.StreamReaderProtocol(reader, loop=self.loop)
            )
            transport.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, EOFError):
            return False
        if b" 200 " in head:
            await self._pass_on(head, reader, client)
        transport.close()
        return b" 200 " in head

    async def _pass_on(self, head: bytes, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        chunked, answer = b"chunked" in head, head
        if self.habit is not Habit.HOARDER:
            client.write(head)
        try:
            while data := await reader.read(65536):
                answer += data
                if self.habit is not Habit.HOARDER:
                    client.write(data)
        except OSError:
            pass
        if self.habit is Habit.HOARDER:
            client.write(answer)
        if self.habit is Habit.STUBBORN and chunked and not answer.endswith(b"\r\n0\r\n\r\n"):
            client.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(TAIL), TAIL))


def length(head: bytes) -> int:
    found = re.search(rb"content-length: (\d+)", head)
    assert found is not None, "clients of a rehearsal say it"
    return int(found[1])
