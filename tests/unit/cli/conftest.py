"""The command line, run in an empty directory with an environment of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import respx
from click.testing import CliRunner, Result

from oxllm import runfile
from oxllm.cli import main

Run = Callable[..., Result]
OURS = {"x-request-id": "oxllm-0123456789abcdef"}
"""What an oxllm's response has, whatever else is in it."""

CONFIG = """\
[[providers]]
name = "alpha"
base_url = "https://alpha.example/v1"
api_key = "${ALPHA_KEY}"
models = ["m"]
[[providers]]
name = "beta"
base_url = "https://beta.example/v1"
[virtual_models]
smart = [{ provider = "alpha", model = "m" }, { provider = "beta", model = "m" }]
"""


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Undo what a command did to the signals of its own process: the children of later tests would inherit it, and a
    child that blocks SIGINT never ends by Ctrl-C."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("status", "--json")`: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runfile, "SYSTEM_DIRECTORY", str(tmp_path / "system"))
    for name in ("OXLLM_CONFIG", "OXLLM_URL", "OXLLM_PORT", "RUNTIME_DIRECTORY", "ALPHA_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("ALPHA_KEY", "sk-hush")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), prog_name="oxllm")

    return run


@pytest.fixture
def config(run: Run, tmp_path: Path) -> Path:
    """A valid ./config.toml."""
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def http() -> Iterator[respx.MockRouter]:
    """No request leaves the process."""
    with respx.mock(assert_all_called=False) as router:
        yield router
