"""Answers of real providers (tests/data/errors), as cases for tests."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec

DATA = Path(__file__).parents[1] / "data" / "errors"


class Expect(msgspec.Struct, frozen=True):
    """What the gateway makes of an answer."""

    outcome: str
    failover: bool
    marks: str
    retry_after_s: float | None = None
    scope: str | None = None
    client_sees: str = ""
    alone: str = "any"
    text: str | None = None


class Case(msgspec.Struct, frozen=True):
    """One answer: a body, or events of a stream."""

    id: str
    provider: str
    endpoint: str
    status: int
    headers: dict[str, str]
    then: str
    expect: Expect
    why: str
    source: str
    body: str | None = None
    events: list[str] | None = None
    times: int = 1
    request: dict[str, Any] = {}


def cases(*names: str) -> list[Case]:
    """The cases of these files, by default of all."""
    found = []
    for name in names or ("corpus", "others", "reported", "collected", "logged", "found", "gathered", "unseen"):
        lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        found += [msgspec.convert(json.loads(line), Case) for line in lines]
    return found


def filled(text: str, now: float) -> str:
    """A text with its times filled in: `{{epoch+N}}` and the like stand for N seconds after `now`."""

    def moment(match: re.Match[str]) -> str:
        at = now + int(match[2])
        match match[1]:
            case "epoch_ms":
                return str(int(at * 1000))
            case "epoch":
                return str(int(at))
            case "http_date":
                return formatdate(at, usegmt=True)
        return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")

    return re.sub(r"\{\{(epoch_ms|epoch|rfc3339|http_date)\+(\d+)\}\}", moment, text)


def fields(case: Case, now: float) -> list[tuple[bytes, bytes]]:
    """Its headers, as the gateway sees them."""
    return [(name.lower().encode(), filled(value, now).encode()) for name, value in case.headers.items()]
