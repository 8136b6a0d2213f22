"""The report card as text for a terminal, and as JSON for programs; `page` makes the HTML."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import msgspec

from oxllm import __version__
from oxllm.sim.rehearsal import changes, expect
from oxllm.sim.rehearsal.card import Card, Lane, Spread, Verdict
from oxllm.sim.rehearsal.likeness import Fates, likeness
from oxllm.sim.rehearsal.replay import Replay
from oxllm.sim.rehearsal.words import duration
from oxllm.words import count

FINDINGS_MAX = 20
WIDTH = 80
NARROWEST = 50
"""A narrower terminal must break lines itself: less than half of each line would be left for values."""
ONE_ONLY = (
    "kinds never met",
    "breaker changes never met",
    "breakers seen",
    "faults that struck",
    "by what was asked",
    "by provider",
    "harmless, played too",
)
"""Rows that are too long for columns."""
_GLUE = "\0"
"""A blank at which lines must not be broken."""


def text(card: Card, replay: Replay, columns: int = WIDTH) -> str:
    """The card as text for a terminal of `columns`. `replay`: how to repeat the run."""
    told, room = list(rows(card)), max(NARROWEST, min(WIDTH, columns))
    width = max(len(name) for name, _ in told)
    lines = []
    for name, provider in card.single_points.items():
        lines += _paragraph(f"single point of failure: {provider} is all there is behind {name}", room)
    lines += [line for name, value in told for line in wrapped(name, value, width, room)]
    for finding in card.findings[:FINDINGS_MAX]:
        lines += [f"! {finding.what}", *(f"    {replay.fate(at)}" for at in finding.coordinates)]
        lines += [f"    | {line}" for line in finding.explained.splitlines()]
    if len(card.findings) > FINDINGS_MAX:
        lines.append(f"! and {len(card.findings) - FINDINGS_MAX} more")
    for advice in card.advice:
        lines += _paragraph(f"advice: {advice}", room)
    lines += [f"FAILED: {words}" for words in failures(card)]
    for why in card.untested:
        lines += _paragraph(f"NOT TESTED: {why}", room)
    if card.verdict is Verdict.PASSED:
        lines.append("passed")
    return "\n".join([*lines, f"seed {card.seed}"])


def failures(card: Card) -> Iterable[str]:
    """The rules that were broken, each with the measured value if it compares one."""
    for rule in card.failed:
        value = expect.measured(rule, card)
        yield rule if value is None else f"{rule}, got {value:g}"


def _paragraph(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, room, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)


def wrapped(name: str, value: str, width: int, columns: int = WIDTH) -> list[str]:
    """A row of the card, wrapped to `columns`; only after commas and semicolons, if that suffices."""
    first, room = f"{name:<{width}}  ", columns - width - 2
    parts = re.split(r"(?<=[,;]) ", value)
    glued = " ".join(part.replace(" ", _GLUE) for part in parts) if max(map(len, parts)) <= room else value
    lines = textwrap.wrap(glued, room, break_on_hyphens=False, break_long_words=False)
    return [f"{first if at == 0 else ' ' * len(first)}{line}".replace(_GLUE, " ") for at, line in enumerate(lines)]


def rows(card: Card) -> Iterable[tuple[str, str]]:
    """The rows of the card: name and value."""
    yield "requests", f"{card.requests}, {card.whole} answered whole"
    yield "rescued", f"{card.rescued} of {card.rescuable} that met a failing attempt"
    saved = "none of them avoidable" if not card.survivable_errors else f"{card.survivable_errors} of them avoidable"
    yield "errors before content", f"{card.client_errors}" + (f", {saved}" if card.client_errors else "")
    yield "errors after content", f"{card.broken}"
    yield "truncated, passed as whole", f"{card.truncated}"
    if card.unfinished:
        yield "unfinished at the end", f"{card.unfinished}"
    yield "attempts per request", f"{card.amplification:g} ({count(card.attempts, 'attempt')})"
    yield "asked before Retry-After", f"{card.retry_after_violations}"
    yield "asked while breaker open", f"{card.open_violations}"
    yield "by what was asked", "; ".join(_lane(name, lane) for name, lane in card.lanes.items()) or "nothing"
    told = (f"{name} {attempts} attempts ({lost} lost)" for name, (attempts, lost) in card.providers.items())
    yield "by provider", "; ".join(told)
    yield "time to fail over", _spread(card.failover)
    yield "back after an outage", _spread(card.recovery) if card.outages else "no outage ended"
    yield "time to first token", f"{_spread(card.ttft)}; a perfect gateway {_spread(card.ttft_perfect)}"
    yield "time to the end", f"{_spread(card.total)}; a perfect gateway {_spread(card.total_perfect)}"
    yield "memory of the gateway", "unknown" if card.rss_max is None else f"{card.rss_max / 2**20:.1f} MB at most"
    for model, reason in card.survivable.items():
        if reason is not None and model not in card.single_points:
            yield "cannot survive this", f"{model}: {reason}"
    yield "faults that struck", ", ".join(f"{kind} {count}" for kind, count in card.kinds.items()) or "none"
    if card.harmless:
        yield "harmless, played too", ", ".join(f"{kind} {count}" for kind, count in card.harmless.items())
    yield "kinds never met", ", ".join(card.untouched) or "none"
    yield "breaker changes never met", ", ".join(changes.never_met(card.states)) or "none"
    yield "breakers seen", ", ".join(card.states) or "no state was told"


def _lane(name: str, lane: Lane) -> str:
    """The outcomes for one virtual model in one protocol."""
    first = f", p99 {duration(lane.ttft.p99)}" if lane.ttft.p99 is not None else ""
    return f"{name} {lane.requests} ({lane.whole} whole{first})"


def _spread(spread: Spread) -> str:
    if spread.p50 is None or spread.p99 is None:
        return "never"
    return f"{duration(spread.p50)} (p99 {duration(spread.p99)} of {spread.count})"


class Told(msgspec.Struct, frozen=True):
    """What a JSON report has of a run: its card, the command that repeats it, and the fault of each attempt."""

    card: Card
    command: str
    fates: Fates = {}


def as_json(told: Told, seconds: float, heeded: Told | None = None) -> str:
    """A run for programs: its verdict, the duration of the load, its command and version, its card, and the fate of
    each attempt. `heeded`: the run that followed its advice."""
    made = {"duration": round(seconds, 3), "command": told.command, "version": __version__}
    again = {} if heeded is None else {"with_advice": _shown(heeded, {})}
    return msgspec.json.format(msgspec.json.encode({**_shown(told, made), **again}), indent=2).decode()


def _shown(told: Told, made: Mapping[str, object]) -> dict[str, object]:
    return {"verdict": told.card.verdict, **made, **msgspec.to_builtins(told.card), "fates": told.fates}


def read(file: Path) -> Told:
    """Read what `as_json` wrote. Raises UsageError."""
    try:
        told = msgspec.json.decode(file.read_bytes())
        return Told(msgspec.convert(told, Card), str(told["command"]), dict(told.get("fates") or {}))
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError, ValueError, AttributeError):
        raise click.UsageError(f"{file} is no card; write one with --json") from None


def beside(mine: Told, other: Told) -> str:
    """Two runs side by side, with their commands."""
    return "\n".join([f"left:  {mine.command}", f"right: {other.command}", columns(mine, other)])


def columns(mine: Told, other: Told) -> str:
    """Two cards side by side, and if they have the same seed whether their faults were the same."""
    card = mine.card
    theirs = dict(rows(other.card))
    told = [
        (name, value.partition(";")[0], theirs.get(name, "").partition(";")[0])
        for name, value in rows(card)
        if name not in ONE_ONLY
    ]
    told.append(("verdict", card.verdict.value, other.card.verdict.value))
    widths = [max(len(line[place]) for line in told) for place in range(2)]
    lines = [f"{name:<{widths[0]}}  {value:<{widths[1]}}  {their}" for name, value, their in told]
    if card.seed == other.card.seed and mine.fates and other.fates:
        lines.append(f"faults of both runs: {likeness(mine.fates, other.fates)}")
    return "\n".join(line.rstrip() for line in lines)
