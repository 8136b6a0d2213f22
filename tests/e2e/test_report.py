"""The report of a rehearsal in a real browser: it draws, in light and in dark, on a phone, and says no error."""

from __future__ import annotations

import re
import struct
from collections import Counter
from pathlib import Path

import pytest

from oxllm.sim.page.page import page
from oxllm.sim.rehearsal.replay import Replay
from tests.support.browser import HEIGHT, WIDTH, chromium, colours, main, show
from tests.support.rehearsed import rehearsed

PROGRAM = chromium()
CSS = (Path(__file__).parents[2] / "oxllm" / "sim" / "page" / "page.css").read_text(encoding="utf-8")
MARKS = ("whole", "refused", "broken", "truncated", "healthy", "struck", "closed", "half-open", "open", "faults",
         "outage", "first", "further", "gateway", "perfect")  # fmt: skip

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium here; Debian: apt install chromium")


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


@pytest.mark.parametrize(("width", "height", "dark"), [(1000, 3600, False), (380, 4200, True)])
def test_a_browser_draws_every_mark_in_its_colour_and_complains_of_nothing(
    report: Path, width: int, height: int, dark: bool
) -> None:
    assert PROGRAM is not None
    dom, complaints, pixels = show(PROGRAM, report, width, height, dark)
    assert complaints == []
    assert "<title>Rehearsal of config.toml, seed 7</title>" in dom
    assert (dom.count("<script"), dom.count("<img")) == (0, 0)
    counts: Counter[str] = Counter()
    for name, count in re.findall(r'<(?:rect|path)[^>]*class="(?:curve )?(\w+)" data-count="(\d+)"', dom):
        counts[name] += int(count)
    assert counts["whole"] + counts["refused"] + counts["broken"] + counts["truncated"] == 300
    assert (counts["whole"], counts["healthy"] + counts["struck"], counts["first"] + counts["further"]) == (
        210,
        360,
        360,
    )
    assert [name for name in MARKS if pixels[colour(name, dark)] < 20] == []
    assert pixels[colour("paper", dark)] > pixels.total() / 2
    assert pixels[colour("ink", dark)] > 100


def test_the_picture_of_the_manual_is_made_by_a_command(report: Path, tmp_path: Path) -> None:
    to = tmp_path / "report.png"
    assert main([str(report), str(to)]) == 0
    assert struct.unpack(">II", to.read_bytes()[16:24]) == (WIDTH, HEIGHT)
    assert colours(to.read_bytes())[colour("ink", False)] > 100
