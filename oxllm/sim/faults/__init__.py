"""The faults, one module per kind, imported on first use."""

from __future__ import annotations

import importlib

from oxllm.sim.faults.base import Fault

KINDS = {
    "429": "http_429",
    "429-quota": "http_429_quota",
    "429-toobig": "http_429_toobig",
    "spend-cap": "spend_cap",
    "foreign-state": "foreign_state",
    "500": "http_500",
    "502-html": "http_502_html",
    "503": "http_503",
    "504-html": "http_504_html",
    "529": "http_529",
    "401": "http_401",
    "404": "http_404",
    "dns": "dns",
    "refuse": "refuse",
    "blackhole": "blackhole",
    "slow-accept": "slow_accept",
    "half-open": "half_open",
    "rst": "rst",
    "fin": "fin",
    "garbage": "garbage",
    "tls-expired": "tls_expired",
    "tls-abort": "tls_abort",
    "tls-truncate": "tls_truncate",
    "slow": "slow",
    "stall": "stall",
    "trickle": "trickle",
    "cut": "cut",
    "silent-cut": "silent_cut",
    "no-done": "no_done",
    "no-terminal": "no_terminal",
    "no-event-lines": "no_event_lines",
    "sequence-gap": "sequence_gap",
    "big-event": "big_event",
    "hold-open": "hold_open",
    "garble": "garble",
    "split-utf8": "split_utf8",
    "error-event": "error_event",
    "preamble-error": "preamble_error",
    "empty-error": "empty_error",
    "comments": "comments",
    "role-only": "role_only",
    "late-usage": "late_usage",
    "bad-json": "bad_json",
    "short-body": "short_body",
    "twice": "twice",
    "wrong-type": "wrong_type",
    "empty": "empty",
    "html-200": "html_200",
    "error-200": "error_200",
    "lying-headers": "lying_headers",
    "retry-after": "retry_after",
}
"""A kind's name in the grammar -> its module."""


def load(kind: str) -> type[Fault]:
    """The class of a kind (one of KINDS)."""
    fault: type[Fault] = importlib.import_module(f"{__name__}.{KINDS[kind]}").FAULT
    return fault
