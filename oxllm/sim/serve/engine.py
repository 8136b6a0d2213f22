"""Providers without sockets: a request goes in, a script of timed bytes comes out.

No I/O and no clock of its own: `now` comes with each call, and the script says when its steps are due. So the same
provider runs behind real sockets and under a virtual clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from oxllm.sim import dialects
from oxllm.sim.dialects.base import CREATED, Error
from oxllm.sim.dialects.openai import OpenAI
from oxllm.sim.faults.base import ConnectionFault, Fault, Layer
from oxllm.sim.provider import protocols, strict
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.ledger import Harm, Ledger, Record, UnderWay
from oxllm.sim.provider.limits import ADMITTED, Limits, Meter, Verdict
from oxllm.sim.provider.memory import Memory
from oxllm.sim.provider.pace import FOREVER, Pace
from oxllm.sim.provider.reply import Reply, Tape
from oxllm.sim.provider.request import Ask, BadAsk, SimRequest
from oxllm.sim.provider.steps import Send, Step
from oxllm.sim.script import grammar
from oxllm.sim.script.fate import CLEAN, Fate, Judge
from oxllm.sim.script.grammar import Dosed
from oxllm.sim.script.scenario import Scenario, Scene
from oxllm.sim.serve.directions import Directions

KEY_DIGITS = 12
"""Of a fingerprint: enough to tell the questions of a run apart, few enough to be typed."""
SEEN_MAX = 200_000
"""Questions of which it is known how often they were asked; the oldest are forgotten."""
FAULT_HEADER = b"x-oxllm-sim"
"""A request that carries it gets this fault, whatever the scenes say; `none` = a healthy answer."""
ID_HEADER = b"x-request-id"
"""A request that carries it has its draws keyed by it, and not by what it asks for."""


def attempt_key(asked: str, time: int) -> str:
    """The key of the attempt that is the `time`-th of a provider to be asked what has this fingerprint."""
    return f"{asked[:KEY_DIGITS]}.{time}"


class Script:
    """The steps of one answer. Whoever plays them keeps `record` up to date.

    Of a healthy answer there are shorter ways to say it: `at_once`, all of its bytes, if they are due; else `reply`.
    """

    __slots__ = ("_steps", "answering", "at_once", "record", "reply")

    def __init__(
        self,
        steps: Iterator[Step],
        record: Record,
        at_once: bytes | None = None,
        reply: Reply | None = None,
    ) -> None:
        self._steps = steps
        self.at_once = at_once
        self.answering: UnderWay | None = None
        """Those of its provider, of which it is one while it is played."""
        self.record = record
        self.reply = reply

    def __iter__(self) -> Iterator[Step]:
        return self._steps if self.reply is None else Tape(self.reply).rest()


class Provider:
    """One simulated provider. One class, since its limits, faults and ledger are asked together.

    `start` is the time from which the scenes count, and may be set anew when they begin;
    `epoch` is the date at the first `start`."""

    def __init__(self, scenario: Scenario, name: str, start: float, epoch: float = CREATED) -> None:
        self._own = next(upstream for upstream in scenario.upstreams if upstream.name == name)
        self._own_judge = Judge(scenario.seed, name, scenario.scenes)
        self._patched_until = FOREVER
        self._seen: Counter[str] = Counter()
        self.seed = scenario.seed
        self.upstream = self._own
        self.judge = self._own_judge
        self.memory = Memory()
        self.answering = UnderWay()
        self.directions = Directions()
        self.watch: Callable[[SimRequest], object] = lambda _request: None
        """Hears of every request."""
        self.due: Callable[[str], float | None] = lambda _asked: None
        """When what has this fingerprint was to be asked, in seconds since the start, if a rehearsal asks it."""
        self.ledger = Ledger()
        self.start = start
        self._date = epoch - start
        self.meter = Meter(self._own.limit)

    def patch(
        self,
        now: float,
        faults: Sequence[Dosed] | None = None,
        pace: Pace | None = None,
        limit: Limits | None = None,
        ttl: float = FOREVER,
    ) -> None:
        """Other faults (in place of all scenes), pace or limit from now on, until the next patch or for `ttl` seconds.
        A patch that says nothing takes the last one back."""
        self._revert()
        if faults is None and pace is None and limit is None:
            return
        self._patched_until = now + ttl
        if faults is not None:
            scene = Scene("patch", (self._own.name,), tuple(faults))
            self.judge = Judge(self.seed, self._own.name, [scene])
        self.upstream = msgspec.structs.replace(self._own, pace=pace or self._own.pace, limit=limit or self._own.limit)
        if limit is not None:
            self.meter = Meter(limit)

    def _revert(self) -> None:
        if self.upstream.limit != self._own.limit:
            self.meter = Meter(self._own.limit)
        self.upstream, self.judge, self._patched_until = self._own, self._own_judge, FOREVER

    @property
    def patched(self) -> bool:
        return self.upstream is not self._own or self.judge is not self._own_judge

    def elapsed(self, now: float) -> float:
        """Seconds since the start."""
        return self._at(now)

    def _at(self, now: float) -> float:
        """Seconds since the start, all that is due by then done."""
        if now >= self._patched_until:
            self._revert()
        return now - self.start

    def connect(self, now: float) -> tuple[int, Script | None]:
        """A connection was accepted: its ordinal, and what befalls it before anything is read."""
        ordinal = self.ledger.connection()
        elapsed = self._at(now)
        fate = self.judge.connection(ordinal, elapsed)
        if fate.fault is None:
            return ordinal, None
        assert isinstance(fate.fault, ConnectionFault), "only these are of that layer"
        record = self._struck(fate, f"connection {ordinal}", elapsed, ordinal)
        return ordinal, Script(fate.fault.strike(now), record)

    def handshake(self, now: float) -> Fault | None:
        """A TLS handshake began: what becomes of it."""
        ordinal = self.ledger.handshake()
        elapsed = self._at(now)
        fate = self.judge.handshake(ordinal, elapsed)
        if fate.fault is not None:
            self._struck(fate, f"handshake {ordinal}", elapsed, 0).end = fate.fault.kind
        return fate.fault

    def listener(self, now: float) -> Fault | None:
        """What the port suffers now: refuse or blackhole@connect."""
        elapsed = self._at(now)
        return self.judge.listener(elapsed).fault

    def dialect(self, protocol: str) -> OpenAI:
        """How it speaks in a protocol."""
        return dialects.load(self._own.dialect, protocol)

    def dark(self, now: float) -> bool:
        """Whether the port answers nobody now."""
        return self.listener(now) is not None

    def next_change(self, now: float) -> float:
        """When `listener` may next answer otherwise; infinite if never."""
        elapsed = self._at(now)
        return min(self.start + self.judge.next_change(elapsed), self._patched_until)

    def wall(self, now: float) -> float:
        """The date at `now`, in seconds since 1970."""
        return self._date + now

    def _struck(self, fate: Fate, key: str, elapsed: float, connection: int) -> Record:
        record = Record(self.upstream.name, 0, key, elapsed, connection, "", "")
        record.fault, record.why = fate.fault.text if fate.fault else None, fate.why
        record.harm = fate.fault.harm if fate.fault else Harm.NONE
        return self.ledger.add(record)

    def accept(
        self,
        method: str,
        path: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        now: float,
        connection: int = 0,
        came: float | None = None,
    ) -> Script:
        """The answer to a request, which is counted and recorded. `came`: when, if nobody read it then."""
        return self.respond(SimRequest(method, path, headers, body, self.ledger.request(), came), now, connection)

    def respond(self, request: SimRequest, now: float, connection: int = 0) -> Script:
        """The answer to a request that has an ordinal."""
        self.watch(request)
        self._at(now)
        path = request.path.partition("?")[0]
        operation, ask, refusal = self._read(request, path)
        key = self._key(request, ask)
        arrived = self._came(request, now)
        record = Record(self.upstream.name, request.ordinal, key, arrived, connection, request.method, path)
        record.model, record.stream, record.protocol = ask.model or None, ask.stream, operation.protocol
        record.asked = ask.asked
        chance = Chance(self.seed, self.upstream.name, key)
        exchange = self._exchange(operation, request, ask, chance, now)
        if ask.generates:
            try:
                exchange.compose(self.directions.said(request))
            except BadAsk as error:
                refusal = error
        script = self._answer(exchange, key, refusal, self.ledger.add(record))
        script.answering = self.answering
        return script

    def _exchange(self, operation: Operation, request: SimRequest, ask: Ask, chance: Chance, now: float) -> Exchange:
        return Exchange(self, operation, request, ask, chance, now)

    def _read(self, request: SimRequest, path: str) -> tuple[Operation, Ask, BadAsk | None]:
        """What is asked for, or what is wrong with it."""
        found = protocols.find(request.method, path)
        if found is None:
            unknown = protocols.UNKNOWN_MESSAGES if request.get(b"anthropic-version") else protocols.UNKNOWN
            return unknown, Ask(), BadAsk(f"Invalid URL ({request.method} {path})", status=404)
        operation, names = found
        try:
            ask = operation.read(request, names)
            if self.upstream.strict:
                strict.check(self.upstream, request, ask)
        except BadAsk as error:
            return operation, Ask(), error
        return operation, ask, None

    def _key(self, request: SimRequest, ask: Ask) -> str:
        """What the draws of a request hang on: the id that it carries, or what it asks for, and how often that has been
        asked for here; only if it asks for nothing, its place in the order of arrival. What a rehearsal asks is known
        by that alone, since some gateways make an id of their own each time."""
        given, asked = request.get(ID_HEADER), ask.asked
        if asked is not None and self.due(asked) is not None:
            given = None
        if given is None and asked is None:
            return str(request.ordinal)
        known = given or asked or ""
        self._seen[known] += 1
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return f"{given}.{self._seen[given]}" if given else attempt_key(known, self._seen[known])

    def _answer(self, x: Exchange, key: str, refusal: BadAsk | None, record: Record) -> Script:
        """Decides all of it at once; the steps are made as they are played."""
        try:
            if refusal is not None:
                raise refusal
            fate = self._fate(x, key)
            x.operation.check(x)
        except BadAsk as error:
            return Script(x.say(error.error), record)
        verdict = self.meter.admit(x.ask.prompt_tokens + x.tokens, x.now) if x.ask.inputs else ADMITTED
        x.levels = self.meter.levels(x.now)
        if verdict.dimension is not None:
            record.over, record.why = verdict.dimension, f"over the limit of {verdict.dimension}"
            return Script(self._noted(x, x.say(_over(verdict)), record), record)
        record.why = fate.why
        fault = fate.fault if fate.fault is not None and fate.fault.applies(x) else None
        if fault is not None:
            record.fault, record.harm = fault.text, fault.harm
        elif fate.fault is not None:
            record.why += f"; {fate.fault.text} does nothing to this request"
        if x.ask.generates and record.harm is not Harm.LOSS:
            self.directions.given()
        return _healthy(x, record) if fault is None else Script(self._noted(x, fault.play(x), record), record)

    def _noted(self, x: Exchange, steps: Iterator[Step], record: Record) -> Iterator[Step]:
        for step in steps:
            record.hint = x.hint
            yield step

    def _fate(self, x: Exchange, key: str) -> Fate:
        directed = self.directions.fault() if x.ask.inputs else None
        ordered = x.request.get(FAULT_HEADER)
        if ordered == "none":
            return Fate(None, "ordered by header")
        if ordered is not None:
            return Fate(_ordered(ordered), "ordered by header")
        if directed is not None:
            return Fate(directed, "as directed")
        if self.judge.idle:
            return CLEAN
        elapsed = self._came(x.request, x.now)
        port = self.judge.listener(elapsed)
        if port is not CLEAN:
            return port
        return self.judge.request(key, x.request.ordinal, self._moment(x.ask.asked, elapsed))

    def _came(self, request: SimRequest, now: float) -> float:
        """When a request came that is read now, in seconds since the start."""
        return (now if request.came is None else request.came) - self.start

    def _moment(self, asked: str | None, elapsed: float) -> float:
        """When a request counts as having come. A question of a rehearsal, a whole number of seconds after it was due:
        so a machine that is milliseconds later in one of two runs changes no fate."""
        due = None if asked is None else self.due(asked)
        return elapsed if due is None else due + round(max(0.0, elapsed - due))


def _ordered(text: str) -> Fault:
    """What a header orders. Raises BadAsk."""
    try:
        fault = grammar.fault(text)
    except grammar.GrammarError as error:
        raise BadAsk(str(error), FAULT_HEADER.decode()) from None
    if fault.strikes_at() is Layer.NAME:
        raise BadAsk(
            f"{text!r} strikes no request, which has found its way; write it into a scene", FAULT_HEADER.decode()
        )
    return fault


def _healthy(x: Exchange, record: Record) -> Script:
    """The answer, in one piece where all of it is due."""
    reply = x.reply()
    whole = reply.at_once(x.now)
    if whole is None:
        x.let_go()
        return Script(iter(()), record, reply=reply)
    return Script(iter((Send(whole),)), record, whole)


def _over(verdict: Verdict) -> Error:
    assert verdict.dimension is not None
    if verdict.never:
        return Error("toobig", 429, dimension=verdict.dimension)
    return Error("rate", 429, verdict.retry_after, verdict.dimension)


def providers(scenario: Scenario, start: float, epoch: float = CREATED) -> dict[str, Provider]:
    """All providers of a scenario, by name."""
    return {upstream.name: Provider(scenario, upstream.name, start, epoch) for upstream in scenario.upstreams}
