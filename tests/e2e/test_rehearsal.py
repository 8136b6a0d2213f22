"""Rehearsals as users start them: the shipped config under each preset, Ctrl-C, and what stays a secret."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest
import trustme

from oxllm.cli.init import STARTER
from oxllm.sim.script import presets
from tests.support.rehearsing import PROGRAM, Rehearsal, graded
from tests.support.terminal import CTRL_C, OnTerminal
from tests.support.user import eventually
from tests.support.virtual_rehearsal import demands

KEY = "sk-proj-never-shown-0123456789"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(STARTER, encoding="utf-8")
    return file


def test_the_shipped_config_passes_a_rehearsal_of_each_preset_without_a_key(config: Path) -> None:
    options = ("--seed", "7", "--for", "5s", "--rps", "12", "--json")
    runs = {chaos: Rehearsal(config, "--chaos", chaos, *options, *graded(*demands(chaos))) for chaos in presets.NAMES}
    codes = {chaos: run.end() for chaos, run in runs.items()}
    for chaos, run in runs.items():
        assert codes[chaos] == 0, run.said + run.told
        assert (run.card.requests, run.card.failed) == (60, ())
        assert run.told.startswith("seed 7\nnote: OPENAI_API_KEY not set")
    assert sum(run.card.rescued for run in runs.values()) > 0


def test_ctrl_c_starts_no_more_requests_waits_for_those_under_way_and_prints_the_report(config: Path) -> None:
    with rehearsing(config, pace="ttft 1s, itl 20ms, out 50") as terminal:
        gateway = child(terminal)
        terminal.press(CTRL_C)
        terminal.until("under way; Ctrl-C once more does not wait for them")
        assert terminal.end() == 4
    lines = terminal.seen.splitlines()
    assert lines[0] == lines[-1] == "seed 7"
    assert any(line.startswith("NOT TESTED: it was interrupted after") for line in lines)
    assert "passed" not in lines
    assert "unfinished" not in terminal.seen
    assert eventually(lambda: not gateway.is_running())


def test_a_second_ctrl_c_waits_for_nobody_and_the_report_says_how_many_were_left(config: Path) -> None:
    with rehearsing(config, pace="ttft 60s, itl 1s, out 50") as terminal:
        gateway = child(terminal)
        terminal.press(CTRL_C)
        terminal.until("Ctrl-C once more")
        terminal.press(CTRL_C)
        assert terminal.end() == 4
    assert "unfinished at the end" in terminal.seen
    assert terminal.seen.splitlines()[-1] == "seed 7"
    assert eventually(lambda: not gateway.is_running())


def test_a_rehearsal_that_is_killed_leaves_no_process_and_no_file(config: Path) -> None:
    with rehearsing(config, pace="ttft 60s, itl 1s, out 50") as terminal:
        everyone = psutil.Process(terminal.pid).children(recursive=True)
        directory = Path(child(terminal).environ()["RUNTIME_DIRECTORY"])
        assert (len(everyone), directory.is_dir()) == (2, True)
        psutil.Process(terminal.pid).kill()
        assert eventually(lambda: not any(process.is_running() for process in everyone))
    assert not directory.exists()


EVERYTHING = """
[server]
host = "0.0.0.0"
port = {taken}
api_keys = ["${{SECRET}}-client"]
admin_token = "${{SECRET}}-admin"
cors_origins = ["https://app.example"]
otel_endpoint = "http://127.0.0.1:{trap}"
[[providers]]
name = "alpha"
base_url = "https://127.0.0.1:{trap}/v1"
api_key = "${{SECRET}}-alpha"
ca_file = "corp.pem"
headers = {{ X-Team-Key = "${{SECRET}}-header" }}
extra_body = {{ max_tokens = 3, n = 2 }}
usage_in_stream = true
models = ["big-1"]
[[providers]]
name = "beta"
base_url = "https://127.0.0.1:{trap}/v1"
api_key_file = "beta.key"
proxy = "http://user:${{SECRET}}-proxy@127.0.0.1:{trap}"
max_in_flight = 50
models = ["big-1", "org/big-2"]
[[providers]]
name = "groq: eu"
base_url = "http://127.0.0.1:{trap}/openai/v1"
timeouts = {{ answer = 20 }}
[[providers]]
name = "off"
enabled = false
base_url = "http://127.0.0.1:{trap}/v1"
api_key = "${{NOT_SET_AT_ALL}}"
[virtual_models]
vectors = [{{ provider = "alpha", model = "bge-m3" }}, {{ provider = "beta", model = "bge-m3" }}]
gone = [{{ provider = "off", model = "x" }}]
[virtual_models."team/smart"]
targets = [{{ provider = "alpha", model = "big-1", weight = 2, tier = 1 }},
  {{ provider = "groq: eu", model = "l", tier = 1 }}, {{ provider = "off", model = "x", tier = 1 }}]
hedge_after = 1.5
hold_back = "full"
"""


def test_a_config_with_everything_is_rehearsed_and_nothing_real_is_asked_or_shown(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "corp.pem")
    (tmp_path / "beta.key").write_text(f"{KEY}-beta\n", encoding="utf-8")
    config, page = tmp_path / "all.toml", tmp_path / "report.html"
    with socket.create_server(("127.0.0.1", 0)) as trap, socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"trap": trap.getsockname()[1], "taken": taken.getsockname()[1]}
        config.write_text(EVERYTHING.format(**ports), encoding="utf-8")
        names = ("team/smart", "vectors", "beta/org/big-2", "alpha/big-1")
        options = [word for name in names for word in ("--model", name)]
        load = ["--seed", "7", "--chaos", "hell", "--for", "3s", "--rps", "20", "--report", str(page), "--json"]
        load += graded("survivable_errors == 0", "truncated == 0")
        run = Rehearsal(
            config, *options, *load, env={"SECRET": KEY, "HTTPS_PROXY": f"http://127.0.0.1:{ports['trap']}"}
        )
        assert run.end() == 0, run.said + run.told
        trap.setblocking(False)
        with pytest.raises(BlockingIOError):
            trap.accept()
    assert KEY not in run.said + run.told + page.read_text(encoding="utf-8")
    assert run.card.requests == 60
    assert run.card.survivable["team/smart"] is run.card.survivable["vectors"] is None
    assert "no clean provider" in (run.card.survivable["alpha/big-1"] or "")
    assert run.card.whole + run.card.client_errors + run.card.broken == 60
    assert run.card.whole > 40


def rehearsing(config: Path, pace: str) -> OnTerminal:
    """A rehearsal whose first request has started."""
    options = ("--chaos", "mild", "--seed", "7", "--for", "60s", "--pace", pace)
    terminal = OnTerminal([*PROGRAM, "--rehearse", str(config), *options], {"OPENAI_API_KEY": KEY}, columns=200)
    terminal.__enter__().until(" of 60 s: ")
    return terminal


def child(terminal: OnTerminal) -> psutil.Process:
    """The gateway, which is on a leash."""
    (leash,) = psutil.Process(terminal.pid).children()
    (gateway,) = leash.children()
    return gateway
