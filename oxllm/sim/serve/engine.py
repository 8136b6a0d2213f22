"""Providers without sockets: a request goes in, a script of timed bytes comes out.

No I/O and no clock: `now` is passed to each call, and the script says when its steps are due. So the same provider runs
behind real sockets and under a virtual clock.
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
"""Digits of a fingerprint in a key: enough to tell a run's questions apart, few enough to type."""
SEEN_MAX = 200_000
"""Questions whose attempts are counted; the oldest are forgotten."""
FAULT_HEADER = b"x-oxllm-sim"
"""A request with this header gets the fault that it names, whatever the scenes say; `none` = a healthy answer."""
ID_HEADER = b"x-request-id"
"""A request with this header has its draws keyed by it, not by what it asks for."""


def attempt_key(asked: str, time: int) -> str:
    """The key of the `time`-th attempt at a provider to ask what has this fingerprint."""
    return f"{asked[:KEY_DIGITS]}.{time}"


class Script:
    """The steps of one answer. Its player keeps `record` up to date.

    A healthy answer has a shorter form: `at_once`, all of its bytes, if all are due; else `reply`.
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
        """The provider's counter, which includes this answer while it is played."""
        self.record = record
        self.reply = reply

    def __iter__(self) -> Iterator[Step]:
        return self._steps if self.reply is None else Tape(self.reply).rest()


class Provider:
    """One simulated provider. One class, since each request needs its limits, faults and ledger together.

    `start` is the time from which the scenes count, and may be moved when they begin; `epoch` is the date at the first
    `start`."""

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
        """Called with every request."""
        self.due: Callable[[str], float | None] = lambda _asked: None
        """Fingerprint -> when a rehearsal's question was due, in seconds since the start; None if it is not one."""
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
        """Replace the faults (of all scenes), the pace or the limit, until the next patch or for `ttl` seconds. A patch
        with none of them reverts the last one."""
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
        """Seconds since the start. Reverts a patch that has expired by then: call it before you read `judge`."""
        if now >= self._patched_until:
            self._revert()
        return now - self.start

    def connect(self, now: float) -> tuple[int, Script | None]:
        """Count a connection; returns its ordinal, and the script of the fault that strikes it, if any."""
        ordinal = self.ledger.connection()
        elapsed = self.elapsed(now)
        fate = self.judge.connection(ordinal, elapsed)
        if fate.fault is None:
            return ordinal, None
        assert isinstance(fate.fault, ConnectionFault), "only these are of that layer"
        record = self._struck(fate, f"connection {ordinal}", elapsed, ordinal)
        return ordinal, Script(fate.fault.strike(now), record)

    def handshake(self, now: float) -> Fault | None:
        """Count a TLS handshake; returns the fault that strikes it."""
        ordinal = self.ledger.handshake()
        elapsed = self.elapsed(now)
        fate = self.judge.handshake(ordinal, elapsed)
        if fate.fault is not None:
            self._struck(fate, f"handshake {ordinal}", elapsed, 0).end = fate.fault.kind
        return fate.fault

    def listener(self, now: float) -> Fault | None:
        """The fault that the port has now: refuse or blackhole@connect."""
        elapsed = self.elapsed(now)
        return self.judge.listener(elapsed).fault

    def dialect(self, protocol: str) -> OpenAI:
        """Its dialect in a protocol."""
        return dialects.load(self._own.dialect, protocol)

    def dark(self, now: float) -> bool:
        """Whether the port answers nobody now."""
        return self.listener(now) is not None

    def next_change(self, now: float) -> float:
        """When `listener` may next change; infinite if never."""
        elapsed = self.elapsed(now)
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
        """Count and record a request; returns the answer. `came`: when it arrived, if that was before it was read."""
        return self.respond(SimRequest(method, path, headers, body, self.ledger.request(), came), now, connection)

    def respond(self, request: SimRequest, now: float, connection: int = 0) -> Script:
        """The answer to a request that was counted."""
        self.watch(request)
        self.elapsed(now)  # an expired patch must not strike it
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
        """The key of a request's draws: the id that it carries, else its fingerprint, with how often that was seen
        here; if it has neither, its ordinal. For a rehearsal's question the id is ignored, since some gateways make a
        new one for each attempt."""
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
        """Decides everything at once; the steps are generated as they are played."""
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
        """When a request that is read now arrived, in seconds since the start."""
        return (now if request.came is None else request.came) - self.start

    def _moment(self, asked: str | None, elapsed: float) -> float:
        """The time of arrival that scenes go by. For a rehearsal's question it is rounded to whole seconds after it was
        due, so that a machine that is milliseconds slower in one of two runs changes no fate."""
        due = None if asked is None else self.due(asked)
        return elapsed if due is None else due + round(max(0.0, elapsed - due))


def _ordered(text: str) -> Fault:
    """The fault that a header requests. Raises BadAsk."""
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
    """The healthy answer, in one piece if all of it is due."""
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
