"""The report's charts. Each is a section of the page: a picture, its legend, and its numbers as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from oxllm.sim.page import figures, plot
from oxllm.sim.page.elements import legend, listed, numbers, section
from oxllm.sim.page.figures import Curve, Lane, Spell, Timeline
from oxllm.sim.page.markup import Markup, join, tag
from oxllm.sim.rehearsal.card import Card
from oxllm.sim.rehearsal.grade import Recorded
from oxllm.sim.rehearsal.words import duration
from oxllm.words import count

VERDICTS = {
    "whole": "answered whole",
    "refused": "error before content",
    "broken": "error after content",
    "truncated": "truncated, passed as whole",
    "unfinished": "unfinished at the end",
}
_BREAKER = {"closed": 0.3, "half-open": 0.65, "probing": 0.65, "open": 1.0, "offline": 1.0}
"""State -> height of its band, so that states can be told apart without colour."""
_ATTEMPTS, _BAND, _SCENES = (0.44, 0.56), (0.18, 0.18), (0.0, 0.1)
"""Lower edge and height of the three parts of a lane."""
_BAR = 0.88
"""Width of a bar, as a share of its bin."""
_CURVES = {"gateway": "your gateway", "perfect": "a perfect gateway"}


def outcomes(run: Recorded, axis: Timeline) -> Markup:
    """Stacked bars: how the requests that began in each bin ended."""
    bins = figures.outcomes(run, axis)
    top = max((sum(counts.values()) for counts in bins), default=0) or 1
    totals = {verdict: sum(counts[verdict] for counts in bins) for verdict in VERDICTS}
    ended = ", ".join(f"{count} {VERDICTS[verdict]}" for verdict, count in totals.items() if count)
    found = [(verdict, f"{VERDICTS[verdict]} ({count})") for verdict, count in totals.items() if count]
    after = _after(run, axis)
    bars = [_outcome(axis, place, counts, top) for place, counts in enumerate(bins) if counts]
    ys = [(1.0, f"{top}"), *([(0.5, f"{top // 2}")] if top % 2 == 0 else []), (0.0, "0")]
    rows = ([duration(place * axis.step), *(f"{counts[verdict]}" for verdict in VERDICTS)]
            for place, counts in enumerate(bins) if counts)  # fmt: skip
    return section(
        "outcomes",
        "Outcomes over time",
        tag("p", f"How the requests that began in each {duration(axis.step)} ended."),
        legend([*found, *([("after", "no new requests, answers waited for")] if after else [])]),
        plot.picture(f"Outcomes over {duration(axis.end)}: {ended}.", [*after, *bars], _clock(axis), ys),
        numbers("Outcomes over time", ["from", *VERDICTS.values()], rows),
    )


def _outcome(axis: Timeline, place: int, counts: Mapping[str, int], top: int) -> Markup:
    parts = [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]]
    words = (f"{count} {VERDICTS[verdict]}" for verdict, count in parts)
    return plot.told(_moment(axis, place, words), _stack(axis, place, parts, 1 / top))


def providers(run: Recorded, axis: Timeline) -> Markup:
    """A lane for each provider: its attempts, its breaker, and what the simulator played."""
    found = figures.lanes(run, axis)
    top = max((sum(counts) for lane in found for counts in lane.attempts), default=0) or 1
    rows = ([lane.name, duration(spell.start), duration(spell.end), spell.state]
            for lane in found for spell in lane.breaker)  # fmt: skip
    words = (
        "Bars: the attempts that reached each provider. Band below: its breaker in the gateway. "
        "Line at the bottom: what the simulator played."
    )
    return section(
        "providers",
        "Providers and their breakers",
        tag("p", words),
        legend((("healthy", "healthy answer"), ("struck", "struck by a fault"))),
        legend((("closed", "breaker closed"), ("half-open", "half-open, probing"), ("open", "open"))),
        legend((("faults", "faults on some requests"), ("outage", "outage of the whole port"))),
        *(_lane(run, lane, axis, top, last=lane is found[-1]) for lane in found),
        numbers("Breaker states", ["provider", "from", "to", "state"], rows),
    )


def _lane(run: Recorded, lane: Lane, axis: Timeline, top: int, last: bool) -> Markup:
    healthy, struck = (sum(counts[kind] for counts in lane.attempts) for kind in (0, 1))
    opened = sum(spell.end - spell.start for spell in lane.breaker if spell.state == "open")
    breaker = f"breaker open for {duration(opened)}" if opened else "breaker never open"
    words = f"{count(healthy + struck, 'attempt')}, {struck} struck, {breaker}"
    marks = [
        *_after(run, axis),
        *(_attempts(axis, place, *counts, top) for place, counts in enumerate(lane.attempts) if any(counts)),
        *(_band(spell, axis, _BAND, _BREAKER.get(spell.state, 0.15), "breaker") for spell in lane.breaker),
        *(_band(spell, axis, _SCENES, 1.0, "scene") for spell in lane.scenes),
    ]
    name = tag("h3", lane.name, " ", tag("small", f"{lane.dialect} dialect: {words}"))
    return tag("div", name, plot.picture(f"{lane.name}: {words}.", marks, _clock(axis) if last else ()), class_="lane")


def _attempts(axis: Timeline, place: int, healthy: int, struck: int, top: int) -> Markup:
    parts = [("healthy", healthy), ("struck", struck)]
    words = (f"{count} {name}" for name, count in parts if count)
    base, height = _ATTEMPTS
    return plot.told(_moment(axis, place, words), _stack(axis, place, parts, height / top, base))


def _band(spell: Spell, axis: Timeline, at: tuple[float, float], share: float, class_: str) -> Markup:
    base, height = at
    words = f"{duration(spell.start)} to {duration(spell.end)}: {spell.state}"
    start, width = spell.start / axis.end, (spell.end - spell.start) / axis.end
    return plot.told(words, plot.box(start, base, width, height * share, f"{class_} {spell.state}"))


def amplification(run: Recorded, card: Card, axis: Timeline) -> Markup:
    """Bars: the attempts per request, with those beyond one in another colour."""
    work = figures.work(run, axis)
    shares = [attempts / requests if requests else 0.0 for requests, attempts in work]
    top = max(2.0, *shares)
    bars = [_work(axis, place, *counts, top) for place, counts in enumerate(work) if counts[0]]
    words = f"{card.amplification:g} attempts per request over the whole run"
    summary = f"{words}; at most {max(shares):.2f} in {duration(axis.step)}."
    ys = [(number / top, f"{number}") for number in range(0, int(top) + 1, int(top) // 5 + 1)]
    rows = ([duration(place * axis.step), f"{requests}", f"{attempts}"]
            for place, (requests, attempts) in enumerate(work) if requests)  # fmt: skip
    return section(
        "amplification",
        "Attempts per request",
        tag("p", f"{words}; 1 is as few as there can be."),
        legend((("first", "one attempt each"), ("further", "further attempts"))),
        plot.picture(summary, [*_after(run, axis), *bars, plot.rule(1 / top, "one")], _clock(axis), ys),
        numbers("Attempts per request", ["from", "requests", "attempts"], rows),
    )


def _work(axis: Timeline, place: int, requests: int, attempts: int, top: float) -> Markup:
    parts = [("first", min(attempts, requests)), ("further", max(0, attempts - requests))]
    words = f"{count(attempts, 'attempt')} for {count(requests, 'request')}"
    return plot.told(_moment(axis, place, [words]), _stack(axis, place, parts, 1 / requests / top))


def _stack(axis: Timeline, place: int, parts: Iterable[tuple[str, int]], unit: float, base: float = 0.0) -> Markup:
    """One stacked bar, upwards from `base`. `parts`: class and count of each; a count of one is `unit` high."""
    left, y, marks = (place + (1 - _BAR) / 2) / axis.bins, base, []
    for class_, number in parts:
        if number:
            marks.append(plot.box(left, y, _BAR / axis.bins, number * unit, class_, number))
        y += number * unit
    return join(marks)


def first_tokens(run: Recorded) -> Markup:
    """Two curves: the streams' time to first token."""
    what = "Of streams, from the request to the first content."
    return _distribution("ttft", "Time to first token", what, *figures.first_tokens(run))


def totals(run: Recorded) -> Markup:
    """Two curves: the duration of whole answers."""
    what = "From the request to the last byte of a whole answer."
    return _distribution("total", "Time to the end", what, *figures.totals(run))


def _distribution(name: str, title: str, what: str, measured: Curve | None, perfect: Curve | None) -> Markup:
    curves = {class_: curve for class_, curve in (("gateway", measured), ("perfect", perfect)) if curve is not None}
    if not curves:
        return section(name, title, tag("p", "Nothing was measured."))
    low, high = figures.decades(at for curve in curves.values() for at, _ in curve.points)
    ticks = [(figures.place(at, low, high), duration(at)) for at in figures.log_ticks(low, high)]
    words = {class_: f"{_CURVES[class_]}: {_spread(curve)}" for class_, curve in curves.items()}
    marks = [plot.told(words[class_], _curve(class_, curve, low, high)) for class_, curve in reversed(curves.items())]
    rows = ([_CURVES[class_], f"{curve.count}", *map(duration, (curve.p50, curve.p99, curve.longest))]
            for class_, curve in curves.items())  # fmt: skip
    explained = (
        f"{what} The height of a curve is the share that took no longer than the time below it; dots mark p50 and p99. "
        "A perfect gateway always knows who is healthy, and costs no time."
    )
    return section(
        name,
        title,
        tag("p", explained),
        legend(words.items()),
        plot.picture(f"{title}. {'; '.join(words.values())}.", marks, ticks, [(1.0, "100%"), (0.5, "50%"), (0.0, "0")]),
        numbers(title, ["", "answers", "p50", "p99", "longest"], rows),
    )


def _curve(class_: str, curve: Curve, low: float, high: float) -> Markup:
    points = [(figures.place(at, low, high), share) for at, share in curve.points]
    marked = ((curve.p50, 0.5), (curve.p99, 0.99))
    dots = (plot.dot(figures.place(at, low, high), share, class_) for at, share in marked)
    return join([plot.steps(points, class_, curve.count), *dots])


def _spread(curve: Curve) -> str:
    return f"p50 {duration(curve.p50)}, p99 {duration(curve.p99)}"


def kinds(card: Card) -> Markup:
    """How often each kind struck, the most frequent first, and the kinds that were never played."""
    most = max(card.kinds.values(), default=1)
    bars = [_kind(kind, count, most) for kind, count in sorted(card.kinds.items(), key=lambda item: -item[1])]
    table = tag("table", tag("tbody", *bars), class_="kinds") if bars else tag("p", "None.")
    never = [tag("h3", "Never met in this run"), listed("never", card.untouched)] if card.untouched else []
    return section("kinds", "Faults that struck", table, *never)


def _kind(kind: str, count: int, most: int) -> Markup:
    bar = tag("span", class_="bar", style=f"width:{count / most:.1%}", data_count=count)
    return tag("tr", tag("th", kind, scope="row"), tag("td", f"{count}"), tag("td", bar))


def _after(run: Recorded, axis: Timeline) -> list[Markup]:
    """The time after the load, in which only answers under way were waited for."""
    if axis.end - run.duration < axis.step:
        return []
    rest = plot.box(run.duration / axis.end, 0, 1 - run.duration / axis.end, 1, "after")
    return [plot.told("no new requests; those under way are waited for", rest)]


def _clock(axis: Timeline) -> list[plot.Label]:
    return [(at / axis.end, duration(at) if at else "0") for at in axis.ticks()]


def _moment(axis: Timeline, place: int, words: Iterable[str]) -> str:
    return f"{duration(place * axis.step)} to {duration((place + 1) * axis.step)}: {', '.join(words)}"
