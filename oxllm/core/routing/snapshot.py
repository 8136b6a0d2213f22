"""Snapshots of providers and targets, for status and metrics."""

from __future__ import annotations

from oxllm.core.routing.breaker import BreakerState
from oxllm.core.routing.stats import ProviderSnapshot, TargetSnapshot, total
from oxllm.core.routing.targets import ProviderState, TargetState


def provider_snapshot(provider: ProviderState, now: float) -> ProviderSnapshot:
    """A provider and its targets. Its totals include the targets that reloads have dropped."""
    targets = tuple(_target(target, now) for target in provider.current_targets)
    dropped = [target.counters.snapshot() for target in provider.targets.values() if not target.is_current]
    counters = [provider.forgotten, *dropped, *(target.totals for target in targets)]
    breaker = provider.breaker
    state = breaker.state(now)
    return ProviderSnapshot(
        provider.name,
        provider.plan.base_url,
        state.value,
        breaker.failures,
        breaker.opens_until - now if state is BreakerState.OPEN else 0.0,
        provider.in_flight,
        provider.plan.max_in_flight,
        {(before.value, after.value): count for (before, after), count in breaker.moves.items()},
        targets,
        total(counters),
        provider.plan.protocols,
        provider.last_failure,
    )


def _target(target: TargetState, now: float) -> TargetSnapshot:
    skip, seconds = target.outlook(now)
    return TargetSnapshot(target.model, skip.value if skip else None, seconds, target.counters.snapshot())
