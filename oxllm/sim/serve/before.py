"""A proxy that puts faults in front of a real provider: `--before URL`.

Requests go on to the real provider, key and all, and its answers come back event by event, unless a fault strikes. A
fault that needs no answer (a refusal, a reset) sends no request. Nothing that passes through is kept, except that the
ledger has the time, path, model and fingerprint of each request, and what became of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

import httpx
import msgspec

from oxllm.sim.dialects.base import CREATED, encode
from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.ledger import Harm, Record
from oxllm.sim.provider.reply import Part, Reply, Tape
from oxllm.sim.provider.request import Ask, BadAsk, SimRequest
from oxllm.sim.provider.steps import Await, Step
from oxllm.sim.provider.upstream import REAL
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve.engine import FAULT_HEADER, Provider, Script

HELD_MAX = 262_144
"""Bytes of a stream received but not taken, above which reading pauses."""
_OURS = frozenset(
    ("host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer", "upgrade", "expect",
     "accept-encoding", "proxy-connection", FAULT_HEADER.decode())
)  # fmt: skip
"""Headers that are not passed on: those of the connection or its framing, and our own."""
_FINISHES = frozenset(("message_stop", "response.completed", "response.failed", "response.incomplete"))


class Source:
    """The real answer to one request, as it arrives. Sends the request at once, and lives until `close`."""

    def __init__(self, client: httpx.AsyncClient, request: httpx.Request) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.stream = False
        self.ended = False
        self.failed: str | None = None
        self.at = 0.0
        """When its head, its latest part or its end arrived."""
        self._held: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._passed: Callable[[], None] | None = None
        self._room = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(client, request))

    @property
    def ready(self) -> bool:
        """Enough has arrived to begin: the head of a stream, or the whole of any other answer."""
        return self.ended or (self.stream and self.status > 0)

    @property
    def dry(self) -> bool:
        """All that has arrived was taken, and more will come."""
        return not self._held and not self.ended

    def wait(self, passed: Callable[[], None]) -> bool:
        """True if there is something to take; else `passed` is called when there is."""
        if self.ready and not self.dry:
            return True
        self._passed = passed
        return False

    def take(self) -> list[tuple[float, bytes]]:
        """All parts that arrived since the last call, each with its time."""
        data = list(self._held)
        self._held.clear()
        self._size = 0
        self._room.set()
        return data

    def close(self) -> None:
        """Nobody wants the answer any more: cancel the request."""
        self._passed = None
        self._task.cancel()

    async def _run(self, client: httpx.AsyncClient, request: httpx.Request) -> None:
        try:
            answer = await client.send(request, stream=True)
            try:
                await self._read(answer)
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            self.failed = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        self.ended = True
        self.at = self._loop.time()
        self._tell()

    async def _read(self, answer: httpx.Response) -> None:
        raw = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in answer.headers.raw]
        self.headers = [(name, value) for name, value in raw if name not in _OURS]
        self.status = answer.status_code
        self.stream = answer.headers.get("content-type", "").startswith("text/event-stream")
        self.at = self._loop.time()
        async for data in answer.aiter_raw():
            self.at = self._loop.time()
            self._held.append((self.at, data))
            self._size += len(data)
            self._tell()
            while self.stream and self._size > HELD_MAX:
                self._room.clear()
                await self._room.wait()

    def _tell(self) -> None:
        if self.ready and self._passed is not None:
            passed, self._passed = self._passed, None
            passed()


class RealExchange(Exchange):
    """A request whose healthy answer is the real provider's."""

    __slots__ = ("source",)

    source: Source

    def reply(self) -> Reply:
        """The real answer, as it arrives."""
        source = self.source
        if source.stream:
            return Reply(source.status, list(source.headers), _events(source), stream=True, at=source.at)
        body = b"".join(data for _, data in source.take())
        part = Part(source.at, body, "body", max(1, len(body) // 4))
        return Reply(source.status, list(source.headers), iter((part,)), stream=False, at=source.at)


class Before(Provider):
    """The provider in front of a real one. `url`: the real one's base URL, with or without `/v1`."""

    def __init__(
        self, scenario: Scenario, start: float, url: str, client: httpx.AsyncClient, epoch: float = CREATED
    ) -> None:
        super().__init__(scenario, REAL, start, epoch)
        self._root = url.rstrip("/").removesuffix("/v1")
        self._client = client

    def _read(self, request: SimRequest, path: str) -> tuple[Operation, Ask, BadAsk | None]:
        """Refuses nothing: that is up to the real provider."""
        operation, ask, _ = super()._read(request, path)
        return operation, ask, None

    def _exchange(self, operation: Operation, request: SimRequest, ask: Ask, chance: Chance, now: float) -> Exchange:
        return RealExchange(self, operation, request, ask, chance, now)

    def _answer(self, x: Exchange, key: str, refusal: BadAsk | None, record: Record) -> Script:
        assert isinstance(x, RealExchange), "it is made above"
        try:
            fate = self._fate(x, key)
        except BadAsk as error:
            return Script(x.say(error.error), record)
        record.why = fate.why
        fault = fate.fault if fate.fault is not None and fate.fault.applies(x) else None
        if fault is not None:
            record.fault, record.harm = fault.text, fault.harm
            if not fault.needs_answer:
                return Script(self._noted(x, fault.play(x), record), record)
        return Script(self._real(x, fault, record), record)

    def _real(self, x: RealExchange, fault: Fault | None, record: Record) -> Iterator[Step]:
        """The real answer, spoiled or not. Its refusals are passed on as they are."""
        source = x.source = Source(self._client, self._request(x.request))
        try:
            while not source.ready:
                yield Await(source)
            if fault is not None and not source.failed and source.status == 200:
                yield from self._noted(x, fault.play(x), record)
                return
            record.fault, record.harm = None, Harm.NONE
            if source.failed and not source.status:
                yield from x.raw(502, "application/json", _unreachable(source.failed))
            else:
                yield from Tape(x.reply()).rest()
        finally:
            source.close()

    def _request(self, request: SimRequest) -> httpx.Request:
        headers = [(name, value) for name, value in request.headers if name.decode("latin-1") not in _OURS]
        headers.append((b"accept-encoding", b"identity"))
        return self._client.build_request(
            request.method, self._root + request.path, headers=headers, content=request.body
        )


def _unreachable(why: str) -> bytes:
    words = f"oxllm sim --before: the real provider cannot be reached ({why})"
    return encode({"error": {"message": words, "type": "upstream_error", "param": None, "code": None}})


def _events(source: Source) -> Iterator[Part]:
    """The events of a stream, each due when it arrived, and a pending part wherever none has arrived yet."""
    buffer, at = b"", source.at
    while True:
        if source.dry:
            yield Part(at, b"", "pending", waits=source)
            continue
        ended = source.ended
        for at, data in source.take():
            *whole, buffer = (buffer + data).replace(b"\r\n", b"\n").split(b"\n\n")
            for event in whole:
                role, tokens = role_of(event)
                yield Part(at, event + b"\n\n", role, tokens)
        if ended:
            if buffer:
                yield Part(at, buffer, "done")
            return


def role_of(event: bytes) -> tuple[str, int]:
    """The role of an event of any protocol, as in `Part`, and how many tokens it has."""
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    if lines == [b"[DONE]"]:
        return "done", 0
    try:
        data = msgspec.json.decode(b"\n".join(lines))
    except msgspec.DecodeError:
        return "comment" if not lines else "preamble", 0
    if not isinstance(data, dict):
        return "preamble", 0
    return _of_choices(data) if "choices" in data else _of_type(str(data.get("type", "")))


def _of_choices(data: dict[str, object]) -> tuple[str, int]:
    choices = data["choices"]
    if not isinstance(choices, list) or not choices:
        return ("usage" if data.get("usage") else "preamble"), 0
    first = choices[0] if isinstance(choices[0], dict) else {}
    if first.get("finish_reason"):
        return "finish", 0
    delta = first.get("delta") or {}
    words = ("content", "reasoning_content", "reasoning", "tool_calls", "refusal")
    said = first.get("text") or (isinstance(delta, dict) and any(delta.get(word) for word in words))
    return ("token", 1) if said else ("preamble", 0)


def _of_type(kind: str) -> tuple[str, int]:
    if kind in _FINISHES:
        return "finish", 0
    if kind == "content_block_delta" or kind.endswith(".delta"):
        return "token", 1
    return ("closing" if kind == "content_block_stop" or kind.endswith(".done") else "preamble"), 0
