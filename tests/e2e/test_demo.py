"""`oxllm serve --demo`, as a newcomer has it: read the terminal, paste, watch, stop."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.demos import demonstrating
from tests.support.gateway import CLEAN, serve_command
from tests.support.printed import shape
from tests.support.processes import Running, accepts
from tests.support.terminal import CTRL_C, CTRL_Z, OnTerminal
from tests.support.user import Gateway, eventually

FAILOVER = re.compile(
    r" 200 chat demo -> steady/demo-1 after \[flaky/demo-1: .+\] .*total .*oxllm-[0-9a-f]{16}$", re.MULTILINE
)
BODY = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "Hello!"}]}


class Demo:
    """A running demo: its gateway, all its processes, and its runtime directory."""

    def __init__(self, process: Running, runtime: Path) -> None:
        self.process = process
        self.gateway = Gateway(process)
        self.runtime = runtime
        own = psutil.Process(process.pid)
        self.processes = [own, *own.children(recursive=True)]

    def gone(self) -> bool:
        """Every process has ended. (A container without an init may keep a dead one in its table.)"""
        return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in self.processes)

    def log(self) -> str:
        return self.gateway.log()


COMMAND = [*serve_command(Path())[:-2], "--demo"]


def environment(directory: Path) -> dict[str, str]:
    return {**CLEAN, "XDG_RUNTIME_DIR": str(directory), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with demonstrating(COMMAND, tmp_path / "log", environment(tmp_path)) as process:
        started = Demo(process, tmp_path)
        with started.gateway.http:
            yield started
    ended = eventually(started.gone)
    for one in started.processes if not ended else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    assert ended, "a test that fails leaves nothing behind either"


def pasted(demo: Demo, pattern: str) -> str:
    """The part of what is on the terminal that matches, without its indentation."""
    found = re.search(pattern, demo.log(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return "\n".join(line.removeprefix("  ") for line in found[0].splitlines())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_printed_curl_works_word_for_word(demo: Demo) -> None:
    command = pasted(demo, r"^  curl -N .*?\}'$")
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=True)
    assert done.stdout.startswith(b"data: {")
    assert done.stdout.endswith(b"data: [DONE]\n\n")


def test_the_printed_status_watches_until_ctrl_c(demo: Demo) -> None:
    command = pasted(demo, r"^  oxllm status --watch -p \d+$").split()
    command[0] = serve_command(Path())[0]
    with OnTerminal(command, {"XDG_RUNTIME_DIR": str(demo.runtime)}) as terminal:
        terminal.until("\x1b[J")
        page = terminal.seen.split("\x1b[H")[1]
        assert "flaky" in page
        assert all(len(re.sub(r"\x1b\[[0-9;?]*\w", "", line)) <= 80 for line in page.split("\r\r\n"))
        terminal.press(CTRL_Z)  # nobody has a shell here to go back to, so it goes on at once
        terminal.until("\x1b[?25l", times=2)
        assert "\x1b[?1049l\x1b[?1049h" in terminal.seen
        terminal.press(CTRL_C)
        assert terminal.end() == 0
    assert terminal.seen.count("\x1b[?25l") == terminal.seen.count("\x1b[?25h") == 2, "the cursor is back"
    left = terminal.seen.split("\x1b[?1049l")[2]
    assert "flaky" in left, "the last page stays on the terminal"
    assert "Aborted" not in left


def test_the_printed_python_works_word_for_word(demo: Demo) -> None:
    script = pasted(demo, r"^  from openai import .*?print\(.*?\)$")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout.split()) >= 20


def test_the_very_first_request_shows_a_failover(demo: Demo) -> None:
    answer = demo.gateway.http.post("/v1/chat/completions", json=BODY)
    assert (answer.headers["x-oxllm-provider"], answer.headers["x-oxllm-attempts"]) == ("steady", "2")


def test_failover_shows_in_the_log_and_never_at_the_client(demo: Demo) -> None:
    def ask(_: int) -> str:
        return demo.gateway.http.post("/v1/chat/completions", json=BODY).text

    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            for answer in pool.map(ask, range(8)):
                assert answer.endswith("data: [DONE]\n\n")
            if FAILOVER.search(demo.log()):
                break
    assert eventually(lambda: FAILOVER.search(demo.log()) is not None)
    model = demo.gateway.status()["models"][0]
    assert model["rescued"] > 0
    assert model["failed"] == 0


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_demo_prints_what_the_readme_shows(demo: Demo) -> None:
    shown = re.search(r"\$ oxllm serve --demo\n(.*?)  \.\.\.\n(.*?)\n\n\$ oxllm status\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    hint, log, table = map(shape, shown.groups())
    missing = [re.compile(re.escape(line).replace(r"HTTP\ \#", ".*") + "$") for line in log]

    def all_seen() -> bool:
        """Whether each kind of line has come; which ones do is the demo's luck."""
        body = {**BODY, "stream": False}
        list(pool.map(lambda _: demo.gateway.http.post("/v1/chat/completions", json=body), range(8)))
        printed = shape(demo.log())
        missing[:] = [pattern for pattern in missing if not any(map(pattern.match, printed))]
        return not missing

    with ThreadPoolExecutor(8) as pool:
        assert eventually(all_seen, 30), missing
    demo.gateway.http.close()
    assert shape(demo.log())[: len(hint)] == hint
    command = [serve_command(Path())[0], "status", "-p", str(demo.gateway.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    printed = shape(done.stdout)
    assert printed[0].startswith("# models served")
    assert printed[1:] == table[1:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_ends_both_processes_and_leaves_nothing_behind(demo: Demo, number: signal.Signals) -> None:
    assert len(demo.processes) == 2
    assert list(demo.runtime.rglob("*.json"))
    ports = [
        demo.gateway.port,
        *(int(p["base_url"].split(":")[2].split("/")[0]) for p in demo.gateway.status()["providers"]),
    ]
    assert all(map(accepts, ports))
    demo.processes[0].send_signal(number)
    assert eventually(demo.gone)
    assert demo.process.stop() == 0
    assert not any(map(accepts, ports))
    assert not list(demo.runtime.rglob("*.json"))
    assert "Traceback" not in demo.log()
    assert demo.log().rstrip().endswith("drain: stopped")


def test_a_stream_under_way_is_finished_before_the_end(demo: Demo) -> None:
    seen = b""
    with demo.gateway.http.stream("POST", "/v1/chat/completions", json=BODY) as response:
        parts = response.iter_raw()
        seen += next(parts)
        demo.processes[0].terminate()
        assert eventually(lambda: not accepts(demo.gateway.port)), "nobody new is let in"
        seen += b"".join(parts)
    assert seen.endswith(b"data: [DONE]\n\n")
    assert eventually(demo.gone)
    assert demo.process.stop() == 0


def test_a_killed_gateway_takes_its_simulator_along(demo: Demo) -> None:
    demo.processes[0].kill()
    assert eventually(demo.gone)


def test_two_demos_do_not_quarrel_about_a_port(demo: Demo, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with demonstrating(COMMAND, other / "log", environment(other)) as process:
        second = Gateway(process)
        assert second.port != demo.gateway.port
        assert f"{second.url}/v1/chat/completions" in second.log()
        assert httpx.get(f"{second.url}/health", trust_env=False).text == "ok\n"


def test_keys_choose_a_provider_and_act_on_it(demo: Demo) -> None:
    command = [serve_command(Path())[0], "status", "--watch", "-p", str(demo.gateway.port)]
    with OnTerminal(command, {"XDG_RUNTIME_DIR": str(demo.runtime)}) as terminal:
        terminal.until("q quit")
        terminal.press(b"xyz\x1b[5~")  # what means nothing shows nowhere
        terminal.press(b"o")
        terminal.until("choose a provider first")
        terminal.press(b"j")
        terminal.until("\x1b[7mflaky\x1b[0m")
        terminal.press(b"\x1b[B")
        terminal.until("\x1b[7msteady\x1b[0m")
        terminal.press(b"o")
        terminal.until("steady: offline")
        assert eventually(lambda: demo.gateway.provider("steady")["state"] == "offline")
        terminal.press(b"o")
        terminal.until("steady: online")
        terminal.press(b"\r")
        terminal.until("no failure is known")
        assert "xyz" not in terminal.seen
        terminal.press(b"q")
        assert terminal.end() == 0
    assert terminal.seen.count("\x1b[?25l") == terminal.seen.count("\x1b[?25h") == 1
