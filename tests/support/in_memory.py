"""The whole gateway in one process without a socket: real code, a jumping clock, simulated providers, strict clients.

    with World(Setup(...)) as world:
        visit = world.ask(stream=True)
        world.run()
        assert visit.kind == "whole"

Between `Server` and `Pool` everything is what `oxllm serve` runs: connections, service, relay, exchange, router, HTTP
client. The providers are the simulator's engine and protocol, which keep a ledger. A `Visit` is one client request: it
parses what it gets strictly by RFC 9112 and SSE, and tells how it ended.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Self

import msgspec

from oxllm import plan as plans
from oxllm.gateway.reactor.bridge import Awaited
from oxllm.gateway.transport import Done, Peer, Transport
from oxllm.gateway.upstream.resolver import Address
from oxllm.sim import testing
from oxllm.sim.provider import pace, text
from oxllm.sim.provider.exchange import answer_length
from oxllm.sim.provider.ledger import Record
from oxllm.sim.provider.protocols.embeddings import DIMENSIONS
from oxllm.sim.provider.request import SimRequest, fingerprint
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script import grammar
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve import engine
from oxllm.sim.serve.connection import ProviderProtocol
from oxllm.sim.serve.player import Gates
from tests.support.house import House
from tests.support.said import scenes
from tests.support.strict_reader import ResponseReader, events
from tests.support.virtual import CHUNK, End, connect
from tests.support.watched import WatchedRouter

WALL = 1_750_000_000.0
"""The date at which a world begins."""
AT_ONCE_S = 0.005
"""A request that comes this soon on a new connection is the one that the connection was made for."""
SYN_AGAIN_S = 0.5
"""The interval at which a kernel retries a port that does not answer."""
ENDLESS_S = 700.0
"""A visit that lasts longer counts as a hang."""


class Asked(msgspec.Struct):
    """One request that arrived at a provider, with the ledger's record of it."""

    provider: str
    visit: str
    """The visit that it is for."""
    model: str
    at: float
    """Loop time."""
    key: bytes | None
    record: Record
    fresh: bool
    """Its connection was made for it. On one that had been idle, the request may be repeated for free."""

    @property
    def free(self) -> bool:
        """Lost on a connection that had been idle, before any byte of its answer: repeated on a new one, uncounted."""
        return not self.fresh and self.record.sent == 0 and self.record.end in ("fin", "rst")


class Recorded(engine.Provider):
    """A provider that also remembers who asked."""

    def __init__(self, scenario: Scenario, name: str, start: float) -> None:
        super().__init__(scenario, name, start, WALL)
        self.asked: list[Asked] = []
        self._made: dict[int, float] = {}
        """Connections without a request so far -> when they were made."""

    def connect(self, now: float) -> tuple[int, engine.Script | None]:
        ordinal, befalls = super().connect(now)
        self._made[ordinal] = now
        return ordinal, befalls

    def respond(self, request: SimRequest, now: float, connection: int = 0) -> engine.Script:
        script = super().respond(request, now, connection)
        body = msgspec.json.decode(request.body or b"{}")
        key = dict(request.headers).get(b"authorization")
        fresh = now - self._made.pop(connection, -inf) < AT_ONCE_S
        self.asked.append(
            Asked(self.upstream.name, body.get("user", ""), body.get("model", ""), now, key, script.record, fresh)
        )
        return script

    def whole(self, messages: list[dict[str, str]], limit: int | None) -> int:
        """How many tokens its whole answer to these messages has."""
        length = answer_length(self.seed, self.upstream, fingerprint(messages))
        return min(length, limit or length)


class Wish(msgspec.Struct, frozen=True):
    """What one client asks for and how it behaves. Times in seconds."""

    at: float = 0.0
    stream: bool = True
    n: int = 1
    tokens: int = 8
    timeout: float | None = None
    """Sent as x-stainless-timeout."""
    leaves_after: float | None = None
    leaves_by_reset: bool = False
    dawdles: float = 0.0
    """For how long it pauses after each read."""
    model: str = "smart"
    embeddings: bool = False
    usage: bool = False
    sane: bool = True
    """False: without messages, which a provider answers with a 400."""


class Visit(asyncio.Protocol):
    """One client request on a connection of its own."""

    def __init__(self, world: World, name: str, wish: Wish) -> None:
        self.world = world
        self.name = name
        self.wish = wish
        self.reader = ResponseReader()
        self.left = False
        self.lost = False
        self.ends = 0
        """How often it ended; must be 1."""
        self.began = self.ended = 0.0
        self.first_content: float | None = None
        self._transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.began = self.world.loop.time()
        self._transport.write(self.request())
        if self.wish.leaves_after is not None:
            self.world.loop.call_later(self.wish.leaves_after, self._leave)

    def request(self) -> bytes:
        wish = self.wish
        body: dict[str, object] = {"model": wish.model, "user": self.name}
        if wish.embeddings:
            path, body["input"] = "embeddings", self.name
        else:
            path, body["messages"] = "chat/completions", self.messages
            body |= {"stream": wish.stream, "max_tokens": wish.tokens, "n": wish.n}
            if wish.usage:
                body["stream_options"] = {"include_usage": True}
        data = msgspec.json.encode(body)
        lines = [f"POST /v1/{path} HTTP/1.1", "host: 127.0.0.1:8080", "content-type: application/json"]
        lines += [f"content-length: {len(data)}", f"x-request-id: {self.name}", "authorization: Bearer sk-client"]
        if wish.timeout is not None:
            lines.append(f"x-stainless-timeout: {wish.timeout}")
        return "\r\n".join([*lines, "", ""]).encode() + data

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.name}] if self.wish.sane else []

    def data_received(self, data: bytes) -> None:
        assert not self.left
        self.reader.feed(data)
        if self.first_content is None and b'"delta"' in self.reader.body:
            self.first_content = self.world.loop.time()
        if self.reader.complete and not self.ends:
            self.end()
            if self.reader.headers.get("connection") != "close":
                self._transport.close()
        elif self.wish.dawdles:
            self._transport.pause_reading()
            self.world.loop.call_later(self.wish.dawdles, self._transport.resume_reading)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.ends:
            self.end()

    def refused(self) -> None:
        """Nothing accepted its connection."""
        self.left = True
        self.began = self.world.loop.time()
        self.end()

    def _leave(self) -> None:
        if not self.ends:
            self.left = True
            self.end()
            if self.wish.leaves_by_reset:
                self._transport.reset()
            else:
                self._transport.close()

    def end(self) -> None:
        """It has its whole answer, has left, or has lost its connection."""
        self.ends += 1
        self.ended = self.world.loop.time()
        self.world.visit_ended()

    # What it got.

    @property
    def status(self) -> int:
        return self.reader.status

    @property
    def kind(self) -> str:
        """left; whole; error (an error response); broken (an error event, or a body cut short)."""
        if self.left:
            return "left"
        if not self.reader.complete:
            return "broken"
        return "whole" if self.reader.status == 200 else "error"

    @property
    def payloads(self) -> list[bytes]:
        """The data of each event of its stream."""
        return events(self.reader.body)

    @property
    def provider(self) -> str | None:
        return self.reader.headers.get("x-oxllm-provider")

    @property
    def error(self) -> dict[str, Any]:
        """The error object of an error response, or of the last event of a broken stream."""
        if self.status != 200:
            return msgspec.json.decode(self.reader.body, type=dict[str, dict[str, Any]])["error"]
        return msgspec.json.decode(self.payloads[-1], type=dict[str, dict[str, Any]])["error"]

    def content(self) -> dict[int, str]:
        """The text of each choice."""
        texts: dict[int, str] = {}
        for choice in self._choices():
            said = choice.get("delta") or choice.get("message") or {}
            texts[choice["index"]] = texts.get(choice["index"], "") + (said.get("content") or "")
        return texts

    def finished(self) -> set[int]:
        """Choices with a finish_reason."""
        return {choice["index"] for choice in self._choices() if choice.get("finish_reason")}

    def _choices(self) -> list[dict[str, Any]]:
        if self.status != 200:
            return []
        if not self.reader.complete and not self.wish.stream:
            return []
        if self.wish.embeddings:
            data = msgspec.json.decode(self.reader.body)["data"]
            return [
                {"index": one["index"], "message": {"content": str(one["embedding"])}, "finish_reason": "stop"}
                for one in data
            ]
        if not self.wish.stream:
            return list(msgspec.json.decode(self.reader.body)["choices"])
        found: list[dict[str, Any]] = []
        for payload in self.payloads:
            if payload != b"[DONE]":
                found += msgspec.json.decode(payload).get("choices", ())
        return found


class Setup(msgspec.Struct, frozen=True):
    """A world to make."""

    plan: plans.Plan
    faults: Mapping[str, Sequence[str]] = {}
    """Provider -> faults in play from the start; may be those of `said` too."""
    pace: str = "ttft 20ms, itl 5ms, out 20..60"
    seed: int = 7
    cut: Callable[[random.Random], int] | None = None
    """At most how many bytes the next read brings."""
    cut_share: float = 1.0
    """The share of connections that are cut. If each byte is a read of its own, they take 15 times as long."""
    scenario: Scenario | None = None
    """Replaces the faults, pace and seed of the providers."""


class World:
    """A house whose providers are simulated and whose clients are strict."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        plan = self.plan = setup.plan
        self._chance = random.Random(setup.seed)
        rng = random.Random(setup.seed + 1)
        self.router = WatchedRouter(plan, rng)
        self.house = House(plan, rng=rng, router=self.router, began=WALL, dial=self.dial)
        self.loop, self.gateway = self.house.loop, self.house.gateway
        self.pool, self.server = self.gateway.pool, self.gateway.server
        self.runtime, self.journal = self.gateway.runtime, self.gateway.journal
        asyncio.set_event_loop(self.loop)
        start = self.start = self.loop.time()
        names = [provider.name for provider in plan.providers]
        scenario = self.scenario = setup.scenario or testing.scenario(
            *(Upstream(name, pace=pace.parse(setup.pace)) for name in names),
            scenes=scenes(setup.faults),
            seed=setup.seed,
        )
        self.providers = {name: Recorded(scenario, name, start) for name in names}
        self._by_port = {provider.port: self.providers[provider.name] for provider in plan.providers}
        self.gates = Gates()
        self.unreachable: set[str] = set()
        """Providers to which no new connection can be made; open ones are not affected."""
        self.accepted: set[asyncio.BaseTransport] = set()
        """Connections that are open at the providers."""
        self.written = b""
        """The log, once closed."""
        self._running = False
        self.visits: list[Visit] = []
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: self.errors.append(context))

    def __repr__(self) -> str:
        return f"World({self.setup}, {[visit.wish for visit in self.visits]})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let all callbacks run, so that anything they do wrong is seen."""
        try:
            self.pool.close()
            self.server.close_all()
            self.sleep(70.0)
            log = self.house.log_text()
            self.written = log.encode()
            if self.journal.internal_errors:
                lines = [line for line in log.splitlines() if "internal error" in line]
                self.errors.append({"message": "\n".join(lines)})
                raise AssertionError(lines)
        finally:
            self.house.close()

    def dial(self, address: Address, port: int, protocol: Peer, done: Done) -> Awaited:
        """Connects to a simulated provider."""
        return Awaited(self.loop, self.reach(address, port, protocol), done)

    async def reach(self, address: Address, port: int, protocol: End) -> Transport:
        """The same, awaited. Raises OSError."""
        provider = self._by_port[port]
        fault = provider.listener(self.loop.time())
        await asyncio.sleep(0.001)
        if provider.upstream.name in self.unreachable:
            await self.loop.create_future()
        while fault is not None and fault.kind == "blackhole":
            await asyncio.sleep(SYN_AGAIN_S)
            fault = provider.listener(self.loop.time())
        if fault is not None:
            raise ConnectionRefusedError(111, "Connection refused")
        near, _ = connect(
            self.loop,
            protocol,
            ProviderProtocol(provider, self.loop, self.gates, connections=self.accepted),
            server_address=(address.host, port),
            cut=self._cutter(),
        )
        return near

    def _cutter(self) -> Callable[[], int]:
        """For one connection: at most how many bytes each read brings."""
        cut, share, chance = self.setup.cut, self.setup.cut_share, self._chance
        if cut is None or (share < 1 and chance.random() >= share):
            return _whole
        return lambda: max(1, cut(chance))

    # Actions.

    def ask(self, wish: Wish | None = None, **changes: Any) -> Visit:
        """One more client, which comes at its wish's time."""
        wish = msgspec.structs.replace(wish or Wish(), **changes)
        visit = Visit(self, f"request {len(self.visits)}", wish)
        self.join(visit)
        return visit

    def join(self, visit: Visit) -> None:
        """Add a client, which comes at its wish's time."""
        self.visits.append(visit)
        if visit.wish.at:
            self.loop.call_at(self.start + visit.wish.at, self._arrive, visit)
        else:
            self._arrive(visit)

    def _arrive(self, visit: Visit) -> None:
        if self.gateway.life.draining:  # no connection is accepted
            visit.refused()
            return
        address = ("127.0.0.1", 50000 + len(self.visits))
        self.house.join(visit, address, front=self.front(), cut=self._cutter())

    def front(self) -> End:
        """The server's side of a client's connection."""
        return self.server.protocol()

    def visit_ended(self) -> None:
        if self._running and all(visit.ends for visit in reversed(self.visits)):
            self.loop.stop()

    def run(self, within: float = ENDLESS_S) -> Self:
        """Run until every visit has ended, and then what is due at once."""
        if not all(visit.ends for visit in self.visits):
            guard = self.loop.call_later(within, self.loop.stop)
            self._running = True
            self.loop.run_forever()
            self._running = False
            guard.cancel()
        return self.sleep(0.001)

    def sleep(self, seconds: float) -> Self:
        """Let time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        return self

    def at(self, when: float, act: Callable[[], object]) -> None:
        """Call `act` at a time counted from the start."""
        self.loop.call_at(self.start + when, act)

    def patch(self, name: str, *faults: str) -> None:
        """Replace a provider's faults from now on; none = healthy."""
        self.providers[name].patch(self.loop.time(), [grammar.parse(fault) for fault in faults])

    # Observations.

    @property
    def asked(self) -> list[Asked]:
        """All requests that arrived at providers, in order."""
        return sorted((asked for p in self.providers.values() for asked in p.asked), key=lambda asked: asked.at)

    def asked_for(self, visit: Visit) -> list[Asked]:
        """The requests for one visit, without those that were repeated for free."""
        return [asked for asked in self.asked if asked.visit == visit.name and not asked.free]

    def breakers(self) -> dict[str, tuple[str, float]]:
        """Provider -> its breaker's state, and the seconds left of it if it is open."""
        now = self.loop.time()
        breakers = {name: provider.breaker for name, provider in self.router.providers.items()}
        return {name: (breaker.state(now).value, breaker.opens_until - now) for name, breaker in breakers.items()}

    def state(self, name: str) -> str:
        return self.router.providers[name].breaker.state(self.loop.time()).value

    def truth(self, visit: Visit, name: str, index: int) -> str:
        """The whole text that a provider gives for a visit's choice, or its vector."""
        provider = self.providers[name]
        if visit.wish.embeddings:
            return str(text.vector(provider.seed, name, fingerprint(visit.name), DIMENSIONS))
        count = provider.whole(visit.messages, visit.wish.tokens)
        return text.text(provider.seed, name, fingerprint(visit.messages), count, index)


def _whole() -> int:
    return CHUNK
