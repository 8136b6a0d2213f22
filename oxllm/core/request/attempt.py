"""One request to one target: its phase (`phases` has the table), its clocks, and its response as it is read.

The attempt is fed what arrives, and sets `verdict` once it knows its result. The exchange decides what follows:
whether to commit, to fail over or to end it.
"""

from __future__ import annotations

from math import inf
from typing import Final

import msgspec

from oxllm import plan
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import NOTHING_READ, Protocol, Reader, content_type
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.request import headers
from oxllm.core.request.alarm import Alarm
from oxllm.core.request.belief import reveals
from oxllm.core.request.clock import Clock
from oxllm.core.request.error_reader import ErrorReader, MisplacedReader
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.phases import (
    COMMIT,
    COMMITTED,
    CONNECT,
    CONNECTING,
    CONTENT,
    DRAINING,
    END,
    LINGER,
    OVER,
    RECONNECT,
    TABLE,
    WAITING,
    AttemptEvent,
)
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.ticket import Ticket
from oxllm.core.wire.sse import EVENT_MAX
from oxllm.plan import ANY

LINGER_S: Final = 2.0
"""How long we wait for the end of the body once the answer is whole."""
ERROR_STALL_S: Final = 2.0
"""How long an error body may stall. The client is waiting, and the head and the part that came say enough."""
PREAMBLE_MAX: Final = EVENT_MAX + 64 * 1024
"""Bytes of a stream before its first content: role events, filter results, and an incomplete event behind them."""
NEVER: Final = -inf


class Attempt:
    """One request to one target: one class, since what it reads sets its clocks. `Exchange` decides what follows."""

    __slots__ = (
        "_alarm",
        "_gaps",
        "_ready",
        "_worked",
        "by_session",
        "candidate",
        "clock",
        "commit_at",
        "content_at",
        "facts",
        "head_bytes",
        "headers",
        "hedge_at",
        "last_content_at",
        "model",
        "number",
        "phase",
        "queued",
        "read_at",
        "reader",
        "route",
        "sent_at",
        "share_at",
        "started",
        "status",
        "target",
        "ticket",
        "verdict",
    )

    def __init__(
        self,
        number: int,
        ticket: Ticket,
        facts: RequestFacts,
        route: Route,
        alarm: Alarm,
        now: float,
        share_at: float = inf,
        by_session: bool = False,
    ) -> None:
        candidate = ticket.candidate
        target = candidate.state
        self.number = number
        """1 for the first attempt of a client request."""
        self.by_session = by_session
        """Its target was preferred to others because of the session."""
        self.candidate: Candidate = candidate
        self.model = target.model
        """The model name that is sent to the provider."""
        self.target = target.name
        """`provider/model`, for messages."""
        if target.model == ANY:
            self.model, self.target = facts.model, f"{target.provider.name}/{facts.model}"
        self.ticket = ticket
        self.facts = facts
        self.route = route
        self.phase = CONNECTING
        # When what is due, in loop time; `inf` for what is not.
        self.started = now
        self.queued = False
        """Its connection waits for its turn to shake hands: whatever that takes is no fault of the provider."""
        self.clock = Clock(alarm, now + candidate.timeouts.connect)
        """Says when this phase times out."""
        self.share_at = alarm.by(share_at)
        """When it has used half of the time that the request had left at its start: another may run beside it."""
        self.hedge_at = self.commit_at = inf
        """When to start a hedge; when its content has been held back for long enough."""
        self.sent_at = now
        """When the last byte of the request was sent."""
        self.read_at = NEVER
        """When bytes of the body last arrived before the commit."""
        self.content_at: float | None = None
        self.last_content_at = 0.0
        """When the client was last sent content, or reading was resumed; 0 before the commit."""
        self._alarm = alarm
        # Its response.
        self.status = self.head_bytes = 0
        """`head_bytes`: what the memory budget counts of the response's head, of what has come or is kept of it."""
        self.headers: Headers = ()
        """Those fields of the response head that are needed to pass it on; empty from the commit on."""
        self.reader: Reader = NOTHING_READ
        self.verdict: Outcome | None = None
        """Its result; None while there is more to come."""
        self._gaps = route.counters.gap
        self._ready = bytearray()
        """Bytes for the client, held until the commit."""
        self._worked = 0
        """Signs of work seen so far (`Reader.working`)."""

    def __repr__(self) -> str:
        return f"<Attempt {self.number} {self.target} {self.phase.name} {self.status or '-'} {self.pending} B held>"

    @property
    def pending(self) -> int:
        """Bytes read but not yet passed on: what is held, and what the reader keeps of an incomplete event or body."""
        return 0 if self.phase in OVER else self.head_bytes + len(self._ready) + self.reader.pending

    @property
    def wake_at(self) -> float:
        """When its earliest clock is due."""
        first = self.clock.at
        if self.phase is COMMITTED or self.phase is DRAINING:
            return first
        if self.share_at < first:  # noqa: PLR1730  min() takes longer by far
            first = self.share_at
        if self.hedge_at < first:  # noqa: PLR1730
            first = self.hedge_at
        if self.commit_at < first:  # noqa: PLR1730
            first = self.commit_at
        return first

    # What happens to it.

    def connected(self, now: float) -> None:
        """It has a connection, and starts to send its request."""
        if self.phase is CONNECTING:
            self.move(CONNECT)
        self.sent(now)

    def waits(self, yes: bool, now: float) -> None:
        """Its connection has to wait until fewer of ours shake hands, or need not any more. Then its time to connect
        begins."""
        self.queued = yes
        if not yes and self.phase is CONNECTING:
            self.clock.allow(self.candidate.timeouts.connect, now)

    def reconnecting(self, now: float) -> None:
        """The pooled connection was dead. Its replacement gets a full connect timeout."""
        if self.phase is WAITING:
            self.move(RECONNECT)
        self.clock.allow(self.candidate.timeouts.connect, now)

    def sent(self, now: float) -> None:
        """A part of the request was sent, maybe the last. Each part restarts the provider's clock."""
        if self.phase is WAITING and self.status == 0:
            times = self.candidate.timeouts
            self.sent_at = now
            self.clock.allow(times.first_byte if self.facts.stream else times.answer, now)

    def head(self, status: int, fields: Headers, now: float, wall: float) -> None:
        """The response head has arrived. `wall`: seconds since the epoch, for hints that are dates."""
        if self.phase is not WAITING:
            return
        self.status, self.headers = status, headers.kept(fields)
        protocol, asked, provider = self.facts.protocol, self.facts.asked, self.candidate.plan
        if not 200 <= status < 300:
            self.reader = ErrorReader(protocol, asked, status, fields, wall, provider.api_key)
            self.clock.limit_silence(ERROR_STALL_S, now)
        elif (verdict := protocol.check_head(status, fields, asked)) is not None:
            self.verdict = verdict
        elif not asked.stream:
            self.reader = protocol.plain_reader(_asked_of(asked, provider), fields, wall)
            self.clock.limit_silence(self.candidate.timeouts.idle, now)
        elif content_type(fields) == b"application/json":
            self.reader = MisplacedReader(protocol, asked, status, fields, wall, provider.api_key)
            self.clock.limit_silence(ERROR_STALL_S, now)
        else:
            self.reader = _stream_reader(protocol, asked, provider, fields, wall)

    def data(self, data: bytes, now: float) -> bytes:
        """A part of the response body. Returns what may go to the client now: nothing before the commit."""
        clock, reader = self.clock, self.reader
        if clock.silence is not None:  # it comes later than before, so the alarm need not know
            clock.at = now + clock.silence
        before = reader.content
        ready = reader.feed(data)
        if self.phase is not COMMITTED:
            self._collect(ready, now)
            return b""
        if reader.content != before:
            self._gaps.observe(now - self.last_content_at, reader.content - before - 1)
            self.last_content_at = now
        if reader.complete or reader.failure is not None or clock.silence is None:
            self._judge(now, bool(ready))
            if reader.told:
                return _but_for_our_key(ready, reader, self.candidate.plan.api_key)
        return ready

    def end(self) -> None:
        """The response has ended as its framing says."""
        failure = self.reader.eof()
        self.verdict = self.reader.result if failure is None else failure

    def broke_off(self, why: Outcome) -> None:
        """The response broke off. `why`: the result, unless what came says more."""
        self.verdict = self.reader.broke_off(why)

    def release(self, now: float) -> None:
        """Memory is short: make what was held ready to commit, if it is the start of an answer."""
        if self.phase is WAITING:
            self._collect(self.reader.release(), now)

    def pause(self, now: float) -> None:
        """We stop reading the provider, so its silence is not its fault."""
        if self.phase not in OVER:
            self.clock.stop(now)

    def resume(self, now: float) -> None:
        """The provider is read again."""
        if self.phase not in OVER:
            self.clock.go_on(now)
            self.last_content_at = now

    # What the exchange does to it.

    def move(self, event: AttemptEvent) -> None:
        """Go to the phase that `event` leads to."""
        self.phase = TABLE.move(self.phase, event)

    def commit(self, now: float) -> bytes:
        """Commit to this attempt. Returns what was held."""
        self.move(COMMIT)
        self.last_content_at = now
        self.headers, self.head_bytes = (), 0
        ready = bytes(self._ready)
        self._ready.clear()
        return ready

    def linger(self, now: float) -> None:
        """Give the provider a moment to end its body, so that the connection can be reused."""
        self.move(LINGER)
        self.clock.at = self._alarm.by(now + LINGER_S)

    def close(self) -> None:
        """Drop what it holds, and whatever may still arrive."""
        self.move(END)
        self.headers = ()
        self._ready.clear()

    # Reading.

    def _collect(self, ready: bytes, now: float) -> None:
        """Hold what was read before the commit, and judge it."""
        self.read_at = now
        reader = self.reader
        self._ready += _but_for_our_key(ready, reader, self.candidate.plan.api_key) if reader.told else ready
        if reader.content:
            if self.phase is WAITING:
                self.move(CONTENT)
                self.content_at = now
                self.clock.limit_silence(self.candidate.timeouts.idle, now)
                if self.route.hold_back.seconds:
                    self.commit_at = self._alarm.by(now + self.route.hold_back.seconds)
        elif len(self._ready) + reader.pending > PREAMBLE_MAX:
            self.verdict = Outcome(Kind.BAD_ANSWER, "over 1 MiB without content")
        elif reader.working != self._worked:  # comments and pings do not count as work
            self._worked = reader.working
            times = self.candidate.timeouts
            self.clock.allow(min(self.sent_at + times.answer - now, times.idle), now)
        self._judge(now, bool(ready))

    def _judge(self, now: float, news: bool) -> None:
        """Check whether the answer is whole or broken. `news`: this read has something for the client."""
        reader = self.reader
        if not reader.complete:
            if reader.failure is not None:
                self.verdict = reader.failure
            elif self.clock.silence is None and self.phase is not WAITING:  # it was whole, and another part has begun
                self.clock.limit_silence(self.candidate.timeouts.idle, now)
        elif reader.finished or reader.failure is not None:
            self.verdict = reader.result
        elif news:  # heartbeats behind the answer do not count: they could hold the client for ever
            self.clock.silence = None
            self.clock.allow(LINGER_S, now)


def _but_for_our_key(ready: bytes, reader: Reader, key: str | None) -> bytes:
    """`ready`, which ends with an error event in the provider's words, without that event if it contains our key."""
    before, end, told = ready.removesuffix(b"\n\n").rpartition(b"\n\n")
    if not reveals(told, key):
        return ready
    reader.told = False
    return before + end


def _stream_reader(protocol: Protocol, asked: Asked, provider: plan.Provider, fields: Headers, wall: float) -> Reader:
    """The reader for a provider's stream."""
    asked = _asked_of(asked, provider)
    return protocol.stream_reader(asked, fields, provider.usage_in_stream and not asked.wants_usage, wall)


def _asked_of(asked: Asked, provider: plan.Provider) -> Asked:
    """What the provider is really asked for: `n` in its `extra_body` overrides the client's."""
    extra = provider.extra_body
    own = extra.get("n", "") if extra else ""
    return msgspec.structs.replace(asked, choices=int(own)) if own.isdigit() else asked
