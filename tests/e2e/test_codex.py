"""The Codex CLI against a running gateway whose providers break: what its user sees. It comes from npm, for these tests
alone, and has no other network: what does not go to the gateway goes to a proxy that nobody is at."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oxllm.sim.testing import Sim
from tests.e2e.conftest import installed
from tests.support.breaking import breaking, prompt
from tests.support.processes import free_port
from tests.support.responses_api import answer, sse
from tests.support.scripted import Scripted
from tests.support.user import Gateway, config, gateway

pytestmark = pytest.mark.agents

EVENTS = answer("Hello ", "from ", "alpha")
STREAM = sse(*EVENTS)
BEFORE, BEHIND = len(sse(*EVENTS[:3])), len(sse(*EVENTS[:6]))
"""Content has not come, or has."""
SPEAKS = 'protocols = ["responses"]\n'
SETTINGS = "[breaker]\nfailures = 1\n[retry]\nsame_target = 0\n"
CODEX = """
model = "{model}"
model_provider = "oxllm"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.oxllm]
name = "oxllm"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "OXLLM_KEY"
stream_max_retries = {retries}
request_max_retries = {retries}
"""

ITS_OWN = """
model = "{model}"
openai_base_url = "{url}/v1"
check_for_update_on_startup = false
[analytics]
enabled = false
"""
"""Its own provider, of which it knows that it speaks WebSocket, elsewhere."""

Codex = Callable[[str, str], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = installed(tmp_path_factory.mktemp("codex"), "@openai/codex") / "node_modules" / ".bin" / "codex"
    done = subprocess.run([found, "--version"], capture_output=True, timeout=60, check=False, text=True)
    if done.returncode:
        pytest.skip(f"codex does not run here: {done.stderr.strip()[-200:]}")
    return found


@pytest.fixture
def cast() -> Iterator[Scripted]:
    """Two providers that speak the API; alpha breaks where it is told to."""
    with Scripted() as cast:
        cast.add("alpha").replies = [breaking(STREAM)]
        cast.add("beta").replies = [breaking(sse(*answer("Hello from beta")), steady=True)]
        yield cast


@pytest.fixture
def locked() -> Iterator[Sim]:
    """A provider that refuses each key."""
    with Sim("locked", faults={"locked": ["401"]}) as sim:
        yield sim


@pytest.fixture
def running(cast: Scripted, locked: Sim, tmp_path: Path) -> Iterator[Gateway]:
    urls = {name: provider.url for name, provider in cast.providers.items()} | {"locked": locked.url("locked")}
    models = {"smart": ["alpha", "beta"], "alone": ["alpha"], "locked": ["locked"]}
    text = config(urls, models, settings=SETTINGS, of_provider=dict.fromkeys(urls, SPEAKS))
    with gateway(tmp_path, text) as found:
        yield found


@pytest.fixture
def codex(binary: Path, running: Gateway, tmp_path: Path) -> Codex:
    """Has it answer a prompt with a model."""
    return lambda model, text: run_codex(binary, tmp_path, running.url, model, text)


def run_codex(
    binary: Path, directory: Path, url: str, model: str, text: str, retries: int = 1, settings: str = CODEX
) -> subprocess.CompletedProcess[str]:
    home = directory / "codex"
    home.mkdir()
    (home / "config.toml").write_text(settings.format(model=model, url=url, retries=retries), encoding="utf-8")
    (home / "auth.json").write_text('{"auth_mode": "apikey", "OPENAI_API_KEY": "none"}', encoding="utf-8")
    nowhere = f"http://127.0.0.1:{free_port()}"
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home), "OXLLM_KEY": "none"}
    env |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), nowhere) | {"NO_PROXY": "127.0.0.1"}
    command = [str(binary), "exec", "--skip-git-repo-check", text]
    stdin = subprocess.DEVNULL
    return subprocess.run(
        command, capture_output=True, env=env, cwd=home, stdin=stdin, timeout=120, check=False, text=True
    )


def test_an_answer_arrives(codex: Codex, cast: Scripted) -> None:
    done = codex("smart", "Hi")
    assert (done.returncode, done.stdout.strip()) == (0, "Hello from alpha")
    assert cast.counts() == (1, 0)


@pytest.mark.parametrize("way", ["fin", "rst", "clean", "garbage"])
def test_a_break_before_content_is_invisible(codex: Codex, cast: Scripted, way: str) -> None:
    done = codex("smart", prompt(BEFORE, way))
    assert (done.returncode, done.stdout.strip()) == (0, "Hello from beta")
    assert "Reconnecting" not in done.stderr
    assert cast.counts() == (1, 1)


@pytest.mark.parametrize("way", ["fin", "rst", "clean", "garbage"])
def test_a_break_behind_content_has_it_ask_again_and_get_a_whole_answer(codex: Codex, cast: Scripted, way: str) -> None:
    done = codex("smart", prompt(BEHIND, way))
    assert (done.returncode, done.stdout.strip()) == (0, "Hello from beta")
    assert "Reconnecting... 1/1" in done.stderr
    assert cast.counts() == (1, 1)


def test_what_cannot_recover_soon_is_asked_for_once_and_its_reason_is_shown(codex: Codex, locked: Sim) -> None:
    done = codex("locked", "Hi")
    assert done.returncode != 0
    assert "locked/m: HTTP 401" in done.stderr
    assert "Reconnecting" not in done.stderr
    assert len(locked.ledger("locked")) == 1


def test_an_overload_behind_the_preamble_is_invisible(binary: Path, tmp_path: Path) -> None:
    """As real ones tell it: a success, `response.created`, and then that there is no room. Codex wants reasoning."""
    with Sim("full", "free", faults={"full": ["preamble-error"]}) as sim:
        urls = {name: sim.url(name) for name in ("full", "free")}
        text = config(urls, {"smart": ["full", "free"]}, of_provider=dict.fromkeys(urls, SPEAKS))
        with gateway(tmp_path, text) as running:
            done = run_codex(binary, tmp_path, running.url, "smart", "Hi")
        assert (done.returncode, len(sim.ledger("full")), len(sim.ledger("free"))) == (0, 1, 1)


def test_what_a_broken_provider_sealed_is_asked_of_it_again_when_it_is_back(binary: Path, tmp_path: Path) -> None:
    """Codex keeps the reasoning of answers that broke, and no other provider can read it."""
    with Sim("alpha", "beta", faults={"alpha": ["cut@token:5 x3"]}, pace="ttft 10ms, itl 10ms, out 24") as sim:
        urls = {name: sim.url(name) for name in ("alpha", "beta")}
        settings = "[breaker]\ncooldown = 3\ncooldown_max = 3\n"
        text = config(urls, {"smart": ["alpha", "beta"]}, settings=settings, of_provider=dict.fromkeys(urls, SPEAKS))
        with gateway(tmp_path, text) as running:
            done = run_codex(binary, tmp_path, running.url, "smart", "Hi", retries=5)
        assert done.returncode == 0
        assert sim.ledger("alpha")[-1].end == "complete"
        assert len(sim.ledger("beta")) >= 1


def test_half_an_answer_is_never_taken_for_one(codex: Codex) -> None:
    done = codex("alone", prompt(BEHIND, "clean"))
    assert done.returncode != 0
    assert "Hello" not in done.stdout


def test_who_changes_only_the_base_url_waits_for_no_websocket(binary: Path, running: Gateway, tmp_path: Path) -> None:
    """At a 405 it asks six times more, for seven seconds, before it goes on over HTTP."""
    done = run_codex(binary, tmp_path, running.url, "smart", "Hi", settings=ITS_OWN)
    assert (done.returncode, done.stdout.strip()) == (0, "Hello from alpha")
    assert running.log().count("there are no WebSockets here") == 1
