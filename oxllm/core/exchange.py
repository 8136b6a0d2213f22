"""One client request as a state machine: whom to ask, when to give up, what to send (docs/failures.md).

The exchange starts attempts one after another, in the order that `routing` gives, until one is *committed*:
the first byte of its content goes to the client. Before that a failure costs the client nothing but time;
after it no other target is used, since two halves of two answers are no answer.

    CHOOSING    between attempts
    BACKING_OFF the jitter before the second try at one target: the only wait there is
    TRYING      one attempt is under way, or two side by side (hedging)
    COMMITTED   an attempt's content is the client's
    DONE        the client has its whole response, an error, or has gone

It runs to completion without suspending, has no clock and no sockets: each call brings the time and returns
the effects to perform. `wake_at` says when it wants `tick` called if nothing else happens: at its earliest clock or
before. Clocks nearly always move back, so only a tick that finds nothing to do looks for the earliest again.
"""

from __future__ import annotations

import random
from enum import Enum
from math import inf

import msgspec

from oxllm import plan
from oxllm.core import headers, hints, outcome
from oxllm.core.attempt import COMMITTED, CONNECTING, DRAINING, ENDED, HOLDING, WAITING, Attempt, Phase
from oxllm.core.budget import RetryBudget
from oxllm.core.cooldown import Skip
from oxllm.core.effects import END, Answer, Begin, Break, Cancel, Effect, Headers, Try, Write
from oxllm.core.errors import ApiError, api_error
from oxllm.core.outcome import GONE, LOST, RULES, SUCCESS, Cause, Failure, Kind, Last, Outcome
from oxllm.core.protocols.base import Asked, Endpoint, Protocol, Reader, Usage
from oxllm.core.refusal import Tried, describe, refuse
from oxllm.core.routing import Candidate, Change, Route, Router, TargetState, Ticket
from oxllm.core.sse import EVENT_MAX

PING_S = 10.0
"""Seconds without content after which, and each as many, a stream's client gets a comment: under the
shortest read timeout that is common in front of a gateway (20 s in some load balancers)."""
LINGER_S = 2.0
"""How long a provider that has sent a whole answer may keep its body open before we stop waiting for its end."""
JITTER_S = (0.05, 0.15)
"""Bounds of the wait before the second try at one target."""
BLAME_AFTER_S = 10.0
"""An attempt that the client's deadline ended says something about its provider only after this long."""
ERROR_BODY_MAX = 256 * 1024
"""Bytes of an error body that are held; the same bound as for a held answer."""
PREAMBLE_MAX = EVENT_MAX + 64 * 1024
"""Bytes of a stream without content: role events, filter results, and the event behind them that is not whole."""
STOPPING = Outcome(Kind.STOPPED, "the gateway is shutting down")


class State(Enum):
    """Where a client request is."""

    CHOOSING = "choosing"
    BACKING_OFF = "backing off"
    TRYING = "trying"
    COMMITTED = "committed"
    DONE = "done"


CHOOSING, BACKING_OFF, TRYING, _, DONE = State  # COMMITTED is an attempt's phase here; see attempt.py for why

TABLE: tuple[tuple[State, State], ...] = (
    (CHOOSING, TRYING),
    (CHOOSING, DONE),  # nothing left to try
    (TRYING, CHOOSING),
    (TRYING, BACKING_OFF),
    (TRYING, State.COMMITTED),
    (TRYING, DONE),  # a whole answer, the client's own error, or the client is gone
    (BACKING_OFF, TRYING),
    (BACKING_OFF, CHOOSING),  # the target became unusable meanwhile
    (BACKING_OFF, DONE),
    (State.COMMITTED, DONE),
)
"""Every move there is. (No set: it would hash an Enum in Python at each move.)"""


class Facts(msgspec.Struct, frozen=True):
    """What the exchange needs to know of a client's request."""

    protocol: Protocol
    endpoint: Endpoint
    asked: Asked
    request_id: str = ""
    timeout: float | None = None
    """Seconds after which the client says it will not wait any more."""
    kept: bool = False
    """It is about an answer that some provider keeps: whoever cannot be asked may be the one."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """What became of one attempt, for `explain`. Times are seconds since the request's start."""

    number: int
    target: str
    started: float
    ended: float
    content: float | None
    result: str


class Exchange:
    """One client request from its first attempt to its end."""

    __slots__ = (
        "_again",
        "_again_at",
        "_budget",
        "_deadline",
        "_end_by_deadline",
        "_facts",
        "_head_sent",
        "_last_resort",
        "_notes",
        "_ping_at",
        "_retried",
        "_retry",
        "_rng",
        "_route",
        "_router",
        "_running",
        "_tried",
        "_tried_states",
        "attempts",
        "cause",
        "changes",
        "error",
        "skips",
        "started",
        "state",
        "status",
        "steps",
        "usage",
        "wake_at",
        "winner",
    )

    def __init__(
        self,
        facts: Facts,
        route: Route,
        router: Router,
        budget: RetryBudget,
        retry: plan.Retry,
        rng: random.Random,
        now: float,
    ) -> None:
        self._facts = facts
        self._route = route
        self._router = router
        self._budget = budget
        self._retry = retry
        self._rng = rng
        self._deadline = now + min(route.request, facts.timeout or inf)
        self._ping_at = now + PING_S if facts.asked.stream else inf
        self._running: list[Attempt] = []
        self._tried: list[Tried] = []
        self._tried_states: tuple[TargetState, ...] = ()
        self._retried: dict[TargetState, int] = {}
        self._again: tuple[Ticket, Outcome] | None = None
        self._again_at = inf
        self._head_sent = False
        self._last_resort: Attempt | None = None
        self.state = CHOOSING
        self.started = now
        self.attempts = 0
        """Attempts made so far, same-target tries and hedges included."""
        self.winner: Attempt | None = None
        """The attempt whose answer the client gets."""
        self.status = 0
        """Of the response that the client got, 0 before."""
        self.error: str | None = None
        """Why it ended badly, in our own words; None while it has not."""
        self.cause: Cause | None = None
        """Whom to blame for that."""
        self.usage: Usage | None = None
        self.steps: list[Step] = []
        self.skips: dict[str, Skip] = {}
        """Targets passed over, and why, as of the last choice."""
        self.changes: list[Change] = []
        """Breaker and cooldown changes that this request caused and nobody has logged yet."""
        self.wake_at = inf

    # What happens to a request. Each returns the effects to perform.

    def start(self, now: float) -> list[Effect]:
        """Begin."""
        self._budget.request(now)
        effects: list[Effect] = []
        self._by(min(self._deadline, self._ping_at))
        self._next(now, effects)
        return effects

    def connected(self, attempt: Attempt, now: float) -> None:
        """The attempt has a connection and its request begins to go out."""
        if attempt.phase is CONNECTING:
            attempt.move(WAITING)
        self.sent(attempt, now)

    def reconnecting(self, attempt: Attempt, now: float) -> bool:
        """The connection had been idle and was dead. A new one has the same time to be made as any other. False: none
        is to be made."""
        if not self.may_send(attempt, now):
            return False
        if attempt.phase is WAITING:
            attempt.move(CONNECTING)
        attempt.clock = now + attempt.candidate.timeouts.connect
        self._by(attempt.clock)
        return True

    def may_send(self, attempt: Attempt, now: float) -> bool:
        """A new connection is there, or could be made: whether the request is to go out on it. Not when its target may
        not be asked any more (its breaker has opened, it cools down), unless there is no other one to go to."""
        if self._router.barred(attempt.ticket, now) is None:
            return True
        return self._exhausted(now) or not self._router.usable(self._route, now, self._tried_states)

    def sent(self, attempt: Attempt, now: float) -> None:
        """The last byte of the request has gone: the provider's time starts."""
        if attempt.phase is WAITING and attempt.reader is None and attempt.error is None:
            times = attempt.candidate.timeouts
            attempt.clock = now + (times.first_byte if self._facts.asked.stream else times.answer)
            self._by(attempt.clock)

    def head(self, attempt: Attempt, status: int, fields: Headers, now: float, wall: float) -> list[Effect]:
        """The response head is there. `wall`: seconds since the epoch, for hints that are dates."""
        if attempt.phase is not WAITING:
            return []
        attempt.status, attempt.headers, attempt.wall = status, fields, wall
        if status < 200 or status >= 300:
            attempt.error = bytearray()
            self._idle_from(attempt, now)
            return []
        facts = self._facts
        verdict = facts.protocol.check_head(status, fields, facts.asked)
        if verdict is not None:
            return self._failed(attempt, verdict, now)
        attempt.reader = self._reader(attempt)
        if not facts.asked.stream:
            self._idle_from(attempt, now)
        seconds = hints.predictive(fields, wall)
        if seconds is not None:
            self.changes += self._router.predicted(attempt.ticket, seconds, now)
        return []

    def data(self, attempt: Attempt, data: bytes, now: float) -> list[Effect]:
        """A part of the response body is there."""
        reader = attempt.reader
        if attempt.phase is COMMITTED:
            if reader is None:  # a long error is passed on
                attempt.clock = now + attempt.candidate.timeouts.idle
                return [Write(data)]
            if not reader.complete:
                attempt.clock = now + attempt.candidate.timeouts.idle
            before = reader.content
            ready = reader.feed(data)
            if reader.content != before:
                self._route.counters.gap.observe(now - attempt.heard, reader.content - before - 1)
                attempt.heard = now
            effects: list[Effect] = [Write(ready)] if ready else []
            if reader.complete or reader.finished or reader.failure is not None:
                return self._turn(attempt, reader, now, effects)
            return effects
        if attempt.phase is DRAINING or attempt.phase is ENDED:
            return []
        if reader is not None:
            return self._answer_data(attempt, reader, data, now)
        return self._error_data(attempt, data, now)

    def end(self, attempt: Attempt, now: float) -> list[Effect]:
        """The response is whole as its framing goes."""
        phase, reader = attempt.phase, attempt.reader
        if phase is DRAINING:
            attempt.move(ENDED)
            self._running.clear()
            return []
        if phase is ENDED:
            return []
        if reader is None:
            result = self._classify(attempt)
            if phase is not COMMITTED:
                return self._failed(attempt, result, now)
            self._settle(attempt, result, now)
            self.error, self.cause = describe(result), RULES[result.kind].cause
            self._move(DONE)
            return [END]
        verdict = reader.eof()
        if verdict is not None:
            return self._failed(attempt, verdict, now)
        if phase is not COMMITTED and not self._facts.asked.stream:
            return self._whole(attempt, reader, now)
        effects: list[Effect] = []
        if phase is not COMMITTED:
            self._commit(attempt, now, effects)
        self._close(reader, effects)
        return self._succeed(attempt, now, effects, ENDED)

    def failed(self, attempt: Attempt, failure: Failure, early: bool, detail: str, now: float) -> list[Effect]:
        """The connection failed; `early`: before any byte of the response."""
        if attempt.phase is DRAINING:
            attempt.move(ENDED)
            self._running.clear()
            return []
        if attempt.phase is ENDED:
            return []
        if attempt.error is not None:
            verdict = self._classify(attempt)
            if verdict.kind not in (Kind.CLIENT_ERROR, Kind.CONTEXT_LENGTH):
                return self._failed(attempt, verdict, now)  # its status says enough, a cut 4xx body does not
        reader = attempt.reader
        if reader is not None and reader.complete:
            return self.end(attempt, now)
        return self._failed(attempt, outcome.network(failure, early, detail), now)

    def gone(self, now: float) -> list[Effect]:
        """The client went away: cancel, blame nobody."""
        effects = self._abandon(now, GONE)
        if self.state is not DONE:
            self._move(DONE)
        return effects

    def expire(self, now: float) -> list[Effect]:
        """The gateway stops and cannot wait any longer."""
        if self.state is DONE:
            return self._abandon(now, STOPPING)
        committed = self.state is State.COMMITTED
        effects = self._abandon(now, STOPPING)
        if committed:
            self._interrupt(STOPPING, effects)
        else:
            self._refuse(api_error(503, STOPPING.reason, "overloaded", retry_after=1), Cause.GATEWAY, effects)
        return effects

    def stop(self, attempt: Attempt, now: float) -> None:
        """Nobody reads this provider now: its silence is ours."""
        if attempt.phase is not DRAINING and attempt.phase is not ENDED:  # nobody goes on with those
            attempt.stop(now)

    def go_on(self, attempt: Attempt, now: float) -> None:
        """The provider is read again."""
        if attempt.phase is not DRAINING and attempt.phase is not ENDED:
            attempt.go_on(now)
            self._by(attempt.clock)

    def commit_early(self, attempt: Attempt, now: float) -> list[Effect]:
        """There is no memory to hold more of this answer: pass on what there is, if that is the beginning of one."""
        effects: list[Effect] = []
        if attempt.phase is HOLDING:
            self._commit(attempt, now, effects)
            return effects
        reader = attempt.reader
        if attempt.phase is WAITING and reader is not None:
            ready = reader.release()
            if reader.content:
                attempt.hold(ready)
                return self._turn(attempt, reader, now, effects)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Look at the clocks."""
        effects: list[Effect] = []
        for attempt in tuple(self._running):
            if attempt.clock <= now:
                effects += self._late(attempt, now)
        if self.state is TRYING or self.state is BACKING_OFF:
            self._tick_uncommitted(now, effects)
        self.wake_at = self._earliest()
        return effects

    # Reading.

    def _reader(self, attempt: Attempt) -> Reader:
        """What reads the answer of this attempt."""
        protocol, asked = self._facts.protocol, self._facts.asked
        if not asked.stream:
            return protocol.plain_reader(asked, attempt.headers, attempt.wall)
        provider = attempt.candidate.plan
        own = provider.extra_body.get("n", "")  # replaces what the client asked for
        if own.isdigit():
            asked = msgspec.structs.replace(asked, choices=int(own))
        return protocol.stream_reader(asked, provider.usage_in_stream and not asked.wants_usage, attempt.wall)

    def _answer_data(self, attempt: Attempt, reader: Reader, data: bytes, now: float) -> list[Effect]:
        ready = reader.feed(data)
        if ready:
            attempt.hold(ready)
            if not reader.content and attempt.pending > PREAMBLE_MAX:
                return self._failed(attempt, Outcome(Kind.BAD_ANSWER, "over 1 MiB without content"), now)
        if not reader.content and reader.failure is None and not reader.finished:
            if not self._facts.asked.stream:
                self._idle_from(attempt, now)
            return []
        self._idle_from(attempt, now)
        return self._turn(attempt, reader, now, [])

    def _turn(self, attempt: Attempt, reader: Reader, now: float, effects: list[Effect]) -> list[Effect]:
        """Content, the end or a break of the answer has been read: hold, commit, finish or fail."""
        if attempt.phase is WAITING and reader.content:
            attempt.content_at = now
            attempt.move(HOLDING)
        # Also if the next event is a break: the same events mean the same, however reads cut them.
        if attempt.phase is HOLDING and self._held_enough(attempt, now):
            self._commit(attempt, now, effects)
        if reader.failure is not None and not reader.complete:
            return effects + self._failed(attempt, reader.failure, now)
        if attempt.phase is HOLDING:
            if self._route.hold_back.seconds:
                assert attempt.content_at is not None
                self._by(attempt.content_at + self._route.hold_back.seconds)
        elif reader.complete:
            if reader.finished or reader.failure is not None:
                self._close(reader, effects)
                return self._succeed(attempt, now, effects, DRAINING)
            if effects:  # a heartbeat behind the answer is no news: a provider could hold its client with them for ever
                attempt.clock = now + LINGER_S
                self._by(attempt.clock)
        return effects

    @staticmethod
    def _close(reader: Reader, effects: list[Effect]) -> None:
        """The answer is whole: send what is still to be sent."""
        closing = reader.closing()
        if closing:
            effects.append(Write(closing))
        effects.append(END)

    def _held_enough(self, attempt: Attempt, now: float) -> bool:
        hold, reader = self._route.hold_back, attempt.reader
        assert reader is not None
        if reader.complete or not self._facts.asked.stream:
            return True
        if hold.full:
            return False
        if hold.seconds:
            assert attempt.content_at is not None
            return now >= attempt.content_at + hold.seconds
        return reader.content >= hold.tokens

    def _error_data(self, attempt: Attempt, data: bytes, now: float) -> list[Effect]:
        assert attempt.error is not None
        self._idle_from(attempt, now)
        attempt.error += data
        if len(attempt.error) <= ERROR_BODY_MAX:
            return []
        result = self._classify(attempt)
        if RULES[result.kind].failover or self._head_sent:
            return self._failed(attempt, result, now)
        return self._pass_on_long(attempt, now)

    def _pass_on_long(self, attempt: Attempt, now: float) -> list[Effect]:
        """The client's own mistake, in more words than we hold: a validation error may repeat the whole request."""
        effects: list[Effect] = []
        self._win(attempt, now, effects)
        attempt.move(COMMITTED)
        self._move(State.COMMITTED)
        reply = self._as_received(attempt)
        attempt.error = bytearray()  # the status says enough
        self.status = reply.status
        self._head_sent = True
        effects.append(Begin(reply.status, reply.headers, headers.content_length(attempt.headers)))
        effects.append(Write(reply.body))
        return effects

    def _classify(self, attempt: Attempt) -> Outcome:
        protocol, asked = self._facts.protocol, self._facts.asked
        return protocol.classify(asked, attempt.status, attempt.headers, bytes(attempt.error or b""), attempt.wall)

    # Choosing.

    def _next(self, now: float, effects: list[Effect]) -> None:
        """Start the next attempt, or answer that there is none."""
        candidate = self._pick(now)
        if candidate is not None:
            self._launch(candidate, now, effects)
        elif not self._running:
            self._give_up(now, effects, deadline=now >= self._deadline)

    def _exhausted(self, now: float) -> bool:
        """No attempt is left, whatever targets are."""
        return self.attempts >= self._retry.max_attempts or now >= self._deadline

    def _pick(self, now: float) -> Candidate | None:
        if self._exhausted(now):
            return None
        candidate, skips = self._router.choose(self._route, self._tried_states, now)
        for passed, why in skips:
            self.skips[f"{passed.state.provider.name}/{passed.state.model}"] = why
        return candidate

    def _launch(self, candidate: Candidate, now: float, effects: list[Effect]) -> None:
        self._tried_states += (candidate.state,)
        self._try(candidate, self._router.begin(candidate, now), now, effects)

    def _try(self, candidate: Candidate, ticket: Ticket, now: float, effects: list[Effect]) -> None:
        self.attempts += 1
        attempt = Attempt(self.attempts, candidate, ticket, now)
        attempt.share = now + (self._deadline - now) / 2
        if ticket.probe:
            attempt.hedge_at = now + candidate.state.provider.patience
        elif self._route.hedge_after is not None:
            attempt.hedge_at = now + self._route.hedge_after
        if self.state is not TRYING:
            self._move(TRYING)
        self._by(min(attempt.clock, attempt.share, attempt.hedge_at))
        self._running.append(attempt)
        effects.append(Try(attempt))

    def _give_up(self, now: float, effects: list[Effect], deadline: bool) -> None:
        if self._last_resort is not None and self._all_as_received():
            self.winner = self._last_resort
            self._reply_as_received(self._last_resort, effects)
            self.error, self.cause = describe(self._tried[-1][1]), Cause.CLIENT
            return
        recovery = self._router.recovery(self._route, now)
        cause = next((RULES[result.kind].cause for _, result in reversed(self._tried)), Cause.CAPACITY)
        error = refuse(self._route.name, self._tried, recovery, deadline, self._facts.kept)
        self._refuse(error, cause, effects)

    def _all_as_received(self) -> bool:
        """The last answer is worth more to the client than words of ours."""
        if self._facts.kept and any(c.state not in self._tried_states for c in self._route.candidates):
            return False
        return all(RULES[result.kind].last is Last.AS_RECEIVED for _, result in self._tried)

    # Ending.

    def _failed(self, attempt: Attempt, result: Outcome, now: float) -> list[Effect]:
        """An attempt has failed: to the next one, or to the client."""
        effects: list[Effect] = [Cancel(attempt)]
        result = self._without_key(attempt, result)
        committed = attempt.phase is COMMITTED
        if committed:
            result = Outcome(Kind.BROKEN, result.reason, result.status, result.code)
        if not committed and self._may_retry(attempt, result, now):
            self._note(attempt, describe(result), now)
            self._back_off(attempt, result, now)
            return effects
        self._settle(attempt, result, now)
        if committed:
            self._interrupt(result, effects)
        elif not RULES[result.kind].failover:
            self._pass_on(attempt, result, now, effects)
        else:
            self._tried.append((attempt.candidate, result))
            if RULES[result.kind].last is Last.AS_RECEIVED:
                self._last_resort = attempt
            if not self._running:
                self._move(CHOOSING)
            self._next(now, effects)
        return effects

    @staticmethod
    def _without_key(attempt: Attempt, result: Outcome) -> Outcome:
        """A provider's code goes into messages and logs, whatever it is: but never when it repeats our key."""
        key = attempt.candidate.plan.api_key
        if key and result.code and key in result.code:
            return msgspec.structs.replace(result, code=None)
        return result

    def _may_retry(self, attempt: Attempt, result: Outcome, now: float) -> bool:
        state = attempt.candidate.state
        return (
            result.same_target
            and len(self._running) == 1
            and self._retried.get(state, 0) < self._retry.same_target
            and self.attempts < self._retry.max_attempts
            and now + JITTER_S[1] < self._deadline
            and self._router.barred(attempt.ticket, now) is None
            and self._budget.spend(now)
        )

    def _back_off(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """Wait a moment and try the same target again, on the same ticket: the pair counts once."""
        state = attempt.candidate.state
        self._retried[state] = self._retried.get(state, 0) + 1
        attempt.move(ENDED)
        self._running.remove(attempt)
        self._again = attempt.ticket, result
        self._again_at = now + self._rng.uniform(*JITTER_S)
        self._by(self._again_at)
        self._move(BACKING_OFF)

    def _pass_on(self, attempt: Attempt, result: Outcome, now: float, effects: list[Effect]) -> None:
        """The client's own mistake: the provider's answer is the answer."""
        self._drop_others(LOST, now, effects)
        self.winner = attempt
        self._reply_as_received(attempt, effects)
        self.error, self.cause = describe(result), RULES[result.kind].cause

    def _as_received(self, attempt: Attempt) -> Answer:
        fields = headers.downstream(attempt.headers, stream=False) + self._served_by(attempt)
        fields += [field for field in attempt.headers if field[0] == b"content-encoding"]  # nobody decoded it
        return Answer(attempt.status, fields, bytes(attempt.error or b""))

    def _interrupt(self, result: Outcome, effects: list[Effect]) -> None:
        """A break after commit: say so in the stream, never end it as if it were whole."""
        self.error, self.cause = describe(result), RULES[result.kind].cause or Cause.GATEWAY
        reader = self.winner.reader if self.winner is not None else None
        tail = b""
        if reader is not None and not reader.told:
            error = ApiError(502, "upstream_error", "stream_interrupted", f"the provider's stream broke: {self.error}")
            tail = reader.interruption(error, self._facts.request_id)
        self._break(tail, effects)
        self._move(DONE)

    def _break(self, tail: bytes, effects: list[Effect]) -> None:
        """End a stream that is not whole as its protocol wants it."""
        if self._facts.protocol.break_is_clean and self._facts.asked.stream:
            effects += [Write(tail), END]
        else:
            effects.append(Break(tail))

    def _refuse(self, error: ApiError, cause: Cause | None, effects: list[Effect]) -> None:
        """Send an error of our own; as an event if a head has already gone out."""
        self.error, self.cause = error.message, cause
        protocol, request_id = self._facts.protocol, self._facts.request_id
        error = protocol.refusal(error)
        if self._head_sent:
            self._break(protocol.error_event(error, request_id), effects)
        else:
            fields = protocol.error_headers(error, request_id)
            fields.append((b"x-oxllm-attempts", b"%d" % self.attempts))
            self.status = error.status
            effects.append(Answer(error.status, fields, protocol.error_body(error, request_id)))
        self._move(DONE)

    def _reply_as_received(self, attempt: Attempt, effects: list[Effect]) -> None:
        """Send a provider's refusal; as an event if a head has already gone out."""
        failure = attempt.reader.failure if attempt.reader is not None else None
        if failure is not None:  # it was said inside a 2xx
            error = api_error(failure.status or 502, f"the provider answered {describe(failure)}", failure.code)
            self._refuse(error, Cause.CLIENT, effects)
            return
        reply = self._as_received(attempt)
        if self._head_sent:
            self._break(self._facts.protocol.received_event(reply.status, reply.body, self._facts.request_id), effects)
        else:
            self.status = reply.status
            effects.append(reply)
        self._move(DONE)

    def _whole(self, attempt: Attempt, reader: Reader, now: float) -> list[Effect]:
        """A plain answer, complete and checked: the usual end of a request without a stream."""
        effects: list[Effect] = []
        self._win(attempt, now, effects)
        attempt.content_at = now
        fields = headers.downstream(attempt.headers, stream=False) + self._served_by(attempt)
        self.status = attempt.status
        effects.append(Answer(attempt.status, fields, reader.closing()))
        return self._succeed(attempt, now, effects, ENDED)

    def _commit(self, attempt: Attempt, now: float, effects: list[Effect]) -> None:
        """Choose this attempt for good, and send what was held."""
        self._win(attempt, now, effects)
        attempt.move(COMMITTED)
        attempt.heard = now
        self._move(State.COMMITTED)
        self.changes += self._router.progressed(attempt.ticket, now)
        if not self._head_sent:
            stream = self._facts.asked.stream
            fields = headers.downstream(attempt.headers, stream) + self._served_by(attempt)
            length = None if stream else headers.content_length(attempt.headers)
            self.status = attempt.status
            self._head_sent = True
            effects.append(Begin(attempt.status, fields, length))
        attempt.headers = ()
        effects.append(Write(attempt.take()))

    def _win(self, attempt: Attempt, now: float, effects: list[Effect]) -> None:
        self.winner = attempt
        if len(self._running) > 1:
            self._drop_others(LOST, now, effects, but=attempt)

    def _succeed(self, attempt: Attempt, now: float, effects: list[Effect], phase: Phase) -> list[Effect]:
        """The client has it all. DRAINING leaves the provider a moment to end its body."""
        self._count(attempt)
        self._settle(attempt, SUCCESS, now, phase)
        if phase is DRAINING:
            attempt.clock = now + LINGER_S
            self._by(attempt.clock)
            self._running.append(attempt)
        self._move(DONE)
        return effects

    def _count(self, attempt: Attempt) -> None:
        counters = attempt.candidate.state.counters
        if attempt.content_at is not None:
            counters.ttft.observe(attempt.content_at - attempt.started)
        reader = attempt.reader
        if reader is not None and reader.usage is not None:
            self.usage = reader.usage
            counters.tokens(reader.usage.prompt_tokens, reader.usage.completion_tokens, reader.usage.cached_tokens)

    def _settle(self, attempt: Attempt, result: Outcome, now: float, phase: Phase = ENDED) -> None:
        """End an attempt's part in the request: its ticket, its record, its place among the running."""
        if attempt.reader is not None:
            attempt.candidate.state.counters.dropped += attempt.reader.dropped
        self.changes += self._router.end(attempt.ticket, result, now)
        self._note(attempt, describe(result), now)
        attempt.move(phase)
        attempt.take()
        self._running.remove(attempt)

    def _note(self, attempt: Attempt, result: str, now: float) -> None:
        content = None if attempt.content_at is None else attempt.content_at - self.started
        self.steps.append(
            Step(attempt.number, attempt.target, attempt.started - self.started, now - self.started, content, result)
        )

    def _drop_others(self, why: Outcome, now: float, effects: list[Effect], but: Attempt | None = None) -> None:
        for other in tuple(self._running):
            if other is not but:
                self._settle(other, why, now)
                effects.append(Cancel(other))

    def _abandon(self, now: float, why: Outcome) -> list[Effect]:
        """Stop whatever runs, and settle it as `why`."""
        effects: list[Effect] = []
        if self.state is DONE:
            for attempt in self._running:  # draining: its answer is settled
                attempt.move(ENDED)
                effects.append(Cancel(attempt))
            self._running.clear()
            return effects
        self._drop_others(why, now, effects)
        self._settle_again(why, now)
        self.error, self.cause = why.reason, RULES[why.kind].cause or Cause.GATEWAY
        return effects

    def _settle_again(self, result: Outcome, now: float) -> None:
        """End the ticket of a try that was to be repeated."""
        if self._again is not None:
            self.changes += self._router.end(self._again[0], result, now)
            self._again, self._again_at = None, inf

    # Clocks.

    def _late(self, attempt: Attempt, now: float) -> list[Effect]:
        """A phase has lasted too long."""
        if attempt.phase is DRAINING:
            attempt.move(ENDED)
            self._running.remove(attempt)
            return [Cancel(attempt)]
        reader = attempt.reader
        if reader is not None and reader.complete:  # held open after its end
            effects: list[Effect] = []
            self._close(reader, effects)
            effects.append(Cancel(attempt))
            return self._succeed(attempt, now, effects, ENDED)
        return self._failed(attempt, Outcome(Kind.TIMEOUT, self._waited(attempt)), now)

    def _waited(self, attempt: Attempt) -> str:
        times = attempt.candidate.timeouts
        if attempt.phase is CONNECTING:
            return f"no connection within {times.connect:g} s"
        if attempt.phase is WAITING and self._facts.asked.stream and attempt.error is None:
            return f"no content within {times.first_byte:g} s"
        if attempt.phase is WAITING and attempt.status == 0:
            return f"no answer within {times.answer:g} s"
        return f"silent for {times.idle:g} s"

    def _tick_uncommitted(self, now: float, effects: list[Effect]) -> None:
        if now >= self._deadline:
            self._out_of_time(now, effects)
            return
        if self._again_at <= now:
            self._try_again(now, effects)
        for attempt in tuple(self._running):
            if attempt.share <= now:
                self._use_up_share(attempt, now, effects)
            elif attempt.hedge_at <= now:
                self._hedge(attempt, now, effects)
            elif attempt.phase is HOLDING and self._held_enough(attempt, now):
                self._commit(attempt, now, effects)
                return  # the others are cancelled, whatever else is due
        if self._ping_at <= now and self.state is not DONE:
            self._ping(now, effects)

    def _try_again(self, now: float, effects: list[Effect]) -> None:
        """The jitter is over: the second try, unless the target has become unusable meanwhile."""
        assert self._again is not None
        ticket, result = self._again
        if self._router.again(ticket, now) is None:
            self._again, self._again_at = None, inf
            self._try(ticket.candidate, ticket, now, effects)
        else:
            self._settle_again(result, now)
            self._tried.append((ticket.candidate, result))
            self._move(CHOOSING)
            self._next(now, effects)

    def _use_up_share(self, attempt: Attempt, now: float, effects: list[Effect]) -> None:
        """Half of the client's time has gone into one attempt: leave the rest to another, if there is one."""
        attempt.share = inf
        candidate = self._pick(now)
        if candidate is not None:
            result = self._deadline_outcome(attempt, now)
            self._tried.append((attempt.candidate, result))
            self._settle(attempt, result, now)
            effects.append(Cancel(attempt))
            self._launch(candidate, now, effects)

    def _out_of_time(self, now: float, effects: list[Effect]) -> None:
        for attempt in tuple(self._running):
            result = self._deadline_outcome(attempt, now)
            self._tried.append((attempt.candidate, result))
            self._settle(attempt, result, now)
            effects.append(Cancel(attempt))
        if self._again is not None:
            self._tried.append((self._again[0].candidate, self._again[1]))
            self._settle_again(self._again[1], now)
        self._give_up(now, effects, deadline=True)

    def _deadline_outcome(self, attempt: Attempt, now: float) -> Outcome:
        times = attempt.candidate.timeouts
        own = times.first_byte if self._facts.asked.stream else times.answer
        blamed = now - attempt.started >= min(BLAME_AFTER_S, own)
        reason = f"out of time after {now - attempt.started:.1f} s"
        return Outcome(Kind.DEADLINE, reason, counts=blamed)

    def _hedge(self, attempt: Attempt, now: float, effects: list[Effect]) -> None:
        """The attempt is slow to have content: start another beside it, and let the faster one win."""
        attempt.hedge_at = inf
        if len(self._running) == 1 and attempt.content_at is None:
            candidate = self._pick(now)
            if candidate is not None and self._budget.spend(now):
                self._launch(candidate, now, effects)

    def _ping(self, now: float, effects: list[Effect]) -> None:
        self._ping_at = now + PING_S
        if not self._head_sent:
            self._head_sent = True
            self.status = 200
            own = self._facts.protocol.answer_headers(self._facts.request_id)
            effects.append(Begin(200, headers.STREAM_HEAD + own))
        effects.append(Write(self._facts.protocol.ping))

    def _idle_from(self, attempt: Attempt, now: float) -> None:
        """Something was read: the provider may now be silent for so long."""
        attempt.clock = now + attempt.candidate.timeouts.idle
        self._by(attempt.clock)

    def _by(self, when: float) -> None:
        """A clock has been set to `when`."""
        if when < self.wake_at:  # noqa: PLR1730  min() takes twice as long, and each request comes here five times
            self.wake_at = when

    def _earliest(self) -> float:
        """The next moment at which a tick has something to do."""
        if self.state is DONE or self.state is State.COMMITTED:
            return self._running[0].clock if self._running else inf
        wake = min(self._deadline, self._again_at, self._ping_at)
        hold = self._route.hold_back.seconds
        for attempt in self._running:
            wake = min(wake, attempt.clock, attempt.share, attempt.hedge_at)
            if hold and attempt.content_at is not None:
                wake = min(wake, attempt.content_at + hold)
        return wake

    @property
    def settled(self) -> bool:
        """The client's part is over, and no provider's response is still being read to its end."""
        return self.state is DONE and not self._running

    def _served_by(self, attempt: Attempt) -> list[tuple[bytes, bytes]]:
        return [
            (b"x-oxllm-provider", attempt.candidate.state.provider.name.encode("utf-8")),
            (b"x-oxllm-model", attempt.candidate.state.model.encode("utf-8")),
            (b"x-oxllm-attempts", b"%d" % self.attempts),
            *self._facts.protocol.answer_headers(self._facts.request_id),
        ]

    def _move(self, state: State) -> None:
        assert (self.state, state) in TABLE, (self.state, state)
        self.state = state
