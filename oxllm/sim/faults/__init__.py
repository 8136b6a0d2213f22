"""The faults, one module per kind, imported on first use."""

from __future__ import annotations

import importlib

from oxllm.sim.faults.base import Fault

KINDS = (
    *("429", "429-quota", "429-toobig", "spend-cap", "foreign-state", "500", "502-html", "503", "504-html", "529"),
    *("401", "404"),
    *("dns", "refuse", "blackhole", "slow-accept", "half-open", "rst", "fin", "garbage"),
    *("tls-expired", "tls-abort", "tls-truncate"),
    *("slow", "stall", "trickle", "cut", "silent-cut", "no-done", "no-terminal", "no-event-lines", "sequence-gap"),
    *("big-event", "hold-open", "garble", "split-utf8", "error-event", "preamble-error", "empty-error", "comments"),
    *("role-only", "late-usage", "bad-json", "short-body", "twice", "wrong-type", "empty", "html-200", "error-200"),
    *("lying-headers", "retry-after"),
)
"""Their names in the grammar."""


def load(kind: str) -> type[Fault]:
    """The class of a kind (one of KINDS): `FAULT` in the module of that name, those of a status in `http_…`."""
    module = f"{'http_' if kind[0].isdigit() else ''}{kind.replace('-', '_')}"
    fault: type[Fault] = importlib.import_module(f"{__name__}.{module}").FAULT
    return fault
