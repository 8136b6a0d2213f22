"""From a log to a scene: how fast providers were, how much they said, and how often they failed. No prompt is read.

Three kinds of line are known: a request in oxllm's own `--log-format json`, a call in LiteLLM's JSON (its standard
logging payload), and an access log with the status, and the seconds at its end. Other lines are passed over.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

NAME = "provider"
"""Of the one that an access log is about."""
KINDS = {429: "429", 500: "500", 502: "502-html", 503: "503", 504: "504-html", 529: "529", 401: "401", 404: "404"}
OTHERWISE = "rst"
"""What stands for a failure without a status that a fault is named after."""
FEWEST = 5
"""Answers that a pace is made of."""
_ACCESS = re.compile(r'"(?:GET|POST) \S+ HTTP/[\d.]+" (\d{3}) .*?(\d+\.\d+)?\s*$')


class NothingLearnt(ValueError):
    """No line of the log is of a kind that is known."""


class Seen(msgspec.Struct, frozen=True):
    """One attempt at one provider. Times in seconds; None where the log does not tell."""

    provider: str
    status: int | None
    """200: an answer; None: a failure without a status."""
    first: float | None = None
    total: float | None = None
    tokens: int | None = None


def scene(lines: Iterable[str]) -> str:
    """The scene file, as TOML. Raises NothingLearnt."""
    attempts: dict[str, list[Seen]] = defaultdict(list)
    for line in lines:
        for seen in _attempts(line.strip()):
            attempts[seen.provider].append(seen)
    if not attempts:
        raise NothingLearnt("no line of it is a request: give oxllm's or LiteLLM's JSON log, or an access log")
    count = sum(map(len, attempts.values()))
    tables = (_table(name, seen) for name, seen in sorted(attempts.items()))
    return "\n".join([f"# Learnt from {count} attempts.", *tables])


def _attempts(line: str) -> Iterator[Seen]:
    """What a line tells of."""
    if not line.startswith("{"):
        if (access := _ACCESS.search(line)) is not None:
            yield Seen(NAME, int(access[1]), total=float(access[2]) if access[2] else None)
        return
    try:
        data = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return
    if data.get("event") == "request":
        yield from _of_oxllm(data)
    elif "startTime" in data and "endTime" in data:
        yield _of_litellm(data)


def _of_oxllm(data: dict[str, Any]) -> Iterator[Seen]:
    for failed, status in zip(data.get("failed") or (), data.get("failed_status") or (), strict=False):
        yield Seen(str(failed).partition("/")[0], status if status and status >= 400 else None)
    if data.get("end") == "ok" and data.get("provider"):
        first = data["first_content_ms"] if data.get("stream") else None
        yield Seen(data["provider"], 200, _seconds(first), _seconds(data["total_ms"]), data.get("completion_tokens"))


def _of_litellm(data: dict[str, Any]) -> Seen:
    provider = str(data.get("custom_llm_provider") or NAME)
    if data.get("status") != "success":
        code = str((data.get("error_information") or {}).get("error_code") or "")
        return Seen(provider, int(code) if code.isdecimal() else None)
    first = data.get("completionStartTime")
    streamed = data.get("stream") and first is not None
    return Seen(
        provider,
        200,
        first - data["startTime"] if streamed and first is not None else None,
        data["endTime"] - data["startTime"],
        data.get("completion_tokens"),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _table(name: str, seen: Sequence[Seen]) -> str:
    """One provider: its pace, and its faults as shares of all attempts."""
    lines = [f"[upstream.{name}]"] if re.fullmatch(r"[A-Za-z0-9_-]+", name) else [f'[upstream."{name}"]']
    if (pace := _pace([one for one in seen if one.status == 200])) is not None:
        lines.append(f'pace = "{pace}"')
    counts = Counter(KINDS.get(one.status or 0, OTHERWISE) for one in seen if one.status is None or one.status >= 400)
    shares = [f'"{kind} {100 * count / len(seen):.3g}%"' for kind, count in counts.most_common()]
    if shares:
        lines.append(f"faults = [{', '.join(shares)}]")
    return "\n".join([*lines, ""])


def _pace(answers: Sequence[Seen]) -> str | None:
    """What the answers tell of the time to first token, the gaps, and the tokens."""
    firsts = [one.first for one in answers if one.first]
    tokens = sorted(one.tokens for one in answers if one.tokens)
    gaps = [
        (one.total - one.first) / (one.tokens - 1)
        for one in answers
        if one.first and one.total and one.tokens and one.tokens > 1 and one.total > one.first
    ]
    parts = []
    if len(firsts) >= FEWEST:
        sigma = statistics.pstdev(map(math.log, firsts))
        parts.append(f"ttft {_short(statistics.fmean(firsts))} lognormal {sigma:.2f}")
    if len(gaps) >= FEWEST:
        parts.append(f"itl {_short(statistics.fmean(gaps))}")
    if len(tokens) >= FEWEST:
        parts.append(f"out {tokens[len(tokens) // 20]}..{tokens[-1 - len(tokens) // 20]}")
    return ", ".join(parts) or None


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.3g}ms" if seconds < 1 else f"{seconds:.3g}s"
