"""The report card for a reader: text, and one HTML file with its plots drawn in SVG, that needs nothing else."""

from __future__ import annotations

import html
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from .chance import Chance
from .grade import Card, Spread
from .ledger import Record
from .rehearse import Run
from .replay import Replay

VERDICTS = ("whole", "refused", "broken", "truncated", "unfinished")
_COLOURS = {
    "whole": "#4c9f70", "refused": "#d1495b", "broken": "#edae49", "truncated": "#7b2d8b", "unfinished": "#8d99ae",
    "closed": "#4c9f70", "open": "#d1495b", "half-open": "#edae49",
    "clients": "#30638e", "providers alone": "#8d99ae",
}  # fmt: skip
_WIDTH, _HEIGHT = 900, 160
FINDINGS_MAX = 20


def text(card: Card, replay: Replay) -> str:
    """The card as lines for a terminal. `replay`: how to have the run again."""
    rows = list(_rows(card))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    for finding in card.findings[:FINDINGS_MAX]:
        lines += [f"! {finding.what}", *(f"    {replay.fate(at)}" for at in finding.coordinates)]
    if len(card.findings) > FINDINGS_MAX:
        lines.append(f"! and {len(card.findings) - FINDINGS_MAX} more")
    lines += [f"FAILED: {expectation}" for expectation in card.failed] or ["passed"]
    return "\n".join([*lines, f"seed {card.seed}"])


def _rows(card: Card) -> Iterable[tuple[str, str]]:
    yield "requests", f"{card.requests}, {card.whole} answered whole"
    yield "rescued", f"{card.rescued} of {card.rescuable} that met a failing attempt"
    saved = "none of them avoidable" if not card.survivable_errors else f"{card.survivable_errors} of them avoidable"
    yield "errors before content", f"{card.client_errors}" + (f", {saved}" if card.client_errors else "")
    yield "errors after content", f"{card.broken}"
    yield "truncated, passed as whole", f"{card.truncated}"
    if card.unfinished:
        yield "unfinished at the end", f"{card.unfinished}"
    yield "attempts per request", f"{card.amplification:g} ({card.attempts} attempts)"
    yield "asked before Retry-After", f"{card.retry_after_violations}"
    yield "asked while breaker open", f"{card.open_violations}"
    yield "time to fail over", _spread(card.failover)
    yield "back after an outage", _spread(card.recovery)
    yield "time to first token", f"{_spread(card.ttft)}; a perfect gateway {_spread(card.ttft_perfect)}"
    yield "time to the end", f"{_spread(card.total)}; a perfect gateway {_spread(card.total_perfect)}"
    yield "memory of the gateway", "unknown" if card.rss_max is None else f"{card.rss_max / 2**20:.1f} MB at most"
    for model, reason in card.survivable.items():
        if reason is not None:
            yield f"{model} cannot survive this", reason
    yield "faults that struck", ", ".join(f"{kind} {count}" for kind, count in card.kinds.items()) or "none"
    yield "kinds never met", ", ".join(card.untouched) or "none"
    yield "breakers seen", ", ".join(card.states) or "no state was told"


def _spread(spread: Spread) -> str:
    if spread.p50 is None or spread.p99 is None:
        return "never"
    return f"{spread.p50 * 1000:.0f} ms (p99 {spread.p99 * 1000:.0f} ms)"


def as_json(card: Card) -> str:
    """The card for a program."""
    return msgspec.json.format(msgspec.json.encode(card), indent=2).decode()


def page(run: Run) -> str:
    """The report as one HTML file."""
    card = run.card
    rows = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in _rows(card))
    findings = "".join(
        f"<li>{html.escape(finding.what)} <code>{html.escape(' '.join(finding.coordinates))}</code></li>"
        for finding in card.findings
    )
    verdict = "failed: " + ", ".join(card.failed) if card.failed else "passed"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>oxllm rehearsal, seed {card.seed}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #222 }}
th {{ text-align: left; font-weight: normal; color: #555; padding-right: 2em }}
th {{ vertical-align: top; white-space: nowrap }}
svg {{ width: 100%; height: auto; background: #fafafa; border: 1px solid #ddd }}
svg text {{ font-size: 11px; fill: #555 }}
.passed {{ color: #2b7a4b }} .failed {{ color: #b3243a }}
</style></head><body>
<h1>Rehearsal, seed {card.seed}: <span class="{verdict.split(":")[0]}">{html.escape(verdict)}</span></h1>
<table>{rows}</table>
<h2>Outcomes by second</h2>{_legend(VERDICTS)}{_outcomes(run)}
<h2>Breakers</h2>{_legend(("closed", "half-open", "open"))}{_breakers(run)}
<h2>Attempts per request</h2>{_amplification(run)}
<h2>Time to first token</h2>{_distribution(_first_tokens(run), _perfect_first(run))}
<h2>Time to the end</h2>{_distribution(_totals(run), _served(run))}
<h2>Findings</h2><ul>{findings or "<li>none</li>"}</ul>
</body></html>
"""


def _legend(names: Iterable[str]) -> str:
    return "<p>" + " ".join(f'<span style="color:{_COLOURS[name]}">&#9632;</span> {name}' for name in names) + "</p>"


def _svg(height: int, body: str, title: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img"><title>{html.escape(title)}</title>{body}</svg>'


def _seconds(run: Run) -> int:
    return max(1, int(max((seen.ended or seen.started for seen in run.transcripts), default=0.0)) + 1)


def _outcomes(run: Run) -> str:
    """Stacked bars: how the requests that began in each second ended."""
    counts = Counter((int(seen.started), seen.verdict) for seen in run.transcripts)
    seconds = _seconds(run)
    top = max(Counter(int(seen.started) for seen in run.transcripts).values(), default=1)
    bars, wide = [], _WIDTH / seconds
    for second in range(seconds):
        y = float(_HEIGHT)
        for verdict in VERDICTS:
            tall = counts[second, verdict] / top * _HEIGHT
            y -= tall
            if tall:
                box = f'x="{second * wide:.1f}" y="{y:.1f}" width="{max(1.0, wide - 1):.1f}" height="{tall:.1f}"'
                bars.append(f'<rect {box} fill="{_COLOURS[verdict]}"/>')
    return _svg(_HEIGHT, "".join(bars), f"{seconds} seconds, up to {top} requests a second")


def _breakers(run: Run) -> str:
    """A row a provider: its breaker's state from sample to sample."""
    names = [upstream.name for upstream in run.scenario.upstreams]
    seconds, parts = _seconds(run), []
    for row, name in enumerate(names):
        y = row * 26 + 4
        for one, other in itertools.pairwise(run.samples):
            x, end = (90 + moment.at / seconds * (_WIDTH - 90) for moment in (one, other))
            fill = _COLOURS.get(one.states.get(name, ""), "#8d99ae")
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{end - x + 0.3:.1f}" height="18" fill="{fill}"/>')
        parts.append(f'<text x="4" y="{y + 13}">{html.escape(name)}</text>')
    return _svg(26 * len(names) + 4, "".join(parts), "breaker states over time")


def _amplification(run: Run) -> str:
    """Attempts for each request, second by second."""
    asked = {seen.asked: int(seen.started) for seen in run.transcripts}
    requests = Counter(asked.values())
    attempts = Counter(asked[record.asked] for record in run.records if record.asked in asked)
    shares = [(second, attempts[second] / requests[second]) for second in sorted(requests)]
    top = max((share for _, share in shares), default=1.0)
    scaled = [(second / _seconds(run), share / max(top, 2.0)) for second, share in shares]
    return _svg(_HEIGHT, _line(scaled, "#30638e") + _ticks([(1 / max(top, 2.0), "1")]), "attempts per request")


def _distribution(measured: Sequence[float], reference: Sequence[float]) -> str:
    """Two cumulative curves: what clients saw, and the providers' own times."""
    longest = max([*measured, *reference], default=1.0) or 1.0
    curves = ((reference, _COLOURS["providers alone"]), (measured, _COLOURS["clients"]))
    lines = "".join(_line(_cumulative(values, longest), colour) for values, colour in curves)
    labels = "".join(
        f'<text x="{share * (_WIDTH - 60):.0f}" y="{_HEIGHT - 4}">{longest * share * 1000:.0f} ms</text>'
        for share in (0.25, 0.5, 0.75, 1)
    )
    return _legend(("clients", "providers alone")) + _svg(_HEIGHT, lines + labels, "cumulative distribution")


def _cumulative(values: Sequence[float], longest: float) -> list[tuple[float, float]]:
    ordered = sorted(values)
    return [(value / longest, (place + 1) / len(ordered)) for place, value in enumerate(ordered)]


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    drawn = " ".join(f"{x * _WIDTH:.1f},{_HEIGHT - y * (_HEIGHT - 10):.1f}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{drawn}"/>'


def _ticks(marks: Iterable[tuple[float, str]]) -> str:
    parts = []
    for share, label in marks:
        y = _HEIGHT - share * (_HEIGHT - 10)
        parts.append(f'<line x1="0" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>')
        parts.append(f'<text x="4" y="{y - 3:.1f}">{label}</text>')
    return "".join(parts)


def _first_tokens(run: Run) -> list[float]:
    return [seen.first - seen.started for seen in run.transcripts if seen.first is not None and seen.stream]


def _totals(run: Run) -> list[float]:
    return [seen.ended - seen.started for seen in run.transcripts if seen.ended and seen.verdict == "whole"]


def _healthy(run: Run) -> list[Record]:
    return [record for record in run.records if record.fault is None and record.end == "complete" and record.asked]


def _served(run: Run) -> list[float]:
    return [record.ended - record.arrived for record in _healthy(run) if record.ended is not None]


def _perfect_first(run: Run) -> list[float]:
    """The times to first token that the providers had drawn for their healthy streams."""
    paces = {upstream.name: upstream.pace for upstream in run.scenario.upstreams}
    return [
        next(paces[record.provider].deadlines(Chance(run.card.seed, record.provider, record.key).series("pace"), 0.0))
        for record in _healthy(run)
        if record.stream
    ]
