"""`oxllm sim` on the command line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from oxllm.sim.cli import sim_command

PROGRAM = [sys.executable, "-c", "from oxllm.sim.cli import sim_command; sim_command()"]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(sim_command, arguments)
    return result.exit_code, result.output


def test_it_serves_what_its_config_says_until_a_signal_and_ends_with_the_seed(tmp_path: Path) -> None:
    config = tmp_path / "sim.toml"
    command = [*PROGRAM, "--seed", "7", "--write-config", str(config)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "seed 7\n"
        assert "oxllm serve -c" in process.stdout.readline()
        written = tomllib.loads(config.read_text(encoding="utf-8"))
        base = written["providers"][0]["base_url"]
        assert httpx.get(base + "/models").json()["data"][0]["id"] == written["virtual_models"]["smart"][0]["model"]
        headers = {"x-oxllm-sim": "500"}
        body = {"model": "sim-1", "messages": [{"role": "user", "content": "hi"}]}
        assert httpx.post(base + "/chat/completions", json=body, headers=headers).status_code == 500
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "request 2: 500" in rest
    assert rest.endswith("seed 7\n")
    assert "alpha      2 requests 50.0% failed" in rest


def test_a_run_ends_when_its_time_is_up() -> None:
    code, said = run("--for", "100ms", "--chaos", "mild", "--seed", "3")
    assert (code, said.startswith("seed 3\n"), said.endswith("seed 3\n")) == (0, True, True)


def test_explain_tells_the_timetable_and_the_same_one_again() -> None:
    code, said = run("--chaos", "hell", "--seed", "7", "--explain")
    assert code == 0
    assert "refuse" in said or "blackhole@connect" in said
    assert run("--chaos", "hell", "--seed", "7", "--explain") == (code, said)
    assert run("--chaos", "hell", "--seed", "8", "--explain")[1] != said
    assert "every provider is healthy" in run("--explain")[1]


def test_fate_tells_what_one_request_gets_and_why() -> None:
    code, said = run("--exhibit", "anthropic-529", "--fate", "7:alpha:1")
    assert code == 0
    assert "request 1 of alpha under seed 7" in said
    said = "".join(run("--exhibit", "anthropic-529", "--fate", f"7:alpha:{n}")[1] for n in range(1, 9))
    assert "529 50%, draw 0." in said
    assert "a healthy answer\n" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--chaos", "wild"), "'mild', 'rough', 'hell'"),
        (("--chaos", "mild", "--exhibit", "groq-498"), "give one of them"),
        (("--blackout",), "give --chaos too"),
        (("--fate", "7:alpha"), "write SEED:PROVIDER:REQUEST"),
        (("--fate", "7:gamma:1"), "there are alpha, beta"),
        (("--for", "soon"), "write 400ms, 2s or 1m"),
        (("--scene", "/nonexistent.toml"), "does not exist"),
    ],
)
def test_a_wrong_option_is_a_usage_error_that_says_what_to_write(arguments: tuple[str, ...], words: str) -> None:
    code, said = run(*arguments)
    assert (code, words in said) == (2, True), said


def test_a_bad_scene_file_is_a_usage_error_that_points(tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_text('[upstream.alpha]\n[[scene]]\non = "alpha"\nfaults = ["cut@tokn:3 10%"]\n', encoding="utf-8")
    code, said = run("--scene", str(file))
    assert (code, "cannot strike at 'tokn'" in said) == (2, True)
    file.write_text('[upstream.alpha]\nfaults = ["tls-expired"]\n', encoding="utf-8")
    assert "give --tls" in run("--scene", str(file))[1]


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = run("--port", str(taken.getsockname()[1]), "--for", "1ms")
    assert (code, "try --port 0" in said) == (1, True)
