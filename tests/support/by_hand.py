"""An exchange driven by hand: a real Router, real readers, a clock to move, and what the client has got so far.

    drive = Drive("alpha", "beta")
    drive.start()
    drive.stream("alpha", ROLE, token("hi"))
    drive.pass_time(60)
    assert drive.client.over == "break"

Effects are performed as in `gateway.relay`, on a `Client` that fails the test if they make no sense: a body
without a head, two ends, anything after an end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import msgspec

from oxllm import plan as plans
from oxllm.core.budget.retry import RetryBudget
from oxllm.core.protocols import chat
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Protocol
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Failure
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.effects import Action, Answer, Begin, Break, Cancel, End, Try, Write
from oxllm.core.request.exchange import Exchange
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.phases import AttemptPhase
from oxllm.core.request.stages import Stage
from oxllm.core.routing.router import Router
from oxllm.core.wire.body import RequestBody

EVENT_STREAM: Headers = [(b"content-type", b"text/event-stream")]
JSON: Headers = [(b"content-type", b"application/json")]
PING = b": ping\n"
WHOLE = b'{"choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}]}'
WALL = 1_700_000_000.0


def error_body(code: str | None, message: str = "no", kind: str = "error") -> bytes:
    """An error body in OpenAI's shape."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def make_plan(
    *targets: str | plans.Target,
    route: str = "smart",
    hold_back: plans.HoldBack | None = None,
    hedge_after: float | None = None,
    request: float = 600.0,
    breaker: plans.Breaker | None = None,
    retry: plans.Retry | None = None,
    predictive: bool = True,
    usage_in_stream: bool = False,
    content_filter_failover: bool = False,
) -> plans.Plan:
    """A plan with one virtual model. A target is `provider` or `provider/model`; each has a tier of its own."""
    chosen = tuple(_target(target, tier) for tier, target in enumerate(targets, 1))
    names = dict.fromkeys(target.provider for target in chosen)
    providers = tuple(
        plans.Provider(
            name,
            tls=False,
            host="127.0.0.1",
            port=9000 + number,
            path="/v1",
            api_key=f"sk-secret-{name}",
            models=tuple(dict.fromkeys(target.model for target in chosen if target.provider == name)),
            usage_in_stream=usage_in_stream,
        )
        for number, name in enumerate(names, 1)
    )
    model = plans.VirtualModel(
        route,
        chosen,
        hold_back or plans.HoldBack(),
        hedge_after,
        request,
        content_filter_failover=content_filter_failover,
    )
    return plans.Plan(
        server=plans.Server(predictive_cooldown=predictive),
        breaker=breaker or plans.Breaker(),
        retry=retry or plans.Retry(),
        providers=providers,
        virtual_models=(model,),
    )


def _target(target: str | plans.Target, tier: int) -> plans.Target:
    if isinstance(target, plans.Target):
        return target
    provider, _, model = target.partition("/")
    return plans.Target(provider, model or "big-1", tier)


class Client:
    """What the client has got. `over`: how its response ended; None until then."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.length: int | None = None
        self.body = b""
        self.over: str | None = None

    def do(self, effect: Begin | Write | End | Answer | Break) -> None:
        assert self.over is None, (self.over, effect)
        match effect:
            case Begin():
                self._head(effect.status, effect.headers)
                self.length = effect.length
            case Write():
                assert self.status, "a body without a head"
                self.body += effect.data
            case End():
                assert self.status, "an end without a head"
                self.over = "end"
            case Answer():
                self._head(effect.status, effect.headers)
                self.body = effect.body
                self.over = "answer"
            case Break():
                assert self.status, "a break without a head"
                self.body += effect.tail
                self.over = "break"

    def _head(self, status: int, fields: Headers) -> None:
        assert not self.status, "two heads"
        self.status = status
        self.headers = dict(fields)

    @property
    def error(self) -> dict[str, object]:
        """The error object of an answer, or of the last event of a stream."""
        text = self.body if self.over == "answer" else self.body.rstrip(b"\n").rpartition(b"data: ")[2]
        return msgspec.json.decode(text, type=dict[str, dict[str, object]])["error"]

    @property
    def message(self) -> str:
        return str(self.error["message"])


class Chance(random.Random):
    """Chance that remembers its last value: the only way to know a jitter."""

    last = 0.0

    def uniform(self, a: float, b: float) -> float:
        self.last = super().uniform(a, b)
        return self.last


class Drive:
    """One exchange, its clock and its client."""

    def __init__(
        self,
        *targets: str | plans.Target,
        plan: plans.Plan | None = None,
        router: Router | None = None,
        budget: RetryBudget | None = None,
        stream: bool = True,
        n: int = 1,
        timeout: float | None = None,
        protocol: Protocol = chat.PROTOCOL,
        wants_usage: bool = False,
        now: float = 1000.0,
        seed: int = 1,
        says: str = "hello",
    ) -> None:
        """`says`: the prompt that the client writes."""
        self.plan = plan or make_plan(*targets)
        self.router = router or Router(self.plan, random.Random(seed))
        self.budget = budget or RetryBudget(self.plan.retry.budget)
        self.now = now
        self.client = Client()
        self.attempts: list[Attempt] = []
        self.cancelled: list[Attempt] = []
        self._ended: list[Attempt] = []
        self.effects: list[Action] = []
        route = self.router.resolve(self.plan.virtual_models[0].name)
        assert route is not None
        self.route = route
        self.chance = Chance(seed)
        asked = Asked(stream, n, wants_usage)
        facts = RequestFacts(protocol, protocol.endpoints[0], asked, "oxllm-1", timeout)
        body = RequestBody.parse(
            msgspec.json.encode({"model": route.name, "messages": [{"role": "user", "content": says}]})
        )
        self.exchange = Exchange(facts, body, route, self.router, self.budget, self.plan.retry, self.chance, self.now)

    def next(self, **changes: object) -> Drive:
        """Another request, now, to the same gateway."""
        return Drive(plan=self.plan, router=self.router, budget=self.budget, now=self.now, **changes)  # type: ignore[arg-type]

    # What happens.

    def start(self) -> Drive:
        self.exchange.start(self.now)
        return self.perform()

    def pass_time(self, seconds: float) -> Drive:
        """Let time pass, with a tick whenever the exchange wants one."""
        until = self.now + seconds
        ticks = 0
        while (wake := self.exchange.alarm.at) <= until:
            ticks += 1
            assert ticks < 1000, "the exchange wants to be woken without end"
            self.now = max(self.now, wake)
            self.exchange.tick(self.now)
            self.perform()
        self.now = until
        return self

    def oversleep(self, seconds: float) -> Drive:
        """Let time pass as for a gateway that was busy: with a single tick, at the end."""
        self.now += seconds
        self.exchange.tick(self.now)
        return self.perform()

    def connect(self, name: str) -> Drive:
        """The connection is made and the request goes out."""
        attempt = self[name]
        attempt.connected(self.now)
        attempt.sent(self.now)
        return self

    def reconnect(self, name: str) -> Drive:
        """The connection from the pool was dead."""
        if self.exchange.may_send(self[name], self.now):
            self[name].reconnecting(self.now)
            return self
        return self.fail(name, Failure.WITHHELD, early=True)

    def head(self, name: str, status: int = 200, fields: Headers = EVENT_STREAM) -> Drive:
        if self[name].phase is AttemptPhase.CONNECTING:
            self.connect(name)
        self.exchange.head(self[name], status, fields, self.now, WALL)
        return self.perform()

    def data(self, name: str, *parts: bytes) -> Drive:
        for part in parts:
            ready = self.exchange.data(self[name], part, self.now)
            if ready:
                assert not self.exchange.take_effects(), "it says what is to be done in two ways"
                self._do(Write(ready))
            self.perform()
        return self

    def end(self, name: str) -> Drive:
        self._ended.append(self[name])
        self.exchange.end(self[name], self.now)
        return self.perform()

    def fail(self, name: str, failure: Failure = Failure.REFUSED, early: bool = True, detail: str = "") -> Drive:
        self._ended.append(self[name])
        self.exchange.failed(self[name], failure, early, detail, self.now)
        return self.perform()

    def gone(self) -> Drive:
        self.exchange.gone(self.now)
        return self.perform()

    def expire(self) -> Drive:
        self.exchange.expire(self.now)
        return self.perform()

    # Several events at once.

    def whole(self, name: str, status: int, fields: Headers, body: bytes) -> Drive:
        """A response in one piece."""
        if self[name].phase is AttemptPhase.CONNECTING:
            self.connect(name)
        self._ended.append(self[name])
        self.exchange.whole(self[name], status, fields, body, self.now, WALL)
        return self.perform()

    def stream(self, name: str, *parts: bytes) -> Drive:
        """A head and events."""
        return self.head(name).data(name, *parts)

    def answer(self, name: str, body: bytes = WHOLE, status: int = 200, fields: Headers = JSON) -> Drive:
        """A whole response that is no stream."""
        self.head(name, status, fields)
        if body:
            self.data(name, body)
        return self.end(name)

    def break_off(self, name: str, way: str, last: bytes = b"") -> Drive:
        """Its stream breaks in one of the ways of `breaking`; if that is a proper end, `last` comes before it."""
        match way:
            case "fin" | "rst":
                return self.fail(name, Failure.EOF if way == "fin" else Failure.RESET, early=False)
            case "stall":
                return self.pass_time(61)
            case _:
                return self.data(name, *([last] if last else [])).end(name)

    # What came of it.

    def __getitem__(self, name: str) -> Attempt:
        """The latest attempt at a provider, or at a target if `name` has a model."""
        return next(a for a in reversed(self.attempts) if name in (a.candidate.state.provider.name, a.target))

    @property
    def tried(self) -> list[str]:
        """The providers asked, in order."""
        return [attempt.candidate.state.provider.name for attempt in self.attempts]

    @property
    def running(self) -> list[str]:
        """Providers whose response is still being read."""
        alive = [a for a in self.attempts if a.phase is not AttemptPhase.ENDED and a not in self.cancelled]
        return [attempt.candidate.state.provider.name for attempt in alive]

    @property
    def over(self) -> bool:
        return self.exchange.stage is Stage.DONE

    def failures(self, name: str) -> int:
        """Consecutive failures, as the provider's breaker counts them."""
        return self.router.providers[name].breaker.halves // 2

    def in_flight(self) -> int:
        return sum(provider.in_flight for provider in self.router.providers.values())

    def perform(self) -> Drive:
        """Perform the effects that the exchange asks for."""
        for effect in self.exchange.take_effects():
            self._do(effect)
        self.exchange.drop_body()
        self._check()
        return self

    def _do(self, effect: Action) -> None:
        self.effects.append(effect)
        match effect:
            case Try():
                assert self.exchange.stage is not Stage.COMMITTED, "a second provider after commit"
                self.attempts.append(effect.attempt)
            case Cancel():
                self.cancelled.append(effect.attempt)
            case _:
                self.client.do(effect)

    def _check(self) -> None:
        """Check what must always hold."""
        if self.exchange.stage is Stage.DONE:
            assert all(attempt.ticket.generation == -1 for attempt in self.attempts), "a ticket is never given back"
        assert len(self.running) <= 2
        over = [attempt for attempt in self.attempts if attempt.phase is AttemptPhase.ENDED]
        assert {*over} <= {*self._ended, *self.cancelled}, "a connection is never let go"


def broken_behind(content: bytes, begin: Callable[[], Drive]) -> Iterator[Drive]:
    """An exchange for each thing that can go wrong once `alpha` has sent this."""
    yield begin().stream("alpha", content).end("alpha")
    yield begin().stream("alpha", content).fail("alpha", Failure.RESET, early=False)
    yield begin().stream("alpha", content, b"data: garbage\n\n")
    yield begin().stream("alpha", content).pass_time(100)
    yield begin().stream("alpha", content).expire()
