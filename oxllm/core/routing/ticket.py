"""One attempt at a target, as accounted at its provider: from its beginning to its one end."""

from __future__ import annotations

from typing import Final

from oxllm.core.reading.outcome import Outcome
from oxllm.core.routing.breaker import BreakerState
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.route import Candidate

ENDED: Final = -1
"""The generation of a ticket whose end has been reported."""


class Ticket:
    """One attempt in flight. A second try at the same target keeps the ticket, so that the pair counts once."""

    __slots__ = ("candidate", "failed", "failed_in", "generation", "probe", "started")

    def __init__(self, candidate: Candidate, generation: int, probe: bool, started: float) -> None:
        self.candidate = candidate
        self.generation = generation
        """The breaker's when the attempt began; ENDED once it has ended."""
        self.probe = probe
        """Whether it was sent although its breaker was not closed, and has not decided yet."""
        self.started = started
        self.failed: Outcome | None = None
        """How the first try ended, if this is the second."""
        self.failed_in: int | None = None
        """The generation in which it failed in a way that may be the request's fault."""

    def __repr__(self) -> str:
        return f"<Ticket {self.candidate.state.name} generation {self.generation}{' probe' if self.probe else ''}>"

    @property
    def ended(self) -> bool:
        """Whether its end has been reported."""
        return self.generation == ENDED

    def unusable(self, now: float) -> Skip | None:
        """Why its target may not be sent the same request again; None if it may. Much may have been learned about the
        target since the attempt began."""
        state = self.candidate.state
        breaker = state.provider.breaker
        mark = state.provider.cooldown.blocked(now) or state.cooldown.blocked(now)
        if mark is not None:
            return mark
        if self.generation != breaker.generation and breaker.state(now) is not BreakerState.CLOSED:
            return Skip.OFFLINE if breaker.state(now) is BreakerState.OFFLINE else Skip.OPEN
        return None

    def try_again(self, failed: Outcome) -> None:
        """Count a second try at its target; `failed` is how the first ended."""
        assert not self.probe, "a probe has one try"
        self.failed = failed
        counters = self.candidate.state.counters
        counters.attempts += 1
        counters.retries += 1
