"""Requests that each have a mark of their own, to a provider that keeps connections alive and misuses them.

    with Scripted() as cast:
        flaky = Flaky(cast, 1, UNASKED, excused)
        ... a gateway with the provider `flaky.url` ...
        tally = asyncio.run(Crowd(gateway.port, seed=1, excused=excused).run(2_000))

An answer repeats the mark of its request, so an answer to the wrong request is noticed. No HTTP/1.1 client can detect
one case: unsolicited bytes, sent while the next request on that connection was already on its way. The provider knows
when that happened (it has sent such bytes before it got the request) and excuses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.support.abuse import RESET, Answer, Rest, answers
from tests.support.chat_bytes import DONE, FINISH, ROLE, token
from tests.support.provider import make_certificates
from tests.support.scripted import Scripted, Steps, answer, completion, stream
from tests.support.user import config, gateway

_MARK = re.compile(rb"mark(\d+)end")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def marks(data: bytes) -> set[bytes]:
    """The marks in `data`; in a stream they come in pieces, which `token` wraps in JSON."""
    text = b"".join(re.findall(rb'"content":"([^"]*)"', data))
    return set(_MARK.findall(data)) | set(_MARK.findall(text))


def _joined(steps: Steps) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


def _right(mark: bytes, streams: bool) -> bytes:
    name = f"mark{mark.decode()}end"
    if streams:
        return _joined(stream(ROLE, token(name[:3]), token(name[3:7]), token(name[7:]), FINISH, DONE))
    return _joined(answer(200, completion(name)))


class Misused(asyncio.Protocol):
    """One connection to the flaky provider."""

    def __init__(self, flaky: Flaky) -> None:
        self._flaky = flaky
        self._buffer = b""
        self._unasked = False
        self._busy = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._flaky.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._flaky.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        found = _LENGTH.search(head)
        if end and found and len(body) >= int(found[1]):
            if self._unasked:
                self._flaky.excused.update(_MARK.findall(body))
            elif len(body) > int(found[1]):
                self._flaky.pipelined += 1
            self._buffer = b""
            self._serve(body[: int(found[1])])

    def _serve(self, body: bytes) -> None:
        (mark,) = _MARK.findall(body)
        flaky = self._flaky
        self._busy += 1
        flaky.asked += 1
        how = flaky.rng.choices(list(flaky.how), list(flaky.how.values()))[0]
        flaky.ways[how.__name__] += 1
        how(self, _right(mark, b'"stream":true' in body), flaky.rng)

    def later(self, seconds: float, call: Callable[..., object], *args: object) -> None:
        self._flaky.loop.call_later(seconds, call, *args)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    # Ways to answer.

    def right(self, whole: bytes, rng: Random) -> None:
        self.write(whole)

    def late(self, whole: bytes, rng: Random) -> None:
        self.later(rng.uniform(0.001, 0.04), self.write, whole)

    def in_pieces(self, whole: bytes, rng: Random) -> None:
        cuts = sorted(rng.randrange(len(whole)) for _ in range(5))
        for number, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(whole)], strict=True)):
            self.later(number * 0.002, self.write, whole[start:end])

    def with_news_first(self, whole: bytes, rng: Random) -> None:
        self.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + whole)

    def twice(self, whole: bytes, rng: Random) -> None:
        self._unasked = True
        self.write(whole + whole)

    def with_extra_bytes(self, whole: bytes, rng: Random) -> None:
        self._unasked = True
        self.write(whole + rng.choice((b"\r\n", b"\0", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n")))

    def twice_after_a_moment(self, whole: bytes, rng: Random) -> None:
        self.write(whole)
        self.later(rng.uniform(0.0, 0.004), self._again, whole, self._busy)

    def _again(self, whole: bytes, busy: int) -> None:
        if self._busy == busy and not self._buffer:
            self._unasked = True
            self.write(whole)

    def cut(self, whole: bytes, rng: Random) -> None:
        self.write(whole[: rng.randrange(1, len(whole))])
        self._transport.close()

    def cut_by_reset(self, whole: bytes, rng: Random) -> None:
        self.write(whole[: rng.randrange(len(whole))])
        self.reset()

    def reset(self) -> None:
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._transport.abort()

    def no_answer(self, whole: bytes, rng: Random) -> None:
        rng.choice((self._transport.close, self.reset))()

    def closed_behind(self, whole: bytes, rng: Random) -> None:
        self.write(whole)
        self._transport.close()

    def closed_when_idle(self, whole: bytes, rng: Random) -> None:
        self.write(whole)
        self.later(rng.uniform(0.0, 0.01), rng.choice((self._transport.close, self._transport.abort)))

    def an_error(self, whole: bytes, rng: Random) -> None:
        body = b'{"error":{"message":"%b","type":"x","code":null}}' % b"".join(_MARK.findall(whole)[:1])
        self.write(_joined(answer(rng.choice((500, 503)), body)))

    def nothing(self, whole: bytes, rng: Random) -> None:
        pass


Ways = dict[Callable[[Misused, bytes, Random], None], int]
"""Way to answer -> its weight."""
MISUSE: Ways = {
    Misused.right: 40,
    Misused.late: 12,
    Misused.in_pieces: 6,
    Misused.with_news_first: 3,
    Misused.cut: 4,
    Misused.cut_by_reset: 4,
    Misused.no_answer: 4,
    Misused.closed_behind: 3,
    Misused.closed_when_idle: 6,
    Misused.an_error: 3,
    Misused.nothing: 1,
}
UNASKED: Ways = {**MISUSE, Misused.twice: 4, Misused.with_extra_bytes: 4, Misused.twice_after_a_moment: 6}
"""Also unsolicited bytes. Connections to a provider that sends them are soon no longer kept for long."""


class Flaky:
    """The provider. It runs in the thread of `cast`."""

    def __init__(
        self, cast: Scripted, seed: int, how: Ways, excused: set[bytes], tls: ssl.SSLContext | None = None
    ) -> None:
        self.how = how
        self._tls = tls
        self.loop = cast.loop
        self.rng = Random(seed)
        self.asked = 0
        self.pipelined = 0
        """Requests with more bytes after them: the gateway must not send the next one before it has its answer."""
        self.ways: Counter[str] = Counter()
        self.excused = excused
        self.open: set[asyncio.Transport] = set()
        self._server: asyncio.Server = cast.run(self._listen())
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        self._cast = cast

    async def _listen(self) -> asyncio.Server:
        return await self.loop.create_server(lambda: Misused(self), "127.0.0.1", 0, backlog=512, ssl=self._tls)

    def close(self) -> None:
        """Accept no more connections, and close the open ones."""
        self._cast.run(self._close())

    async def _close(self) -> None:
        self._server.close()
        for transport in tuple(self.open):
            transport.abort()


class Crowd:
    """Clients that pipeline and lose patience."""

    def __init__(self, port: int, seed: int, excused: set[bytes], clients: int = 24) -> None:
        self._port = port
        self._rng = Random(seed)
        self._excused = excused
        self._clients = clients
        self._next = 0
        self._count = 0
        self._strays: list[tuple[bytes, object]] = []
        """Marks with an answer that is not for them."""
        self.tally: Counter[str] = Counter()

    async def run(self, count: int) -> Counter[str]:
        """Send `count` requests; returns how they ended. AssertionError for an answer to another request."""
        self._count = count
        await asyncio.gather(*(self._client() for _ in range(self._clients)))
        await asyncio.sleep(0.2)  # the provider may excuse a mark only after the client has noticed it
        assert not [stray for stray in self._strays if stray[0] not in self._excused]
        return self.tally

    async def _client(self) -> None:
        while self._next < self._count:
            mine = [b"%06d" % (self._next + number) for number in range(self._rng.choice((1, 1, 1, 2, 4)))]
            self._next += len(mine)
            patience = self._rng.uniform(0.0, 0.03) if self._rng.random() < 0.25 else 20.0
            output = await self._talk(b"".join(map(self._request, mine)), len(mine), patience)
            self._check(mine, output, patience < 1)

    def _request(self, mark: bytes) -> bytes:
        flag = b'"stream":true,' if self._rng.random() < 0.5 else b""
        model = self._rng.choice((b"smart", b"smart", b"hedged", b"held"))
        body = b'{"model":"%b",%b"messages":[{"role":"user","content":"mark%bend"}]}' % (model, flag, mark)
        lines = (b"POST /v1/chat/completions HTTP/1.1", b"host: localhost", b"x-request-id: r-%b" % mark)
        return b"\r\n".join((*lines, b"content-length: %d" % len(body), b"", body))

    async def _talk(self, data: bytes, count: int, patience: float) -> bytes:
        """All that came until `count` answers were whole, the gateway closed, or the client lost patience."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        output = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(patience):
                writer.write(data)
                while part := await reader.read(65536):
                    output += part
                    if len(answers(output)[0]) == count:
                        break
        if self._rng.random() < 0.5:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return output

    def _check(self, mine: list[bytes], output: bytes, impatient: bool) -> None:
        found, rest = answers(output)
        for mark, one in zip(mine, found, strict=False):
            self.tally[self._kind(mark, one)] += 1
        if rest:
            mark = mine[len(found)]
            if not marks(rest) <= {mark}:
                self._strays.append((mark, rest))
        broken = bool(rest) and b"stream_interrupted" in rest
        self.tally["broken"] += broken
        assert impatient or broken or len(found) == len(mine), (mine, output)
        self.tally["left" if impatient else "not reached"] += len(mine) - len(found) - broken

    def _kind(self, mark: bytes, one: Answer) -> str:
        assert one.headers["x-request-id"] == f"r-{mark.decode()}"
        right = one.status == 200
        if marks(one.body) != ({mark} if right else set()):
            self._strays.append((mark, one))
            return "another's"
        assert right or one.code is None or one.code, one
        return "right" if right else "an error"


MODELS = {"smart": ["one", "two"], "hedged": ["two", "one"], "held": ["two", "one"]}
OF_MODEL = {"hedged": "hedge_after = 0.01", "held": 'hold_back = "full"'}
SETTINGS = "[breaker]\nfailures = 1000\n[retry]\nbudget = 1.0\n[timeouts]\nfirst_byte = 0.3\nanswer = 0.3\nidle = 0.3\n"


def mixed_up(directory: Path, count: int, seed: int, *, tls: bool = False) -> Counter[str]:
    """Send `count` requests through a new gateway to two such providers; returns how they ended."""
    excused: set[bytes] = set()
    context, of_provider = None, {}
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(make_certificates(directory))
        of_provider = dict.fromkeys(("one", "two"), 'ca_file = "ca.pem"\n')
    with Scripted() as cast:
        flaky = [Flaky(cast, seed, how, excused, context) for how in (MISUSE, UNASKED)]
        urls = {"one": flaky[0].url, "two": flaky[1].url}
        text = config(urls, MODELS, settings=SETTINGS, of_model=OF_MODEL, of_provider=of_provider)
        with gateway(directory, text) as running:
            rest = Rest(running)
            tally = asyncio.run(Crowd(running.port, seed, excused).run(count))
            for one in flaky:
                one.close()
            rest.restored()
    assert [one.pipelined for one in flaky] == [0, 0]
    assert set().union(*(one.ways for one in flaky)) == {way.__name__ for way in UNASKED}, "each misuse has happened"
    assert len(excused) <= 10, "once caught, it gets no second request on a connection for a minute"
    return tally
