"""State of providers and of their models for the life of the process: breaker, marks, attempts in flight, counters.

One model at one provider is a target. Its TargetState is shared by every route that lists it, and the ProviderState
behind it by all targets of the provider. So a 429 met by one virtual model is known to all others.
"""

from __future__ import annotations

from math import inf
from typing import Final

from oxllm import plan as plans
from oxllm.core.routing.breaker import Breaker, BreakerState
from oxllm.core.routing.cooldown import Cooldown, Skip
from oxllm.core.routing.owners import Owner
from oxllm.core.routing.stats import Counters

PATIENCE_S: Final = 2.0
"""Seconds that a probe gets before the next candidate is started beside it; doubled when that one wins."""
DROPPED_MAX: Final = 64
"""Targets dropped by reloads, per provider, whose state is kept in case they come back: 1 KB each."""
SOON_S: Final = 1.0
"""Seconds until `max_in_flight` has room or a probe has decided: nobody can know, so soon."""


class ProviderState:
    """The state of one provider, for the life of the process."""

    __slots__ = (
        "breaker",
        "cooldown",
        "forgotten",
        "in_flight",
        "last_failure",
        "limit",
        "name",
        "owner",
        "patience",
        "plan",
        "targets",
    )

    def __init__(self, provider: plans.Provider, breaker: plans.Breaker) -> None:
        self.name = provider.name
        self.owner: Owner = provider.name, provider.base_url
        """What is remembered with the answers that it made."""
        self.breaker = Breaker(breaker)
        self.cooldown = Cooldown()
        """Marks that apply to all of its targets."""
        self.in_flight = 0
        self.last_failure: str | None = None
        """Why the last attempt failed that counted for the breaker, in our own words."""
        self.patience = PATIENCE_S
        """Seconds that the next probe gets before a hedge is started beside it."""
        self.targets: dict[str, TargetState] = {}
        """By model. One that a reload has dropped is kept for a while, for its marks and counters."""
        self.forgotten = Counters()
        """Those of the dropped targets that were not kept."""
        self.adopt(provider, breaker)

    def __repr__(self) -> str:
        return f"<ProviderState {self.name} {self.breaker} {self.in_flight} in flight>"

    def adopt(self, provider: plans.Provider, breaker: plans.Breaker) -> None:
        """Adopt a new configuration of the same provider."""
        self.plan = provider
        self.limit = inf if provider.max_in_flight is None else provider.max_in_flight
        self.breaker.settings = breaker

    def target(self, model: str) -> TargetState:
        """The state of one of its models, created when first named."""
        state = self.targets.get(model)
        if state is None:
            state = self.targets[model] = TargetState(self, model)
        return state

    @property
    def current_targets(self) -> list[TargetState]:
        """The targets that the newest configuration names."""
        return [one for one in self.targets.values() if one.is_current]

    @property
    def totals(self) -> Counters:
        """What all of its targets have done, including those that reloads have dropped."""
        totals = Counters()
        totals.add(self.forgotten)
        for target in self.targets.values():
            totals.add(target.counters)
        return totals

    def forget_dropped(self) -> None:
        """Keep only DROPPED_MAX of the targets that reloads have dropped, and those with attempts in flight."""
        dropped = [one for one in self.targets.values() if not one.is_current]
        for target in dropped[:-DROPPED_MAX]:
            if not target.counters.under_way:
                self.forgotten.add(target.counters)
                del self.targets[target.model]

    def key_changed(self) -> None:
        """Forget what was said about the old key."""
        for cooldown in self._cooldowns():
            cooldown.key_changed()

    def reset(self) -> None:
        """Operator: forget every failure and mark; an offline provider stays offline."""
        self.breaker.reset()
        self.patience = PATIENCE_S
        for cooldown in self._cooldowns():
            cooldown.clear()

    def lengthen_patience(self, first_byte: float) -> None:
        """A hedge has beaten the probe: give the next probe twice the time, up to `first_byte` seconds."""
        self.patience = max(self.patience, min(self.patience * 2, first_byte))

    def _cooldowns(self) -> list[Cooldown]:
        return [self.cooldown, *(target.cooldown for target in self.targets.values())]


class TargetState:
    """The state of one model at one provider, shared by all routes."""

    __slots__ = ("cooldown", "counters", "fields", "is_current", "listings", "model", "name", "provider")

    def __init__(self, provider: ProviderState, model: str) -> None:
        self.provider = provider
        self.model = model
        self.name = f"{provider.name}/{model}"
        """As clients and messages name it."""
        self.fields = ((b"x-oxllm-provider", provider.name.encode()), (b"x-oxllm-model", model.encode()))
        """Response headers that name it to the client."""
        self.cooldown = Cooldown()
        self.counters = Counters()
        self.is_current = True
        """Whether the newest configuration names it."""
        self.listings: tuple[frozenset[TargetState], ...] = ()
        """Each set of targets that some virtual model of the newest configuration lists it with, itself included."""

    def __repr__(self) -> str:
        return f"<TargetState {self.name} {self.cooldown}>"

    def skip(self, now: float) -> Skip | None:
        """Why it cannot be asked now; None if it can."""
        provider = self.provider
        state = provider.breaker.state(now)
        if state is BreakerState.OFFLINE:
            return Skip.OFFLINE
        mark = provider.cooldown.blocked(now) or self.cooldown.blocked(now)
        if mark is not None:
            return mark
        if state is BreakerState.OPEN:
            return Skip.OPEN
        if state is BreakerState.PROBING and not provider.breaker.may_probe(now):
            return Skip.PROBING
        return Skip.FULL if provider.in_flight >= provider.limit else None

    def last_resort(self, now: float) -> bool:
        """Whether a request without any other target may ask it: only its breaker, which is `flaky`, says no."""
        provider = self.provider
        full = provider.in_flight >= provider.limit
        return not full and provider.breaker.flaky and self.skip(now) in (Skip.OPEN, Skip.PROBING)

    def outlook(self, now: float) -> tuple[Skip | None, float | None]:
        """Why it cannot be asked now, and the seconds until that is over: 0 if it can be, None if unknown."""
        skip = self.skip(now)
        if skip is None:
            return None, 0.0
        if skip is Skip.OFFLINE:
            return skip, None
        if skip is Skip.PROBING or skip is Skip.FULL:
            return skip, SOON_S
        provider = self.provider
        return skip, max(provider.breaker.opens_until, provider.cooldown.until, self.cooldown.until) - now
