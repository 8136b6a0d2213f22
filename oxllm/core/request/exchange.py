"""One client request: whom to ask, when to give up, what to send (the terms are those of docs/failures.md).

The exchange starts attempts one after another, in the balancer's order, until one is *committed*: the first byte of
its content goes to the client. Before that a failure costs the client only time; after it no other target is used,
since halves of two answers do not make one.

Four helpers know one thing each: the race which attempts are in flight, the second try which target is asked once
more and when, the last answer what the client gets when no target is left, the reply how the client is told. The
exchange decides what follows from what; its stages are in `stages`.

It never suspends, and has no clock and no sockets: each call passes in the time, and the caller takes the effects
(`take_effects`) after it. `alarm` says when to call `tick` if nothing else happens.
"""

from __future__ import annotations

import random
from math import inf

from oxllm import plan
from oxllm.core.budget.retry import RetryBudget
from oxllm.core.reading import hints
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import BUG, GONE, LOST, RULES, STOPPING, Cause, Failure, Kind, Last, Outcome, network
from oxllm.core.request.alarm import Alarm
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.belief import believed
from oxllm.core.request.books import Books
from oxllm.core.request.effects import Action, Cancel
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.hold_back import may_commit
from oxllm.core.request.last_answer import LastAnswer
from oxllm.core.request.limits import out_of_time, timed_out
from oxllm.core.request.phases import COMMITTED as ATTEMPT_COMMITTED
from oxllm.core.request.phases import CONTENT, DRAINING, ENDED, HOLDING, WAITING
from oxllm.core.request.race import Race
from oxllm.core.request.reply import NOT_BEGUN, Reply
from oxllm.core.request.second_try import SecondTry
from oxllm.core.request.stages import (
    BACK_OFF,
    BACKING_OFF,
    CHOOSING,
    COMMIT,
    COMMITTED,
    DONE,
    END,
    FAIL,
    TABLE,
    TRY,
    TRYING,
)
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.router import Router
from oxllm.core.wire.body import PassedBody, RequestBody
from oxllm.core.wire.errors import ApiError, api_error


class Exchange:
    """One client request, in one class, since any event may move it to any other stage."""

    __slots__ = (
        "_budget",
        "_deadline",
        "_effects",
        "_last",
        "_max_attempts",
        "_race",
        "_second",
        "alarm",
        "body",
        "books",
        "facts",
        "reply",
        "route",
        "stage",
        "winner",
    )

    def __init__(
        self,
        facts: RequestFacts,
        body: RequestBody | PassedBody,
        route: Route,
        router: Router,
        budget: RetryBudget,
        limits: plan.Retry,
        rng: random.Random,
        now: float,
    ) -> None:
        self.facts = facts
        self.route = route
        self._budget = budget
        self._max_attempts = limits.max_attempts
        timeout = facts.timeout
        self._deadline = now + (timeout if timeout and timeout < route.request else route.request)
        self._effects: list[Action] = []
        self.alarm = Alarm(self._deadline)
        self.body: RequestBody | PassedBody | None = body
        """The request's body, as long as it may be sent to another target."""
        self.books = Books(router, now)
        self.reply = Reply(facts, self.books, self._effects, now)
        self.alarm.by(self.reply.ping_at)
        self._race = Race(facts, route, self.books, self._deadline, self.alarm, self._effects)
        self._second = SecondTry(limits.same_target, budget, rng, self.books)
        self._last = LastAnswer()
        self.stage = CHOOSING
        self.winner: Attempt | None = None
        """The attempt whose answer the client gets."""

    def __repr__(self) -> str:
        return f"<Exchange {self.route.name!r} {self.stage.name} {self._race.running} {self.reply}>"

    @property
    def settled(self) -> bool:
        """The client's part is over, and no provider's response is still being read to its end."""
        return self.stage is DONE and not self._race.running

    @property
    def rescued(self) -> bool:
        """Served, though an attempt had failed. A hedge that only lost the race has not failed."""
        return bool(self._last.tried) and self.reply.error is None

    @property
    def kept(self) -> int:
        """Bytes of a refusal kept in case no other target has an answer."""
        return 0 if self.stage is DONE else self._last.kept

    def shorten(self) -> None:
        """Memory is short: keep the refusal's meaning only."""
        self._last.shorten()

    def take_effects(self) -> list[Action]:
        """The effects, in order. The caller performs them before it makes any other call."""
        taken = list(self._effects)
        self._effects.clear()
        return taken

    def drop_body(self) -> bool:
        """Called once all effects are performed: drop the request's body if no other target will need it. Returns
        whether this call dropped it."""
        if self.body is None or not (self.stage is COMMITTED or self.stage is DONE):
            return False
        self.body = None
        return True

    # What happens to a request.

    def start(self, now: float) -> None:
        """Begin."""
        self._budget.request(now)
        self._next(now)

    def may_send(self, attempt: Attempt, now: float) -> bool:
        """Whether to send the request, now that a new connection is there or could be made. Not if the target has
        become unusable since: its provider asked for a wait, or an operator took it offline. An open breaker is only
        our own guess, and no reason if there is no other target to go to."""
        why = attempt.ticket.unusable(now)
        if why is None or why is not Skip.OPEN:
            return why is None
        return self._exhausted(now) or not self.route.usable(now, self.books.tried_states)

    def head(self, attempt: Attempt, status: int, fields: Headers, now: float, wall: float) -> None:
        """The response head has arrived. `wall`: seconds since the epoch, for hints that are dates."""
        if attempt.phase is not WAITING:
            return
        attempt.head(status, fields, now, wall)
        if attempt.verdict is not None:
            self._fail(attempt, attempt.verdict, now)
        elif 200 <= status < 300:
            self.books.answered(attempt.ticket, hints.predictive(fields, wall), now)

    def data(self, attempt: Attempt, data: bytes, now: float) -> bytes:
        """A part of the response body has arrived. Returns bytes for the client if writing them is all there is to do;
        otherwise nothing, and everything is in the effects."""
        phase = attempt.phase
        if phase is ENDED or phase is DRAINING:
            return b""
        ready = attempt.data(data, now)
        if phase is ATTEMPT_COMMITTED and attempt.verdict is None:
            return ready
        if ready:
            self.reply.write(ready)
        self._advance(attempt, now, linger=True)
        return b""

    def whole(self, attempt: Attempt, status: int, fields: Headers, body: bytes, now: float, wall: float) -> None:
        """The response has come in one piece: head, body and end."""
        self.head(attempt, status, fields, now, wall)
        if body and self.facts.stream:
            self.data(attempt, body, now)  # nothing is committed yet, so all of it is in the effects
        elif body and attempt.phase is WAITING:
            attempt.data(body, now)  # held, and judged at its end
        self.end(attempt, now)

    def end(self, attempt: Attempt, now: float) -> None:
        """The response has ended as its framing says."""
        if not self._race.finish_draining(attempt):
            attempt.end()
            self._advance(attempt, now)

    def failed(self, attempt: Attempt, failure: Failure, early: bool, detail: str, now: float) -> None:
        """The connection failed; `early`: before any byte of the response."""
        if not self._race.finish_draining(attempt):
            attempt.broke_off(network(failure, early, detail))
            self._advance(attempt, now)

    def commit_early(self, attempt: Attempt, now: float) -> None:
        """Memory is short: stop holding this answer back, and commit if what came is the start of one."""
        if attempt.phase is WAITING or attempt.phase is HOLDING:
            attempt.release(now)
            if attempt.phase is HOLDING:
                self._commit(attempt, now)

    def gone(self, now: float) -> None:
        """The client went away: cancel everything, blame nobody."""
        if self._cancel_all(GONE, now):
            self.reply.drop(GONE)
            self.stage = TABLE.move(self.stage, END)

    def expire(self, now: float) -> None:
        """The gateway is stopping, and its drain is out of time."""
        winner = self.winner
        if self.stage is COMMITTED and winner is not None and winner.reader.complete:
            self._read_no_further(winner, STOPPING, now)
            return
        self._interrupt(STOPPING, api_error(503, STOPPING.reason, "overloaded", retry_after=1), now)

    def crash(self, now: float) -> None:
        """A bug of ours stopped this request: say so, blame nobody else."""
        self._interrupt(BUG, api_error(500, f"internal error; the log knows {self.facts.request_id}"), now)

    def _interrupt(self, why: Outcome, error: ApiError, now: float) -> None:
        """End the request from outside: with `error`, or by breaking off the answer that has begun."""
        winner = self.winner if self.stage is COMMITTED else None
        if not self._cancel_all(why, now):
            return
        if winner is not None:
            self.reply.interrupt(winner.reader, why)
        else:
            self.reply.refuse(error, Cause.GATEWAY)
        self.stage = TABLE.move(self.stage, END)

    def _cancel_all(self, why: Outcome, now: float) -> bool:
        """Cancel whatever is in flight. False if the client already had its whole response: only draining stops."""
        if self.stage is DONE:
            self._race.stop_draining()
            return False
        self._race.cancel_others(why, now)
        self._second.cancel(why, now)
        return True

    # Choosing.

    def _next(self, now: float) -> None:
        """Start the next attempt; if there is none and none is in flight, give up."""
        candidate = None if self._last.final else self._choose(now)
        if candidate is not None:
            self._begin(candidate, now)
        elif not self._race.running:
            self._give_up(now)

    def _exhausted(self, now: float) -> bool:
        """No further attempt is allowed, even if there are targets."""
        return self.books.sent >= self._max_attempts or now >= self._deadline

    def _choose(self, now: float) -> Candidate | None:
        """The target to ask next: beside one in flight, or after all others (then an open breaker may do)."""
        if self._exhausted(now):
            return None
        candidate = self.books.choose(self.route, self.facts.session, now)
        if candidate is None and not self._race.running:
            candidate = self.books.last_resort(self.route, now)
        return candidate

    def _begin(self, candidate: Candidate, now: float) -> None:
        """Start an attempt at the candidate that was just chosen."""
        self.stage = TABLE.move(self.stage, TRY)
        self._race.begin(self.books.begin(self.route, candidate, now), now, self.books.by_session)

    def _give_up(self, now: float) -> None:
        """No target is left: refuse, in a provider's words if they say more than ours."""
        last, route, stored = self._last, self.route, self.facts.stored
        self.books.unanswered(now)
        refusal = last.refusal(route, stored, now)
        if refusal is not None:
            self.winner = refusal.attempt
            self.reply.pass_on(refusal)
        else:
            error = last.error(route, now >= self._deadline, stored, now)
            if self.facts.asked.previous is not None:
                error = self.facts.protocol.uncontinued(error)
            self.reply.refuse(error, last.cause)
        self.stage = TABLE.move(self.stage, END)

    # What became of an attempt.

    def _advance(self, attempt: Attempt, now: float, linger: bool = False) -> None:
        """Commit, end or fail, as what was read demands. `linger`: the body has not ended yet."""
        # Even if a break follows in the same read: the same events mean the same, however reads split them.
        if may_commit(attempt):
            self._commit(attempt, now)
        verdict = attempt.verdict
        if verdict is None:
            return
        if attempt.reader.complete:
            self._succeed(attempt, now, linger)
        else:
            self._fail(attempt, verdict, now)

    def _commit(self, attempt: Attempt, now: float) -> None:
        """Commit to this attempt, and send what was held."""
        self._win(attempt, now)
        self.stage = TABLE.move(self.stage, COMMIT)
        self.books.confirm_failures(now)
        self.reply.begin(attempt)
        self.reply.write(attempt.commit(now))

    def _win(self, attempt: Attempt, now: float) -> None:
        self.winner = attempt
        self._last.drop()
        if len(self._race.running) > 1:
            self._race.cancel_others(LOST, now, winner=attempt)

    def _succeed(self, attempt: Attempt, now: float, linger: bool) -> None:
        """The answer is whole: send what is left of it. `linger`: give the provider a moment to end its body."""
        reader = attempt.reader
        if attempt.phase is ATTEMPT_COMMITTED or self.facts.stream:
            if attempt.phase is WAITING:
                attempt.move(CONTENT)
            if attempt.phase is not ATTEMPT_COMMITTED:
                self._commit(attempt, now)
            self.reply.end(reader.closing(), reader.result)
        else:
            self._win(attempt, now)
            attempt.content_at = now
            self.reply.answer(attempt, reader.closing(), reader.result)
        self.books.count(attempt)
        self._race.end(attempt, reader.result, now, linger)
        self.stage = TABLE.move(self.stage, END)

    def _fail(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """An attempt has failed: break off, pass its refusal on, back off or fail over."""
        result = believed(result, self.body, attempt.candidate.plan.api_key)
        if attempt.phase is ATTEMPT_COMMITTED:
            self._break(attempt, result, now)
        elif not self.route.fails_over(result) and self._relay_refusal(attempt, result, now):
            return
        elif not self._back_off(attempt, result, now):
            self._fail_over(attempt, result, now)

    def _fail_over(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """Drop this attempt, and go on to the next target."""
        last = self._last
        last.failed(attempt.candidate, result)
        if RULES[result.kind].last is Last.AS_RECEIVED:
            last.keep(self.reply.as_received(attempt, result))
        last.final = last.final or not self.route.fails_over(result)
        self._race.cancel(attempt, result, now)
        if not self._race.running:
            self.stage = TABLE.move(self.stage, FAIL)
        self._next(now)

    def _break(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """The committed answer has broken off."""
        result = Outcome(Kind.BROKEN, result.reason, result.status, result.code, counts=result.counts)
        self._race.cancel(attempt, result, now)
        self.reply.interrupt(attempt.reader, result)
        self.stage = TABLE.move(self.stage, END)

    def _relay_refusal(self, attempt: Attempt, result: Outcome, now: float) -> bool:
        """Pass on, as it comes, a refusal that no other target would change and that is too long to keep: a validation
        error may quote the whole request. False if that cannot be done."""
        if len(self._race.running) > 1 or self.reply.state is not NOT_BEGUN or attempt.phase is not WAITING:
            return False
        attempt.verdict = None
        attempt.release(now)
        if attempt.phase is not HOLDING:
            return False
        attempt.reader.result = result
        self._win(attempt, now)
        self.stage = TABLE.move(self.stage, COMMIT)
        self.reply.begin_refusal(attempt)
        self.reply.write(attempt.commit(now))
        return True

    # A second try at the same target.

    def _back_off(self, attempt: Attempt, result: Outcome, now: float) -> bool:
        """Wait a moment, then try the same target again on the same ticket. False if there is to be no second try."""
        if len(self._race.running) > 1 or self._last.final or self._exhausted(now):
            return False
        if not self._second.plan(attempt.ticket, result, self._deadline, now):
            return False
        self.alarm.by(self._second.at)
        self._last.failed(attempt.candidate, result)
        self._race.suspend(attempt, result, now)
        self.stage = TABLE.move(self.stage, BACK_OFF)
        return True

    def _try_again(self, now: float) -> None:
        """The jitter is over: the second try, unless the target has become unusable meanwhile."""
        ticket, result = self._second.ticket, self._second.result
        assert ticket is not None
        assert result is not None
        if ticket.unusable(now) is None:
            self._second.clear()
            ticket.try_again(result)
            self._race.begin(ticket, now)
            self.stage = TABLE.move(self.stage, TRY)
        else:
            self._second.cancel(result, now)
            self.stage = TABLE.move(self.stage, FAIL)
            self._next(now)

    # Clocks.

    def tick(self, now: float) -> None:
        """Act on the clocks that are due, and set the alarm anew."""
        for attempt in tuple(self._race.running):
            if attempt.clock.at <= now:
                self._late(attempt, now)
        if self.stage is TRYING or self.stage is BACKING_OFF:
            self._tick_uncommitted(now)
        wake = self._race.wake_at
        if self.stage is not COMMITTED and self.stage is not DONE:
            wake = min(wake, self._deadline, self._second.at, self.reply.ping_at)
        self.alarm.at = wake

    def _late(self, attempt: Attempt, now: float) -> None:
        """An attempt's phase has timed out."""
        if self._race.finish_draining(attempt):
            self._effects.append(Cancel(attempt))
            return
        self._read_no_further(attempt, timed_out(attempt, now), now)

    def _read_no_further(self, attempt: Attempt, why: Outcome, now: float) -> None:
        """End an attempt whose response has not ended; one that is whole but for that is a success all the same."""
        attempt.broke_off(why)
        whole = attempt.reader.complete
        self._advance(attempt, now)
        if whole:
            self._effects.append(Cancel(attempt))

    def _tick_uncommitted(self, now: float) -> None:
        if now >= self._deadline:
            self._out_of_time(now)
            return
        if self._second.at <= now:
            self._try_again(now)
        for attempt in tuple(self._race.running):
            if attempt.hedge_at <= now or attempt.share_at <= now:
                self._hedge(attempt, now)
            elif attempt.commit_at <= now and attempt.phase is HOLDING:
                self._commit(attempt, now)
                return  # the others are cancelled, whatever else is due
        if self.reply.ping_at <= now and self.stage is not DONE:
            self.reply.ping(now)

    def _hedge(self, attempt: Attempt, now: float) -> None:
        """The attempt has no content after its hedge delay or its half of the remaining time: start another beside it,
        and let the faster one win. A hedge is paid from the retry budget, so none starts when that is spent."""
        attempt.hedge_at = inf if attempt.hedge_at <= now else attempt.hedge_at
        attempt.share_at = inf if attempt.share_at <= now else attempt.share_at
        if attempt.content_at is not None or self._race.full or self._last.final:
            return
        candidate = self._choose(now)
        if candidate is not None and self._budget.spend(now):
            self._begin(candidate, now)

    def _out_of_time(self, now: float) -> None:
        """The deadline has passed: end whatever is in flight."""
        for attempt in tuple(self._race.running):
            result = out_of_time(attempt, self.route.request, now)
            self._last.failed(attempt.candidate, result)
            self._race.cancel(attempt, result, now)
        failed = self._second.result
        if failed is not None:
            self._second.cancel(failed, now)
        self._give_up(now)
