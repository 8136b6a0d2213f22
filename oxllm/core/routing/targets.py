"""What is known of providers and of their models while the process lives: breaker, marks, attempts in flight, counters.

One model at one provider is a target. Its TargetState is shared by every route that lists it, and the ProviderState
behind it by all targets of the provider. So a 429 that one virtual model has met is known to all others.
"""

from __future__ import annotations

from math import inf
from typing import Final

from oxllm import plan as plans
from oxllm.core.routing.breaker import Breaker, BreakerState
from oxllm.core.routing.cooldown import Cooldown, Skip
from oxllm.core.routing.owners import Owner
from oxllm.core.routing.stats import Counters, Totals, total

PATIENCE_S: Final = 2.0
"""How long a probe's client waits before the next candidate is started beside it; doubled when that one wins."""
DROPPED_MAX: Final = 64
"""Targets of one provider that reloads have dropped and of which all is known if they come back: 1 KB each."""
SOON_S: Final = 1.0
"""When a place behind a bulkhead, or a probe's verdict, may be expected: nobody knows, so soon."""


class ProviderState:
    """What is known of a provider while the process lives."""

    __slots__ = (
        "breaker",
        "cooldown",
        "forgotten",
        "in_flight",
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
        """What is remembered of it by the answers that it made."""
        self.breaker = Breaker(breaker)
        self.cooldown = Cooldown()
        """Marks that hold for every target."""
        self.in_flight = 0
        self.patience = PATIENCE_S
        """Seconds that the next probe gets before a hedge is started beside it."""
        self.targets: dict[str, TargetState] = {}
        """By model. One that a reload has dropped stays for a while, for its marks and counters."""
        self.forgotten = Totals()
        """What those did that have not stayed."""
        self.adopt(provider, breaker)

    def __repr__(self) -> str:
        return f"<ProviderState {self.name} {self.breaker} {self.in_flight} in flight>"

    def adopt(self, provider: plans.Provider, breaker: plans.Breaker) -> None:
        """Go on under another configuration of the same provider."""
        self.plan = provider
        self.limit = inf if provider.max_in_flight is None else provider.max_in_flight
        self.breaker.settings = breaker

    def target(self, model: str) -> TargetState:
        """The state of one of its models, made when first named."""
        state = self.targets.get(model)
        if state is None:
            state = self.targets[model] = TargetState(self, model)
        return state

    @property
    def current_targets(self) -> list[TargetState]:
        """Those that the newest configuration names."""
        return [one for one in self.targets.values() if one.is_current]

    def forget_dropped(self) -> None:
        """Of the targets that reloads have dropped keep DROPPED_MAX, and those that are still being asked."""
        dropped = [one for one in self.targets.values() if not one.is_current]
        for target in dropped[:-DROPPED_MAX]:
            if not target.counters.under_way:
                self.forgotten = total([self.forgotten, target.counters.snapshot()])
                del self.targets[target.model]

    def key_changed(self) -> None:
        """Forget what was said of the old key."""
        for cooldown in self._cooldowns():
            cooldown.key_changed()

    def reset(self) -> None:
        """Operator: forget every failure and mark; stays offline if it is."""
        self.breaker.reset()
        self.patience = PATIENCE_S
        for cooldown in self._cooldowns():
            cooldown.clear()

    def lengthen_patience(self, first_byte: float) -> None:
        """A hedge beat the probe: give the next one twice the time, up to `first_byte` seconds."""
        self.patience = max(self.patience, min(self.patience * 2, first_byte))

    def _cooldowns(self) -> list[Cooldown]:
        return [self.cooldown, *(target.cooldown for target in self.targets.values())]


class TargetState:
    """What is known of one model at one provider, whoever asks for it."""

    __slots__ = ("cooldown", "counters", "fields", "listings", "model", "name", "provider")

    def __init__(self, provider: ProviderState, model: str) -> None:
        self.provider = provider
        self.model = model
        self.name = f"{provider.name}/{model}"
        """As clients and messages name it."""
        self.fields = ((b"x-oxllm-provider", provider.name.encode()), (b"x-oxllm-model", model.encode()))
        """What the head of its answers says of it."""
        self.cooldown = Cooldown()
        self.counters = Counters()
        self.listings: tuple[frozenset[TargetState], ...] = ()
        """The targets of each virtual model that lists it, itself among them, in the newest configuration."""

    def __repr__(self) -> str:
        return f"<TargetState {self.name} {self.cooldown}>"

    @property
    def is_current(self) -> bool:
        """The newest configuration names it."""
        return bool(self.listings) or self.model in self.provider.plan.models

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
        """It may be asked by a request that has nobody else: its breaker alone says no, and knows it to be flaky."""
        provider = self.provider
        full = provider.in_flight >= provider.limit
        return not full and provider.breaker.flaky and self.skip(now) in (Skip.OPEN, Skip.PROBING)

    def outlook(self, now: float) -> tuple[Skip | None, float | None]:
        """Why it cannot be asked now, and the seconds until that is over: 0 if it can be, None if nobody knows."""
        skip = self.skip(now)
        if skip is None:
            return None, 0.0
        if skip is Skip.OFFLINE:
            return skip, None
        if skip is Skip.PROBING or skip is Skip.FULL:
            return skip, SOON_S
        provider = self.provider
        return skip, max(provider.breaker.opens_until, provider.cooldown.until, self.cooldown.until) - now
