"""The command line as a whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from oxllm import __version__
from oxllm.cli import COMMANDS, ELSEWHERE, main
from oxllm.cli.built import built
from oxllm.cli.reference import BEGIN, END, render, write
from oxllm.config.reference import insert
from oxllm.core.request import exchange
from tests.unit.cli.conftest import Run

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"


def test_the_page_has_the_help_of_every_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert insert(text, render(), BEGIN, END) == text, "run: python -m oxllm.cli.reference docs/cli.md"


def test_the_command_rewrites_a_page_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before {BEGIN} old {END} after", encoding="utf-8")
    assert write([str(page)]) == 0
    assert page.read_text(encoding="utf-8") == f"before {BEGIN}\n\n{render()}\n{END} after"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own_in_80_columns(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80


def test_the_list_of_commands_cuts_no_summary_short(run: Run) -> None:
    output = run("--help").output
    assert all(f"\n  {name} " in output for name in COMMANDS)
    assert "..." not in output.partition("Commands:")[2]


def test_a_wrong_command_or_option_exits_2(run: Run) -> None:
    result = run("sreve")
    assert result.exit_code == 2
    assert "there is no command 'sreve'; did you mean serve?" in result.stderr
    assert run("serve", "--nope").exit_code == 2
    assert run("status", "--port", "0").exit_code == 2
    assert run("explain").exit_code == 2


@pytest.mark.parametrize(
    "words", [("serve", "-p"), ("requests", "-n"), ("sim", "--seed"), ("sim", "shrink", "--tries")]
)
def test_what_is_no_number_is_told_in_plain_words(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words, "1.5")
    assert (result.exit_code, "'1.5' is not a valid whole number" in result.stderr) == (2, True), result.stderr
    assert "'x' is not a valid number." in run("stop", "--wait", "x").stderr


@pytest.mark.parametrize("words", [("serve", "--demo"), ("serve", "-c", "config.toml"), ("sim",)])
def test_an_empty_host_is_no_wildcard(run: Run, words: tuple[str, ...]) -> None:
    """Such as an unset variable of a script makes it: to the system it would be every address of the machine."""
    for host in ("", " "):
        result = run(*words, "--host", host)
        assert result.exit_code == 2
        assert "write an address of this machine such as 127.0.0.1" in result.stderr


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").output == f"oxllm, version {__version__} ({built()})\n"


def test_it_says_whether_it_is_compiled() -> None:
    compiled = not str(exchange.__file__).endswith(".py")
    assert built() == ("compiled" if compiled else "pure Python")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux that takes nothing")
@pytest.mark.parametrize("words", [("schema",), ("--version",), ("adapt", "--help")])
def test_what_cannot_be_written_is_told_in_a_line(words: tuple[str, ...]) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    for buffering in ({}, {"PYTHONUNBUFFERED": "1"}):
        with open("/dev/full", "w", encoding="ascii") as full:
            command = [sys.executable, "-m", "oxllm", *words]
            done = subprocess.run(
                command, env=env | buffering, stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert (done.returncode, done.stderr) == (1, "oxllm: cannot write: no space left on device\n")


def test_python_m_oxllm_is_the_same_command() -> None:
    command = [sys.executable, "-m", "oxllm", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith("oxllm, version")


def test_the_list_of_commands_loads_neither_pydantic_nor_httpx() -> None:
    script = (
        "import sys; from oxllm.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'pydantic', 'httpx', 'asyncio'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_script(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_OXLLM_COMPLETE" in result.output


def bash_completes() -> bool:
    """Is there a bash that click's script is for: 4.4, where macOS has 3.2?"""
    if shutil.which("bash") is None:
        return False
    command = ["bash", "-c", 'echo "$((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1]))"']
    return int(subprocess.run(command, capture_output=True, check=True).stdout) >= 404


@pytest.mark.skipif(not bash_completes(), reason="no bash 4.4 is installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [("oxllm st", "status stop"), ("oxllm provider o", "offline online"), ("oxllm completion f", "fish")],
)
def test_completion_completes_in_a_bash_that_sources_it(words: str, offered: str) -> None:
    script = (
        'eval "$(oxllm completion bash)"; complete -p oxllm >/dev/null || exit 9; '
        f'COMP_WORDS=({words}); COMP_CWORD={words.count(" ")}; _oxllm_completion oxllm; echo "${{COMPREPLY[@]}}"'
    )
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == offered


def test_completion_offers_the_commands() -> None:
    context = click.Context(main, info_name="oxllm")
    assert [item.value for item in main.shell_complete(context, "st")] == ["status", "stop"]


def test_schema_prints_json(run: Run) -> None:
    import json

    assert json.loads(run("schema").output)["title"] == "oxllm configuration"


@pytest.mark.parametrize(
    ("typed", "meant"), [("start", "serve"), ("check", "validate"), ("logs", "requests"), ("help", "--help")]
)
def test_what_other_programs_call_it_is_understood(run: Run, typed: str, meant: str) -> None:
    result = run(typed)
    assert (result.exit_code, f"there is no command '{typed}'; did you mean {meant}?" in result.stderr) == (2, True)


def test_what_a_mistyped_command_is_answered_with_exists() -> None:
    assert {*ELSEWHERE.values()} <= {*COMMANDS, "--help", "--version"}
    assert not {*ELSEWHERE} & {*COMMANDS}


@pytest.mark.parametrize("command", ["validate", "serve", "doctor"])
def test_a_configuration_without_its_option_is_told_of_it(run: Run, command: str) -> None:
    result = run(command, "mine.toml")
    assert result.exit_code == 2
    assert "(mine.toml); a configuration is given as -c FILE" in result.stderr
    assert "-c FILE" not in run("status", "mine.toml").stderr
