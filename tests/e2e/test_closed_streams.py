"""stdin, stdout or stderr closed, as monitors and wrappers that daemonise start things: every command takes it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from oxllm.cli import COMMANDS
from tests.support.gateway import CLEAN
from tests.support.processes import module
from tests.support.scripted import Scripted, healthy
from tests.support.user import Gateway, config, eventually, gateway

ALL = "<&- >&- 2>&-"
CLOSED = ("<&-", ">&-", "2>&-", ALL)
IN_VAIN = {"stop": ("stop", "--pid", "4194304"), "sim": ("sim", "--for", "100ms")}
"""So that it ends and the gateway of the others does not."""
RUNS: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in COMMANDS if name != "serve"},
    **IN_VAIN,
    "status --check": ("status", "--check"),
    "status --json": ("status", "--json"),
    "provider": ("provider", "list"),
    "explain": ("explain", "--last"),
    "adapt": ("adapt", "litellm.yaml"),
    "init": ("init", "-"),
    "completion": ("completion", "bash"),
    "help": ("--help",),
    "version": ("--version",),
}
"""Every command: whoever adds one finds it here. `serve` does not end; it has tests of its own below."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that has served one request, in whose directory the commands run."""
    directory = tmp_path_factory.mktemp("closed")
    (directory / "litellm.yaml").write_text(
        "model_list:\n- model_name: m\n  litellm_params: {model: openai/m, api_key: os.environ/K}\n", encoding="utf-8"
    )
    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [healthy("a")]
        with gateway(directory, config({"alpha": alpha.url}, {"smart": ["alpha"]})) as made:
            made.http.post("/v1/chat/completions", json={"model": "smart"}).raise_for_status()
            yield made


def closed(words: list[str], how: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a shell that closes some of its descriptors."""
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(directory / "run"), "XDG_CONFIG_HOME": str(directory)}
    return subprocess.run(
        ["sh", "-c", f"exec {shlex.join(words)} {how}"],
        cwd=directory,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", RUNS)
def test_every_command_exits_as_with_all_of_them_open(running: Gateway, name: str) -> None:
    directory = running.process.output.parent
    words = module("oxllm", *RUNS[name])
    usual = closed(words, "", directory)
    for how in (">&-", ALL):
        found = closed(words, how, directory)
        assert (found.returncode, "Traceback" in found.stderr) == (usual.returncode, False), (how, found.stderr)
        assert found.stdout == "", how


@pytest.mark.parametrize("how", CLOSED)
@pytest.mark.parametrize("demo", [False, True], ids=["config", "demo"])
def test_it_serves_and_nothing_of_its_own_takes_the_place_of_a_stream(tmp_path: Path, how: str, demo: bool) -> None:
    text = config({"alpha": "http://127.0.0.1:1/v1"}, {"smart": ["alpha"]})
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    words = module("oxllm", "serve", *(["--demo"] if demo else ["-c", "config.toml"]), "-p", "0")
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    with subprocess.Popen(
        ["sh", "-c", f"exec {shlex.join(words)} {how}"],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            file = tmp_path / "run" / "oxllm" / f"oxllm-{process.pid}.json"
            assert eventually(lambda: (file.exists() and file.stat().st_size > 0) or process.poll() is not None)
            assert process.poll() is None, f"it ended with {process.returncode}"
            port = json.loads(file.read_text(encoding="utf-8"))["port"]
            url = f"http://127.0.0.1:{port}"
            assert httpx.get(f"{url}/health", trust_env=False, timeout=30).status_code == 200
            if sys.platform == "linux":
                streams = {os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)}
                assert streams == {os.devnull}
        finally:
            process.terminate()
        assert process.wait(30) == 0
