"""The record of one client request so far: which targets were asked, what each said, and what that changed."""

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
"""Shared: most requests skip no target, and many records are kept."""
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
        "withheld",
    )

    def __init__(self, router: Router, now: float) -> None:
        self._balancer = router.balancer
        self._results = router.results
        self._alike: tuple[Ticket, ...] = ()
        """Tickets that ended in a server error; empty again once any target has ended otherwise."""
        self._asked = 0
        """Targets that the request was sent to, or is being sent to."""
        self._halved = False
        """Whether those in `_alike` count as half a failure each."""
        self._route: Route | None = None
        """The route of the last attempt."""
        self.started = now
        self.attempts = 0
        """Attempts so far, second tries and hedges included."""
        self.withheld = 0
        """How many of them were not sent after all, since their target was not to be asked any more by then."""
        self.tried_states: tuple[TargetState, ...] = ()
        self.by_session = False
        """Whether the last choice was decided by the session."""
        self.usage: Usage | None = None
        self.steps: tuple[Step, ...] = ()
        self.skips = NOBODY
        """Targets that were skipped, and why, as of the last choice."""
        self.changes: list[Change] = []
        """Breaker and cooldown changes that this request caused, not logged yet."""

    @property
    def sent(self) -> int:
        """Attempts but for those that were withheld."""
        return self.attempts - self.withheld

    def choose(self, route: Route, session: int | None, now: float) -> Candidate | None:
        """The target to ask next. Changes only `skips` and `by_session`."""
        self.by_session = False
        if session is None:
            candidate, skips = self._balancer.choose(route, self.tried_states, now)
        else:
            candidate, skips, self.by_session = self._balancer.prefer(route, self.tried_states, now, session)
        if skips:
            self.skips = {**self.skips, **{passed.state.name: why for passed, why in skips}}
        return candidate

    def last_resort(self, route: Route, now: float) -> Candidate | None:
        """The target to ask when no other is left: one that fails only now and then, though its breaker is open."""
        candidate = self._balancer.last_resort(route, self.tried_states, now)
        if candidate is not None:
            self.skips = {name: why for name, why in self.skips.items() if name != candidate.state.name}
        return candidate

    def begin(self, route: Route, candidate: Candidate, now: float) -> Ticket:
        """Begin an attempt at the candidate that was just chosen."""
        ticket = self._balancer.begin(route, candidate, self.tried_states, now, self.by_session)
        self._route = route
        self.tried_states += (candidate.state,)
        self._asked += 1
        return ticket

    def answered(self, ticket: Ticket, spent: float | None, now: float) -> None:
        """The head of a success has arrived. `spent`: seconds for which, by its headers, the target's limit is used
        up."""
        self.changes += self._results.answered(ticket, now)
        if spent is not None:
            self.changes += self._results.predicted(ticket, spent, now)

    def end(self, ticket: Ticket, result: Outcome, now: float) -> None:
        """Apply a result to its target. A server error that every target reports may be the request's own fault, so
        it counts as half a failure of each; of a single target too, if no other can be asked."""
        alike = self._alike
        if result is not SUCCESS and result.kind in NOT_ASKED:
            if result.kind is Kind.WITHHELD:
                self.withheld += 1
            if ticket.failed is None:
                self._asked -= 1
            else:
                result = ticket.failed  # a second try that was not sent: the first one's result stands
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
        """No other target was asked, and none can be: there is nothing to compare with."""
        return self._asked == 1 and self._route is not None and not self._route.usable(now, self.tried_states)

    def confirm_failures(self, now: float) -> None:
        """Another target did not fail the same way, so it was not the request's fault: half failures become whole."""
        if self._halved:
            for ticket in self._alike:
                self.changes += self._results.confirm(ticket, now)
        self._alike = ()
        self._halved = False

    def unanswered(self, now: float) -> None:
        """No target is left. If the only one asked gave a server error, that may be the request's fault as well: make
        it half a failure."""
        if len(self._alike) == self._asked == 1 and not self._halved:
            self.changes += self._results.excuse(self._alike[0], now)

    def note(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """Record the result of an attempt."""
        content = None if attempt.content_at is None else attempt.content_at - self.started
        began, ended = attempt.started - self.started, now - self.started
        words = describe(result)
        step = Step(attempt.number, attempt.target, began, ended, content, words, attempt.by_session, result.status)
        self.steps += (step,)

    def count(self, attempt: Attempt) -> None:
        """Count TTFT and tokens of an attempt whose whole answer the client has."""
        counters = attempt.candidate.state.counters
        if attempt.content_at is not None:
            counters.ttft.observe(attempt.content_at - attempt.started)
        usage = attempt.reader.usage
        if usage is not None:
            self.usage = usage
            counters.tokens(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
