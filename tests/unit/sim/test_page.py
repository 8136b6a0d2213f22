"""The report as a page: its pictures show the run's numbers, no name breaks out of its place, nothing is fetched."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser

import msgspec
import pytest

from oxllm.sim.page import figures
from oxllm.sim.page.markup import tag
from oxllm.sim.page.page import FINDINGS_MAX, page
from oxllm.sim.rehearsal.replay import Replay
from oxllm.sim.rehearsal.run import Run
from oxllm.sim.script.scenario import When
from tests.support.rehearsed import BREAKER, rehearsed

REPLAY = Replay("my config.toml", ("--chaos", "rough", "--for", "60s"), ("--seed", "7"))
EVIL = ('<script>alert("1")</script>', "'\" onload=alert(2) x=&lt;\"'>, 7:</style>")
VOID = {"meta"}


class Reader(HTMLParser):
    """Collects tags and attributes, and notices what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def pictures(text: str) -> dict[str, list[ET.Element]]:
    """The pictures of each section, by the section's id."""
    sections = re.findall(r'<section [^>]*id="(\w+)".*?</section>', text, re.DOTALL)
    bodies = re.findall(r"<section .*?</section>", text, re.DOTALL)
    named = [body for body in bodies if " id=" in body.partition(">")[0]]
    return {
        name: [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", body, re.DOTALL)]
        for name, body in zip(sections, named, strict=True)
    }


def counts(pictures: list[ET.Element]) -> Counter[str]:
    """Class of a mark -> what its marks stand for, together."""
    found: Counter[str] = Counter()
    for mark in (mark for picture in pictures for mark in picture.iter() if "data-count" in mark.attrib):
        found[mark.attrib["class"]] += int(mark.attrib["data-count"])
    return found


@pytest.fixture(scope="module")
def run() -> Run:
    return rehearsed()


def test_the_marks_of_every_picture_stand_for_all_that_was_counted(run: Run) -> None:
    drawn, card = pictures(page(run, REPLAY)), run.card
    assert counts(drawn["outcomes"]) == {"whole": 210, "refused": 30, "broken": 30, "truncated": 30}
    assert counts(drawn["providers"]) == {"healthy": 240 + 60, "struck": 60}
    assert len(drawn["providers"]) == len(run.recorded.scenario.upstreams)
    assert sum(counts(drawn["amplification"]).values()) == card.attempts == 360
    streams = [seen for seen in run.recorded.transcripts if seen.stream]
    measured = sum(seen.first is not None for seen in streams)
    assert counts(drawn["ttft"]) == {"curve gateway": measured, "curve perfect": len(streams)}
    assert counts(drawn["total"])["curve gateway"] == card.whole == 210


def test_a_breakers_states_last_from_change_to_change(run: Run) -> None:
    spells = figures.spells(run.recorded.samples, "alpha")
    assert [(spell.state, spell.start, spell.end) for spell in spells] == [
        ("closed", 0, 20),
        ("open", 20, 40),
        ("half-open", 40, 41),
        ("probing", 41, 42),
        ("closed", 42, len(BREAKER) - 1),
    ]
    assert figures.spells([], "alpha") == []


def test_a_lane_shows_the_outage_and_the_faults_apart(run: Run) -> None:
    lane, other = figures.lanes(run.recorded, figures.timeline(run.recorded))
    assert [(spell.state, spell.start, spell.end) for spell in lane.scenes] == [("faults", 0, 20), ("outage", 20, 30)]
    assert other.scenes == []


def test_a_scene_that_counts_requests_is_drawn_from_the_first_to_the_last_that_it_counted(run: Run) -> None:
    first, second = run.recorded.scenario.scenes
    scenes = (
        msgspec.structs.replace(first, when=When(first=1, last=11)),
        msgspec.structs.replace(second, name="never", when=When(first=900, last=950)),
    )
    scenario = msgspec.structs.replace(run.recorded.scenario, scenes=scenes)
    counted = msgspec.structs.replace(run.recorded, scenario=scenario)
    lane, _ = figures.lanes(counted, figures.timeline(counted))
    assert [(spell.state, spell.start, spell.end) for spell in lane.scenes] == [("faults", 0.0, 2.0)]


def test_no_name_breaks_out_of_its_place() -> None:
    text = page(rehearsed(EVIL, EVIL[0]), Replay(EVIL[0] + EVIL[1]))
    plain, evil = Reader(page(rehearsed(), REPLAY)), Reader(text)
    assert set(evil.tags) == set(plain.tags)
    assert evil.attributes == plain.attributes
    assert evil.tags["script"] == 0
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in text


def test_nothing_is_loaded_from_anywhere(run: Run) -> None:
    text = page(run, REPLAY)
    assert not re.search(r"\b(src|href|srcset|action|url)\b *[=(]|@import|https?:", text)
    assert "default-src 'none'" in text


def test_each_finding_has_its_fates_and_the_command_that_shows_them_again(run: Run) -> None:
    text = page(run, REPLAY)
    assert run.card.findings[0].what in text
    for coordinate in run.card.findings[0].coordinates:
        assert f"oxllm sim --rehearse &#x27;my config.toml&#x27; --chaos rough --for 60s --fate {coordinate}<" in text
    assert "expected truncated == 0, got 30" in text
    many = msgspec.structs.replace(run.card, findings=run.card.findings * 10)
    said = page(msgspec.structs.replace(run, card=many), REPLAY)
    assert f"And {len(many.findings) - FINDINGS_MAX} that are not shown" in said


def test_a_key_that_is_advised_looks_like_one(run: Run) -> None:
    advised = msgspec.structs.replace(run.card, advice=("`<a>` waited: `timeouts.connect = 1` and `",))
    said = page(msgspec.structs.replace(run, card=advised), REPLAY)
    assert "<li><kbd>&lt;a&gt;</kbd> waited: <kbd>timeouts.connect = 1</kbd> and `</li>" in said


def test_the_same_run_makes_the_same_page(run: Run) -> None:
    assert page(run, REPLAY) == page(rehearsed(), REPLAY)


def test_a_run_that_saw_nothing_has_a_page_that_says_so() -> None:
    run = rehearsed()
    nothing = msgspec.structs.replace(run.recorded, transcripts=[], records=[], samples=[])
    Reader(text := page(Run(nothing, run.card), REPLAY))
    assert text.count("Nothing was measured.") == 2


@pytest.mark.parametrize(
    ("seconds", "bins", "step"), [(0.5, 1, 1), (60, 60, 1), (75.5, 38, 2), (600, 60, 10), (86400, 72, 1200)]
)
def test_a_timeline_has_no_more_bars_than_a_phone_can_show(seconds: float, bins: int, step: float) -> None:
    axis = figures.timeline(msgspec.structs.replace(rehearsed().recorded, transcripts=[], duration=seconds))
    assert (axis.bins, axis.step) == (bins, step)
    assert len(axis.ticks()) <= 6
    assert [axis.bin(at) for at in (-1.0, 0.0, axis.end)] == [0, 0, axis.bins - 1]


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([0.05, 0.3], 0.05, 0.5), ([0.1, 1.0], 0.1, 1.0), ([0.0, 0.0], 0.001, 0.002), ([61.0], 50.0, 100.0)],
)
def test_a_logarithmic_axis_begins_and_ends_at_round_times(values: list[float], low: float, high: float) -> None:
    bounds = figures.decades(values)
    assert bounds == pytest.approx((low, high))
    ticks = figures.log_ticks(*bounds)
    assert 1 <= len(ticks) <= 6
    assert all(0 <= figures.place(tick, *bounds) <= 1 for tick in ticks)
    assert [figures.place(value, *bounds) for value in bounds] == pytest.approx([0, 1])


def test_what_is_no_markup_is_escaped_and_markup_is_not_escaped_twice() -> None:
    inner = tag("b", "<&")
    assert tag("p", inner, '"', class_='a"b', aria_label=None, x=0.123456) == (
        '<p class="a&quot;b" x="0.12"><b>&lt;&amp;</b>&quot;</p>'
    )
