"""Claude Code against a running gateway whose providers break: what its user sees. It comes from npm, for these tests
alone, and has no other network: what does not go to the gateway goes to a proxy that nobody is at."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

import pytest

from tests.e2e.conftest import installed
from tests.support.breaking import breaking, prompt
from tests.support.processes import free_port
from tests.support.scripted import Scripted
from tests.support.told import END, HELLO, block, named, reason, start, stop, text
from tests.support.user import Gateway, config, gateway

pytestmark = pytest.mark.agents

STREAM = named(*HELLO)
BORDERS = list(accumulate((len(named(event)) for event in HELLO), initial=0))
BEFORE, BEHIND = BORDERS[2], BORDERS[5]
"""Content has not come, or has."""
OTHER = "Hello from beta"
BETA = named(start(), block(), text(OTHER), stop(), reason(), END)
PLAIN = json.dumps(
    {
        "id": "msg_2",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": OTHER}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
).encode()
SPEAKS = 'protocols = ["messages"]\n'
SETTINGS = '[server]\nport = 0\napi_keys = ["team"]\n[breaker]\nfailures = 1\n[retry]\nsame_target = 0\n'
QUIET = (
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "DISABLE_TELEMETRY",
    "DISABLE_AUTOUPDATER",
    "DISABLE_ERROR_REPORTING",
    "CLAUDE_CODE_MAX_RETRIES",
)

Claude = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = installed(tmp_path_factory.mktemp("claude"), "@anthropic-ai/claude-code")
    package = directory / "node_modules" / "@anthropic-ai" / "claude-code"
    subprocess.run(["node", "install.cjs"], cwd=package, capture_output=True, timeout=60, check=False)
    found = directory / "node_modules" / ".bin" / "claude"
    done = subprocess.run([found, "--version"], capture_output=True, timeout=60, check=False, text=True)
    if done.returncode:
        pytest.skip(f"claude does not run here: {done.stderr.strip()[-200:]}")
    return found


@pytest.fixture
def cast() -> Iterator[Scripted]:
    """Both speak the API; alpha breaks where it is told to, and answers with a stream whatever it is asked."""
    with Scripted() as cast:
        cast.add("alpha").replies = [breaking(STREAM)]
        cast.add("beta").replies = [breaking(BETA, steady=True, plain=PLAIN)]
        yield cast


@pytest.fixture
def running(cast: Scripted, tmp_path: Path) -> Iterator[Gateway]:
    urls = {name: provider.url for name, provider in cast.providers.items()}
    models = {"*": ["alpha", "beta"], "alone": ["alpha"]}
    written = config(urls, models, settings=SETTINGS, of_provider=dict.fromkeys(urls, SPEAKS))
    with gateway(tmp_path, written) as found:
        yield found


@pytest.fixture
def claude(binary: Path, running: Gateway, tmp_path: Path) -> Claude:
    """Has it answer a prompt, with whatever model it likes best or with one that is named."""
    home = tmp_path / "home"
    home.mkdir()

    def run(words: str, *options: str, key: str = "ANTHROPIC_AUTH_TOKEN") -> subprocess.CompletedProcess[str]:
        nowhere = f"http://127.0.0.1:{free_port()}"
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "ANTHROPIC_BASE_URL": running.url, key: "team"}
        env |= dict.fromkeys(QUIET, "1") | {"NO_PROXY": "127.0.0.1"}
        env |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), nowhere)
        command = [str(binary), "-p", words, *options]
        stdin = subprocess.DEVNULL
        return subprocess.run(
            command, capture_output=True, env=env, cwd=home, stdin=stdin, timeout=120, check=False, text=True
        )

    return run


@pytest.mark.parametrize("key", ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"])
def test_an_answer_arrives_whichever_way_the_key_comes(claude: Claude, cast: Scripted, key: str) -> None:
    done = claude("Hi", key=key)
    assert (done.returncode, done.stdout.strip()) == (0, "Hello")
    assert cast.counts() == (1, 0)


@pytest.mark.parametrize("way", ["fin", "rst", "clean", "garbage"])
def test_a_break_before_content_is_invisible(claude: Claude, cast: Scripted, way: str) -> None:
    done = claude(prompt(BEFORE, way))
    assert (done.returncode, done.stdout.strip()) == (0, OTHER)
    assert cast.counts() == (1, 1)


@pytest.mark.parametrize("way", ["fin", "rst", "clean", "garbage"])
def test_a_break_behind_content_has_it_ask_again_and_get_a_whole_answer(
    claude: Claude, cast: Scripted, way: str
) -> None:
    done = claude(prompt(BEHIND, way))
    assert (done.returncode, done.stdout.strip()) == (0, OTHER)
    assert cast.counts() == (1, 1)


@pytest.mark.parametrize("way", ["fin", "rst", "clean", "garbage"])
def test_a_break_behind_a_whole_block_is_an_error_and_never_an_answer(claude: Claude, way: str) -> None:
    """It does not ask again once it has a block of the answer, such as the thinking before it."""
    behind = len(named(*HELLO[:6]))
    done = claude(prompt(behind, way), "--model", "alone")
    assert (done.returncode, "API Error" in done.stdout) == (1, True)


def test_half_an_answer_is_never_taken_for_one(claude: Claude) -> None:
    done = claude(prompt(BEHIND, "clean"), "--model", "alone")
    assert done.returncode != 0
    assert "Hel" not in done.stdout.replace("Help", "")
