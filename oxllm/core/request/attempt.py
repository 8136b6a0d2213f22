"""One request to one target: its phase, its clocks, and its response as it is read.

The phases, and what moves an attempt from one to the next:

    CONNECTING  a connection is being made or taken from the pool     clock: connect
    WAITING     the request goes out, nothing usable has come         clock: first_byte (stream) or answer
    HOLDING     content has come, the client has none of it           clock: idle
    COMMITTED   the client has content; no other target is used       clock: idle
    DRAINING    the client has its whole answer; the provider may     clock: 2 s
                still end its body, so that the connection can be reused
    ENDED       its ticket is settled; whatever arrives is dropped

DNS, connection and TLS are CONNECTING; a status line alone does not leave WAITING, since a provider that
sends a head and then nothing has not answered.

What arrives is told to the attempt, and it says what has become of it: an Outcome, or None while there is more to come.
Its end, its commit and what else follows are up to the exchange.
"""

from __future__ import annotations

from math import inf
from typing import Final

import msgspec

from oxllm import plan
from oxllm.core import machine
from oxllm.core.machine import Table
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import NOTHING_READ, Protocol, Reader, content_type
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.request import headers
from oxllm.core.request.alarm import Alarm
from oxllm.core.request.belief import reveals
from oxllm.core.request.error_reader import ErrorReader, MisplacedReader
from oxllm.core.request.facts import RequestFacts
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.ticket import Ticket
from oxllm.core.wire.sse import EVENT_MAX
from oxllm.plan import ANY

LINGER_S: Final = 2.0
"""How long a provider that has sent a whole answer may keep its body open before we stop waiting for its end."""
ERROR_STALL_S: Final = 2.0
"""How long an error body may be silent. The client waits, and its head and what has come of it say enough."""
PREAMBLE_MAX: Final = EVENT_MAX + 64 * 1024
"""Bytes of a stream without content: role events, filter results, and the event behind them that is not whole."""
NEVER: Final = -inf


class AttemptPhase(machine.State):
    """Where an attempt is."""

    CONNECTING = "connecting"
    WAITING = "waiting"
    HOLDING = "holding"
    COMMITTED = "committed"
    DRAINING = "draining"
    ENDED = "ended"


CONNECTING: Final[AttemptPhase] = AttemptPhase.CONNECTING  # on 3.11 each look at an Enum's member takes 0.1 µs
WAITING: Final[AttemptPhase] = AttemptPhase.WAITING
HOLDING: Final[AttemptPhase] = AttemptPhase.HOLDING
COMMITTED: Final[AttemptPhase] = AttemptPhase.COMMITTED
DRAINING: Final[AttemptPhase] = AttemptPhase.DRAINING
ENDED: Final[AttemptPhase] = AttemptPhase.ENDED


class AttemptEvent(machine.Event):
    """What can happen to an attempt."""

    CONNECT = "a connection is there"
    RECONNECT = "it was dead, another one is made"
    CONTENT = "content has come"
    COMMIT = "the client gets what was held"
    LINGER = "the client has it all"
    END = "nothing more is read"


CONNECT: Final[AttemptEvent] = AttemptEvent.CONNECT
RECONNECT: Final[AttemptEvent] = AttemptEvent.RECONNECT
CONTENT: Final[AttemptEvent] = AttemptEvent.CONTENT
COMMIT: Final[AttemptEvent] = AttemptEvent.COMMIT
LINGER: Final[AttemptEvent] = AttemptEvent.LINGER
END: Final[AttemptEvent] = AttemptEvent.END

TABLE: Final = Table(
    {
        (CONNECTING, CONNECT): WAITING,
        (CONNECTING, END): ENDED,
        (WAITING, RECONNECT): CONNECTING,  # once, if the connection from the pool was dead
        (WAITING, CONTENT): HOLDING,
        (WAITING, END): ENDED,
        (HOLDING, COMMIT): COMMITTED,
        (HOLDING, END): ENDED,
        (COMMITTED, LINGER): DRAINING,
        (COMMITTED, END): ENDED,
        (DRAINING, END): ENDED,
    }
)
"""Every move there is."""
OVER: Final = frozenset((DRAINING, ENDED))
"""Whatever arrives changes nothing more for the client."""


class Attempt:
    """One request to one target: one class, since its clocks go by what it reads. `Exchange` decides what follows."""

    __slots__ = (
        "_alarm",
        "_gaps",
        "_left",
        "_ready",
        "_worked",
        "by_session",
        "candidate",
        "clock",
        "commit_at",
        "content_at",
        "facts",
        "headers",
        "hedge_at",
        "last_content_at",
        "model",
        "number",
        "phase",
        "read_at",
        "reader",
        "route",
        "sent_at",
        "share_at",
        "silence",
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
        """Its target was preferred to others for the sake of the session."""
        self.candidate: Candidate = candidate
        self.model = target.model
        """What its provider is asked for."""
        self.target = target.name
        """`provider/model`, for messages."""
        if target.model == ANY:
            self.model, self.target = facts.model, f"{target.provider.name}/{facts.model}"
        self.ticket = ticket
        self.facts = facts
        self.route = route
        self.phase = CONNECTING
        # Its clocks, in loop time; `inf` for one that does not run.
        self.started = now
        self.clock = alarm.by(now + candidate.timeouts.connect)
        """When this phase has lasted too long; `inf` while nobody reads."""
        self.share_at = alarm.by(share_at)
        """When it has used half of the client's time."""
        self.hedge_at = inf
        """When another attempt is to run beside it."""
        self.commit_at = inf
        """When what it holds has been held back for long enough."""
        self.sent_at = now
        """When the last byte of the request had gone."""
        self.read_at = NEVER
        """When something came last before the commit."""
        self.content_at: float | None = None
        self.last_content_at = 0.0
        """When its client was last sent content, or its provider was read again; 0 before the commit."""
        self.silence: float | None = None
        """Seconds that it may be silent between two reads; None while a clock runs that reads do not set back."""
        self._left = inf
        """Seconds that `clock` will have once its provider is read again."""
        self._alarm = alarm
        # Its response.
        self.status = 0
        self.headers: Headers = ()
        """Of its head, until the commit: those that may pass."""
        self.reader: Reader = NOTHING_READ
        self.verdict: Outcome | None = None
        """What has become of it; None while there is more to come."""
        self._gaps = route.counters.gap
        self._ready = bytearray()
        """What is ready for the client but not yet committed to."""
        self._worked = 0
        """Signs of work that were seen."""

    def __repr__(self) -> str:
        return f"<Attempt {self.number} {self.target} {self.phase.name} {self.status or '-'} {self.pending} B held>"

    @property
    def pending(self) -> int:
        """Bytes read that the client has none of yet: what is held, and what is not whole."""
        return 0 if self.phase in OVER else len(self._ready) + self.reader.pending

    @property
    def wake_at(self) -> float:
        """When the first of its clocks is due."""
        first = self.clock
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
        """It has a connection, and its request begins to go out."""
        if self.phase is CONNECTING:
            self.move(CONNECT)
        self.sent(now)

    def reconnecting(self, now: float) -> None:
        """The connection had been idle and was dead. A new one has the same time to be made as any other."""
        if self.phase is WAITING:
            self.move(RECONNECT)
        self._allow(self.candidate.timeouts.connect, now)

    def sent(self, now: float) -> None:
        """More of the request has gone, or its last byte: from then on the provider has its time. While it takes the
        request it has that time for each part."""
        if self.phase is WAITING and self.status == 0:
            times = self.candidate.timeouts
            self.sent_at = now
            self._allow(times.first_byte if self.facts.stream else times.answer, now)

    def head(self, status: int, fields: Headers, now: float, wall: float) -> None:
        """The response head is there. `wall`: seconds since the epoch, for hints that are dates."""
        if self.phase is not WAITING:
            return
        self.status, self.headers = status, headers.kept(fields)
        protocol, asked, provider = self.facts.protocol, self.facts.asked, self.candidate.plan
        if not 200 <= status < 300:
            self.reader = ErrorReader(protocol, asked, status, fields, wall, provider.api_key)
            self.silence = ERROR_STALL_S
        elif (verdict := protocol.check_head(status, fields, asked)) is not None:
            self.verdict = verdict
        elif not asked.stream:
            self.reader = protocol.plain_reader(_asked_of(asked, provider), fields, wall)
            self.silence = self.candidate.timeouts.idle
        elif content_type(fields) == b"application/json":
            self.reader = MisplacedReader(protocol, asked, status, fields, wall, provider.api_key)
            self.silence = ERROR_STALL_S
        else:
            self.reader = _stream_reader(protocol, asked, provider, wall)
        if self.silence is not None:
            self._allow(self.silence, now)

    def data(self, data: bytes, now: float) -> bytes:
        """A part of the response body: what the client may have now. Before the commit it is held."""
        if self.silence is not None:
            self.clock = now + self.silence
        reader = self.reader
        before = reader.content
        ready = reader.feed(data)
        if self.phase is not COMMITTED:
            self._collect(ready, now)
            return b""
        if reader.content != before:
            self._gaps.observe(now - self.last_content_at, reader.content - before - 1)
            self.last_content_at = now
        if reader.complete or reader.failure is not None or self.silence is None:
            self._judge(now, bool(ready))
            if reader.told:
                return _but_for_our_key(ready, reader, self.candidate.plan.api_key)
        return ready

    def end(self) -> None:
        """The response is whole as its framing goes."""
        failure = self.reader.eof()
        self.verdict = self.reader.result if failure is None else failure

    def broke_off(self, why: Outcome) -> None:
        """Its response stopped coming before its end. `why`: what that is, unless what came says more."""
        self.verdict = self.reader.broke_off(why)

    def release(self, now: float) -> None:
        """There is no memory to hold more of the answer: what there is may go out, if it begins one."""
        if self.phase is WAITING:
            self._collect(self.reader.release(), now)

    def pause(self, now: float) -> None:
        """Nobody reads the provider now: its silence is ours."""
        if self.phase not in OVER:
            self._left = self.clock - now
            self.clock = inf

    def resume(self, now: float) -> None:
        """The provider is read again."""
        if self.phase not in OVER:
            self.clock = self._alarm.by(now + self._left)
            self.last_content_at = now

    # What the exchange does to it.

    def move(self, event: AttemptEvent) -> None:
        """Go to the phase that `event` leads to."""
        self.phase = TABLE.move(self.phase, event)

    def commit(self, now: float) -> bytes:
        """Its answer is the client's: what was held of it."""
        self.move(COMMIT)
        self.last_content_at = now
        self.headers = ()
        ready = bytes(self._ready)
        self._ready.clear()
        return ready

    def linger(self, now: float) -> None:
        """Leave the provider a moment to end its body, so that the connection can be used again."""
        self.move(LINGER)
        self.clock = self._alarm.by(now + LINGER_S)

    def close(self) -> None:
        """Drop what it holds, and whatever comes."""
        self.move(END)
        self._ready.clear()

    # Reading.

    def _collect(self, ready: bytes, now: float) -> None:
        """Keep what was read before the commit, and see what it is."""
        self.read_at = now
        reader = self.reader
        self._ready += _but_for_our_key(ready, reader, self.candidate.plan.api_key) if reader.told else ready
        if reader.content:
            if self.phase is WAITING:
                self.move(CONTENT)
                self.content_at = now
                self.silence = self.candidate.timeouts.idle
                self._allow(self.silence, now)
                if self.route.hold_back.seconds:
                    self.commit_at = self._alarm.by(now + self.route.hold_back.seconds)
        elif len(self._ready) + reader.pending > PREAMBLE_MAX:
            self.verdict = Outcome(Kind.BAD_ANSWER, "over 1 MiB without content")
        elif reader.working != self._worked:  # comments and pings alone are no work
            self._worked = reader.working
            times = self.candidate.timeouts
            self._allow(min(self.sent_at + times.answer - now, times.idle), now)
        self._judge(now, bool(ready))

    def _judge(self, now: float, news: bool) -> None:
        """See whether the answer is whole or broken."""
        reader = self.reader
        if not reader.complete:
            if reader.failure is not None:
                self.verdict = reader.failure
            elif self.silence is None and self.phase is not WAITING:  # it was whole, and has begun another part
                self.silence = self.candidate.timeouts.idle
                self._allow(self.silence, now)
        elif reader.finished or reader.failure is not None:
            self.verdict = reader.result
        elif news:  # a heartbeat behind the answer is none: a provider could hold its client with them for ever
            self.silence = None
            self._allow(LINGER_S, now)

    def _allow(self, seconds: float, now: float) -> None:
        """So long may this phase last: while nobody reads, from the time on that somebody does."""
        if self.clock == inf:
            self._left = seconds
        else:
            self.clock = self._alarm.by(now + seconds)


def _but_for_our_key(ready: bytes, reader: Reader, key: str | None) -> bytes:
    """What ends in a failure in the provider's own words: without those if they say our key."""
    before, end, told = ready.removesuffix(b"\n\n").rpartition(b"\n\n")
    if not reveals(told, key):
        return ready
    reader.told = False
    return before + end


def _stream_reader(protocol: Protocol, asked: Asked, provider: plan.Provider, wall: float) -> Reader:
    """A reader for a stream of a provider."""
    asked = _asked_of(asked, provider)
    return protocol.stream_reader(asked, provider.usage_in_stream and not asked.wants_usage, wall)


def _asked_of(asked: Asked, provider: plan.Provider) -> Asked:
    """What a provider is asked for, whose config may ask for other things than the client has."""
    extra = provider.extra_body
    own = extra.get("n", "") if extra else ""
    return msgspec.structs.replace(asked, choices=int(own)) if own.isdigit() else asked
