"""Valid HTTP, damaged: seeded mutation of whole messages, and clients and a provider that send them.

    statuses = asyncio.run(Campaign(port, seed=1).run(2_000))
    provider.replies = [Liar(seed=1)]; kinds = asyncio.run(Believers(port, seed=1).run(500))

`mutate` works on heads and bodies alike. The strict reader checks every answer, so a gateway that answers an odd
request oddly fails too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import Counter
from random import Random

from tests.support.abuse import RESET, answers
from tests.support.chat_bytes import DONE, FINISH, ROLE, token
from tests.support.scripted import KEEP, Asked, Steps, Word, answer, completion, stream

TOKENS = (
    *(b"\r\n", b"\n", b"\r", b"\0", b":", b" ", b"\t", b"\r\n\r\n", b"\xff", b"\x80", b"9" * 30, b"-1", b"0x1f"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    *(b"5\r\nhello\r\n", b"Host: b\r\n", b"Connection: close\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n"),
    *(b"HTTP/1.0", b"HTTP/1.2", b"X: " + b"y" * 40_000, b"A: b\r\n" * 120, b"{" * 600, b'"', b"}", b"NaN", b"+5"),
    *(b'"\\ud800"', b"1e999", b"null", b",", b'"stream":true,', b'"n":1000,', b'"model":"', b"data: ", b"[DONE]"),
    *(b"\n\n", b'{"error":{}}', b"finish_reason", b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Encoding: gzip\r\n"),
)  # fmt: skip
"""Pieces that do more damage than a random byte."""

BODY = b'{"model":"fine","messages":[{"role":"user","content":"hello"}]}'
STREAM = BODY.replace(b'"messages"', b'"stream":true,"messages"')
EMBED = b'{"model":"fine","input":"hello"}'


def _post(path: bytes, body: bytes, *fields: bytes) -> bytes:
    """A request with a body of declared length."""
    lines = [b"POST %b HTTP/1.1" % path, b"Host: localhost", b"Content-Type: application/json", *fields]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def _chunked(path: bytes, body: bytes) -> bytes:
    """The same in chunks of 30 bytes."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 30]), body[at : at + 30]) for at in range(0, len(body), 30))
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (path, chunks)


CHAT = b"/v1/chat/completions"
REQUESTS = (
    _post(CHAT, BODY),
    _post(CHAT, STREAM, b"Authorization: Bearer sk-client", b"x-stainless-timeout: 600"),
    _post(CHAT, BODY, b"Expect: 100-continue"),
    _post(CHAT, STREAM, b"Connection: upgrade", b"Upgrade: h2c"),
    _post(b"/embeddings", EMBED),
    _chunked(CHAT, BODY),
    _chunked(CHAT, STREAM),
    _post(CHAT, BODY) + _chunked(CHAT, BODY) + b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /v1/models/fine?all=1 HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n\r\n",
    b"OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    b"GET /status?format=json HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    b"GET http://localhost/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST /admin/providers/fine/reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
)


def mutate(data: bytes, rng: Random) -> bytes:
    """`data` with one to four things wrong with it."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 4, 20, 100)))
        match rng.randrange(7):
            case 0:
                data = data[:at] + bytes((rng.randrange(256),)) + data[at + 1 :]
            case 1:
                data = data[:at] + data[end:]
            case 2:
                data = data[:end] + data[at:]
            case 3:
                data = data[:at] + data[at:end].swapcase() + data[end:]
            case 4:
                data = data[:at]
            case _:
                data = data[:at] + rng.choice(TOKENS) + data[at:]
    return data


def request(rng: Random) -> bytes:
    """A request with damage somewhere, or a valid one with a damaged body."""
    if rng.random() < 0.7:
        return mutate(rng.choice(REQUESTS), rng)
    path, body = rng.choice(((CHAT, BODY), (CHAT, STREAM), (b"/embeddings", EMBED)))
    return rng.choice((_post, _chunked))(path, mutate(body, rng))


class Crowd:
    """Several clients at once, at a gateway on a loopback port."""

    def __init__(self, port: int, seed: int, clients: int = 24) -> None:
        self._port = port
        self._rng = Random(seed)
        self._clients = clients
        self._left = 0
        self.ends: Counter[str] = Counter()

    async def run(self, count: int) -> Counter[str]:
        """Send `count` requests; returns the count of each end: a status, `whole`, or `broken` (and it says so)."""
        self._left = count
        await asyncio.gather(*(self._client() for _ in range(self._clients)))
        return self.ends

    async def _client(self) -> None:
        while self._left > 0:
            self._left -= 1
            await self._one()

    async def _one(self) -> None:
        raise NotImplementedError


class Campaign(Crowd):
    """Clients whose every request is mutated."""

    async def _one(self) -> None:
        data = request(self._rng)
        async with asyncio.timeout(60):
            output = await self._exchange(data, self._rng.choice(("half", "half", "wait", "reset")))
        try:
            found, _ = answers(output)
        except AssertionError as error:
            raise AssertionError(f"{data!r} was answered {output!r}") from error
        self.ends.update(str(one.status) for one in found)
        for one in found:
            assert one.status < 400 or one.code is None or one.code, data

    async def _exchange(self, data: bytes, how: str) -> bytes:
        """Send in up to three pieces, and read what comes: to the end, or for a moment."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        output = b""
        cuts = sorted(self._rng.randrange(len(data) + 1) for _ in range(self._rng.randrange(3)))
        with contextlib.suppress(ConnectionError):
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                writer.write(data[start:end])
                await writer.drain()
            if how == "reset":
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.02):
                        output = await reader.read(-1) if how == "wait" else await reader.read(2**20)
                if how == "half":
                    writer.write_eof()
                    output += await reader.read(-1)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return output


RESPONSES = {
    mode: tuple(b"".join(part for part in reply if isinstance(part, bytes)) for reply in replies)
    for mode, replies in {
        "plain": (
            answer(200, completion("a lie"), "x-request-id: r", "openai-version: 1", "x-ratelimit-limit-tokens: 5"),
            [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", completion("a lie")],
            stream(completion("a lie")[:40], completion("a lie")[40:], content_type="application/json"),
            [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", *answer(200, completion("a lie"))],
            answer(429, b'{"error":{"message":"slow","type":"x","code":"rate_limit_exceeded"}}', "retry-after: 1"),
            answer(400, b'{"error":{"message":"you","type":"invalid_request_error","param":"messages","code":null}}'),
            answer(503, b"<html>busy</html>", content_type="text/html"),
        ),
        "stream": (
            stream(ROLE, token("a"), token("lie"), FINISH, DONE),
            stream(ROLE + token("a") + token("lie") + FINISH + DONE),
            [b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", ROLE, token("a"), FINISH, DONE],
            stream(b": ping\n\n", b"event: x\nid: 1\n" + token("a"), b'data: {"error":{"message":"no"}}\n\n'),
            answer(500, b'{"error":{"message":"sorry","type":"server_error","code":null}}'),
        ),
    }.items()
}
"""Good and bad responses of a provider, before they are damaged."""


MODELS = {"fine": ["fine"], "doubtful": ["liar", "fine"]}
SETTINGS = "[breaker]\nfailures = 1000\n"
HURRIED = "timeouts = { first_byte = 0.3, answer = 0.3, idle = 0.3 }"
"""For a provider that leaves clients hanging, so that no test waits for a minute; an honest one has the usual time."""


class Liar:
    """A provider's replies: a new damaged response each time."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)

    def __call__(self, asked: Asked) -> Steps:
        mode = "stream" if b'"stream":true' in asked.body else "plain"
        data = mutate(self._rng.choice(RESPONSES[mode]), self._rng)
        at = self._rng.randrange(len(data) + 1)
        end: tuple[()] | tuple[Word] = self._rng.choice(((), (), (), (KEEP,), (Word.RESET,)))
        return [data[:at], data[at:], *end] if data else [Word.RESET]


class Believers(Crowd):
    """Clients that ask for the model `doubtful`: a provider `liar` of that kind, and then an honest one.

    The marks that lies leave on the provider are reset now and then, so that it is asked again.
    """

    async def _one(self) -> None:
        if self._left % 20 == 0:
            await self._ask(b"/admin/providers/liar/reset", b"")
        streams = self._rng.random() < 0.5
        async with asyncio.timeout(60):
            output = await self._ask(CHAT, (STREAM if streams else BODY).replace(b"fine", b"doubtful"))
        self.ends[self._kind(output, streams)] += 1

    async def _ask(self, path: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(_post(path, body, b"Connection: close"))
        output = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        return output

    @staticmethod
    def _kind(output: bytes, streams: bool) -> str:
        try:
            found, rest = answers(output)
            assert len(found) + bool(rest) == 1
        except AssertionError as error:
            raise AssertionError(output) from error
        if rest:
            assert streams, output
            assert b'"code":"stream_interrupted"' in rest, output
            assert b"data: [DONE]" not in rest, output
            return "broken"
        if found[0].status != 200:
            assert found[0].status < 500, output
            return str(found[0].status)
        if streams:
            assert found[0].body.endswith(b"data: [DONE]\n\n"), output
        else:
            assert isinstance(json.loads(found[0].body)["choices"], list), output
        return "whole"
