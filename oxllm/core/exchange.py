"""One client request: whom to ask, when to give up, what to send (the words are those of docs/failures.md).

The exchange starts attempts one after another, in the order that `routing` gives, until one is *committed*:
the first byte of its content goes to the client. Before that a failure costs the client nothing but time;
after it no other target is used, since two halves of two answers are no answer.

    CHOOSING    between attempts
    BACKING_OFF the jitter before the second try at one target: the only wait there is
    TRYING      one attempt is under way, or two side by side
    COMMITTED   an attempt's content is the client's
    DONE        the client has its whole response, an error, or has gone

An attempt reads what its provider sends and says what became of it; the reply knows how the client is told. Between
the two stands the exchange: it chooses, backs off, runs attempts beside each other, and keeps the deadline.

It runs to completion without suspending, has no clock and no sockets: each call brings the time, and what is to be done
is taken (`take_effects`) after it. `wake_at` says when it wants `tick` called if nothing else happens: at its earliest
clock or before. Clocks nearly always move back, so only a tick that finds nothing to do looks for the earliest again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import inf
from typing import Final

import msgspec

from oxllm import plan
from oxllm.core import hints, machine
from oxllm.core.attempt import COMMITTED as PASSED_ON
from oxllm.core.attempt import CONTENT, DRAINING, ENDED, HOLDING, WAITING, Attempt, Facts
from oxllm.core.body import PassedBody, RequestBody
from oxllm.core.books import Books
from oxllm.core.budget.retry import RetryBudget
from oxllm.core.cooldown import Skip
from oxllm.core.effects import Action, Cancel, Try
from oxllm.core.errors import ApiError, api_error
from oxllm.core.hints import Headers
from oxllm.core.machine import Table, move
from oxllm.core.outcome import GONE, LOST, RULES, Cause, Failure, Kind, Last, Outcome
from oxllm.core.refusal import describe, refuse
from oxllm.core.reply import NOT_BEGUN, Received, Reply
from oxllm.core.route import Candidate, Route
from oxllm.core.routing import Router
from oxllm.core.targets import TargetState
from oxllm.core.ticket import Ticket

PING_S: Final = 10.0
"""Seconds without content after which, and each as many, a stream's client gets a comment: under the
shortest read timeout that is common in front of a gateway (20 s in some load balancers)."""
JITTER_S = (0.05, 0.15)
"""Bounds of the wait before the second try at one target."""
BESIDE_MAX: Final = 2
"""Attempts that run side by side."""
BUG = Outcome(Kind.STOPPED, "internal error")
STOPPING = Outcome(Kind.STOPPED, "the gateway is shutting down")


class Stage(machine.State):
    """Where a client request is."""

    CHOOSING = "choosing"
    BACKING_OFF = "backing off"
    TRYING = "trying"
    COMMITTED = "committed"
    DONE = "done"


CHOOSING: Final[Stage] = Stage.CHOOSING  # on 3.11 each look at an Enum's member takes 0.1 µs
BACKING_OFF: Final[Stage] = Stage.BACKING_OFF
TRYING: Final[Stage] = Stage.TRYING
COMMITTED: Final[Stage] = Stage.COMMITTED
DONE: Final[Stage] = Stage.DONE


class ExchangeEvent(machine.Event):
    """What can happen to a client request."""

    TRY = "an attempt begins"
    FAIL = "the last one under way has failed"
    BACK_OFF = "it has, and its target is to be asked once more"
    COMMIT = "an attempt's content goes to the client"
    END = "the client has all that it gets, or is gone"


TRY: Final[ExchangeEvent] = ExchangeEvent.TRY
FAIL: Final[ExchangeEvent] = ExchangeEvent.FAIL
BACK_OFF: Final[ExchangeEvent] = ExchangeEvent.BACK_OFF
COMMIT: Final[ExchangeEvent] = ExchangeEvent.COMMIT
END: Final[ExchangeEvent] = ExchangeEvent.END

TABLE: Final[Table[Stage, ExchangeEvent]] = {
    (CHOOSING, TRY): TRYING,
    (CHOOSING, END): DONE,  # nothing left to try
    (TRYING, TRY): TRYING,  # beside another
    (TRYING, FAIL): CHOOSING,
    (TRYING, BACK_OFF): BACKING_OFF,
    (TRYING, COMMIT): COMMITTED,
    (TRYING, END): DONE,  # a whole answer, the client's own error, or the client is gone
    (BACKING_OFF, TRY): TRYING,
    (BACKING_OFF, FAIL): CHOOSING,  # the target became unusable meanwhile
    (BACKING_OFF, END): DONE,
    (COMMITTED, END): DONE,
}
"""Every move there is."""


class Exchange:
    """One client request, in one class, since each thing that happens to it may be its turn to any other stage."""

    __slots__ = (
        "_budget",
        "_deadline",
        "_effects",
        "_facts",
        "_last_words",
        "_limits",
        "_ping_at",
        "_refused",
        "_repeat",
        "_repeat_at",
        "_repeats",
        "_rng",
        "_route",
        "_running",
        "body",
        "books",
        "reply",
        "stage",
        "wake_at",
        "winner",
    )

    def __init__(
        self,
        facts: Facts,
        route: Route,
        router: Router,
        budget: RetryBudget,
        limits: plan.Retry,
        rng: random.Random,
        now: float,
    ) -> None:
        self._facts = facts
        self._route = route
        self._budget = budget
        self._limits = limits
        self._rng = rng
        timeout = facts.timeout
        self._deadline = now + (timeout if timeout and timeout < route.request else route.request)
        self._ping_at = now + PING_S if facts.asked.stream else inf
        self._running: list[Attempt] = []
        self._repeats: dict[TargetState, int] = {}
        """Second tries, by target."""
        self._repeat: tuple[Ticket, Outcome] | None = None
        """The attempt whose target is asked once more at `_repeat_at`."""
        self._repeat_at = inf
        self._last_words: tuple[Attempt, Outcome, Received | ApiError] | None = None
        """The last refusal that is worth more to the client than words of ours."""
        self._refused = False
        """It is the client's own fault, so that nobody else is asked."""
        self.body: RequestBody | PassedBody | None = None
        """The request's, as long as it is kept."""
        self._effects: list[Action] = []
        self.reply = Reply(facts, self._effects)
        self.books = Books(router, now)
        self.stage = CHOOSING
        self.winner: Attempt | None = None
        """The attempt whose answer the client gets."""
        self.wake_at = inf

    def __repr__(self) -> str:
        return f"<Exchange {self._route.name!r} {self.stage.name} {self._running} {self.reply}>"

    @property
    def settled(self) -> bool:
        """The client's part is over, and no provider's response is still being read to its end."""
        return self.stage is DONE and not self._running

    def take_effects(self) -> Sequence[Action]:
        """What is to be done, in order; the caller does it, before anything else happens to the request."""
        effects = self._effects
        if not effects:
            return ()
        taken = effects[:]
        effects.clear()
        return taken

    # What happens to a request.

    def start(self, now: float) -> None:
        """Begin."""
        self._budget.request(now)
        self._wake_by(self._deadline)
        self._wake_by(self._ping_at)
        self._next(now)

    def connected(self, attempt: Attempt, now: float) -> None:
        """The attempt has a connection and its request begins to go out."""
        attempt.connected(now)
        self._wake_by(attempt.clock)

    def reconnecting(self, attempt: Attempt, now: float) -> bool:
        """The connection had been idle and was dead. False: no other is to be made."""
        if not self.may_send(attempt, now):
            return False
        attempt.reconnecting(now)
        self._wake_by(attempt.clock)
        return True

    def may_send(self, attempt: Attempt, now: float) -> bool:
        """A new connection is there, or could be made: whether the request is to go out on it. Not when its target may
        not be asked any more: its provider has asked for a wait, an operator has taken it out. Its breaker may have
        opened, too, which is our own guess, and no reason where there is no other one to go to."""
        why = attempt.ticket.unusable(now)
        if why is None or why is not Skip.OPEN:
            return why is None
        return self._exhausted(now) or not self._route.usable(now, self.books.tried_states)

    def sent(self, attempt: Attempt, now: float) -> None:
        """The last byte of the request has gone: the provider's time starts."""
        attempt.sent(now)
        self._wake_by(attempt.clock)

    def head(self, attempt: Attempt, status: int, fields: Headers, now: float, wall: float) -> None:
        """The response head is there. `wall`: seconds since the epoch, for hints that are dates."""
        if attempt.phase is not WAITING:
            return
        attempt.head(status, fields, now, wall)
        if attempt.verdict is not None:
            self._fail(attempt, attempt.verdict, now)
            return
        self._wake_by(attempt.clock)
        if 200 <= status < 300:
            self.books.answered(attempt.ticket, hints.predictive(fields, wall), now)

    def data(self, attempt: Attempt, data: bytes, now: float) -> bytes:
        """A part of the response body is there. Returns what the client gets of it if that is all that is to be done;
        else nothing, and all of it is in the effects."""
        phase = attempt.phase
        if phase is ENDED or phase is DRAINING:
            return b""
        ready = attempt.data(data, now)
        if phase is PASSED_ON and attempt.verdict is None and not attempt.reader.complete:
            return ready
        if ready:
            self.reply.write(ready)
        self._advance(attempt, now, linger=True)
        return b""

    def whole(self, attempt: Attempt, status: int, fields: Headers, body: bytes, now: float, wall: float) -> None:
        """The response has come in one piece: its head, its body, its end."""
        self.head(attempt, status, fields, now, wall)
        if body and self._facts.asked.stream:
            ready = self.data(attempt, body, now)
            if ready:
                self.reply.write(ready)
        elif body and attempt.phase is WAITING:
            attempt.data(body, now)  # it is held, and judged at its end
        self.end(attempt, now)

    def end(self, attempt: Attempt, now: float) -> None:
        """The response is whole as its framing goes."""
        if not self._drained(attempt):
            attempt.end()
            self._advance(attempt, now)

    def failed(self, attempt: Attempt, failure: Failure, early: bool, detail: str, now: float) -> None:
        """The connection failed; `early`: before any byte of the response."""
        if not self._drained(attempt):
            attempt.failed(failure, early, detail)
            self._advance(attempt, now)

    def gone(self, now: float) -> None:
        """The client went away: cancel, blame nobody."""
        self._abandon(GONE, now)
        if self.stage is not DONE:
            self.reply.drop()
            self._move(END)

    def expire(self, now: float) -> None:
        """The gateway stops and cannot wait any longer."""
        self._end_all(STOPPING, api_error(503, STOPPING.reason, "overloaded", retry_after=1), now)

    def crash(self, now: float) -> None:
        """A bug of ours is in the way of this request: say so, blame nobody else."""
        self._end_all(BUG, api_error(500, f"internal error; the log knows {self._facts.request_id}"), now)

    def _end_all(self, why: Outcome, error: ApiError, now: float) -> None:
        stage, winner = self.stage, self.winner
        self._abandon(why, now)
        if stage is COMMITTED and winner is not None:
            self._interrupt(winner, why)
        elif stage is not DONE:
            self._refuse(error, Cause.GATEWAY)

    @property
    def kept(self) -> int:
        """Bytes of a refusal that may yet be passed on, if no other target has an answer."""
        if self._last_words is None or self.stage is DONE:
            return 0
        words = self._last_words[2]
        return len(words.body) if isinstance(words, Received) else 0

    def shorten(self) -> None:
        """There is no memory for such a refusal: keep what it means, in our own words."""
        if self._last_words is not None:
            attempt, result, _ = self._last_words
            words = api_error(result.status or attempt.status, f"the provider answered {describe(result)}", result.code)
            self._last_words = attempt, result, words

    def pause(self, attempt: Attempt, now: float) -> None:
        """Nobody reads this provider now: its silence is ours."""
        attempt.pause(now)

    def resume(self, attempt: Attempt, now: float) -> None:
        """The provider is read again."""
        attempt.resume(now)
        self._wake_by(attempt.clock)

    def release(self, attempt: Attempt, now: float) -> None:
        """There is no memory to hold more of this answer: pass on what there is, if that is the beginning of one."""
        if attempt.over or attempt.phase is PASSED_ON:
            return
        attempt.release(now)
        if attempt.phase is HOLDING:
            self._commit(attempt, now)

    def tick(self, now: float) -> None:
        """Look at the clocks."""
        for attempt in tuple(self._running):
            if attempt.clock <= now:
                self._late(attempt, now)
        if self.stage is TRYING or self.stage is BACKING_OFF:
            self._tick_uncommitted(now)
        self.wake_at = self._earliest()

    # Choosing.

    def _next(self, now: float) -> None:
        """Start the next attempt, or answer that there is none."""
        candidate = None if self._refused else self._choose(now)
        if candidate is not None:
            self._begin(candidate, now)
        elif not self._running:
            self._give_up(now)

    def _exhausted(self, now: float) -> bool:
        """No attempt is left, whatever targets are."""
        return self.books.attempts >= self._limits.max_attempts or now >= self._deadline

    def _choose(self, now: float) -> Candidate | None:
        return None if self._exhausted(now) else self.books.choose(self._route, self._facts.session, now)

    def _begin(self, candidate: Candidate, now: float) -> None:
        """Start an attempt at what was chosen this moment."""
        self._try(candidate, self.books.begin(self._route, candidate, now), now)
        self._running[-1].by_session = self.books.by_session

    def _try(self, candidate: Candidate, ticket: Ticket, now: float) -> None:
        self.books.attempts += 1
        route = self._route
        attempt = Attempt(self.books.attempts, candidate, ticket, self._facts, route.hold_back, route.counters.gap, now)
        attempt.share_at = now + (self._deadline - now) / 2
        if ticket.probe:
            attempt.hedge_at = now + candidate.state.provider.patience
        elif route.hedge_after is not None:
            attempt.hedge_at = now + route.hedge_after
        self._move(TRY)
        self._wake_by(attempt.wake_at)
        self._running.append(attempt)
        self._effects.append(Try(attempt))

    def _give_up(self, now: float) -> None:
        """Nobody is left to be asked: the answer is a refusal, as received if that says more than ours."""
        books, route, kept = self.books, self._route, self._facts.kept
        if self._last_words is not None and (self._refused or books.all_as_received(route, kept)):
            self._pass_on(*self._last_words)
            return
        recovery, late = route.recovery(now), now >= self._deadline
        self._refuse(refuse(route.name, books.tried, recovery, late, kept), books.last_cause)

    # What became of an attempt.

    def _advance(self, attempt: Attempt, now: float, linger: bool = False) -> None:
        """Commit, end or fail, as what was read demands. `linger`: its body has not ended."""
        # Also if what follows is a break: the same events mean the same, however reads cut them.
        if attempt.may_commit:
            self._commit(attempt, now)
        verdict = attempt.verdict
        if verdict is None:
            self._wake_by(attempt.wake_at)
        elif attempt.reader.complete:
            self._succeed(attempt, now, linger)
        else:
            self._fail(attempt, verdict, now)

    def _commit(self, attempt: Attempt, now: float) -> None:
        """Choose this attempt for good, and send what was held."""
        self._win(attempt, now)
        self._move(COMMIT)
        self.books.committed(now)
        self.reply.begin(attempt, self.books.attempts)
        self.reply.write(attempt.commit(now))

    def _win(self, attempt: Attempt, now: float) -> None:
        self.winner = attempt
        self._drop_others(LOST, now, but=attempt)

    def _succeed(self, attempt: Attempt, now: float, linger: bool) -> None:
        """The client has it all. `linger`: leave the provider a moment to end its body."""
        reader = attempt.reader
        if attempt.phase is PASSED_ON or self._facts.asked.stream:
            if attempt.phase is WAITING:
                attempt.move(CONTENT)
            if attempt.phase is not PASSED_ON:
                self._commit(attempt, now)
            self.reply.end(reader.closing())
        else:
            self._win(attempt, now)
            attempt.content_at = now
            self.reply.answer(attempt, self.books.attempts, reader.closing())
        result = reader.result
        if result.kind is not Kind.SUCCESS:
            self.books.blame(result)
        self.books.count(attempt)
        self._settle(attempt, result, now, linger)
        self._move(END)

    def _fail(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """An attempt has failed: to the next one, or to the client."""
        result = _without_key(attempt, self._unless_repeated(result))
        if attempt.phase is PASSED_ON:
            self._break(attempt, result, now)
        elif not self._failover(result) and self._relay_refusal(attempt, now):
            return
        elif self._may_repeat(attempt, result, now):
            self._effects.append(Cancel(attempt))
            self._back_off(attempt, result, now)
        else:
            self._give_it_up(attempt, result, now)

    def _unless_repeated(self, result: Outcome) -> Outcome:
        """What an error means if it says it itself, and does not only repeat what its request says."""
        if result.otherwise is not None and self.body is not None and self.body.says(result.grounds):
            return result.otherwise
        return result

    def _give_it_up(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """This attempt is of no more use. Another one may be."""
        self._effects.append(Cancel(attempt))
        self.books.tried.append((attempt.candidate, result))
        if RULES[result.kind].last is Last.AS_RECEIVED and not self._refused:
            self._last_words = attempt, result, self.reply.as_received(attempt, result, self.books.attempts)
        self._refused = self._refused or not self._failover(result)
        self._settle(attempt, result, now)
        if not self._running:
            self._move(FAIL)
        self._next(now)

    def _failover(self, result: Outcome) -> bool:
        """Whether another target may be asked what this one has refused."""
        return RULES[result.kind].failover or (
            result.kind is Kind.CONTENT_REFUSED and self._route.content_filter_failover
        )

    def _break(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """What was committed to has broken off."""
        self._effects.append(Cancel(attempt))
        result = Outcome(Kind.BROKEN, result.reason, result.status, result.code, counts=result.counts)
        self._settle(attempt, result, now)
        self._interrupt(attempt, result)

    def _interrupt(self, attempt: Attempt, result: Outcome) -> None:
        self.books.blame(result, Cause.GATEWAY)
        if result is STOPPING:
            error = ApiError(500, "server_error", "stream_interrupted", f"{STOPPING.reason}; ask again")
        else:
            words = f"the provider's stream broke: {self.books.error}"
            error = ApiError(502, "upstream_error", "stream_interrupted", words)
        self.reply.interrupt(attempt.reader, error)
        self._move(END)

    def _relay_refusal(self, attempt: Attempt, now: float) -> bool:
        """The client's own mistake, in more words than we keep: a validation error may repeat the whole request. It is
        passed on as it comes. False if it cannot be."""
        if len(self._running) > 1 or self.reply.state is not NOT_BEGUN or attempt.phase is not WAITING:
            return False
        attempt.verdict = None
        attempt.release(now)
        if attempt.phase is not HOLDING:
            return False
        self._win(attempt, now)
        self._move(COMMIT)
        self.reply.begin_refusal(attempt, self.books.attempts)
        self.reply.write(attempt.commit(now))
        return True

    def _pass_on(self, attempt: Attempt, result: Outcome, words: Received | ApiError) -> None:
        """A provider's refusal is the answer."""
        self.winner = attempt
        self.reply.pass_on(words, attempt, self.books.attempts)
        self.books.blame(result)
        self._move(END)

    def _refuse(self, error: ApiError, cause: Cause | None) -> None:
        """An error of our own is the answer."""
        self.books.error, self.books.cause = error.message, cause
        self.reply.refuse(error, [(b"x-oxllm-attempts", b"%d" % self.books.attempts)])
        self._move(END)

    # A second try at the same target.

    def _may_repeat(self, attempt: Attempt, result: Outcome, now: float) -> bool:
        return (
            result.same_target
            and not attempt.ticket.probe
            and len(self._running) == 1
            and not self._refused
            and self._repeats.get(attempt.candidate.state, 0) < self._limits.same_target
            and self.books.attempts < self._limits.max_attempts
            and now + JITTER_S[1] < self._deadline
            and attempt.ticket.unusable(now) is None
            and self._budget.spend(now)
        )

    def _back_off(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """Wait a moment and try the same target again, on the same ticket: the pair counts once."""
        state = attempt.candidate.state
        self._repeats[state] = self._repeats.get(state, 0) + 1
        self.books.note(attempt, result, now)
        attempt.close()
        self._running.remove(attempt)
        self._repeat = attempt.ticket, result
        self._repeat_at = now + self._rng.uniform(*JITTER_S)
        self._wake_by(self._repeat_at)
        self._move(BACK_OFF)

    def _try_again(self, now: float) -> None:
        """The jitter is over: the second try, unless the target has become unusable meanwhile."""
        assert self._repeat is not None
        ticket, result = self._repeat
        if ticket.unusable(now) is None:
            ticket.try_again()
            self._repeat, self._repeat_at = None, inf
            self._try(ticket.candidate, ticket, now)
        else:
            self._settle_repeat(result, now)
            self.books.tried.append((ticket.candidate, result))
            self._move(FAIL)
            self._next(now)

    def _settle_repeat(self, result: Outcome, now: float) -> None:
        """End the ticket of a try that was to be repeated."""
        if self._repeat is not None:
            self.books.end(self._repeat[0], result, now)
            self._repeat, self._repeat_at = None, inf

    # Ending.

    def _settle(self, attempt: Attempt, result: Outcome, now: float, linger: bool = False) -> None:
        """End an attempt's part in the request: its ticket, its record, its place among the running."""
        attempt.candidate.state.counters.dropped += attempt.reader.dropped
        self.books.end(attempt.ticket, result, now)
        self.books.note(attempt, result, now)
        if linger and attempt.phase is PASSED_ON:
            attempt.linger(now)
            self._wake_by(attempt.clock)
        else:
            attempt.close()
            self._running.remove(attempt)

    def _drop_others(self, why: Outcome, now: float, but: Attempt | None = None) -> None:
        for other in tuple(self._running):
            if other is not but:
                self._settle(other, why, now)
                self._effects.append(Cancel(other))

    def _abandon(self, why: Outcome, now: float) -> None:
        """Stop whatever runs, and settle it as `why`."""
        if self.stage is not DONE:
            self._drop_others(why, now)
            self._settle_repeat(why, now)
            self.books.blame(why, Cause.GATEWAY)
            return
        for attempt in self._running:  # draining: its answer is settled
            attempt.close()
            self._effects.append(Cancel(attempt))
        self._running.clear()

    def _drained(self, attempt: Attempt) -> bool:
        """Whether what ends had been settled before."""
        if attempt.phase is DRAINING:
            attempt.close()
            self._running.remove(attempt)
        return attempt.phase is ENDED

    # Clocks.

    def _late(self, attempt: Attempt, now: float) -> None:
        """A phase has lasted too long."""
        if self._drained(attempt):
            self._effects.append(Cancel(attempt))
            return
        attempt.late(now)
        whole = attempt.reader.complete  # held open after its end
        self._advance(attempt, now)
        if whole:
            self._effects.append(Cancel(attempt))

    def _tick_uncommitted(self, now: float) -> None:
        if now >= self._deadline:
            self._out_of_time(now)
            return
        if self._repeat_at <= now:
            self._try_again(now)
        for attempt in tuple(self._running):
            if attempt.hedge_at <= now or attempt.share_at <= now:
                self._run_beside(attempt, now)
            elif attempt.commit_at <= now and attempt.phase is HOLDING:
                self._commit(attempt, now)
                return  # the others are cancelled, whatever else is due
        if self._ping_at <= now and self.stage is not DONE:
            self._ping_at = now + PING_S
            self.reply.ping()

    def _run_beside(self, attempt: Attempt, now: float) -> None:
        """The attempt is slow to have content, or has had half of the time that is left: start another beside it, and
        let the faster one win. It costs a part of the retry budget, and is left alone if that is spent."""
        attempt.hedge_at = inf if attempt.hedge_at <= now else attempt.hedge_at
        attempt.share_at = inf if attempt.share_at <= now else attempt.share_at
        if attempt.content_at is not None or len(self._running) >= BESIDE_MAX or self._refused:
            return
        candidate = self._choose(now)
        if candidate is not None and self._budget.spend(now):
            self._begin(candidate, now)

    def _out_of_time(self, now: float) -> None:
        """The deadline has come: end whatever runs."""
        for attempt in tuple(self._running):
            result = self._deadline_outcome(attempt, now)
            self.books.tried.append((attempt.candidate, result))
            self._settle(attempt, result, now)
            self._effects.append(Cancel(attempt))
        if self._repeat is not None:
            ticket, result = self._repeat
            self.books.tried.append((ticket.candidate, result))
            self._settle_repeat(result, now)
        self._give_up(now)

    def _deadline_outcome(self, attempt: Attempt, now: float) -> Outcome:
        """What a client's own deadline ends says nothing of a provider; what ours ends, once it had its own limit."""
        times = attempt.candidate.timeouts
        limit = times.first_byte if self._facts.asked.stream else times.answer
        ours = self._facts.timeout is None or self._facts.timeout >= self._route.request
        reason = f"out of time after {now - attempt.started:.1f} s"
        return Outcome(Kind.DEADLINE, reason, counts=ours and now - attempt.started >= limit)

    def _wake_by(self, when: float) -> None:
        """A clock has been set to `when`."""
        if when < self.wake_at:  # noqa: PLR1730  min() takes twice as long, and each request comes here five times
            self.wake_at = when

    def _earliest(self) -> float:
        """The next moment at which a tick has something to do."""
        if self.stage is DONE or self.stage is COMMITTED:
            return self._running[0].clock if self._running else inf
        wake = min(self._deadline, self._repeat_at, self._ping_at)
        for attempt in self._running:
            wake = min(wake, attempt.wake_at)
        return wake

    def _move(self, event: ExchangeEvent) -> None:
        self.stage = move(TABLE, self.stage, event)


def _without_key(attempt: Attempt, result: Outcome) -> Outcome:
    """A provider's code goes into messages and logs, whatever it is: but never when it repeats our key."""
    key = attempt.candidate.plan.api_key
    if key and result.code and key in result.code:
        return msgspec.structs.replace(result, code=None)
    return result
