"""The spans of a request and of its attempts, and what they are made of, as OTLP's JSON has it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from oxllm import __version__
from oxllm import plan as plans
from oxllm.core.reading.outcome import SUCCESS
from oxllm.core.request.step import Step
from oxllm.gateway.observe.record import Record
from oxllm.gateway.observe.trace import Trace

SERVER, CLIENT = 2, 3
ERROR = {"code": 2}
_STATUS = re.compile(r"HTTP (\d{3})\b")
"""The start of an attempt's result if its provider answered with an error."""

Attribute = str | int | bool | tuple[str, ...]


class _Text(msgspec.Struct, gc=False):
    stringValue: str


class _Int(msgspec.Struct, gc=False):
    intValue: str


class _Bool(msgspec.Struct, gc=False):
    boolValue: bool


class _Array(msgspec.Struct):
    arrayValue: dict[str, list[_Value]]


_Value = _Text | _Int | _Bool | _Array


class _Entry(msgspec.Struct):
    key: str
    value: _Value


_names: dict[str, str] = {}
"""Cache: `a__b` -> `a.b`."""


def attributes(**values: Attribute | None) -> list[_Entry]:
    """The attributes that are not None. A `__` in a name stands for a dot: `a__b` is `a.b`."""
    found = []
    for key, value in values.items():
        if value is not None:
            name = _names.get(key)
            if name is None:
                name = _names[key] = key.replace("__", ".")
            found.append(_Entry(name, _Text(value) if type(value) is str else _value(value)))
    return found


def _value(value: Attribute) -> _Value:
    if isinstance(value, tuple):
        return _Array({"values": [_value(item) for item in value]})
    if isinstance(value, bool):
        return _Bool(value)
    return _Int(str(value)) if isinstance(value, int) else _Text(value)


def entries(values: Mapping[str, str]) -> list[_Entry]:
    return [_Entry(key, _Text(value)) for key, value in values.items()]


OPERATIONS = {"chat": "chat", "messages": "chat", "responses": "chat", "completions": "text_completion"}
"""API -> the semantic conventions' name of its operation; others use their own name."""
SCOPE = {"name": "oxllm", "version": __version__}


Places = Mapping[str, plans.Provider]
"""Providers by name: where an attempt went."""


def spans(trace: Trace, record: Record, places: Places) -> Iterable[dict[str, Any]]:
    """The spans of a request and its attempts, by the semantic conventions for HTTP servers and for generative AI
    (opentelemetry.io/docs/specs/semconv)."""
    began = record.time - record.total
    own = attributes(
        gen_ai__operation__name=OPERATIONS.get(record.protocol, record.protocol),
        oxllm__protocol=record.protocol,
        gen_ai__provider__name=record.provider,
        gen_ai__request__model=record.model,
        http__response__status_code=record.status,
        error__type=_error_type(record),
        oxllm__request_id=record.id,
        oxllm__provider=record.provider,
        oxllm__attempts=record.attempts,
        gen_ai__response__model=record.response_model,
        gen_ai__response__finish_reasons=record.finish_reasons or None,
        gen_ai__usage__input_tokens=record.prompt_tokens,
        gen_ai__usage__output_tokens=record.completion_tokens,
        gen_ai__usage__cache_read__input_tokens=record.cached_tokens,
    )
    parent = {} if trace.parent is None else {"parentSpanId": trace.parent}
    yield {
        **_span(trace, 0, f"{record.protocol} {record.model}", SERVER, began, record.time),
        **parent,
        "attributes": own,
        "status": {**ERROR, "message": record.error} if _is_ours(record) else {},
    }
    for step in record.steps:
        yield {
            **_span(trace, step.number, f"attempt {step.target}", CLIENT, began + step.started, began + step.ended),
            "parentSpanId": trace.span_id(),
            "attributes": _attempt(step, record, places),
            "status": {} if step.result == SUCCESS.reason else {**ERROR, "message": step.result},
        }


def _is_ours(record: Record) -> bool:
    """Whether it failed on the server side. For a server span a client's mistake, or its leaving, is not an error."""
    return record.error is not None and not (record.status == 0 or 400 <= record.status < 500)


def _error_type(record: Record) -> str | None:
    if record.error is None:
        return None
    return str(record.status) if record.status >= 400 else "client_gone" if record.status == 0 else "stream_interrupted"


def _attempt(step: Step, record: Record, places: Places) -> list[_Entry]:
    """The attributes of an attempt. Model, reasons and usage are known only for the one that served."""
    name, _, model = step.target.partition("/")
    place = places.get(name)
    served = step.result == SUCCESS.reason and (name, model) == (record.provider, record.upstream_model)
    status = _STATUS.match(step.result)
    failed = None if step.result == SUCCESS.reason else status[1] if status else _kind(step.result)
    return attributes(
        gen_ai__operation__name=OPERATIONS.get(record.protocol, record.protocol),
        gen_ai__provider__name=name,
        gen_ai__request__model=model,
        server__address=place.host if place is not None else None,
        server__port=place.port if place is not None else None,
        http__response__status_code=int(status[1]) if status else 200 if failed is None else None,
        error__type=failed,
        gen_ai__response__model=record.response_model if served else None,
        gen_ai__response__finish_reasons=record.finish_reasons or None if served else None,
        gen_ai__usage__input_tokens=record.prompt_tokens if served else None,
        gen_ai__usage__output_tokens=record.completion_tokens if served else None,
        gen_ai__usage__cache_read__input_tokens=record.cached_tokens if served else None,
        oxllm__target=step.target,
        oxllm__result=step.result,
    )


def _kind(result: str) -> str:
    """The kind of failure, one of few, to group by: `name_not_found` from `name not found: no such host`."""
    return re.split(r": | \(", result, maxsplit=1)[0].replace(" ", "_")


def _span(trace: Trace, attempt: int, name: str, kind: int, began: float, ended: float) -> dict[str, Any]:
    return {
        "traceId": trace.id,
        "spanId": trace.span_id(attempt),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": nanoseconds(began),
        "endTimeUnixNano": nanoseconds(ended),
    }


def nanoseconds(seconds: float) -> str:
    return str(int(seconds * 1_000_000_000))
