"""A second try at the same target, a moment after a failure that may have been a passing one."""

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
    """The second tries of one client request: how many each target has had, and the one that is waited for."""

    __slots__ = ("_books", "_budget", "_had", "_most", "_rng", "at", "result", "ticket")

    def __init__(self, most: int, budget: RetryBudget, rng: random.Random, books: Books) -> None:
        """`most`: for each target."""
        self._most = most
        self._budget = budget
        self._rng = rng
        self._books = books
        self._had: tuple[TargetState, ...] = ()
        """The target of each that was made or waited for."""
        self.at = inf
        """When it is due, in loop time; `inf` while none is waited for."""
        self.ticket: Ticket | None = None
        """Of the attempt that failed: the pair counts once."""
        self.result: Outcome | None = None
        """What it came to."""

    def __repr__(self) -> str:
        return f"<SecondTry {self.ticket} at {self.at:.3f}>"

    def plan(self, ticket: Ticket, result: Outcome, deadline: float, now: float) -> bool:
        """Wait a moment, and then ask the ticket's target once more. False: it is not to be asked again.

        Not after any failure, nor by a probe, which has to say at once whether its provider is back; not if the target
        was marked meanwhile, not past the request's deadline, and not if the retry budget is spent.
        """
        target = ticket.candidate.state
        had = self._had.count(target)
        if not result.same_target or ticket.probe or had >= self._most or now + JITTER_S[1] >= deadline:
            return False
        if ticket.unusable(now) is not None or not self._budget.spend(now):
            return False
        self._had += (target,)
        self.ticket, self.result = ticket, result
        self.at = now + self._rng.uniform(*JITTER_S)
        return True

    def cancel(self, why: Outcome, now: float) -> None:
        """It will not be made, if one is waited for: end its ticket."""
        if self.ticket is not None:
            self._books.end(self.ticket, why, now)
            self.clear()

    def clear(self) -> None:
        """It is not waited for any more."""
        self.ticket = self.result = None
        self.at = inf
