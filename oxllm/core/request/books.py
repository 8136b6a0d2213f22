"""What has become of one client's request so far: whom it asked, what each said, and what that changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from oxllm.core.protocols.base import Usage
from oxllm.core.reading.outcome import SUCCESS, Kind, Outcome
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.refusal import describe
from oxllm.core.request.step import Step
from oxllm.core.routing.change import Change
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.marks import NOT_ASKED, SAYS_NOTHING
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.router import Router
from oxllm.core.routing.targets import TargetState
from oxllm.core.routing.ticket import Ticket

NOBODY: Final[Mapping[str, Skip]] = {}
"""Most requests pass over nobody, and many are remembered: one for all of them."""
_SERVER_ERROR: Final[Kind] = Kind.SERVER_ERROR  # on 3.11 each look at an Enum's member takes 0.1 µs


class Books:
    """The record of one client's request."""

    __slots__ = (
        "_alike",
        "_asked",
        "_balancer",
        "_halved",
        "_results",
        "_route",
        "attempts",
        "by_session",
        "changes",
        "skips",
        "started",
        "steps",
        "tried_states",
        "usage",
    )

    def __init__(self, router: Router, now: float) -> None:
        self._balancer = router.balancer
        self._results = router.results
        self._alike: tuple[Ticket, ...] = ()
        """Tickets of attempts that ended in a server error, as long as no other has ended otherwise."""
        self._asked = 0
        """Targets that the request went out to, or is on its way to."""
        self._halved = False
        """Those count for half a failure each."""
        self._route: Route | None = None
        """Where the last attempt was chosen from."""
        self.started = now
        self.attempts = 0
        """Made so far, same-target tries and hedges included."""
        self.tried_states: tuple[TargetState, ...] = ()
        self.by_session = False
        """The session decided which target was chosen last."""
        self.usage: Usage | None = None
        self.steps: tuple[Step, ...] = ()
        self.skips = NOBODY
        """Targets passed over, and why, as of the last choice."""
        self.changes: list[Change] = []
        """Breaker and cooldown changes that this request caused and nobody has logged yet."""

    def choose(self, route: Route, session: int | None, now: float) -> Candidate | None:
        """Whom to ask next. Changes nothing but what is known of who was passed over."""
        self.by_session = False
        if session is None:
            candidate, skips = self._balancer.choose(route, self.tried_states, now)
        else:
            candidate, skips, self.by_session = self._balancer.prefer(route, self.tried_states, now, session)
        if skips:
            self.skips = {**self.skips, **{passed.state.name: why for passed, why in skips}}
        return candidate

    def last_resort(self, route: Route, now: float) -> Candidate | None:
        """Whom to ask when there is nobody else: a provider that fails now and then, though its breaker is open."""
        candidate = self._balancer.last_resort(route, self.tried_states, now)
        if candidate is not None:
            self.skips = {name: why for name, why in self.skips.items() if name != candidate.state.name}
        return candidate

    def begin(self, route: Route, candidate: Candidate, now: float) -> Ticket:
        """An attempt begins at whom was chosen this moment."""
        ticket = self._balancer.begin(route, candidate, self.tried_states, now, self.by_session)
        self._route = route
        self.tried_states += (candidate.state,)
        self._asked += 1
        return ticket

    def answered(self, ticket: Ticket, spent: float | None, now: float) -> None:
        """The head of a success is there. `spent`: seconds for which it says that its target's limit is used up."""
        self.changes += self._results.answered(ticket, now)
        if spent is not None:
            self.changes += self._results.predicted(ticket, spent, now)

    def end(self, ticket: Ticket, result: Outcome, now: float) -> None:
        """Do what follows from a result. A server error that each target reports may be the request's fault, and counts
        as half a failure of each: at once, if no other can be asked."""
        alike = self._alike
        if result is not SUCCESS and result.kind in NOT_ASKED:
            if ticket.failed is None:
                self._asked -= 1
            else:
                result = ticket.failed  # of a second try that did not go out
        if result.kind is not _SERVER_ERROR:
            self.changes += self._results.end(ticket, result, now)
            if alike and result.kind not in SAYS_NOTHING:
                self.confirm_failures(now)
            return
        if alike and not self._halved:
            self.changes += self._results.excuse(alike[0], now)
        self._halved = bool(alike) or self._alone(now)
        self.changes += self._results.end(ticket, result, now, 1 if self._halved else 2)
        self._alike += (ticket,)

    def _alone(self, now: float) -> bool:
        """No other target was asked, and none can be: nobody has done otherwise."""
        return self._asked == 1 and self._route is not None and not self._route.usable(now, self.tried_states)

    def confirm_failures(self, now: float) -> None:
        """One target does otherwise: those that failed alike before it did so by themselves, and each half a failure is
        a whole one."""
        if self._halved:
            for ticket in self._alike:
                self.changes += self._results.confirm(ticket, now)
        self._alike = ()
        self._halved = False

    def unanswered(self, now: float) -> None:
        """Nobody is left to be asked. If the only target that was has said a server error, it may be the request's
        fault as well: nobody has done otherwise."""
        if len(self._alike) == self._asked == 1 and not self._halved:
            self._halved = True
            self.changes += self._results.excuse(self._alike[0], now)

    def note(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """Remember what became of an attempt."""
        content = None if attempt.content_at is None else attempt.content_at - self.started
        began, ended = attempt.started - self.started, now - self.started
        words = describe(result)
        step = Step(attempt.number, attempt.target, began, ended, content, words, attempt.by_session, result.status)
        self.steps += (step,)

    def count(self, attempt: Attempt) -> None:
        """The client has the attempt's whole answer."""
        counters = attempt.candidate.state.counters
        if attempt.content_at is not None:
            counters.ttft.observe(attempt.content_at - attempt.started)
        usage = attempt.reader.usage
        if usage is not None:
            self.usage = usage
            counters.tokens(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
