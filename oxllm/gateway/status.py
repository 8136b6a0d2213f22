"""What the gateway is doing right now, for a person (a table) and for a program (JSON)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import msgspec

from oxllm import __version__
from oxllm.core.routing import Route
from oxllm.core.stats import ProviderSnapshot
from oxllm.core.words import duration, seconds

if TYPE_CHECKING:
    from oxllm.gateway.runtime import Runtime

PAGE = os.sysconf("SC_PAGE_SIZE")


class TargetStatus(msgspec.Struct, frozen=True):
    """One target of a virtual model."""

    target: str
    tier: int
    weight: int
    state: str
    """`ready`, or why it is passed over."""
    seconds_left: float | None


class ModelStatus(msgspec.Struct, frozen=True):
    """One virtual model."""

    name: str
    requests: int
    in_flight: int
    rescued: int
    failed: int
    targets: tuple[TargetStatus, ...]


class ProviderStatus(msgspec.Struct, frozen=True):
    """One provider; times in seconds."""

    name: str
    base_url: str
    state: str
    seconds_left: float
    in_flight: int
    attempts: int
    successes: int
    failures: dict[str, int]
    ttft_p50: float | None
    ttft_p99: float | None
    prompt_tokens: int
    completion_tokens: int
    marks: dict[str, str]
    """Model -> why it is passed over, where only the model is."""


class Status(msgspec.Struct, frozen=True):
    """The whole gateway."""

    version: str
    pid: int
    uptime: float
    draining: bool
    listen: tuple[str, ...]
    config: str | None
    memory_bytes: int | None
    connections: int
    upstream_connections: int
    in_flight: int
    buffered_bytes: int
    providers: tuple[ProviderStatus, ...]
    models: tuple[ModelStatus, ...]


def snapshot(runtime: Runtime, draining: bool) -> Status:
    """The state of everything, at one moment."""
    now = runtime.loop.time()
    router = runtime.generation.router
    shot = router.snapshot(now)
    plan = runtime.generation.plan
    routes = [route for model in plan.virtual_models if (route := router.resolve(model.name)) is not None]
    return Status(
        version=__version__,
        pid=os.getpid(),
        uptime=now - runtime.started,
        draining=draining,
        listen=runtime.addresses,
        config=plan.source,
        memory_bytes=memory(),
        connections=runtime.server.connections if runtime.server is not None else 0,
        upstream_connections=runtime.pool.open,
        in_flight=len(runtime.relays),
        buffered_bytes=runtime.bodies.total,
        providers=tuple(map(_provider, shot.providers)),
        models=tuple(_model(runtime, route, now) for route in routes),
    )


def memory() -> int | None:
    """Resident set size in bytes, where the kernel tells."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except OSError:
        return None


def _provider(shot: ProviderSnapshot) -> ProviderStatus:
    totals = shot.totals
    return ProviderStatus(
        name=shot.name,
        base_url=shot.base_url,
        state=shot.state,
        seconds_left=shot.open_seconds,
        in_flight=shot.in_flight,
        attempts=totals.attempts,
        successes=totals.successes,
        failures={cause.value: count for cause, count in totals.failures.items() if count},
        ttft_p50=totals.ttft.quantile(0.5),
        ttft_p99=totals.ttft.quantile(0.99),
        prompt_tokens=totals.prompt_tokens,
        completion_tokens=totals.completion_tokens,
        marks={target.model: _state(target.skip, target.seconds) for target in shot.targets if target.skip},
    )


def _model(runtime: Runtime, route: Route, now: float) -> ModelStatus:
    router = runtime.generation.router
    targets = []
    for candidate in route.candidates:
        skip, left = router.outlook(candidate.state, now)
        name = f"{candidate.state.provider.name}/{candidate.state.model}"
        state = skip.value if skip else "ready"
        targets.append(TargetStatus(name, candidate.tier, candidate.weight, state, left if skip else None))
    counters = route.counters
    failed = sum(counters.failures.values())
    return ModelStatus(route.name, counters.requests, counters.in_flight, counters.rescued, failed, tuple(targets))


def _state(state: str | None, left: float | None) -> str:
    return f"{state}, {ceil(left)} s left" if left else str(state)


# The table.


def table(status: Status) -> str:
    """The status as a person reads it, in under 100 columns."""
    memory_used = f"{status.memory_bytes / 2**20:.1f} MB" if status.memory_bytes else "unknown"
    draining = " (draining)" if status.draining else ""
    connections = f"{status.connections} client connections, {status.upstream_connections} to providers"
    lines = [
        f"oxllm {status.version}{draining} on {', '.join(status.listen)}",
        f"up {duration(status.uptime)}, pid {status.pid}, config {status.config or 'built in'}",
        f"memory {memory_used}, {status.in_flight} in flight, {connections}",
        "",
    ]
    lines += _rows(
        ("PROVIDER", "STATE", "IN FLIGHT", "ATTEMPTS", "OK", "TTFT p50", "p99", "TOKENS"),
        [_provider_row(provider) for provider in status.providers],
    )
    lines.append("")
    model_rows = [row for model in status.models for row in _model_rows(model)]
    lines += _rows(("MODEL", "REQUESTS", "RESCUED", "FAILED", "TIER", "TARGET", "STATE"), model_rows)
    return "\n".join(lines) + "\n"


def _provider_row(provider: ProviderStatus) -> tuple[str, ...]:
    ended = provider.successes + sum(provider.failures.values())
    marks = set(provider.marks.values())
    state = _state(provider.state, provider.seconds_left)
    if provider.state == "closed":
        state = " / ".join(sorted(marks)) or "ok"
    return (
        provider.name,
        state,
        str(provider.in_flight),
        f"{provider.attempts:,}",
        f"{100 * provider.successes / ended:.1f} %" if ended else "-",
        seconds(provider.ttft_p50) if provider.ttft_p50 is not None else "-",
        seconds(provider.ttft_p99) if provider.ttft_p99 is not None else "-",
        f"{provider.prompt_tokens + provider.completion_tokens:,}",
    )


def _model_rows(model: ModelStatus) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    counts = (model.name, f"{model.requests:,}", f"{model.rescued:,}", f"{model.failed:,}")
    for target in model.targets:
        state = _state(target.state, target.seconds_left)
        rows.append((*counts, str(target.tier), target.target, state))
        counts = ("", "", "", "")
    return rows or [(*counts, "-", "none enabled", "-")]


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    numeric = {"IN FLIGHT", "ATTEMPTS", "OK", "TTFT p50", "p99", "TOKENS", "REQUESTS", "RESCUED", "FAILED", "TIER"}
    lines = []
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if name in numeric else cell.ljust(width)
            for cell, width, name in zip(row, widths, header, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
