"""Makes a scene from a log: how fast providers were, how much they said, how often they failed. No prompt is read.

Three kinds of line are understood: a request in oxllm's own `--log-format json`, a call in LiteLLM's JSON (its standard
logging payload), and an access log line with a status, and optionally seconds at its end. Other lines are skipped.
"""

from __future__ import annotations

import contextlib
import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

import msgspec

from oxllm.config.names import check_provider_name
from oxllm.config.problem import BadValueError
from oxllm.sim.script import writing

NAME = "provider"
"""For the provider that an access log is about."""
KINDS = {
    429: "429", 500: "500", 502: "502-html", 503: "503", 504: "504-html", 529: "529", 401: "401", 404: "404",
    402: "429-quota", 403: "401", 408: "500", 424: "500", 425: "500", 498: "500",
}  # fmt: skip
"""A status -> the fault that has it, or has the same effect. (docs/failures.md says what they mean.)"""
OTHERWISE = "rst"
"""For a failure of which nothing is known that points to a fault."""
NOT_ITS_OWN = (
    "client went away",
    "another target was faster",
    "the gateway is shutting down",
    "internal error",
    "not possible from here",
    "not to be asked any more",
)
"""Prefixes of reasons in oxllm's log that say nothing about the provider."""
BEFORE_CONTENT = (
    ("connection refused", "rst@connect"),  # `refuse` and `dns` are for the whole provider, and take no share
    ("name not found", "rst@connect"),
    ("TLS failed", "rst@connect"),
    ("no connection within", "blackhole"),
    ("connection closed", "fin"),
    ("not HTTP", "garbage"),
    ("HTML instead", "html-200"),
    ("the stream was empty", "empty"),
    ("an empty body", "empty"),
    ("the stream ended without content", "role-only"),
    ("its end mark came", "role-only"),
    ("invalid or cut JSON", "bad-json"),
    ("JSON instead of a stream", "error-200"),
    ("an error in", "error-200"),
    ("no answer within", "blackhole"),
    ("no content within", "blackhole"),
    ("silent for", "blackhole"),
    ("out of time", "blackhole"),
)
"""Prefixes of reasons for failures before any content -> the fault with the same effect."""
BEHIND_CONTENT = (
    ("connection ", "cut"),
    ("silent for", "stall"),
    ("out of time", "stall"),
    ("the stream was cut", "silent-cut"),
    ("the stream ended", "silent-cut"),
    ("an error in", "error-event"),
)
"""The same for failures in the middle of an answer."""
BROKEN_OTHERWISE = "garble"
FEWEST = 5
"""Fewest answers that make a pace."""
_ACCESS = re.compile(r'"(?:GET|POST) \S+ HTTP/[\d.]+" (\d{3}) .*?(\d+\.\d+)?\s*$')


class NothingLearnt(ValueError):
    """The log has no line that is understood."""


_Count = Annotated[int, msgspec.Meta(ge=0)]
_Time = Annotated[float, msgspec.Meta(ge=0)]


class _OfOxllm(msgspec.Struct, frozen=True):
    """The fields that are read of a request in oxllm's log."""

    provider: str | None = None
    end: str | None = None
    stream: bool | None = None
    first_content_ms: _Time | None = None
    total_ms: _Time | None = None
    completion_tokens: _Count | None = None
    failed: tuple[str, ...] | None = None
    failed_status: tuple[int | None, ...] | None = None


class _OfLiteLLM(msgspec.Struct, frozen=True):
    """The fields that are read of a call in LiteLLM's log."""

    startTime: _Time
    endTime: _Time
    completionStartTime: _Time | None = None
    custom_llm_provider: str | None = None
    status: str | None = None
    stream: bool | None = None
    completion_tokens: _Count | None = None
    error_information: dict[str, Any] | None = None


class Seen(msgspec.Struct, frozen=True):
    """One attempt at one provider. Times in seconds; None if not in the log."""

    provider: str
    fault: str | None = None
    """The fault it met; None: it was answered."""
    first: float | None = None
    total: float | None = None
    tokens: int | None = None


def scene(lines: Iterable[str]) -> str:
    """The scene file, as TOML. Raises NothingLearnt."""
    attempts: dict[str, list[Seen]] = defaultdict(list)
    for line in lines:
        for seen in _attempts(line.strip()):
            with contextlib.suppress(BadValueError):  # not a name that a provider may have
                check_provider_name(seen.provider)
                attempts[seen.provider].append(seen)
    if not attempts:
        raise NothingLearnt("no line of it is a request: give oxllm's or LiteLLM's JSON log, or an access log")
    count = sum(map(len, attempts.values()))
    tables = (_table(name, seen) for name, seen in sorted(attempts.items()))
    return "\n".join([f"# Learnt from {count} attempts.", *tables])


def _attempts(line: str) -> Iterator[Seen]:
    """The attempts that a line records."""
    if not line.startswith("{"):
        if (access := _ACCESS.search(line)) is not None:
            yield Seen(NAME, _named_after(int(access[1])), total=float(access[2]) if access[2] else None)
        return
    try:
        data = msgspec.json.decode(line, type=dict[str, Any])
        if data.get("event") == "request":
            yield from _of_oxllm(msgspec.convert(data, _OfOxllm))
        elif "startTime" in data and "endTime" in data:
            yield _of_litellm(msgspec.convert(data, _OfLiteLLM))
    except msgspec.DecodeError:  # not JSON, or not the kind of line that it looks like
        return


def _of_oxllm(line: _OfOxllm) -> Iterator[Seen]:
    failed = list(zip(line.failed or (), line.failed_status or (), strict=False))
    begun = line.provider and line.end != "ok" and line.first_content_ms is not None
    for number, (told, status) in enumerate(failed, 1):
        target, _, reason = told.partition(": ")
        if not reason.startswith(NOT_ITS_OWN):
            broke = begun and number == len(failed)  # once an answer has begun, no other target is tried
            yield Seen(target.partition("/")[0], _fault(reason, status, behind=bool(broke)))
    if line.end == "ok" and line.provider:
        first = line.first_content_ms if line.stream else None
        yield Seen(line.provider, None, _seconds(first), _seconds(line.total_ms), line.completion_tokens)


def _fault(reason: str, status: int | None, behind: bool) -> str | None:
    """The fault with the effect that the log describes. `behind`: it failed after content."""
    if behind:
        return next((fault for words, fault in BEHIND_CONTENT if reason.startswith(words)), BROKEN_OTHERWISE)
    told = next((fault for words, fault in BEFORE_CONTENT if reason.startswith(words)), None)
    return told or (OTHERWISE if status is None or status < 400 else _named_after(status))


def _named_after(status: int) -> str | None:
    """The fault for a status; None for a success, and for a 4xx that is the client's own mistake."""
    return KINDS.get(status, "500" if status >= 500 else None)


def _of_litellm(line: _OfLiteLLM) -> Seen:
    provider = (line.custom_llm_provider or NAME).replace("/", "-")
    if line.status != "success":
        code = str((line.error_information or {}).get("error_code") or "")
        return Seen(provider, _named_after(int(code)) if re.fullmatch("[0-9]{1,3}", code) else OTHERWISE)
    begun = line.completionStartTime if line.stream else None
    first = None if begun is None else max(begun - line.startTime, 0.0)  # a clock may have been set back
    return Seen(provider, None, first, max(line.endTime - line.startTime, 0.0), line.completion_tokens)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _table(name: str, seen: Sequence[Seen]) -> str:
    """A provider's table: its pace, and its faults as shares of all attempts."""
    lines = [f"[upstream.{writing.key(name)}]"]
    if (pace := _pace([one for one in seen if one.fault is None])) is not None:
        lines.append(f'pace = "{pace}"')
    counts = Counter(one.fault for one in seen if one.fault is not None)
    shares = [f'"{kind} {100 * count / len(seen):.3g}%"' for kind, count in counts.most_common()]
    if shares:
        lines.append(f"faults = [{', '.join(shares)}]")
    return "\n".join([*lines, ""])


def _pace(answers: Sequence[Seen]) -> str | None:
    """The pace that fits these answers: time to first token, gaps, and number of tokens."""
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
