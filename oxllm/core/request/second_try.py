"""A second try at the same target, a moment after a failure that may have been transient."""

from __future__ import annotations

import random
from math import inf

from oxllm.core.budget.retry import RetryBudget
from oxllm.core.reading.outcome import Outcome
from oxllm.core.request.books import Books
from oxllm.core.routing.targets import TargetState
from oxllm.core.routing.ticket import Ticket

JITTER_S = (0.05, 0.15)
"""Bounds of the wait before the second try at one target."""


class SecondTry:
    """The second tries of one client request: how many each target has had, and the one that is pending."""

    __slots__ = ("_books", "_budget", "_had", "_most", "_rng", "at", "result", "ticket")

    def __init__(self, most: int, budget: RetryBudget, rng: random.Random, books: Books) -> None:
        """`most`: for each target."""
        self._most = most
        self._budget = budget
        self._rng = rng
        self._books = books
        self._had: tuple[TargetState, ...] = ()
        """The target of each second try, made or pending."""
        self.at = inf
        """When the pending one is due, in loop time; `inf` if none is."""
        self.ticket: Ticket | None = None
        """The failed attempt's: both tries count as one."""
        self.result: Outcome | None = None
        """The failed attempt's."""

    def __repr__(self) -> str:
        return f"<SecondTry {self.ticket} at {self.at:.3f}>"

    def plan(self, ticket: Ticket, result: Outcome, deadline: float, now: float) -> bool:
        """Plan to ask the ticket's target once more after a moment. False if it is not to be asked again.

        Only some failures get a second try, and a probe never does: it has to say at once whether its provider is
        back. None either if the provider said when to come back and that is later, if the target was marked
        meanwhile, past the request's deadline, or if the retry budget is spent.
        """
        target = ticket.candidate.state
        had = self._had.count(target)
        if not result.same_target or ticket.probe or had >= self._most or now + JITTER_S[1] >= deadline:
            return False
        if result.retry_after is not None and result.retry_after > JITTER_S[0]:
            return False
        if ticket.unusable(now) is not None or not self._budget.spend(now):
            return False
        self._had += (target,)
        self.ticket, self.result = ticket, result
        self.at = now + self._rng.uniform(*JITTER_S)
        return True

    def cancel(self, why: Outcome, now: float) -> None:
        """Cancel the pending one, if any, and end its ticket."""
        if self.ticket is not None:
            self._books.end(self.ticket, why, now)
            self.clear()

    def clear(self) -> None:
        """None is pending any more."""
        self.ticket = self.result = None
        self.at = inf
