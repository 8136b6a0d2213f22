"""Applies an attempt's result to its provider's breaker, the marks and the counters.

A result from an earlier generation of the breaker does not move it. The probe of a half-open breaker decides at the
head of a success, and goes on as an ordinary attempt of the breaker, which has closed on trial.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from oxllm.core.native import mypyc_attr
from oxllm.core.reading.outcome import RULES, Kind, Outcome
from oxllm.core.routing.breaker import RECENT, BreakerState
from oxllm.core.routing.change import Change
from oxllm.core.routing.marks import mark, predict
from oxllm.core.routing.targets import PATIENCE_S, ProviderState
from oxllm.core.routing.ticket import ENDED, Ticket

_SUCCESS: Final[Kind] = Kind.SUCCESS  # on 3.11 each look at an Enum's member takes 0.1 µs


@mypyc_attr(allow_interpreted_subclasses=True)
class Results:
    """Is told what became of each attempt, and applies it. Each call returns the changes to be logged."""

    __slots__ = ("_predictive", "_rng")

    def __init__(self, rng: random.Random, predictive: bool) -> None:
        """`predictive`: a success that reports a used-up limit cools down its target."""
        self._rng = rng
        self._predictive = predictive

    def answered(self, ticket: Ticket, now: float) -> Sequence[Change]:
        """The head of a success has come: if the attempt is a probe or a last resort, its breaker closes on trial."""
        if not ticket.probe:
            return ()
        provider = ticket.candidate.state.provider
        before = provider.breaker.state(now)
        current = ticket.generation == provider.breaker.generation
        provider.breaker.trial(ticket.generation, now)
        ticket.probe = False
        if not current:
            return ()
        provider.patience = PATIENCE_S
        ticket.generation = provider.breaker.generation
        return _moved(provider, before, now)

    def predicted(self, ticket: Ticket, seconds: float, now: float) -> Sequence[Change]:
        """A success reports that its limit is used up for `seconds`."""
        return predict(ticket.candidate.state, seconds, now) if self._predictive else ()

    def end(self, ticket: Ticket, outcome: Outcome, now: float, halves: int = 2) -> Sequence[Change]:
        """The attempt is over: apply its outcome. Called exactly once per ticket.

        `halves`: what a failure counts for: 2, or 1 if it may be the request's fault.
        """
        assert ticket.generation != ENDED
        state = ticket.candidate.state
        provider = state.provider
        provider.in_flight -= 1
        if outcome.kind is _SUCCESS:
            state.counters.successes += 1
            state.cooldown.succeeded()
            breaker = provider.breaker
            if breaker.recent != RECENT:
                breaker.heard(answered=True)
            if not ticket.probe and ticket.generation == breaker.generation:
                if breaker.halves:
                    breaker.success(ticket.generation, now)
                ticket.generation = ENDED
                return ()
        if outcome.kind is Kind.SERVER_ERROR and not ticket.probe:
            ticket.failed_in = ticket.generation
        return self._end(ticket, outcome, now, halves)

    def _end(self, ticket: Ticket, outcome: Outcome, now: float, halves: int) -> Sequence[Change]:
        """Anything but the usual success."""
        cause = RULES[outcome.kind].cause
        counters = ticket.candidate.state.counters
        if cause is not None:
            counters.failed(cause)
        elif outcome.kind is not Kind.SUCCESS:
            counters.lost += 1
        changes = [*self._end_at_breaker(ticket, outcome, now, halves), *mark(ticket, outcome, now)]
        ticket.generation = ENDED
        return changes

    def _end_at_breaker(self, ticket: Ticket, outcome: Outcome, now: float, halves: int) -> Sequence[Change]:
        provider = ticket.candidate.state.provider
        breaker = provider.breaker
        if outcome.kind is Kind.SUCCESS:
            changes = self.answered(ticket, now)
            breaker.success(ticket.generation, now)
            return changes
        before = breaker.state(now)
        if outcome.is_failure:
            provider.last_failure = outcome.reason
            breaker.heard(answered=False)
            breaker.failure(ticket.generation, now, self._rng, halves)
            return _moved(provider, before, now)
        if ticket.probe:
            if outcome.kind is Kind.LOST and ticket.generation == breaker.generation:
                provider.lengthen_patience(ticket.candidate.timeouts.first_byte)
            breaker.give_back(ticket.generation)
        return ()

    def excuse(self, ticket: Ticket, now: float) -> Sequence[Change]:
        """Another target has failed in the same way: it may be the request's fault, so half of it is taken back."""
        if ticket.failed_in is None:
            return ()
        provider = ticket.candidate.state.provider
        before = provider.breaker.state(now)
        provider.breaker.excuse(ticket.failed_in)
        return _moved(provider, before, now)

    def confirm(self, ticket: Ticket, now: float) -> Sequence[Change]:
        """A third target has not failed: it was the host's fault after all, so the other half counts too."""
        if ticket.failed_in is None:
            return ()
        provider = ticket.candidate.state.provider
        before = provider.breaker.state(now)
        provider.breaker.failure(ticket.failed_in, now, self._rng, 1)
        return _moved(provider, before, now)


def _moved(provider: ProviderState, before: BreakerState, now: float) -> Sequence[Change]:
    after = provider.breaker.state(now)
    if after is before:
        return ()
    left = f" for {provider.breaker.opens_until - now:.1f} s" if after is BreakerState.OPEN else ""
    return (Change(provider.name, None, f"breaker {before.value} -> {after.value}{left}"),)
