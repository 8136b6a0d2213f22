"""Reload of a running `oxllm serve`, as an operator does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from oxllm import runfile
from tests.support.chat_bytes import DONE, FINISH, ROLE, token
from tests.support.gateway import CLEAN
from tests.support.scripted import GATE, Scripted, healthy, stream
from tests.support.user import Gateway, config, eventually, gateway

SETTINGS = '[server]\nport = 0\nadmin_token = "first-token"\n'
BODY = {"model": "smart", "messages": [{"role": "user", "content": "hi"}]}


class Scene:
    def __init__(self, directory: Path, cast: Scripted, running: Gateway) -> None:
        self.file = directory / "config.toml"
        self.run_dir = directory / "run"
        self.alpha = cast.providers["alpha"]
        self.gateway = running
        self.good = self.file.read_text()

    def oxllm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(self.run_dir)}
        command = [str(Path(sys.executable).with_name("oxllm")), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)

    def chat(self) -> httpx.Response:
        return httpx.post(f"{self.gateway.url}/v1/chat/completions", json=BODY, trust_env=False)

    def token(self) -> str | None:
        (run,) = runfile.read_all(str(self.run_dir / "oxllm"))
        return run.admin_token


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [healthy("a")]
        text = config({"alpha": alpha.url}, {"smart": ["alpha"]}, settings=SETTINGS)
        with gateway(tmp_path, text) as running:
            yield Scene(tmp_path, cast, running)


def test_the_command_line_reloads_dry_runs_and_is_refused(scene: Scene) -> None:
    scene.file.write_text(scene.good + "[retry]\nmax_attempts = 2\n")
    dry = scene.oxllm("reload", "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, "this would change:\n  ~ retry.max_attempts 6 -> 2\n"), dry.stderr
    done = scene.oxllm("reload")
    assert (done.returncode, done.stdout) == (0, "reloaded:\n  ~ retry.max_attempts 6 -> 2\n")
    scene.file.write_text(scene.good + "[retry]\nmax_attempts = 0\nfoo = 1\n")
    refused = scene.oxllm("reload")
    assert refused.returncode == 1
    assert "config.toml:15: error: retry.max_attempts" in refused.stderr
    assert "refused, the running configuration stays (2 errors)" in refused.stderr
    assert scene.chat().status_code == 200


def test_sighup_reloads_and_a_new_admin_token_is_in_the_run_file(scene: Scene) -> None:
    assert scene.token() == "first-token"
    scene.file.write_text(scene.good.replace("first-token", "second-token"))
    os.kill(scene.gateway.pid, signal.SIGHUP)
    assert eventually(lambda: scene.token() == "second-token")
    assert eventually(lambda: "reload: changed server.admin_token" in scene.gateway.log())
    assert scene.oxllm("status").returncode == 0
    old = {"authorization": "Bearer first-token"}
    assert httpx.get(f"{scene.gateway.url}/status", headers=old, trust_env=False).status_code == 401


def test_who_rotates_logs_as_those_of_others_is_told_how_and_ends_nobody(scene: Scene) -> None:
    """nginx opens its log again at SIGUSR1, whose default ends a process without a word."""
    os.kill(scene.gateway.pid, signal.SIGUSR1)
    assert eventually(lambda: "warning: SIGUSR1 " in scene.gateway.log() and "copytruncate" in scene.gateway.log())
    assert scene.oxllm("status").returncode == 0


def test_a_stream_under_way_is_not_disturbed_and_limits_change_at_once(scene: Scene) -> None:
    scene.alpha.replies = [stream(ROLE, token("a"), GATE, token("b"), FINISH, DONE)]
    url = f"{scene.gateway.url}/v1/chat/completions"
    with httpx.stream("POST", url, json={**BODY, "stream": True}, trust_env=False) as response:
        lines = response.iter_lines()
        next(lines)
        scene.file.write_text(scene.good.replace("port = 0", "port = 0\nmax_body_bytes = 65536"))
        assert scene.oxllm("reload").stdout == "reloaded:\n  ~ server.max_body_bytes 8388608 -> 65536\n"
        big = httpx.post(url, content=b" " * 70000, trust_env=False)
        assert big.status_code == 413
        scene.alpha.open_gate()
        assert [line for line in lines if line][-1] == "data: [DONE]"


def test_overrides_and_explain_work_from_outside(scene: Scene) -> None:
    reply = scene.chat()
    told = scene.oxllm("explain", reply.headers["x-request-id"])
    assert told.stdout.splitlines()[0].endswith("chat smart, 200, served by alpha/m, attempt 1")
    assert json.loads(scene.oxllm("explain", "--json", reply.headers["x-request-id"]).stdout)["status"] == 200
    assert scene.oxllm("provider", "offline", "alpha").stdout == "alpha is offline\n"
    assert scene.chat().status_code == 503
    scene.oxllm("reload")
    assert scene.chat().status_code == 503, "an operator's word survives a reload"
    assert scene.oxllm("provider", "online", "alpha").returncode == 0
    assert scene.chat().status_code == 200
    unknown = scene.oxllm("provider", "offline", "alpah")
    assert (unknown.returncode, "did you mean 'alpha'?" in unknown.stderr) == (1, True)
