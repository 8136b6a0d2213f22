"""docs/mocking.md does what it says: each of its examples is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from oxllm.sim.cli import sim_command
from oxllm.sim.serve import directions

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "mocking.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
OPTIONS = ("-p", "oxllm.sim.pytest_plugin", "-p", "no:cacheprovider", "-q")


def test_there_are_five_of_them() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("number", range(5))
@pytest.mark.slow
def test_an_example_runs(number: int, tmp_path: Path) -> None:
    file = tmp_path / "test_example.py"
    file.write_text(EXAMPLES[number], encoding="utf-8")
    has_tests = "def test_" in EXAMPLES[number]
    command = [sys.executable, "-m", "pytest", *OPTIONS, str(file)] if has_tests else [sys.executable, str(file)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_file_of_the_page_is_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert directions.load(text).fault() is not None
    assert set(tomllib.loads(text)) == {"fault", "reply"}


def test_the_commands_of_the_page_are_commands_that_there_are() -> None:
    known = {option for each in sim_command.params if isinstance(each, click.Option) for option in each.opts}
    told = {word for line in re.findall(r"oxllm sim (.*)", PAGE) for word in line.split() if word.startswith("--")}
    assert told <= known
