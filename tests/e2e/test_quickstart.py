"""docs/quickstart.md, typed as it stands: every command of it is run, or checked word for word where it cannot be.

Not run: the rehearsal, which has tests of its own. Only the ports differ.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from oxllm import __version__
from oxllm.cli import main
from oxllm.cli.built import built
from tests.support.demos import demonstrating
from tests.support.gateway import CLEAN
from tests.support.printed import shape
from tests.support.processes import Running
from tests.support.terminal import CTRL_C, OnTerminal
from tests.support.user import Gateway, eventually, ready

PAGE = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
SH = [text.rstrip("\n") for kind, text in BLOCKS if kind == "sh"]
SHOWN = [text.rstrip("\n") for kind, text in BLOCKS if kind == "text"]
INSTALL, DEMO, ASK, EXPLAIN, WATCH, OFFLINE, ONLINE, OWN, REHEARSE = SH


def _an_index_answers() -> bool:
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "hatchling"]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


class Terminal:
    """A second terminal, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.env = {**CLEAN, "PATH": path, "XDG_RUNTIME_DIR": str(directory), "PYTHONUNBUFFERED": "1"}
        self.port = 0

    def type(self, command: str) -> str:
        """Its output. It must succeed."""
        command = command.replace(":8080", f":{self.port}")
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=self.directory,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_from_the_demo_to_a_failover_that_one_sees(terminal: Terminal) -> None:
    answers, log, said = SHOWN
    with demonstrating(shlex.split(DEMO), terminal.directory / "log", terminal.env) as process:
        gateway = Gateway(process)
        terminal.port = gateway.port

        def seen() -> bool:
            printed = terminal.type(ASK)
            assert {line.split()[1] for line in printed.splitlines()} == {"200"}
            return set(shape(printed)) >= set(shape(answers)) and " -> steady/demo-1 after [" in gateway.log()

        assert eventually(seen, 60)
        wanted = re.escape(shape(log)[0]).replace(r"HTTP\ \#", ".*")
        assert any(re.fullmatch(wanted, line) for line in shape(gateway.log()))
        request_id = re.findall(r"oxllm-[0-9a-f]{16}$", gateway.log(), re.MULTILINE)[-1]
        explained = terminal.type(re.sub(r"oxllm-[0-9a-f]{16}", request_id, EXPLAIN))
        assert explained.startswith(f"{request_id}: chat demo, 200, served by ")
        with OnTerminal(shlex.split(WATCH), terminal.env) as watching:
            watching.until("steady")
            watching.press(CTRL_C)
            assert watching.end() == 0
        assert terminal.type(OFFLINE).strip() == said
        served = "HTTP/1.1 200 OK x-oxllm-provider: steady x-oxllm-attempts: 1"
        assert set(terminal.type(ASK.replace("1 2 3 4 5 6 7 8", "1 2")).splitlines()) == {served}
        assert "flaky" in terminal.type(ONLINE)
        gateway.http.close()
        assert process.stop() == 0


def test_the_page_is_right_about_a_config_of_ones_own(terminal: Terminal) -> None:
    init, key, validate, serve = OWN.splitlines()
    terminal.type(init)
    file = terminal.directory / "config.toml"
    assert "valid (0 warnings)" in terminal.type(f"{key}\n{validate}")
    file.write_text(file.read_text().replace("port = 8080", "port = 0"))
    command = ["bash", "-c", f"cd {terminal.directory} && {key} && exec {serve}"]
    with Running(command, output=terminal.directory / "log", env=terminal.env) as process:
        process.wait_until(lambda: ready(process))
        model = re.search(r'model="(\w+)"', PAGE)
        assert model is not None
        with Gateway(process).http as http:
            assert model[1] in [entry["id"] for entry in http.get("/v1/models").json()["data"]]


@pytest.mark.parametrize("command", [REHEARSE, "oxllm validate --probe"])
def test_what_is_not_run_here_has_the_words_that_the_command_takes(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").touch()
    assert command.removeprefix("oxllm validate ") in PAGE
    _, name, *arguments = shlex.split(command)
    parent = click.Context(main, info_name="oxllm", **main.context_settings)
    found = main.get_command(parent, name)
    assert found is not None
    found.make_context(name, arguments, parent=parent)


@pytest.mark.skipif(not _an_index_answers(), reason="pip has no index to build with")
@pytest.mark.timeout(900)
def test_the_installation_works_as_it_stands_in_a_checkout(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("oxllm", "contrib"):
        shutil.copytree(root / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for file in (file for file in root.iterdir() if file.is_file()):
        shutil.copy(file, checkout)
    script = f"{INSTALL}\ncd / && oxllm --version && man -w oxllm >&2 || true\n"
    # As these tests run: to compile takes a minute, which is enough once.
    env = {**os.environ, **CLEAN, "OXLLM_COMPILE": "required" if built() == "compiled" else "0"}
    env.pop("PYTHONPATH", None)
    (tmp_path / "tmp").mkdir()
    env["TMPDIR"] = str(tmp_path / "tmp")
    done = subprocess.run(
        ["bash", "-ec", script], cwd=checkout, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"oxllm, version {__version__} ({built()})" in done.stdout
    assert not list((tmp_path / "tmp").glob("oxllm*"))
    assert (checkout / ".venv" / "share" / "man" / "man1" / "oxllm.1").is_file()


def test_the_installation_is_that_of_the_other_pages() -> None:
    operations = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "pipx install oxllm" in PAGE
    assert "pipx install oxllm" in operations
