"""Each command of the command line against a running gateway: what it prints, where, and how it exits.

The commands run in the test's own process, which makes a dozen of them cost less than one of the shell's.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from oxllm import runfile
from oxllm.cli import main
from tests.support.scripted import Scripted, answer, healthy
from tests.support.user import Gateway, config, eventually, gateway

Run = Callable[..., Result]
NAMES = ("OXLLM_URL", "OXLLM_PORT", "OXLLM_CONFIG", "RUNTIME_DIRECTORY")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(runfile, "SYSTEM_DIRECTORY", str(tmp_path / "system"))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(main, list(arguments), prog_name="oxllm")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Gateway]:
    """Behind it: `alpha`, which fails, and `beta`. Its admin token is in its run file."""
    with Scripted() as cast:
        alpha, beta = cast.add("alpha"), cast.add("beta")
        alpha.replies, beta.replies = [answer(503, b"{}")], [healthy("b")]
        settings = '[server]\nport = 0\nadmin_token = "hush"\n'
        urls = {"alpha": alpha.url, "beta": beta.url}
        with gateway(tmp_path, config(urls, {"smart": ["alpha", "beta"]}, settings=settings)) as made:
            yield made


def ask(running: Gateway) -> str:
    """A request; its id."""
    url = f"{running.url}/v1/chat/completions"
    return str(httpx.post(url, json={"model": "smart"}, trust_env=False).headers["x-request-id"])


def test_an_operator_looks_takes_a_provider_out_and_puts_it_back(run: Run, running: Gateway) -> None:
    wanted = ask(running)
    shown = run("status")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert f"oxllm 0.1.0 on {running.url}" in shown.stdout
    assert json.loads(run("status", "--json").stdout)["requests"] == 1
    explained = run("explain", wanted)
    assert (explained.exit_code, explained.stdout.splitlines()[0]) == (
        0,
        f"{wanted}: chat smart, 200, served by beta/m, attempt 2",
    )
    assert run("provider", "offline", "alpha").stdout == "alpha is offline\n"
    assert "alpha     offline" in run("provider", "list").stdout
    assert json.loads(run("explain", "--json", ask(running)).stdout)["skips"] == {"alpha/m": "offline"}
    assert run("provider", "online", "alpha").exit_code == 0
    assert run("provider", "reset", "alpha").exit_code == 0
    assert "alpha     ok " in run("provider", "list").stdout


@pytest.mark.usefixtures("run")
def test_who_follows_requests_ends_when_nobody_reads_on_even_if_no_request_comes(running: Gateway) -> None:
    """As in `oxllm requests -f | head -1`."""
    ask(running)
    command = [sys.executable, "-m", "oxllm", "requests", "-f", "-p", str(running.port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert following.stdout.readline()
        following.stdout.close()
        try:
            assert following.wait(60) == 0
        finally:
            following.kill()


def test_what_is_not_there_exits_1_and_says_so_on_stderr(run: Run, running: Gateway) -> None:
    for arguments, said in (
        (("provider", "offline", "alhpa"), "oxllm: there is no provider 'alhpa'; did you mean 'alpha'?\n"),
        (
            ("explain", "oxllm-none"),
            "oxllm: no request 'oxllm-none' among the last 256; `oxllm requests` lists them\n",
        ),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (1, "", said)


def test_it_is_found_by_its_port_its_url_and_the_environment(
    run: Run, running: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(running.port)
    assert run("status", "-p", port).exit_code == run("status", "--url", running.url).exit_code == 0
    monkeypatch.setenv("OXLLM_PORT", port)
    assert run("status").exit_code == 0
    monkeypatch.setenv("OXLLM_PORT", "1")
    assert run("status").exit_code == 3
    monkeypatch.delenv("OXLLM_PORT")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    refused = run("status", "--url", running.url)
    assert (refused.exit_code, "admin token" in refused.stderr) == (1, True), "the token was in the run file"


def test_of_several_one_must_be_chosen(run: Run, running: Gateway, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with gateway(
        other, config({"a": "http://127.0.0.1:1"}, {"m": ["a"]}), env={"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    ) as second:
        for command in ("status", "reload", "stop"):
            result = run(command)
            assert (result.exit_code, result.stdout) == (2, "")
            assert all(f"  oxllm {command} -p {found.port} " in result.stderr for found in (running, second))
        (typed,) = re.findall(rf"  oxllm (status -p {second.port}) ", run("status").stderr)
        assert run(*typed.split()).exit_code == 0, "what is printed works"
        assert run("stop", "-p", str(second.port)).exit_code == 0
    assert run("status").exit_code == 0, "the other one's file went with it"


def test_what_a_crash_left_behind_is_nobody(run: Run, running: Gateway, tmp_path: Path) -> None:
    os.kill(running.pid, signal.SIGKILL)
    assert eventually(lambda: not running.process.alive)
    assert os.listdir(tmp_path / "run" / "oxllm")
    for arguments in (("status",), ("stop",), ("reload",), ("provider", "list"), ("explain", "x")):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (3, "")
        assert result.stderr.startswith("oxllm: not running: nothing answers at ")


@pytest.mark.parametrize("name", ["a b", "it's", "日本", "?&#%+", "..."])
def test_a_provider_of_any_name_can_be_spoken_of(run: Run, tmp_path: Path, name: str) -> None:
    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [healthy("a")]
        text = config({name: alpha.url}, {"smart": [name]}).replace(f"sk-{name}", "sk-alpha")
        with gateway(tmp_path, text) as made:
            served = httpx.post(f"{made.url}/v1/chat/completions", json={"model": f"{name}/m"}, trust_env=False)
            assert served.status_code == 200
            assert dict(served.headers.raw)[b"x-oxllm-provider"] == name.encode()
            assert run("provider", "offline", "--for", "10m", "--", name).stdout == f"{name} is offline for 10 min\n"
            said = run("status", "--check")
            assert said.exit_code == 2
            command = shlex.split(said.stdout.partition(": ")[2])
            assert command[:3] == ["oxllm", "provider", "online"]
            assert run(*command[1:]).exit_code == 0, said.stdout
            assert run("status", "--check").exit_code == 0
            assert run("provider", "reset", "--", name).stdout == f"{name} is reset\n"
            assert name in run("provider", "list").stdout
            assert f"{name}/m" in run("explain", "--last").stdout
