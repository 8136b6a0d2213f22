"""One client request: whom to ask, when to give up, what to send (the words are those of docs/failures.md).

The exchange starts attempts one after another, in the order that the balancer gives, until one is *committed*:
the first byte of its content goes to the client. Before that a failure costs the client nothing but time;
after it no other target is used, since two halves of two answers are no answer.

Four helpers know one thing each: the race who is under way, the second try who is asked once more and when, the last
answer what the client gets if nobody is left, the reply how it is told. What follows from what is decided here; the
stages are in `stages`.

It runs to completion without suspending, has no clock and no sockets: each call brings the time, and what is to be done
is taken (`take_effects`) after it. `alarm` says when it wants `tick` called if nothing else happens.
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
from oxllm.core.request.attempt import COMMITTED as ATTEMPT_COMMITTED
from oxllm.core.request.attempt import CONTENT, DRAINING, ENDED, HOLDING, WAITING, Attempt
from oxllm.core.request.belief import believed
from oxllm.core.request.books import Books
from oxllm.core.request.effects import Action, Cancel
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.hold_back import may_commit
from oxllm.core.request.last_answer import LastAnswer
from oxllm.core.request.limits import out_of_time, timed_out
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
    """One client request, in one class, since each thing that happens to it may be its turn to any other stage."""

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
        """The request's, as long as it may be sent to yet another target."""
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
        """It was served, after an attempt had failed: one that another was only faster than has not."""
        return bool(self._last.tried) and self.reply.error is None

    @property
    def kept(self) -> int:
        """Bytes of a refusal that may yet be passed on, if no other target has an answer."""
        return 0 if self.stage is DONE else self._last.kept

    def shorten(self) -> None:
        """There is no memory for such a refusal."""
        self._last.shorten()

    def take_effects(self) -> list[Action]:
        """What is to be done, in order; the caller does it, before anything else happens to the request."""
        taken = list(self._effects)
        self._effects.clear()
        return taken

    def drop_body(self) -> bool:
        """Called when all effects are done: let go of the request's body if it is sent to nobody else. Whether it has
        now been let go of."""
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
        """A new connection is there, or could be made: whether the request is to go out on it. Not when its target may
        not be asked any more: its provider has asked for a wait, an operator has taken it out. Its breaker may have
        opened, too, which is our own guess, and no reason where there is no other one to go to."""
        why = attempt.ticket.unusable(now)
        if why is None or why is not Skip.OPEN:
            return why is None
        return self._exhausted(now) or not self.route.usable(now, self.books.tried_states)

    def head(self, attempt: Attempt, status: int, fields: Headers, now: float, wall: float) -> None:
        """The response head is there. `wall`: seconds since the epoch, for hints that are dates."""
        if attempt.phase is not WAITING:
            return
        attempt.head(status, fields, now, wall)
        if attempt.verdict is not None:
            self._fail(attempt, attempt.verdict, now)
        elif 200 <= status < 300:
            self.books.answered(attempt.ticket, hints.predictive(fields, wall), now)

    def data(self, attempt: Attempt, data: bytes, now: float) -> bytes:
        """A part of the response body is there. Returns what the client gets of it if that is all that is to be done;
        else nothing, and all of it is in the effects."""
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
        """The response has come in one piece: its head, its body, its end."""
        self.head(attempt, status, fields, now, wall)
        if body and self.facts.stream:
            self.data(attempt, body, now)  # nothing is committed yet, so all of it is in the effects
        elif body and attempt.phase is WAITING:
            attempt.data(body, now)  # it is held, and judged at its end
        self.end(attempt, now)

    def end(self, attempt: Attempt, now: float) -> None:
        """The response is whole as its framing goes."""
        if not self._race.finish_draining(attempt):
            attempt.end()
            self._advance(attempt, now)

    def failed(self, attempt: Attempt, failure: Failure, early: bool, detail: str, now: float) -> None:
        """The connection failed; `early`: before any byte of the response."""
        if not self._race.finish_draining(attempt):
            attempt.broke_off(network(failure, early, detail))
            self._advance(attempt, now)

    def commit_early(self, attempt: Attempt, now: float) -> None:
        """There is no memory to hold more of this answer: pass on what there is, if that is the beginning of one."""
        if attempt.phase is WAITING or attempt.phase is HOLDING:
            attempt.release(now)
            if attempt.phase is HOLDING:
                self._commit(attempt, now)

    def gone(self, now: float) -> None:
        """The client went away: cancel, blame nobody."""
        if self._cancel_all(GONE, now):
            self.reply.drop(GONE)
            self.stage = TABLE.move(self.stage, END)

    def expire(self, now: float) -> None:
        """The gateway stops and cannot wait any longer."""
        winner = self.winner
        if self.stage is COMMITTED and winner is not None and winner.reader.complete:
            winner.broke_off(STOPPING)  # it is whole, and only its end mark is missing
            self._advance(winner, now)
            self._effects.append(Cancel(winner))
            return
        self._interrupt(STOPPING, api_error(503, STOPPING.reason, "overloaded", retry_after=1), now)

    def crash(self, now: float) -> None:
        """A bug of ours is in the way of this request: say so, blame nobody else."""
        self._interrupt(BUG, api_error(500, f"internal error; the log knows {self.facts.request_id}"), now)

    def _interrupt(self, why: Outcome, error: ApiError, now: float) -> None:
        """End it from outside: with `error`, or by breaking off the answer that has begun."""
        winner = self.winner if self.stage is COMMITTED else None
        if not self._cancel_all(why, now):
            return
        if winner is not None:
            self.reply.interrupt(winner.reader, why)
        else:
            self.reply.refuse(error, Cause.GATEWAY)
        self.stage = TABLE.move(self.stage, END)

    def _cancel_all(self, why: Outcome, now: float) -> bool:
        """Cut short whatever runs. False: the client had its whole response, and no provider is read on."""
        if self.stage is DONE:
            self._race.stop_draining()
            return False
        self._race.cancel_others(why, now)
        self._second.cancel(why, now)
        return True

    # Choosing.

    def _next(self, now: float) -> None:
        """Start the next attempt, or answer that there is none."""
        candidate = None if self._last.final else self._choose(now)
        if candidate is not None:
            self._begin(candidate, now)
        elif not self._race.running:
            self._give_up(now)

    def _exhausted(self, now: float) -> bool:
        """No attempt is left, whatever targets are."""
        return self.books.attempts >= self._max_attempts or now >= self._deadline

    def _choose(self, now: float) -> Candidate | None:
        """Whom to ask next, beside who is being asked or after all others."""
        if self._exhausted(now):
            return None
        candidate = self.books.choose(self.route, self.facts.session, now)
        if candidate is None and not self._race.running:
            candidate = self.books.last_resort(self.route, now)
        return candidate

    def _begin(self, candidate: Candidate, now: float) -> None:
        """Start an attempt at what was chosen this moment."""
        self.stage = TABLE.move(self.stage, TRY)
        self._race.begin(self.books.begin(self.route, candidate, now), now, self.books.by_session)

    def _give_up(self, now: float) -> None:
        """Nobody is left to be asked: the answer is a refusal, as received if that says more than ours."""
        last, route, stored = self._last, self.route, self.facts.stored
        self.books.unanswered(now)
        refusal = last.refusal(route, stored, now)
        if refusal is not None:
            self.winner = refusal.attempt
            self.reply.pass_on(refusal)
        else:
            self.reply.refuse(last.error(route, now >= self._deadline, stored, now), last.cause)
        self.stage = TABLE.move(self.stage, END)

    # What became of an attempt.

    def _advance(self, attempt: Attempt, now: float, linger: bool = False) -> None:
        """Commit, end or fail, as what was read demands. `linger`: its body has not ended."""
        # Also if what follows is a break: the same events mean the same, however reads cut them.
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
        """Choose this attempt for good, and send what was held."""
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
        """The client has it all. `linger`: leave the provider a moment to end its body."""
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
        """An attempt has failed: to the next one, or to the client."""
        result = believed(result, self.body, attempt.candidate.plan.api_key)
        if attempt.phase is ATTEMPT_COMMITTED:
            self._break(attempt, result, now)
        elif not self.route.fails_over(result) and self._relay_refusal(attempt, result, now):
            return
        elif not self._back_off(attempt, result, now):
            self._fail_over(attempt, result, now)

    def _fail_over(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """This attempt is of no more use. Another one may be."""
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
        """What was committed to has broken off."""
        result = Outcome(Kind.BROKEN, result.reason, result.status, result.code, counts=result.counts)
        self._race.cancel(attempt, result, now)
        self.reply.interrupt(attempt.reader, result)
        self.stage = TABLE.move(self.stage, END)

    def _relay_refusal(self, attempt: Attempt, result: Outcome, now: float) -> bool:
        """The client's own mistake, in more words than we keep: a validation error may repeat the whole request. It is
        passed on as it comes. False if it cannot be."""
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
        """Wait a moment and try the same target again, on the same ticket. False if that is not to be."""
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
        """Look at the clocks."""
        for attempt in tuple(self._race.running):
            if attempt.clock <= now:
                self._late(attempt, now)
        if self.stage is TRYING or self.stage is BACKING_OFF:
            self._tick_uncommitted(now)
        wake = self._race.wake_at
        if self.stage is not COMMITTED and self.stage is not DONE:
            wake = min(wake, self._deadline, self._second.at, self.reply.ping_at)
        self.alarm.at = wake

    def _late(self, attempt: Attempt, now: float) -> None:
        """A phase has lasted too long."""
        if self._race.finish_draining(attempt):
            self._effects.append(Cancel(attempt))
            return
        attempt.broke_off(timed_out(attempt, now))
        whole = attempt.reader.complete  # held open after its end
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
        """The attempt is slow to have content, or has had half of the time that is left: start another beside it, and
        let the faster one win. It costs a part of the retry budget, and is left alone if that is spent."""
        attempt.hedge_at = inf if attempt.hedge_at <= now else attempt.hedge_at
        attempt.share_at = inf if attempt.share_at <= now else attempt.share_at
        if attempt.content_at is not None or self._race.full or self._last.final:
            return
        candidate = self._choose(now)
        if candidate is not None and self._budget.spend(now):
            self._begin(candidate, now)

    def _out_of_time(self, now: float) -> None:
        """The deadline has come: end whatever runs."""
        for attempt in tuple(self._race.running):
            result = out_of_time(attempt, self.route.request, now)
            self._last.failed(attempt.candidate, result)
            self._race.cancel(attempt, result, now)
        failed = self._second.result
        if failed is not None:
            self._second.cancel(failed, now)
        self._give_up(now)
