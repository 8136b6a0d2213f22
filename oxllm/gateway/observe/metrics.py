"""GET /metrics: Prometheus text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

Rendered on demand, from counters that serving keeps anyway. Labels are names from the running config and words of our
own: nothing that a client sends can create a new series. A test compares docs/metrics.md with FAMILIES.
"""

from __future__ import annotations

import asyncio
import os
from math import inf

from oxllm import __version__
from oxllm.core.routing.breaker import TABLE, BreakerState
from oxllm.core.routing.stats import BOUNDS, Distribution, Totals
from oxllm.core.routing.targets import ProviderState, TargetState
from oxllm.gateway.libc import heap_bytes
from oxllm.gateway.memory import resident_bytes
from oxllm.gateway.observe.vitals import Vitals

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

FAMILIES: dict[str, tuple[str, str]] = {
    "oxllm_info": ("gauge", "Always 1; the version is a label."),
    "oxllm_draining": ("gauge", "1 while the gateway finishes what is in flight, else 0."),
    "oxllm_requests_total": ("counter", "Client requests begun, by model name."),
    "oxllm_protocol_requests_total": ("counter", "Client requests begun, by the API that was called."),
    "oxllm_requests_in_flight": ("gauge", "Client requests being served."),
    "oxllm_requests_rescued_total": ("counter", "Requests served after a first attempt had failed."),
    "oxllm_request_failures_total": ("counter", "Requests that ended badly, by whom to blame."),
    "oxllm_request_first_content_seconds": ("histogram", "Request received to first content."),
    "oxllm_stream_event_gap_seconds": ("histogram", "Time before each content event since the one before it."),
    "oxllm_refusals_total": ("counter", "Answers made without asking a provider, by HTTP status."),
    "oxllm_attempts_total": ("counter", "Attempts begun at a target."),
    "oxllm_attempt_successes_total": ("counter", "Attempts with a complete answer."),
    "oxllm_attempt_failures_total": ("counter", "Attempts that failed, by whom to blame."),
    "oxllm_attempt_retries_total": ("counter", "Second tries at the same target."),
    "oxllm_attempt_lost_total": ("counter", "Attempts given up without a failure: beaten by a hedge, or withheld."),
    "oxllm_attempt_first_content_seconds": (
        "histogram",
        "Attempt begun to first content, of complete answers.",
    ),
    "oxllm_stream_events_dropped_total": ("counter", "Stream events with neither choices nor an error, not passed on."),
    "oxllm_tokens_total": ("counter", "Tokens, as providers report them."),
    "oxllm_cached_tokens_total": ("counter", "Of the prompt tokens, those that the provider still knew."),
    "oxllm_cooldown_seconds": ("gauge", "Seconds until the target may be asked again after a limit or mark, else 0."),
    "oxllm_provider_in_flight": ("gauge", "Attempts under way at a provider."),
    "oxllm_breaker_state": ("gauge", "1 for the state that the provider's breaker is in, 0 for the others."),
    "oxllm_breaker_transitions_total": ("counter", "Moves of the provider's breaker."),
    "oxllm_breaker_open_seconds": ("gauge", "Seconds left of the cool-off, 0 unless open."),
    "oxllm_client_connections": ("gauge", "Open connections of clients."),
    "oxllm_upstream_connections": ("gauge", "Open connections to providers, idle or in use."),
    "oxllm_buffered_bytes": ("gauge", "Request heads and bodies held for replay."),
    "oxllm_held_bytes": ("gauge", "Of answers: partial events, what is held back, output that waits for clients."),
    "oxllm_timers": ("gauge", "Timeouts that wait: of clients, requests and idle connections."),
    "oxllm_tasks": ("gauge", "Work beside the requests: connecting, name look-ups, reloads, telemetry."),
    "oxllm_heap_bytes": ("gauge", "What malloc has given out. At rest always about the same, or there is a leak."),
    "oxllm_internal_errors_total": ("counter", "Bugs of ours that ended a request, or showed elsewhere. Report them."),
    "oxllm_log_dropped_total": ("counter", "Log lines lost because the reader was slow, or the disk full."),
    "oxllm_telemetry_dropped_total": ("counter", "Requests whose spans did not get to the collector."),
    "oxllm_reloads_total": ("counter", "Reloads, by how they ended."),
    "process_resident_memory_bytes": ("gauge", "Resident set size."),
    "process_cpu_seconds_total": ("counter", "User and system time."),
    "process_start_time_seconds": ("gauge", "Start, in seconds since the epoch."),
}
"""Name -> type and help, in the order of the page."""


REFUSALS = dict.fromkeys((400, 401, 403, 404, 405, 408, 413, 431, 503, 529), 0)
MOVES = {(before, after): 0 for (before, _), after in TABLE.rows.items() if before is not after}
"""Series that exist from the start: a rate over one that appears with its first event would miss that event."""


class _Page:
    """The samples of each family."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {name: [] for name in FAMILIES}

    def add(self, name: str, value: float, **labels: str) -> None:
        self._lines[name].append(f"{name}{_labels(labels)} {_number(value)}")

    def histogram(self, name: str, distribution: Distribution, **labels: str) -> None:
        lines, below = self._lines[name], 0
        for bound, count in zip(BOUNDS, distribution.counts, strict=True):
            below += count
            le = "+Inf" if bound == inf else _number(bound)
            lines.append(f"{name}_bucket{_labels({**labels, 'le': le})} {below}")
        lines.append(f"{name}_sum{_labels(labels)} {_number(distribution.sum)}")
        lines.append(f"{name}_count{_labels(labels)} {below}")

    def __bytes__(self) -> bytes:
        parts = []
        for name, (kind, text) in FAMILIES.items():
            if self._lines[name]:
                parts += [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *self._lines[name]]
        return ("\n".join(parts) + "\n").encode()


def render(vitals: Vitals) -> bytes:
    """The page, as of now."""
    page = _Page()
    now = vitals.loop.time()
    _process(page, vitals)
    router = vitals.current.generation.router
    snapshot = router.snapshot(now)
    for model, requests in snapshot.requests.items():
        page.add("oxllm_requests_total", requests.requests, model=model)
        page.add("oxllm_requests_in_flight", requests.in_flight, model=model)
        page.add("oxllm_requests_rescued_total", requests.rescued, model=model)
        for cause, count in requests.failures.items():
            page.add("oxllm_request_failures_total", count, model=model, cause=cause.value)
        page.histogram("oxllm_request_first_content_seconds", requests.ttft, model=model)
        page.histogram("oxllm_stream_event_gap_seconds", requests.gap, model=model)
    for provider in router.providers.values():
        _provider(page, provider, now)
        for target in provider.current_targets:
            _target(page, target, now)
    return bytes(page)


def _process(page: _Page, vitals: Vitals) -> None:
    journal, pool, bodies = vitals.journal, vitals.pool, vitals.bodies
    page.add("oxllm_info", 1, version=__version__)
    page.add("oxllm_draining", vitals.life.stopping)
    for code, count in sorted({**REFUSALS, **journal.refusals}.items()):
        page.add("oxllm_refusals_total", count, status=str(code))
    spoken = {protocol: 0 for provider in vitals.current.generation.plan.providers for protocol in provider.protocols}
    for protocol, count in sorted({**spoken, **journal.protocols}.items()):
        page.add("oxllm_protocol_requests_total", count, protocol=protocol)
    page.add("oxllm_client_connections", vitals.server.connections)
    page.add("oxllm_upstream_connections", pool.idle, state="idle")
    page.add("oxllm_upstream_connections", pool.open - pool.idle, state="in use")
    page.add("oxllm_buffered_bytes", bodies.total + bodies.heads)
    page.add("oxllm_held_bytes", vitals.held.total)
    page.add("oxllm_timers", len(vitals.wheel))
    page.add("oxllm_tasks", len(asyncio.all_tasks(vitals.loop)))
    page.add("oxllm_heap_bytes", heap_bytes())
    page.add("oxllm_internal_errors_total", journal.internal_errors)
    page.add("oxllm_log_dropped_total", journal.log.dropped_in_all)
    page.add("oxllm_telemetry_dropped_total", journal.spans_lost)
    for result, count in vitals.reloads.items():
        page.add("oxllm_reloads_total", count, result=result)
    page.add("process_resident_memory_bytes", resident_bytes() or 0)
    page.add("process_cpu_seconds_total", sum(os.times()[:2]))
    page.add("process_start_time_seconds", vitals.created)


def _provider(page: _Page, provider: ProviderState, now: float) -> None:
    breaker, name = provider.breaker, provider.name
    state = breaker.state(now)
    page.add("oxllm_provider_in_flight", provider.in_flight, provider=name)
    for other in BreakerState:
        page.add("oxllm_breaker_state", other is state, provider=name, state=other.value)
    for (before, after), count in {**MOVES, **breaker.moves}.items():
        page.add("oxllm_breaker_transitions_total", count, provider=name, **{"from": before.value, "to": after.value})
    page.add(
        "oxllm_breaker_open_seconds", breaker.opens_until - now if state is BreakerState.OPEN else 0, provider=name
    )


def _target(page: _Page, target: TargetState, now: float) -> None:
    totals: Totals = target.counters.snapshot()
    labels = {"provider": target.provider.name, "model": target.model}
    page.add("oxllm_attempts_total", totals.attempts, **labels)
    page.add("oxllm_attempt_successes_total", totals.successes, **labels)
    for cause, count in totals.failures.items():
        page.add("oxllm_attempt_failures_total", count, **labels, cause=cause.value)
    page.add("oxllm_attempt_retries_total", totals.retries, **labels)
    page.add("oxllm_attempt_lost_total", totals.lost, **labels)
    page.histogram("oxllm_attempt_first_content_seconds", totals.ttft, **labels)
    page.add("oxllm_stream_events_dropped_total", target.counters.dropped, **labels)
    page.add("oxllm_tokens_total", totals.prompt_tokens, **labels, type="prompt")
    page.add("oxllm_tokens_total", totals.completion_tokens, **labels, type="completion")
    page.add("oxllm_cached_tokens_total", totals.cached_tokens, **labels)
    until = max(target.cooldown.until, target.provider.cooldown.until)
    page.add("oxllm_cooldown_seconds", max(0.0, until - now), **labels)


def _labels(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
