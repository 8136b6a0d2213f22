"""docs/simulator.md says what the simulator does: its tables are the code's, its examples are run."""

from __future__ import annotations

import re
import shlex
import struct
import sys
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from oxllm.sim import faults, reference
from oxllm.sim.cli import sim_command
from oxllm.sim.rehearsal.report import rows
from oxllm.sim.script import scenes
from oxllm.sim.serve import control
from oxllm.sim.serve.strip import LEGEND, head
from tests.support.rehearsed import rehearsed

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "simulator.md").read_text(encoding="utf-8")
RECORDED = PAGE.split("<!-- recorded rehearsal -->")[1].split("<!-- end of recorded rehearsal -->")[0]


def examples(text: str) -> list[tuple[list[str], str]]:
    """Arguments and output of each command in the page's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    told = [part.partition("\n") for block in blocks for part in block.split("$ oxllm sim ")[1:]]
    return [(shlex.split(command), output) for command, _, output in told]


def test_the_tables_are_made_from_the_code() -> None:
    assert reference.render(PAGE) == PAGE, "run: python -m oxllm.sim.reference docs/simulator.md"


def test_the_command_writes_the_tables_into_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("`hold-open`", "something old"), encoding="utf-8")
    assert reference.write([str(page)]) == 0
    assert page.read_text(encoding="utf-8") == PAGE


def test_every_place_of_the_grammar_has_its_row() -> None:
    told = re.findall(r"^\| `(\w+)", reference.places(), re.MULTILINE)
    assert sorted(told) == sorted({word for kind in faults.KINDS for word in faults.load(kind).places})


@pytest.mark.parametrize(("arguments", "output"), [each for each in examples(PAGE) if "--rehearse" not in each[0]])
def test_an_example_prints_what_the_page_says(
    arguments: list[str], output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scene.toml").write_text('[upstream.alpha]\nfaults = ["cut@tokn:12 10%"]\n', encoding="utf-8")
    assert CliRunner().invoke(sim_command, arguments).output.endswith(output)


def test_the_scene_file_of_the_page_can_be_played() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    scenario = scenes.load(text, 1)
    assert [upstream.name for upstream in scenario.upstreams] == ["alpha", "beta"]
    assert len(scenario.scenes[0].expect) == 3


def test_the_recorded_rehearsal_is_one_of_a_command_that_there_is_and_of_the_card_that_there_is() -> None:
    ((arguments, output),) = examples(RECORDED)
    known = {option for each in sim_command.params if isinstance(each, click.Option) for option in each.opts}
    assert {word for word in arguments if word.startswith("--")} <= known
    lines = output.splitlines()
    assert lines[0] == lines[-1] == "seed 7"
    others = (" ", "single point of failure: ", "FAILED: ", "NOT TESTED: ", "advice: ", "passed", "seed ")
    told = [line.partition("  ")[0] for line in lines if not line.startswith(others)]
    card = msgspec.structs.replace(rehearsed().card, harmless={"comments": 1})
    assert told == [name for name, _ in rows(card)]


def test_the_marks_of_the_strip_are_told_as_a_terminal_has_them() -> None:
    assert f"\n{LEGEND}\n{head(5)}\n" in PAGE


def test_the_routes_of_the_control_api_are_told() -> None:
    told = set(re.findall(r"`(GET|PATCH|POST|DELETE) (/-/sim\S*)`", PAGE))
    served = re.findall(
        r"^    (GET|PATCH|POST|DELETE) +(/-/sim\S*) ", sys.modules[control.__name__].__doc__ or "", re.MULTILINE
    )
    assert told == set(served)


def test_the_picture_is_small_enough_for_a_page() -> None:
    picture = (DOCS / "report.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert len(picture) < 300_000
    assert width > height / 2.5


@pytest.mark.parametrize("page", ["simulator.md", "simulator-gateways.md", "mocking.md"])
def test_every_option_of_a_command_on_the_page_is_one(page: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^(?:- run: |\$ )?oxllm sim (.*?)(?:#.*)?$", text, re.MULTILINE)
    named = {word for command in commands for word in re.findall(r"(?<![\w-])--[a-z-]+", command)}
    groups = [sim_command, *sim_command.commands.values()]
    known = {option for each in groups for param in each.params for option in (*param.opts, *param.secondary_opts)}
    assert named
    assert named <= known
