"""Workloads: generated configs, faults, clients and operators for a world, all from one number.

    problems = play(generate(4711))

Clients ask for answers and for vectors, leave, read slowly, send slowly, send several requests at once, give up at a
deadline and ask again as the SDKs do. Providers have the simulator's faults and the errors of real providers. Midway
the config may be reloaded with other keys, and the gateway may be told to stop. What must hold for every workload is
in `problems`; `shrunk` makes a failing one small.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import inf

import msgspec

from oxllm import plan as plans
from oxllm.gateway.drain import FLUSH_S
from tests.property.worlds import CUTS, EARLY, FAST, HOLD_BACKS, LATE, MARKS, ODD, cut_share
from tests.support.in_memory import Setup, Visit, Wish, World
from tests.support.said import CASES, KIND
from tests.support.strict_reader import ResponseReader

SPAN_S = 40.0
"""The time in which the clients of a workload come."""
AGAIN = frozenset((408, 409, 429, 500, 502, 503, 504))
"""The statuses after which the OpenAI SDKs ask again."""
RETRY_MAX_S, TRIES_MAX = 10.0, 3
DOSES = ("", " x2", " x5", " 30%", " 1/3")
SAID = sorted(CASES)


class Client(msgspec.Struct, frozen=True):
    """A client: its wish, and what a `Wish` does not cover."""

    wish: Wish
    sends_for: float = 0.0
    """Seconds that its request takes to come, in pieces."""
    tries: int = 1
    """How often it asks at most, including the first time, as an SDK does."""
    behind: tuple[Wish, ...] = ()
    """Further requests that it sends on the same connection, without waiting for an answer."""


class Workload(msgspec.Struct, frozen=True):
    """What `play` plays."""

    seed: int
    plan: plans.Plan
    faults: dict[str, list[str]]
    clients: tuple[Client, ...]
    reloads: tuple[float, ...] = ()
    """When another config is loaded: the same with other keys."""
    cut: int = 0
    """Index in CUTS, which decides how many bytes a read brings."""
    stops: float | None = None
    """When the gateway is told to stop."""

    @property
    def healthy(self) -> set[str]:
        """Providers without a fault."""
        return {provider.name for provider in self.plan.providers if not self.faults.get(provider.name)}


def generate(seed: int, clients: int = 60) -> Workload:
    """The workload with this number."""
    chance = random.Random(seed)
    plan = _plan(chance)
    names = [provider.name for provider in plan.providers]
    faults = {name: _faults(chance) for name in names}
    if chance.random() < 0.6:
        faults[chance.choice(names)] = []
    stops = round(chance.uniform(SPAN_S / 2, SPAN_S), 1) if chance.random() < 0.1 else None
    reloads = tuple(round(chance.uniform(1, stops or SPAN_S), 1) for _ in range(chance.choice((0, 0, 1, 3))))
    cut = chance.randrange(len(CUTS))
    dawdling = CUTS[cut] is None  # a client that pauses after each byte would not get far in ten minutes
    some = tuple(_client(chance, dawdling) for _ in range(clients))
    return Workload(seed, plan, faults, some, reloads, cut, stops)


def _plan(chance: random.Random) -> plans.Plan:
    names = [f"p{number}" for number in range(chance.randint(1, 6))]
    tiers = chance.randint(1, 4)
    providers = tuple(
        plans.Provider(
            name,
            tls=False,
            host="127.0.0.1",
            port=9001 + number,
            path="/v1",
            api_key=f"sk-{name}",
            models=("big-1",),
            usage_in_stream=chance.random() < 0.3,
            max_in_flight=chance.choice((None, None, None, 2, 10)),
        )
        for number, name in enumerate(names)
    )
    targets = tuple(plans.Target(name, "big-1", chance.randint(1, tiers), chance.randint(1, 3), FAST) for name in names)
    hold_back, hedge_after = chance.choice(HOLD_BACKS), chance.choice((None, None, 1.0))
    model = plans.VirtualModel("smart", targets, hold_back, hedge_after, 40.0)
    return plans.Plan(
        plans.Server(
            max_in_flight=chance.choice((2048, 2048, 5)),
            max_connections=chance.choice((4096, 4096, 8)),
            max_buffered_bytes=chance.choice((8 << 20, 8 << 20, 64 << 10)),
        ),
        breaker=plans.Breaker(failures=chance.randint(1, 3)),
        retry=plans.Retry(chance.randint(0, 1), chance.choice((1, 6)), chance.choice((0.0, 0.2))),
        providers=providers,
        virtual_models=(model,),
    )


def _faults(chance: random.Random) -> list[str]:
    kinds = chance.choices(EARLY + MARKS + LATE + ODD, k=chance.choice((0, 0, 1, 1, 2, 3)))
    kinds += [f"{KIND}~{chance.choice(SAID)}" for _ in range(chance.choice((0, 0, 1)))]
    return [kind if kind in ("refuse", "blackhole@connect") else kind + chance.choice(DOSES) for kind in kinds]


def _client(chance: random.Random, dawdling: bool) -> Client:
    wish = _wish(chance, dawdling)
    if chance.random() < 0.08:
        alone = msgspec.structs.replace(wish, leaves_after=None, dawdles=0.0)
        behind = [_wish(chance, False) for _ in range(chance.randint(1, 3))]
        return Client(alone, behind=tuple(msgspec.structs.replace(one, leaves_after=None) for one in behind))
    return Client(wish, chance.choice((0.0, 0.0, 0.0, 1.0, 4.0)), chance.choice((1, 1, TRIES_MAX)))


def _wish(chance: random.Random, dawdling: bool) -> Wish:
    wish = Wish(
        at=round(chance.uniform(0, SPAN_S), 2),
        stream=chance.random() < 0.6,
        n=chance.choice((1, 1, 1, 2)),
        tokens=chance.randint(1, 12),
        timeout=chance.choice((None, None, 5.0, 20.0)),
        leaves_after=chance.choice((None, None, None, 0.005, 0.03, 2.5)),
        leaves_by_reset=chance.random() < 0.5,
        dawdles=chance.choice((0.0, 0.0, 0.0, 0.3 if dawdling else 0.0)),
        usage=chance.random() < 0.3,
        sane=chance.random() > 0.05,
    )
    if chance.random() < 0.1:
        return msgspec.structs.replace(wish, embeddings=True, stream=False, n=1, sane=True)
    return wish


class Insistent(Visit):
    """A visit that sends its request in pieces, and asks again as the SDKs do."""

    def __init__(self, world: World, name: str, client: Client) -> None:
        super().__init__(world, name, client.wish)
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._client.sends_for:
            super().connection_made(transport)
            return
        data, loop = super().request(), self.world.loop
        step = max(1, len(data) // 5)
        for number, start in enumerate(range(step, len(data), step)):
            loop.call_later(self._client.sends_for * (number + 1) / 5, self._send, data[start : start + step])
        self._first = data[:step]
        super().connection_made(transport)

    def request(self) -> bytes:
        return self._first if self._client.sends_for else super().request()

    def _send(self, data: bytes) -> None:
        if not self.ends:
            self._transport.write(data)

    def end(self) -> None:
        headers = self.reader.headers
        again = not self.left and self.status in AGAIN and self._client.tries > 1
        if again and headers.get("x-should-retry") != "false":
            self.world.loop.call_later(min(float(headers.get("retry-after", "0.5")), RETRY_MAX_S), self._again)
        super().end()

    def _again(self) -> None:
        wish = msgspec.structs.replace(self.wish, at=0.0)
        client = msgspec.structs.replace(self._client, wish=wish, tries=self._client.tries - 1)
        self.world.join(Insistent(self.world, f"{self.name}+", client))


class Pipelined(Visit):
    """A visit that sends further requests on its connection, and gets the answers in order."""

    def __init__(self, world: World, name: str, client: Client) -> None:
        super().__init__(world, name, client.wish)
        self._all = [self, *(Visit(world, f"{name}.{n}", wish) for n, wish in enumerate(client.behind, 1))]
        for visit in self._all:
            visit.reader = ResponseReader(alone=False)
        world.visits += self._all[1:]

    def request(self) -> bytes:
        return super().request() + b"".join(visit.request() for visit in self._all[1:])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        for visit in self._all:
            visit.began = self.began

    def data_received(self, data: bytes) -> None:
        for visit in self._all:
            if not visit.ends:
                visit.reader.feed(data)
                if not visit.reader.complete:
                    return
                data = visit.reader.rest
                visit.end()
        assert not data, "more than was asked for"
        if self._all[-1].reader.headers.get("connection") != "close":
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._all_over()

    def refused(self) -> None:
        for visit in self._all:
            visit.left = True
        self._all_over()

    def unanswered(self) -> str:
        """The name of a request that got no answer although no answer announced the connection's end."""
        for before, after in pairwise(self._all):
            if before.reader.complete and before.reader.headers.get("connection") != "close" and not after.status:
                return "" if after.left else after.name
        return ""

    def _all_over(self) -> None:
        for visit in self._all:
            if not visit.ends:
                visit.end()


def play(workload: Workload) -> list[str]:
    """Play it to its end; returns what went wrong, in words."""
    cut = CUTS[workload.cut]
    setup = Setup(workload.plan, workload.faults, seed=workload.seed % 1000, cut=cut, cut_share=cut_share(cut))
    with World(setup) as world:
        for number, client in enumerate(workload.clients):
            kind = Pipelined if client.behind else Insistent
            world.join(kind(world, f"client {number}", client))
        if workload.stops is not None:
            world.at(workload.stops, world.gateway.drain.signal)
        for number, when in enumerate(workload.reloads):
            world.at(when, lambda number=number: world.gateway.adopt(_other_keys(workload.plan, number)))  # type: ignore[misc]
        for _ in range(TRIES_MAX):
            world.run()
            world.sleep(RETRY_MAX_S + 1)  # for those that ask again
        world.run()
        world.sleep(3.0 if workload.stops is None else workload.plan.server.drain_timeout)
        found = [*problems(workload, world)]
    return found + [str(error.get("exception", error)) for error in world.errors]


def _other_keys(plan: plans.Plan, number: int) -> plans.Plan:
    providers = tuple(msgspec.structs.replace(one, api_key=f"sk-{one.name}-{number}") for one in plan.providers)
    return msgspec.structs.replace(plan, providers=providers)


def problems(workload: Workload, world: World) -> Iterator[str]:
    """What should hold for every workload, but does not."""
    for visit in world.visits:
        if visit.ends != 1:
            yield f"{visit.name} ended {visit.ends} times"
        elif visit.kind == "whole" and visit.provider and (wrong := _wrong(world, visit)):
            yield f"{visit.name}: {wrong}"
        elif isinstance(visit, Pipelined) and workload.stops is None and (name := visit.unanswered()):
            yield f"{name} got no answer on a connection that was to be kept"
    left = (world.runtime.bodies.total, world.runtime.bodies.heads, world.runtime.held.total, world.server.backlog)
    if any(left) or world.runtime.relays:
        yield f"left over: {left} {list(world.runtime.relays)}"
    router = world.gateway.current.generation.router
    for name, provider in router.providers.items():
        if provider.in_flight:
            yield f"{name}: {provider.in_flight} in flight"
        if name in workload.healthy and provider.breaker.state(world.loop.time()).value != "closed":
            yield f"{name} has no fault, and its breaker is {provider.breaker.state(world.loop.time()).value}"
    if workload.stops is not None:
        yield from _still_there(world, world.start + workload.stops)
    yield from _unserved(workload, world)


def _still_there(world: World, stopped: float) -> Iterator[str]:
    """Whatever did not end in time after the gateway was told to stop: requests under way, and the gateway."""
    if not world.gateway.drain.done.done():
        yield f"not stopped, but {world.gateway.life}"
    until = stopped + world.plan.server.drain_timeout + FLUSH_S
    for visit in world.visits:
        if visit.began <= stopped and visit.ended > until + 0.1:
            yield f"{visit.name} ended {visit.ended - stopped:.1f} s after the signal"


def _wrong(world: World, visit: Visit) -> str:
    """What is wrong with an answer that looks whole."""
    wanted = set(range(visit.wish.n))
    if visit.finished() != wanted:
        return f"choices {visit.finished()} are finished, not {wanted}"
    provider = visit.provider
    assert provider is not None
    for index, said in visit.content().items():
        if said != world.truth(visit, provider, index):
            return f"choice {index} is not what {provider} says"
    return ""


def _unserved(workload: Workload, world: World) -> Iterator[str]:
    """Patient clients that were not served although a provider without a fault could always be asked, unless others had
    used up all attempts, including second tries."""
    plan = workload.plan
    roomy = plan.server.max_in_flight > 1000 and plan.server.max_connections > 1000
    roomy = roomy and plan.server.max_buffered_bytes > 1 << 20
    free = {one.name for one in plan.providers if one.max_in_flight is None}
    if not (roomy and workload.healthy & free):
        return
    final = {case.id for case in CASES.values() if not case.expect.failover}
    told = {asked.visit for asked in world.asked if (asked.record.fault or "").removeprefix(f"{KIND}~") in final}
    cut = inf if workload.stops is None else world.start + workload.stops + plan.server.drain_timeout
    for visit in world.visits:
        patient = visit.wish.timeout is None and visit.wish.leaves_after is None and visit.wish.sane
        if not patient or visit.kind != "error" or visit.name in told or visit.ended >= cut:
            continue
        attempts = max(int(visit.reader.headers.get("x-oxllm-attempts", "0")), len(world.asked_for(visit)))
        if attempts < plan.retry.max_attempts:
            yield f"{visit.name} got {visit.status}, though {', '.join(sorted(workload.healthy & free))} was there"


def shrunk(workload: Workload, rounds: int = 60) -> Workload:
    """A smaller workload that fails too: without the clients, faults and reloads that do not matter."""
    for _ in range(rounds):
        for smaller in _smaller(workload):
            if play(smaller):
                workload = smaller
                break
        else:
            break
    return workload


def _smaller(workload: Workload) -> Iterator[Workload]:
    clients = workload.clients
    if workload.reloads:
        yield msgspec.structs.replace(workload, reloads=())
    if workload.stops is not None:
        yield msgspec.structs.replace(workload, stops=None)
    for size in (len(clients) // 2, len(clients) // 4, 1):
        for start in range(0, len(clients), size) if size else ():
            if len(clients) > 1:
                yield msgspec.structs.replace(workload, clients=clients[:start] + clients[start + size :])
    for at, client in enumerate(clients):
        for index in range(len(client.behind)):
            fewer_behind = client.behind[:index] + client.behind[index + 1 :]
            other = msgspec.structs.replace(client, behind=fewer_behind)
            yield msgspec.structs.replace(workload, clients=(*clients[:at], other, *clients[at + 1 :]))
    for name, faults in workload.faults.items():
        for index in range(len(faults)):
            fewer: Sequence[str] = faults[:index] + faults[index + 1 :]
            yield msgspec.structs.replace(workload, faults={**workload.faults, name: list(fewer)})


def as_test(workload: Workload, found: Sequence[str]) -> str:
    """The source of a test that fails in the same way."""
    lines = [
        f"def test_workload_{workload.seed}() -> None:",
        f'    """{found[0]}."""',
        f"    workload = generate({workload.seed})",
        "    clients = (",
        *(f"        {_written(client)}," for client in workload.clients),
        "    )",
        f"    workload = msgspec.structs.replace(workload, clients=clients, faults={workload.faults!r},",
        f"                                       reloads={workload.reloads!r}, stops={workload.stops!r})",
        "    assert play(workload) == []",
    ]
    return "\n".join(lines)


def _written(value: object) -> str:
    """A value as a Python expression, without fields that have their default."""
    if isinstance(value, tuple):
        return f"({''.join(f'{_written(one)}, ' for one in value).strip()})"
    if not isinstance(value, msgspec.Struct):
        return repr(value)
    fields = msgspec.structs.fields(value)
    given = {field.name: getattr(value, field.name) for field in fields if getattr(value, field.name) != field.default}
    return f"{type(value).__name__}({', '.join(f'{name}={_written(one)}' for name, one in given.items())})"
