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
from oxllm.core import machine, outcome
from oxllm.core.error_reader import ErrorReader, MisplacedReader
from oxllm.core.hints import Headers
from oxllm.core.machine import Table, move
from oxllm.core.outcome import Failure, Kind, Outcome
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import NOTHING_READ, Endpoint, Protocol, Reader, content_type
from oxllm.core.route import Candidate
from oxllm.core.shape import Value
from oxllm.core.sse import EVENT_MAX
from oxllm.core.stats import Histogram
from oxllm.core.ticket import Ticket

LINGER_S: Final = 2.0
"""How long a provider that has sent a whole answer may keep its body open before we stop waiting for its end."""
ERROR_STALL_S: Final = 2.0
"""How long an error body may be silent: its head and what came of it will do, and the client waits."""
ALIVE_S: Final = 30.0
"""A host from which something came in so many last seconds is alive. Providers send heartbeats each 10 to 20 s."""
PREAMBLE_MAX = EVENT_MAX + 64 * 1024
"""Bytes of a stream without content: role events, filter results, and the event behind them that is not whole."""


class Phase(machine.State):
    """Where an attempt is."""

    CONNECTING = "connecting"
    WAITING = "waiting"
    HOLDING = "holding"
    COMMITTED = "committed"
    DRAINING = "draining"
    ENDED = "ended"


CONNECTING: Final[Phase] = Phase.CONNECTING  # on 3.11 each look at an Enum's member takes 0.1 µs
WAITING: Final[Phase] = Phase.WAITING
HOLDING: Final[Phase] = Phase.HOLDING
COMMITTED: Final[Phase] = Phase.COMMITTED
DRAINING: Final[Phase] = Phase.DRAINING
ENDED: Final[Phase] = Phase.ENDED


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

TABLE: Final[Table[Phase, AttemptEvent]] = {
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
"""Every move there is."""


class Facts(Value, frozen=True):
    """What the core needs to know of a client's request."""

    protocol: Protocol
    endpoint: Endpoint
    asked: Asked
    request_id: str = ""
    timeout: float | None = None
    """Seconds after which the client says it will not wait any more."""
    kept: bool = False
    """It is about an answer that some provider keeps: whoever cannot be asked may be the one."""
    model: str = ""
    """The name that the client sent; what a target sends that takes any name."""
    session: int | None = None
    """Which session it belongs to, if one of several targets may be preferred for that."""


class Attempt:
    """One request to one target, in one class, since all that arrives moves the same phase and the same clocks.

    It reads; `Exchange` decides what comes of it.
    """

    __slots__ = (
        "_gaps",
        "_held",
        "_held_bytes",
        "_left",
        "_read_at",
        "_sent_at",
        "_silence",
        "_worked",
        "by_session",
        "candidate",
        "clock",
        "commit_at",
        "content_at",
        "facts",
        "headers",
        "heard",
        "hedge_at",
        "hold_back",
        "model",
        "number",
        "phase",
        "reader",
        "share_at",
        "started",
        "status",
        "ticket",
        "verdict",
    )

    def __init__(
        self,
        number: int,
        candidate: Candidate,
        ticket: Ticket,
        facts: Facts,
        hold_back: plan.HoldBack,
        gaps: Histogram,
        now: float,
    ) -> None:
        self.number = number
        """1 for the first attempt of a client request."""
        model = candidate.state.model
        self.model = facts.model if model == plan.ANY else model
        """What its provider is asked for."""
        self.by_session = False
        """Its target was preferred to others for the sake of the session."""
        self.candidate = candidate
        self.ticket = ticket
        self.facts = facts
        self.hold_back = hold_back
        self.phase = CONNECTING
        self.started = now
        self.clock = now + candidate.timeouts.connect
        """When this phase has lasted too long, in loop time; `inf` while nobody reads."""
        self.share_at = inf
        """When it has used half of the client's time."""
        self.hedge_at = inf
        """When another attempt is to run beside it."""
        self.commit_at = inf
        """When what it holds has been held back for long enough."""
        self.content_at: float | None = None
        self.heard = 0.0
        """When its client was last sent content, or its provider was read again; 0 before the commit."""
        self.status = 0
        self.headers: Headers = ()
        self.reader: Reader = NOTHING_READ
        self.verdict: Outcome | None = None
        """What has become of it; None while there is more to come."""
        self._gaps = gaps
        self._held: list[bytes] = []
        """What is ready for the client but not yet committed to."""
        self._held_bytes = 0
        self._silence: float | None = None
        """Seconds that it may be silent between two reads; None while a clock runs that reads do not set back."""
        self._worked = 0
        """Signs of work that were seen."""
        self._sent_at = now
        self._read_at = -inf
        self._left = inf
        """Seconds that `clock` had left when it was paused."""

    def __repr__(self) -> str:
        return f"<Attempt {self.number} {self.target} {self.phase.name} {self.status or '-'} {self.pending} B held>"

    @property
    def target(self) -> str:
        """`provider/model`, for messages."""
        return f"{self.candidate.state.provider.name}/{self.model}"

    @property
    def over(self) -> bool:
        """Whatever arrives changes nothing more for the client."""
        return self.phase is ENDED or self.phase is DRAINING

    @property
    def pending(self) -> int:
        """Bytes read that the client has none of yet: what is held, and what is not whole."""
        return 0 if self.over else self._held_bytes + self.reader.pending

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
        self.clock = now + self.candidate.timeouts.connect

    def sent(self, now: float) -> None:
        """The last byte of the request has gone: the provider's time starts."""
        if self.phase is WAITING and self.status == 0:
            times = self.candidate.timeouts
            self._sent_at = now
            self.clock = now + (times.first_byte if self.facts.asked.stream else times.answer)

    def head(self, status: int, fields: Headers, now: float, wall: float) -> None:
        """The response head is there. `wall`: seconds since the epoch, for hints that are dates."""
        if self.phase is not WAITING:
            return
        self.status, self.headers = status, fields
        facts = self.facts
        if not 200 <= status < 300:
            self.reader = ErrorReader(facts.protocol, facts.asked, status, fields, wall)
            self._silence = ERROR_STALL_S
        elif (verdict := facts.protocol.check_head(status, fields, facts.asked)) is not None:
            self.verdict = verdict
        elif facts.asked.stream and content_type(fields) == b"application/json":
            self.reader = MisplacedReader(facts.protocol, facts.asked, status, fields, wall)
            self._silence = ERROR_STALL_S
        elif facts.asked.stream:
            self.reader = self._stream_reader(wall)
        else:
            self.reader = facts.protocol.plain_reader(facts.asked, fields, wall)
            self._silence = self.candidate.timeouts.idle
        if self._silence is not None:
            self.clock = now + self._silence

    def data(self, data: bytes, now: float) -> bytes:
        """A part of the response body: what the client may have now. Before the commit it is held."""
        if self._silence is not None:
            self.clock = now + self._silence
        reader = self.reader
        before = reader.content
        ready = reader.feed(data)
        if self.phase is not COMMITTED:
            self._hold(ready, now)
            return b""
        if reader.content != before:
            self._gaps.observe(now - self.heard, reader.content - before - 1)
            self.heard = now
        if reader.complete or reader.failure is not None or self._silence is None:
            self._judge(now, bool(ready))
        return ready

    def end(self) -> None:
        """The response is whole as its framing goes."""
        failure = self.reader.eof()
        self.verdict = self.reader.result if failure is None else failure

    def failed(self, failure: Failure, early: bool, detail: str) -> None:
        """Its connection failed. `early`: before any byte of the response."""
        self.verdict = self.reader.broke_off(outcome.network(failure, early, detail))

    def late(self, now: float) -> None:
        """Its clock has struck."""
        self.verdict = self.reader.broke_off(self._timeout(now))

    def release(self, now: float) -> None:
        """There is no memory to hold more of the answer: what there is may go out, if it begins one."""
        if self.phase is WAITING:
            self._hold(self.reader.release(), now)

    def pause(self, now: float) -> None:
        """Nobody reads the provider now: its silence is ours."""
        if not self.over:
            self._left = self.clock - now
            self.clock = inf

    def resume(self, now: float) -> None:
        """The provider is read again."""
        if not self.over:
            self.clock = now + self._left
            self.heard = now

    # What the exchange does to it.

    def move(self, event: AttemptEvent) -> None:
        """Go to the phase that `event` leads to."""
        self.phase = move(TABLE, self.phase, event)

    def commit(self, now: float) -> bytes:
        """Its answer is the client's: what was held of it."""
        self.move(COMMIT)
        self.heard = now
        self.headers = ()
        return self._flush()

    def linger(self, now: float) -> None:
        """Leave the provider a moment to end its body, so that the connection can be used again."""
        self.move(LINGER)
        self.clock = now + LINGER_S

    def close(self) -> None:
        """Drop what it holds, and whatever comes."""
        self.move(END)
        self._flush()

    @property
    def may_commit(self) -> bool:
        """Enough of its answer is there, but for what only time brings (`commit_at`)."""
        if self.phase is not HOLDING:
            return False
        hold, reader = self.hold_back, self.reader
        if reader.complete or not self.facts.asked.stream:
            return True
        return not hold.full and not hold.seconds and reader.content >= hold.tokens

    # Reading.

    def _stream_reader(self, wall: float) -> Reader:
        protocol, asked, provider = self.facts.protocol, self.facts.asked, self.candidate.plan
        own = provider.extra_body.get("n", "")  # replaces what the client asked for
        if own.isdigit():
            asked = msgspec.structs.replace(asked, choices=int(own))
        return protocol.stream_reader(asked, provider.usage_in_stream and not asked.wants_usage, wall)

    def _hold(self, ready: bytes, now: float) -> None:
        """Keep what was read before the commit, and see what it is."""
        self._read_at = now
        reader = self.reader
        if ready:
            self._held.append(ready)
            self._held_bytes += len(ready)
        if reader.content:
            if self.phase is WAITING:
                self._begin_content(now)
        elif self._held_bytes + reader.pending > PREAMBLE_MAX:
            self.verdict = Outcome(Kind.BAD_ANSWER, "over 1 MiB without content")
        elif reader.working != self._worked:  # comments and pings alone are no work
            self._worked = reader.working
            self.clock = min(self._sent_at + self.candidate.timeouts.answer, now + self.candidate.timeouts.idle)
        self._judge(now, bool(ready))

    def _begin_content(self, now: float) -> None:
        self.move(CONTENT)
        self.content_at = now
        self._silence = self.candidate.timeouts.idle
        self.clock = now + self._silence
        if self.hold_back.seconds:
            self.commit_at = now + self.hold_back.seconds

    def _judge(self, now: float, news: bool) -> None:
        """See whether the answer is whole or broken."""
        reader = self.reader
        if not reader.complete:
            if reader.failure is not None:
                self.verdict = reader.failure
            elif self._silence is None and self.phase is not WAITING:  # it was whole, and has begun another part
                self._silence = self.candidate.timeouts.idle
                self.clock = now + self._silence
        elif reader.finished or reader.failure is not None:
            self.verdict = reader.result
        elif news:  # a heartbeat behind the answer is none: a provider could hold its client with them for ever
            self._silence = None
            self.clock = now + LINGER_S

    def _flush(self) -> bytes:
        held = b"".join(self._held)
        self._held.clear()
        self._held_bytes = 0
        return held

    def _timeout(self, now: float) -> Outcome:
        """What its provider has not done in time."""
        times = self.candidate.timeouts
        if self.phase is CONNECTING:
            return Outcome(Kind.TIMEOUT, f"no connection within {times.connect:g} s")
        working = self.reader.working
        if self.phase is not WAITING or self._silence is not None or (working and now < self._sent_at + times.answer):
            return Outcome(Kind.TIMEOUT, f"silent for {times.idle:g} s")
        if not self.facts.asked.stream:
            return Outcome(Kind.TIMEOUT, f"no answer within {times.answer:g} s")
        reason = f"no content within {times.answer if working else times.first_byte:g} s"
        if now - self._read_at <= min(ALIVE_S, times.first_byte / 2):
            return Outcome(Kind.TIMEOUT, f"{reason}, but heartbeats", counts=False)
        return Outcome(Kind.TIMEOUT, reason)
