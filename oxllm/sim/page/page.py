"""The report of a rehearsal as one HTML file: no scripts, nothing from the network, light or dark by preference."""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib import resources

from oxllm.sim.page import charts, figures
from oxllm.sim.page.elements import listed, section
from oxllm.sim.page.markup import Markup, tag
from oxllm.sim.provider.ledger import Record
from oxllm.sim.rehearsal.card import Card, Finding, Verdict
from oxllm.sim.rehearsal.replay import Replay
from oxllm.sim.rehearsal.report import failures, rows
from oxllm.sim.rehearsal.run import Run
from oxllm.sim.rehearsal.words import duration
from oxllm.words import count

FINDINGS_MAX = 50
"""Most findings shown; `--json` has all of them."""
VERDICTS = {Verdict.PASSED: "good", Verdict.FAILED: "bad", Verdict.NOT_TESTED: "unsure"}
FINDINGS_OPEN = 5
"""Findings shown unfolded: few, so that they do not push the pictures away."""


def page(run: Run, replay: Replay) -> str:
    """The report. `replay`: how to repeat the run."""
    card, recorded, axis = run.card, run.recorded, figures.timeline(run.recorded)
    css = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    title = f"Rehearsal of {replay.config}, seed {card.seed}"
    sections = [
        _findings(run, replay), charts.outcomes(recorded, axis), charts.providers(recorded, axis),
        charts.amplification(recorded, card, axis), charts.first_tokens(recorded), charts.totals(recorded),
        charts.kinds(card), _numbers(card),
    ]  # fmt: skip
    main = tag("main", _header(run, replay), _tiles(card), *sections, _footer(replay))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # No scripts, no requests: markup smuggled in by a name would have to get past this as well.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"{tag('title', title)}\n<style>\n{css}</style>\n</head>\n<body>\n{main}\n</body>\n</html>\n"
    )


def _header(run: Run, replay: Replay) -> Markup:
    card, recorded = run.card, run.recorded
    verdict = tag("span", card.verdict.value.capitalize(), class_=f"verdict {VERDICTS[card.verdict]}")
    models, providers = len({seen.model for seen in recorded.transcripts}), len(recorded.scenario.upstreams)
    facts = [
        f"seed {card.seed}", " ".join(replay.play[:2]).removeprefix("--"), f"{duration(recorded.duration)} of load",
        count(models, "model"), count(providers, "provider"),
    ]  # fmt: skip
    return tag(
        "header", tag("p", "oxllm rehearsal", class_="kicker"), tag("h1", replay.config, " ", verdict),
        tag("p", _lead(card), class_="lead"), listed("facts", facts), listed("failed", _failed(card)),
        listed("untested", card.untested), listed("alone", _alone(card)), listed("advice", card.advice),
        listed("doomed", _doomed(card)),
    )  # fmt: skip


def _lead(card: Card) -> str:
    said = f"{card.whole} of {count(card.requests, 'request')} were answered whole. "
    if card.rescuable:
        said += f"{card.rescued} of {card.rescuable} that met a failing provider were rescued by another attempt. "
    if not card.client_errors:
        return said + "No client got an error instead of an answer."
    could = "a perfect gateway would have avoided none of them" if not card.survivable_errors else (
        f"a perfect gateway would have avoided {card.survivable_errors}"
    )  # fmt: skip
    return said + f"{count(card.client_errors, 'client')} got an error instead of an answer; {could}."


def _failed(card: Card) -> list[str]:
    return [f"expected {words}" for words in failures(card)]


def _doomed(card: Card) -> list[str]:
    """Models whose requests no gateway could have saved, although they have several providers."""
    told = {name: reason for name, reason in card.survivable.items() if name not in card.single_points}
    return [f"{name}: {reason}" for name, reason in told.items() if reason is not None]


def _alone(card: Card) -> list[str]:
    """Single points of failure."""
    return [f"single point of failure: {provider} is all there is behind {name}" for name, provider in
            card.single_points.items()]  # fmt: skip


def _tiles(card: Card) -> Markup:
    share = math.floor(1000 * card.whole / max(1, card.requests)) / 10  # 59,999 of 60,000 must not be 100 %
    memory = "?" if card.rss_max is None else f"{card.rss_max / 2**20:.1f} MB"
    early = card.retry_after_violations + card.open_violations
    tiles = [
        _tile("answered whole", f"{share:g}%", f"{card.whole} of {card.requests}"),
        _tile("errors before content", f"{card.client_errors}", f"{card.survivable_errors} avoidable",
              bad=card.survivable_errors > 0),
        _tile("errors after content", f"{card.broken}", "told as errors"),
        _tile("cut, passed as whole", f"{card.truncated}", "must be 0", bad=card.truncated > 0),
        _tile("rescued", f"{card.rescued}", f"of {card.rescuable} that met a failing attempt"),
        _tile("attempts per request", f"{card.amplification:.2f}", f"{card.attempts} in all"),
        _tile("asked too early", f"{early}", "before Retry-After or an open breaker", bad=early > 0),
        _tile("memory of the gateway", memory, "at most"),
    ]  # fmt: skip
    return tag("section", *tiles, class_="tiles", aria_label="The run in eight numbers")


def _tile(name: str, value: str, more: str, bad: bool = False) -> Markup:
    mark = tag("span", "\N{HEAVY BALLOT X} ", class_="mark") if bad else ""
    return tag(
        "div", tag("p", name), tag("p", mark, value, class_="value"), tag("p", more),
        class_="tile bad" if bad else "tile",
    )  # fmt: skip


def _findings(run: Run, replay: Replay) -> Markup:
    """Each violation, with the fates that led to it and the commands that show them again."""
    found, by = run.card.findings, {f"{run.card.seed}:{r.provider}:{r.key}": r for r in run.recorded.records}
    if not found:
        return section("findings", "Findings", tag("p", "None: nothing that a gateway must not do was seen."))
    items = [_finding(finding, by, replay) for finding in found[:FINDINGS_MAX]]
    first, rest = items[:FINDINGS_OPEN], items[FINDINGS_OPEN:]
    further = [tag("details", tag("summary", f"{len(rest)} more"), tag("ol", *rest, class_="findings"))] if rest else []
    left = len(found) - len(items)
    more = [tag("p", f"And {left} that are not shown; --json lists all of them.")] if left else []
    return section("findings", f"Findings ({len(found)})", tag("ol", *first, class_="findings"), *further, *more)


def _finding(finding: Finding, records: dict[str, Record], replay: Replay) -> Markup:
    fates = [tag("li", *_fate(at, records.get(at)), tag("code", replay.fate(at))) for at in finding.coordinates]
    told = fates or [tag("li", "no attempt was made")]
    said = [tag("pre", finding.explained)] if finding.explained else []
    return tag("li", tag("p", finding.what), tag("ul", *told), *said)


def _fate(coordinate: str, record: Record | None) -> Iterable[str]:
    yield tag("b", coordinate)
    if record is not None:
        yield f" at {duration(record.arrived)}: {record.fault or 'a healthy answer'}"


def _numbers(card: Card) -> Markup:
    lines = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows(card)]
    return section("card", "The report card", tag("table", tag("tbody", *lines), class_="card"))


def _footer(replay: Replay) -> Markup:
    words = "The whole run again; the same seed gives each request at each provider the same fate:"
    return tag("footer", tag("p", words), tag("code", replay.run))
