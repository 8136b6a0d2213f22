"""Spans and metrics for an OpenTelemetry collector: OTLP/HTTP with JSON (https://opentelemetry.io/docs/specs/otlp/).

Only created if `otel_endpoint` is set; without it a request costs one comparison. The JSON is written by hand and goes
over the pool's own connections: the SDK alone would need more memory than the gateway.

A request's span has one child per attempt; `trace` places them in the client's own trace.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from oxllm import __version__
from oxllm import plan as plans
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Failure
from oxllm.core.routing.breaker import BreakerState
from oxllm.core.routing.router import Router
from oxllm.core.routing.stats import BOUNDS, Histogram
from oxllm.gateway.observe import otel_environment, otlp
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.observe.record import Record
from oxllm.gateway.observe.seldom import Seldom
from oxllm.gateway.observe.trace import Trace
from oxllm.gateway.upstream.call import Call, Caller, Segments
from oxllm.gateway.upstream.pool import Pool

EXPORT_S = 10.0
"""Seconds between two exports; the SDKs' defaults are 5 s for spans and 60 s for metrics."""
LIMIT_S = 10.0
"""Timeout of one export (the default of OTEL_EXPORTER_OTLP_TIMEOUT)."""
FLUSH_S = 2.0
"""How long the last export may take: a supervisor is waiting for us to end."""
BATCH = 256
"""As soon as so many requests are queued they are exported, never more at once; the SDKs export 512 spans at once."""
QUEUE_MAX = 1024
"""Requests queued for the next export; more are dropped and counted. Each is about 1 KB of JSON."""
CUMULATIVE = 2

_TRACEPARENT = re.compile(
    rb"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
"""Version 00 has 55 characters; a later one may have more after them."""
_json = msgspec.json.Encoder()


class Telemetry:
    """Exports to one collector at a time."""

    __slots__ = (
        "_closing",
        "_collector",
        "_created",
        "_durations",
        "_failures",
        "_headers",
        "_journal",
        "_loop",
        "_pool",
        "_queue",
        "_resource",
        "_rng",
        "_router",
        "_sending",
        "_stopped",
        "_wall",
        "endpoint",
    )

    def __init__(
        self,
        endpoint: str,
        loop: asyncio.AbstractEventLoop,
        pool: Pool,
        journal: Journal,
        rng: Random,
        wall: Callable[[], float],
        created: float,
        router: Callable[[], Router],
    ) -> None:
        """`journal` counts what is lost. `created`: start of the process, seconds since the epoch. `router` returns the
        running one."""
        self._loop = loop
        self._pool = pool
        self._journal = journal
        self._rng = rng
        self._wall = wall
        self._created = created
        self._router = router
        self._stopped = False
        self.export_to(endpoint)
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in otel_environment.headers(os.environ))
        self._resource = {"attributes": otlp.entries(otel_environment.resource(os.environ, __version__, rng))}
        self._queue: deque[tuple[Trace, Record]] = deque()
        self._durations: dict[tuple[str, bool], Histogram] = {}
        self._sending: dict[str, _Export] = {}
        """Path -> the export in flight."""
        self._failures = Seldom()
        self._closing: Callable[[], None] | None = None
        loop.call_later(EXPORT_S, self._tick)

    def trace(self, traceparent: bytes | None) -> Trace:
        """The place of a new request in its client's trace, or in one of its own."""
        rng = self._rng
        span = rng.getrandbits(64)
        found = _TRACEPARENT.fullmatch(traceparent) if traceparent is not None else None
        if found is None:
            return Trace(f"{rng.getrandbits(128) | 1:032x}", span, parent=None, sampled=True)
        return Trace(found[1].decode(), span, found[2].decode(), bool(int(found[3], 16) & 1))

    def request(self, trace: Trace | None, record: Record) -> None:
        """A request has ended. `trace` is None for one that began before there was telemetry."""
        key = (record.model, record.error is None)
        self._durations.setdefault(key, Histogram()).observe(record.total)
        if trace is None or not trace.sampled:
            return
        if len(self._queue) >= QUEUE_MAX:
            self._journal.spans_lost += 1
            return
        self._queue.append((trace, record))
        if len(self._queue) >= BATCH:
            self._export_spans()

    def export_to(self, endpoint: str) -> None:
        """Export to another collector from now on, including what is queued."""
        self.endpoint = endpoint
        self._collector = msgspec.structs.replace(collector(endpoint), ca_file=otel_environment.certificate(os.environ))

    def stop(self) -> None:
        """Export what is queued, and no more."""
        self._stopped = True
        self._export()

    def close(self, done: Callable[[], None]) -> None:
        """Export what is queued, and call `done` when it has arrived, or after two seconds."""
        self._closing = done
        self._export()
        if self._sending:
            self._loop.call_later(FLUSH_S, self._closed)
        else:
            self._closed()

    def _closed(self) -> None:
        done, self._closing = self._closing, None
        if done is not None:
            done()

    def _tick(self) -> None:
        if not self._stopped and self._closing is None:
            self._export()
            self._loop.call_later(EXPORT_S, self._tick)

    def _export(self) -> None:
        self._export_spans()
        if "/v1/metrics" not in self._sending:
            scope = {"scope": otlp.SCOPE, "metrics": self._metrics()}
            self._send("/v1/metrics", {"resourceMetrics": [{"resource": self._resource, "scopeMetrics": [scope]}]}, 0)
            self._forget_dropped()

    def _forget_dropped(self) -> None:
        """Drop the durations of models that a reload removed, now exported a last time: names must not pile up."""
        router = self._router()
        for key in [key for key in self._durations if not router.has(key[0])]:
            del self._durations[key]

    def _export_spans(self) -> None:
        if self._queue and "/v1/traces" not in self._sending:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH))]
            places = {name: state.plan for name, state in self._router().providers.items()}
            spans = [span for trace, record in batch for span in otlp.spans(trace, record, places)]
            scope = {"scope": otlp.SCOPE, "spans": spans}
            self._send(
                "/v1/traces", {"resourceSpans": [{"resource": self._resource, "scopeSpans": [scope]}]}, len(batch)
            )

    def _send(self, path: str, value: object, requests: int) -> None:
        body = _json.encode(value)
        head = (
            f"POST {self._collector.path}{path} HTTP/1.1\r\nhost: {self._collector.authority}\r\n"
            f"content-type: application/json\r\nuser-agent: oxllm/{__version__}\r\n{self._headers}"
            f"content-length: {len(body)}\r\n\r\n"
        )
        where = f"{self._collector.base_url}{path}"
        export = self._sending[path] = _Export(self, head.encode("latin-1"), body, path, where, requests)
        export.call = self._pool.request(self._collector, export)
        export.limit = self._loop.call_later(LIMIT_S, export.late)

    def exported(self, export: _Export, why: str | None) -> None:
        """An export has ended. `why` it failed; None if it did not."""
        del self._sending[export.path]
        if why is not None:
            journal = self._journal
            journal.spans_lost += export.requests
            if self._failures.due(self._loop.time()):
                lost = f"{journal.spans_lost} requests lost so far"
                journal.log.event("warning", f"telemetry: {export.where}: {why}; {lost}")
        if self._stopped or self._closing is not None or len(self._queue) >= BATCH:
            self._export_spans()  # what was queued meanwhile
        if self._closing is not None and not self._sending:
            self._closed()

    def _metrics(self) -> list[dict[str, Any]]:
        now, began = otlp.nanoseconds(self._wall()), otlp.nanoseconds(self._created)
        times = {"startTimeUnixNano": began, "timeUnixNano": now}
        router = self._router()
        status, tokens = [], []
        for provider in router.providers.values():
            state = provider.breaker.state(self._loop.time())
            usable = state not in (BreakerState.OPEN, BreakerState.OFFLINE)
            attributes = otlp.attributes(provider=provider.name, state=state.value)
            status.append({"attributes": attributes, "timeUnixNano": now, "asInt": str(int(usable))})
            for target in provider.current_targets:
                counters = target.counters
                if not counters.attempts:  # of thousands of models few are ever asked
                    continue
                for kind, count in (("prompt", counters.prompt_tokens), ("completion", counters.completion_tokens)):
                    attributes = otlp.attributes(provider=provider.name, model=target.model, type=kind)
                    tokens.append({"attributes": attributes, **times, "asInt": str(count)})
        durations = [
            {
                "attributes": otlp.attributes(model=model, ok=ok),
                **times,
                "count": str(sum(histogram.counts)),
                "sum": histogram.sum,
                "bucketCounts": [str(count) for count in histogram.counts],
                "explicitBounds": BOUNDS[:-1],
            }
            for (model, ok), histogram in self._durations.items()
        ]
        total = {"aggregationTemporality": CUMULATIVE, "isMonotonic": True, "dataPoints": tokens}
        spread = {"aggregationTemporality": CUMULATIVE, "dataPoints": durations}
        return [
            {"name": "llm_proxy.provider.status", "unit": "1", "gauge": {"dataPoints": status}},
            {"name": "llm_proxy.request.duration", "unit": "s", "histogram": spread},
            {"name": "llm_proxy.tokens.consumed", "unit": "{token}", "sum": total},
        ]


class _Export(Caller):
    """One request to the collector: an `upstream.Caller`."""

    __slots__ = ("_body", "_head", "_over", "_status", "_telemetry", "call", "limit", "path", "requests", "where")

    def __init__(self, telemetry: Telemetry, head: bytes, body: bytes, path: str, where: str, requests: int) -> None:
        self._telemetry = telemetry
        self._head = head
        self._body = body
        self._status = 0
        self._over = False
        self.path = path
        self.where = where
        """The URL that it goes to."""
        self.requests = requests
        self.call: Call | None = None
        self.limit: asyncio.TimerHandle | None = None
        """Calls `late`."""

    def request(self) -> tuple[bytes, Segments]:
        return self._head, [self._body]

    def connected(self) -> None:
        pass

    def may_send(self) -> bool:
        return True

    def reconnecting(self) -> bool:
        return True

    def sent(self) -> None:
        pass

    def heading(self, size: int) -> None:
        pass

    def room(self) -> int:
        return 1024  # the response is not kept

    def head(self, status: int, fields: Headers) -> None:
        self._status = status

    def data(self, data: bytes) -> None:
        pass

    def end(self) -> None:
        self._finish(None if 200 <= self._status < 300 else f"HTTP {self._status}")

    def whole(self, status: int, fields: Headers, body: bytes) -> None:
        self._status = status
        self.end()

    def crashed(self, error: Exception) -> None:
        self._finish("internal error")

    def failed(self, failure: Failure, before_response: bool, detail: str) -> None:
        self._finish(detail or failure.value)

    def late(self) -> None:
        """Its time is up: give up, unless it has ended."""
        if not self._over and self.call is not None:
            self.call.cancel()
            self._finish(f"no answer within {LIMIT_S:.0f} s")

    def _finish(self, why: str | None) -> None:
        self._over = True
        if self.limit is not None:
            self.limit.cancel()
        self._telemetry.exported(self, why)


def collector(endpoint: str) -> plans.Provider:
    """The base URL, already checked by the config, in the form that the pool takes."""
    scheme, _, rest = endpoint.partition("://")
    authority, _, path = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    tls = scheme.lower() == "https"
    if not colon or port.endswith("]"):
        host, port = authority, "443" if tls else "80"
    path = f"/{path}".rstrip("/")
    return plans.Provider("(telemetry)", tls, host.strip("[]"), int(port), path)
