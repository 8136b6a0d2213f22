"""Reports, whatever the numbers and the names: nothing is lost, nothing breaks out, every axis holds its marks."""

from __future__ import annotations

import itertools
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from oxllm.sim.page import figures
from oxllm.sim.page.figures import Timeline
from oxllm.sim.page.markup import tag
from oxllm.sim.rehearsal import report
from oxllm.sim.rehearsal.card import Sample

TIMES = st.floats(0.0, 7200.0, allow_subnormal=False)
TEXT = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(TIMES, st.sampled_from(["closed", "open", "half-open"])), max_size=30))
def test_spells_are_the_samples_and_no_two_in_a_row_are_alike(told: list[tuple[float, str]]) -> None:
    told.sort()
    spells = figures.spells([Sample(at, {"a": state}, {}, None) for at, state in told], "a")
    for one, other in itertools.pairwise(spells):
        assert (one.end, one.state != other.state) == (other.start, True)
    if told:
        assert (spells[0].start, spells[-1].end) == (told[0][0], told[-1][0])
    for at, state in told:
        assert any(spell.start <= at <= spell.end and spell.state == state for spell in spells)


@given(st.lists(TIMES, max_size=500))
def test_a_curve_rises_to_all_values_and_says_of_each_share_what_a_count_says(values: list[float]) -> None:
    curve = figures.curve(values)
    assert (curve is None) == (not values)
    if curve is None:
        return
    assert (curve.count, curve.points[-1]) == (len(values), (max(values), 1.0))
    assert curve.points == sorted(curve.points)
    assert len(curve.points) <= figures.POINTS_MAX
    for at, share in curve.points:
        assert sum(value <= at for value in values) >= share * len(values) - 1e-6


@given(st.lists(TIMES, min_size=1, max_size=20))
def test_a_logarithmic_axis_holds_every_time_above_a_millisecond(values: list[float]) -> None:
    low, high = figures.decades(values)
    assert 0 < low < high
    ticks = figures.log_ticks(low, high)
    assert 1 <= len(ticks) <= 6
    assert ticks == sorted(ticks)
    for value in values:
        assert 0 <= figures.place(value, low, high) <= 1
        assert value < 0.001 or low <= value * 1.001
        assert value <= high * 1.001


@given(TIMES, st.integers(1, 75), st.sampled_from([0.5, 1.0, 5.0, 60.0]))
def test_every_moment_has_its_bin(at: float, bins: int, step: float) -> None:
    axis = Timeline(bins * step, step)
    place = axis.bin(at)
    assert 0 <= place < axis.bins == bins
    assert at >= axis.end or place * step <= at < (place + 1) * step


class Reader(HTMLParser):
    """The text and the attribute of the one tag that there should be."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(TEXT, TEXT)
def test_what_goes_into_a_tag_is_what_a_browser_reads_in_it(text: str, value: str) -> None:
    read = Reader(tag("p", text, title=value))
    assert (read.text, read.tags) == (text, [("p", [("title", value)])])


@given(
    st.lists(st.from_regex(r"[a-z0-9-]{1,18}( [0-9]{1,5})?", fullmatch=True), min_size=1, max_size=15),
    st.integers(report.NARROWEST, report.WIDTH),
)
def test_a_row_of_the_card_is_wrapped_within_its_columns_and_loses_nothing(items: list[str], columns: int) -> None:
    lines = report.wrapped("faults that struck", ", ".join(items), 26, columns)
    assert max(map(len, lines)) <= columns
    assert " ".join(line[28:] for line in lines) == ", ".join(items)
    assert all(line[:28].strip() == ("faults that struck" if at == 0 else "") for at, line in enumerate(lines))
