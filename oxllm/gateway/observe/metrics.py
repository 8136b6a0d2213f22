"""GET /metrics: Prometheus text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

Rendered on demand, from counters that serving keeps anyway. Labels are names from the running config and words of our
own: nothing that a client sends can create a new series. A test compares docs/metrics.md with FAMILIES.

A hundred providers of fifty models make a page of 40 MB. So it comes in pieces, each made when the one before has been
taken: it is never in memory as a whole, and requests are served between two pieces.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import inf

from oxllm import __version__
from oxllm.core.reading.outcome import Cause
from oxllm.core.routing.breaker import TABLE, BreakerState
from oxllm.core.routing.stats import BOUNDS, Histogram, RequestCounters
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


PIECE_BYTES = 64 * 1024
"""Bytes from which on a piece is complete: as many as may be unsent to a client."""

Samples = float | dict[str, float] | Histogram
"""What a subject (a model, a provider) has in one family: a number, or one for each value of a further label."""


def render(vitals: Vitals) -> Iterator[bytes]:
    """The page in pieces, at least one. What each says is so when it is made."""
    texts: list[str] = []
    size = 0
    for text in _texts(vitals):
        if size >= PIECE_BYTES:
            yield "".join(texts).encode()
            texts.clear()
            size = 0
        texts.append(text)
        size += len(text)
    yield "".join(texts).encode()


def _texts(vitals: Vitals) -> Iterator[str]:
    """The lines of each family: its head, then those of each subject."""
    now, router = vitals.loop.time(), vitals.current.generation.router
    process = _process(vitals)
    models = [(_label("model", name), counters) for name, counters in router.counters.items()]
    providers = [(_label("provider", name), provider) for name, provider in router.providers.items()]
    targets = [
        (f"{label},{_label('model', target.model)}", target)
        for label, provider in providers
        for target in provider.current_targets
    ]
    for name, (kind, meaning) in FAMILIES.items():
        head = f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
        for label, samples in _samples(name, process, models, providers, targets, now):
            if lines := _lines(name, label, samples):
                yield head + lines
                head = ""


def _samples(
    name: str,
    process: Mapping[str, Samples],
    models: Iterable[tuple[str, RequestCounters]],
    providers: Iterable[tuple[str, ProviderState]],
    targets: Iterable[tuple[str, TargetState]],
    now: float,
) -> Iterator[tuple[str, Samples]]:
    """The label of each subject of a family, and its samples."""
    if name in process:
        yield "", process[name]
    elif name in OF_A_MODEL:
        yield from ((label, OF_A_MODEL[name](counters)) for label, counters in models)
    elif name in OF_A_PROVIDER:
        yield from ((label, OF_A_PROVIDER[name](provider, now)) for label, provider in providers)
    else:
        yield from ((label, OF_A_TARGET[name](target, now)) for label, target in targets)


OF_A_MODEL: dict[str, Callable[[RequestCounters], Samples]] = {
    "oxllm_requests_total": lambda of: of.requests,
    "oxllm_requests_in_flight": lambda of: of.in_flight,
    "oxllm_requests_rescued_total": lambda of: of.rescued,
    "oxllm_request_failures_total": lambda of: _by_cause(of.failures),
    "oxllm_request_first_content_seconds": lambda of: of.ttft,
    "oxllm_stream_event_gap_seconds": lambda of: of.gap,
}

OF_A_PROVIDER: dict[str, Callable[[ProviderState, float], Samples]] = {
    "oxllm_provider_in_flight": lambda of, _: of.in_flight,
    "oxllm_breaker_state": lambda of, now: {
        _label("state", state.value): state is of.breaker.state(now) for state in BreakerState
    },
    "oxllm_breaker_transitions_total": lambda of, _: {
        f"{_label('from', before.value)},{_label('to', after.value)}": count
        for (before, after), count in {**MOVES, **of.breaker.moves}.items()
    },
    "oxllm_breaker_open_seconds": lambda of, now: (
        of.breaker.opens_until - now if of.breaker.state(now) is BreakerState.OPEN else 0
    ),
}

OF_A_TARGET: dict[str, Callable[[TargetState, float], Samples]] = {
    "oxllm_attempts_total": lambda of, _: of.counters.attempts,
    "oxllm_attempt_successes_total": lambda of, _: of.counters.successes,
    "oxllm_attempt_failures_total": lambda of, _: _by_cause(of.counters.failures),
    "oxllm_attempt_retries_total": lambda of, _: of.counters.retries,
    "oxllm_attempt_lost_total": lambda of, _: of.counters.lost,
    "oxllm_attempt_first_content_seconds": lambda of, _: of.counters.ttft,
    "oxllm_stream_events_dropped_total": lambda of, _: of.counters.dropped,
    "oxllm_tokens_total": lambda of, _: {
        _label("type", "prompt"): of.counters.prompt_tokens,
        _label("type", "completion"): of.counters.completion_tokens,
    },
    "oxllm_cached_tokens_total": lambda of, _: of.counters.cached_tokens,
    "oxllm_cooldown_seconds": lambda of, now: max(0.0, max(of.cooldown.until, of.provider.cooldown.until) - now),
}


def _process(vitals: Vitals) -> Mapping[str, Samples]:
    journal, pool, bodies = vitals.journal, vitals.pool, vitals.bodies
    spoken = {protocol: 0 for provider in vitals.current.generation.plan.providers for protocol in provider.protocols}
    return {
        "oxllm_info": {_label("version", __version__): 1},
        "oxllm_draining": vitals.life.stopping,
        "oxllm_refusals_total": {
            _label("status", str(code)): count for code, count in sorted({**REFUSALS, **journal.refusals}.items())
        },
        "oxllm_protocol_requests_total": {
            _label("protocol", protocol): count for protocol, count in sorted({**spoken, **journal.protocols}.items())
        },
        "oxllm_client_connections": vitals.server.connections,
        "oxllm_upstream_connections": {
            _label("state", "idle"): pool.idle,
            _label("state", "in use"): pool.open - pool.idle,
        },
        "oxllm_buffered_bytes": bodies.total + bodies.heads,
        "oxllm_held_bytes": vitals.held.total,
        "oxllm_timers": len(vitals.wheel),
        "oxllm_tasks": len(asyncio.all_tasks(vitals.loop)),
        "oxllm_heap_bytes": heap_bytes(),
        "oxllm_internal_errors_total": journal.internal_errors,
        "oxllm_log_dropped_total": journal.log.dropped_in_all,
        "oxllm_telemetry_dropped_total": journal.spans_lost,
        "oxllm_reloads_total": {_label("result", result): count for result, count in vitals.reloads.items()},
        "process_resident_memory_bytes": resident_bytes() or 0,
        "process_cpu_seconds_total": sum(os.times()[:2]),
        "process_start_time_seconds": vitals.created,
    }


def _by_cause(failures: Mapping[Cause, int]) -> dict[str, float]:
    """Every cause, including those that have not occurred."""
    return {label: failures.get(cause, 0) for cause, label in CAUSES.items()}


def _label(name: str, value: str) -> str:
    return f'{name}="{_escape(value)}"'


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


CAUSES = {cause: _label("cause", cause.value) for cause in Cause}


def _lines(name: str, label: str, samples: Samples) -> str:
    """The lines of one subject."""
    if isinstance(samples, Histogram):
        return _histogram(name, label, samples)
    if isinstance(samples, dict):
        between = "," if label else ""
        return "".join(f"{name}{{{label}{between}{more}}} {_number(value)}\n" for more, value in samples.items())
    return f"{name}{{{label}}} {_number(samples)}\n" if label else f"{name} {_number(samples)}\n"


def _histogram(name: str, label: str, histogram: Histogram) -> str:
    start, below = f"{name}_bucket{{{label},", 0
    lines = []
    for le, count in zip(LIMITS, histogram.counts, strict=True):
        below += count
        lines.append(f"{start}{le}}} {below}\n")
    lines.append(f"{name}_sum{{{label}}} {_number(histogram.sum)}\n{name}_count{{{label}}} {below}\n")
    return "".join(lines)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


LIMITS = [_label("le", "+Inf" if bound == inf else _number(bound)) for bound in BOUNDS]
