"""The report of a rehearsal in a real browser: it draws, in light and in dark, on a phone, and says no error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oxllm.sim.page import page
from oxllm.sim.replay import Replay
from tests.support.browser import Browser, chromium
from tests.support.rehearsed import rehearsed

PROGRAM = chromium()
CSS = (Path(__file__).parents[2] / "oxllm" / "sim" / "page.css").read_text(encoding="utf-8")
MARKS = ("whole", "refused", "broken", "truncated", "healthy", "struck", "closed", "half-open", "open", "faults",
         "outage", "first", "further", "gateway", "perfect")  # fmt: skip

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium here; Debian: apt install chromium")


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    assert PROGRAM is not None
    return Browser(PROGRAM, tmp_path)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Of a run whose providers bear names that would be markup if they could."""
    names = ("<script>document.title='broken out'</script>", '"><img src=x onerror=alert(1)>')
    file = tmp_path / "report.html"
    file.write_text(page(rehearsed(names), Replay("config.toml")), encoding="utf-8")
    return file


def colour(name: str, dark: bool) -> tuple[int, int, int]:
    """What page.css says."""
    found = re.findall(rf"--{name}: #([0-9a-f]{{6}})", CSS)
    assert len(found) == 2, "light, then dark"
    red, green, blue = bytes.fromhex(found[dark])
    return red, green, blue


def test_the_browser_finds_the_marks_and_nothing_to_complain_of(browser: Browser, report: Path) -> None:
    dom, complaints = browser.dom(report)
    assert complaints == []
    assert "<title>Rehearsal of config.toml, seed 7</title>" in dom
    assert (dom.count("<script"), dom.count("<img")) == (0, 0)
    counted = re.findall(r'<rect[^>]*class="(\w+)" data-count="(\d+)"', dom)
    outcomes = [(name, int(count)) for name, count in counted if name in ("whole", "refused", "broken", "truncated")]
    assert sum(count for _, count in outcomes) == 300
    assert sum(count for name, count in outcomes if name == "whole") == 210
    assert sum(int(count) for name, count in counted if name in ("first", "further")) == 360


@pytest.mark.parametrize(("width", "dark"), [(1000, False), (380, True)])
def test_every_kind_of_mark_is_seen_in_its_colour(browser: Browser, report: Path, width: int, dark: bool) -> None:
    pixels = browser.pixels(report, width, 4200 if width < 600 else 3600, dark)
    missing = [name for name in MARKS if pixels[colour(name, dark)] < 20]
    assert not missing
    paper, ink = pixels[colour("paper", dark)], pixels[colour("ink", dark)]
    assert paper > sum(pixels.values()) / 2
    assert ink > 100
