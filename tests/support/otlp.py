"""OTLP/HTTP with JSON, as strict as a collector may be (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).

Names are lowerCamelCase, 64-bit integers are decimal strings, enums are integers, trace and span ids are hexadecimal
(not base64, as in protobuf's own JSON for bytes), and there are no other fields. Fields as of opentelemetry-proto 1.x.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Int64 = Annotated[str, msgspec.Meta(pattern=r"^-?\d{1,19}$")]
TraceId = Annotated[str, msgspec.Meta(pattern=r"^(?!0{32})[0-9a-f]{32}$")]
SpanId = Annotated[str, msgspec.Meta(pattern=r"^(?!0{16})[0-9a-f]{16}$")]


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A field that it does not list is an error."""


class Array(Strict):
    values: list[Value]


class Value(Strict):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Int64 | None = None
    double_value: float | None = None
    array_value: Array | None = None

    def __post_init__(self) -> None:
        given = (self.string_value, self.bool_value, self.int_value, self.double_value, self.array_value)
        if sum(value is not None for value in given) != 1:
            raise ValueError("a value has exactly one type")


class Attribute(Strict):
    key: Annotated[str, msgspec.Meta(min_length=1)]
    value: Value


class Resource(Strict):
    attributes: list[Attribute]


class Scope(Strict):
    name: str
    version: str = ""


class SpanStatus(Strict):
    message: str = ""
    code: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0


class Span(Strict):
    trace_id: TraceId
    span_id: SpanId
    name: Annotated[str, msgspec.Meta(min_length=1)]
    kind: Annotated[int, msgspec.Meta(ge=1, le=5)]
    start_time_unix_nano: Int64
    end_time_unix_nano: Int64
    attributes: list[Attribute] = []
    status: SpanStatus = msgspec.field(default_factory=SpanStatus)
    parent_span_id: SpanId | None = None

    def __post_init__(self) -> None:
        if int(self.end_time_unix_nano) < int(self.start_time_unix_nano):
            raise ValueError("a span ends after its start")


class ScopeSpans(Strict):
    scope: Scope
    spans: list[Span]


class ResourceSpans(Strict):
    resource: Resource
    scope_spans: list[ScopeSpans]


class Traces(Strict):
    """The body of POST /v1/traces."""

    resource_spans: list[ResourceSpans]


class Number(Strict):
    time_unix_nano: Int64
    as_int: Int64
    attributes: list[Attribute] = []
    start_time_unix_nano: Int64 | None = None


class Spread(Strict):
    start_time_unix_nano: Int64
    time_unix_nano: Int64
    count: Int64
    sum: float
    bucket_counts: list[Int64]
    explicit_bounds: list[float]
    attributes: list[Attribute] = []

    def __post_init__(self) -> None:
        if len(self.bucket_counts) != len(self.explicit_bounds) + 1:
            raise ValueError("the last bucket has no bound")
        if sum(map(int, self.bucket_counts)) != int(self.count) or sorted(self.explicit_bounds) != self.explicit_bounds:
            raise ValueError("buckets and count do not agree")


class Gauge(Strict):
    data_points: list[Number]


class Sum(Strict):
    data_points: list[Number]
    aggregation_temporality: Annotated[int, msgspec.Meta(ge=1, le=2)]
    is_monotonic: bool


class Histogram(Strict):
    data_points: list[Spread]
    aggregation_temporality: Annotated[int, msgspec.Meta(ge=1, le=2)]


class Metric(Strict):
    name: str
    unit: str = ""
    description: str = ""
    gauge: Gauge | None = None
    sum: Sum | None = None
    histogram: Histogram | None = None

    def __post_init__(self) -> None:
        if sum(kind is not None for kind in (self.gauge, self.sum, self.histogram)) != 1:
            raise ValueError("a metric has exactly one kind of data")


class ScopeMetrics(Strict):
    scope: Scope
    metrics: list[Metric]


class ResourceMetrics(Strict):
    resource: Resource
    scope_metrics: list[ScopeMetrics]


class Metrics(Strict):
    """The body of POST /v1/metrics."""

    resource_metrics: list[ResourceMetrics]


BODIES: dict[str, type[Traces | Metrics]] = {"/v1/traces": Traces, "/v1/metrics": Metrics}


def check(path: str, body: bytes) -> Any:
    """The body as a collector understands it. Raises msgspec.ValidationError if it would refuse it."""
    kind = next(kind for end, kind in BODIES.items() if path.endswith(end))
    return msgspec.json.decode(body, type=kind)
