"""What the gateway is doing right now, as a Status."""

from __future__ import annotations

import os
from collections.abc import Callable

from oxllm import __version__
from oxllm.core.reading.outcome import Cause
from oxllm.core.routing.breaker import BreakerState
from oxllm.core.routing.cooldown import MARKS, Skip
from oxllm.core.routing.route import Route
from oxllm.core.routing.targets import ProviderState
from oxllm.gateway.memory import resident_bytes
from oxllm.gateway.observe.vitals import Vitals
from oxllm.status import Mark, ModelStatus, ProviderStatus, Status, TargetStatus

TIMED = frozenset({Skip.OPEN, *MARKS})
"""Reasons for which a target is skipped until a known time."""


Back = Callable[[str], float | None]
"""Provider -> seconds until it is back from offline; None if that is unknown."""


def snapshot(vitals: Vitals, back: Back) -> Status:
    """The state of everything, at one moment."""
    now = vitals.loop.time()
    generation = vitals.current.generation
    router = generation.router
    plan = generation.plan
    routes = [route for model in plan.virtual_models if (route := router.resolve(model.name)) is not None]
    return Status(
        version=__version__,
        pid=os.getpid(),
        uptime=now - vitals.started,
        draining=vitals.life.stopping,
        drain_left=None if vitals.life.until is None else max(0.0, vitals.life.until - now),
        listen=vitals.addresses,
        config=plan.source,
        memory_bytes=resident_bytes(),
        connections=vitals.server.connections,
        upstream_connections=vitals.pool.open,
        requests=sum(counters.requests for counters in router.counters.values()),
        protocols=vitals.journal.protocols,
        in_flight=len(vitals.relays),
        max_in_flight=plan.server.max_in_flight,
        buffered_bytes=vitals.bodies.total + vitals.bodies.heads,
        providers=tuple(_provider(provider, now, back) for provider in router.providers.values()),
        disabled=plan.disabled,
        models=tuple(_model(route, now, back) for route in routes),
    )


def _provider(provider: ProviderState, now: float, back: Back) -> ProviderStatus:
    state, totals, targets = provider.breaker.state(now), provider.totals, provider.current_targets
    left = 0.0
    if state is BreakerState.OFFLINE:
        left = back(provider.name) or 0.0
    elif state is BreakerState.OPEN:
        left = provider.breaker.opens_until - now
    outlooks = [(target.model, *target.outlook(now)) for target in targets]
    return ProviderStatus(
        name=provider.name,
        base_url=provider.plan.base_url,
        state=state.value,
        seconds_left=left,
        in_flight=provider.in_flight,
        max_in_flight=provider.plan.max_in_flight,
        attempts=totals.attempts,
        successes=totals.successes,
        retries=totals.retries,
        failures={cause.value: count for cause, count in totals.failures.items()},
        last_failure=provider.last_failure,
        ttft_p50=totals.ttft.quantile(0.5),
        ttft_p99=totals.ttft.quantile(0.99),
        prompt_tokens=totals.prompt_tokens,
        completion_tokens=totals.completion_tokens,
        cached_tokens=totals.cached_tokens,
        protocols=provider.plan.protocols,
        targets=len(targets),
        marks={model: Mark(skip.value, left) for model, skip, left in outlooks if skip is not None and skip in MARKS},
    )


def _model(route: Route, now: float, back: Back) -> ModelStatus:
    targets = []
    for candidate in route.candidates:
        skip, left = candidate.state.outlook(now)
        state = skip.value if skip else "ready"
        left = back(candidate.state.provider.name) if skip is Skip.OFFLINE else left if skip in TIMED else None
        counters = candidate.state.counters
        tokens = counters.prompt_tokens, counters.cached_tokens
        targets.append(TargetStatus(candidate.state.name, candidate.tier, candidate.weight, state, left, *tokens))
    of = route.counters
    failed = sum(count for cause, count in of.failures.items() if cause is not Cause.CLIENT)
    return ModelStatus(route.name, of.requests, of.in_flight, of.rescued, failed, tuple(targets))
