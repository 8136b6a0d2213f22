"""OpenTelemetry's own environment variables (https://opentelemetry.io/docs/specs/otel/protocol/exporter/).

The endpoint comes from the config; headers, certificate and resource attributes come from where every other program of
a fleet has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")


def headers(env: Mapping[str, str]) -> list[tuple[str, str]]:
    """`OTEL_EXPORTER_OTLP_HEADERS`, without invalid header fields."""
    pairs = _pairs(env.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
    return [(name.lower(), value) for name, value in pairs if _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)]


def certificate(env: Mapping[str, str]) -> str | None:
    """`OTEL_EXPORTER_OTLP_CERTIFICATE`: the authorities to verify an https collector against."""
    return env.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None


def resource(env: Mapping[str, str], version: str, rng: Random) -> dict[str, str]:
    """The resource: our own attributes, overridden by `OTEL_RESOURCE_ATTRIBUTES`, and those by `OTEL_SERVICE_NAME`."""
    own = {"service.name": "oxllm", "service.version": version, "service.instance.id": _uuid(rng)}
    given = dict(_pairs(env.get("OTEL_RESOURCE_ATTRIBUTES", "")))
    name = env.get("OTEL_SERVICE_NAME")
    return own | given | ({"service.name": name} if name else {})


def _pairs(text: str) -> list[tuple[str, str]]:
    """`key=value,key=value`, percent-encoded like W3C baggage."""
    found = (entry.partition("=") for entry in text.split(","))
    return [(_decoded(key.strip()), _decoded(value.strip())) for key, equals, value in found if equals and key.strip()]


def _decoded(text: str) -> str:
    return _PERCENT.sub(lambda found: bytes((int(found[1], 16),)), text.encode()).decode("utf-8", "replace")


def _uuid(rng: Random) -> str:
    """A random UUID (RFC 9562, version 4), which the semantic conventions ask for as an instance's id."""
    digits = f"{rng.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
