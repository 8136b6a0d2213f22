"""`oxllm sim` on the command line."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from oxllm.config.files import FILE_MAX
from oxllm.sim.cli import sim_command
from oxllm.sim.script.exhibits import EXHIBITS
from tests.support.plain_user import plain_user
from tests.support.terminal import OnTerminal

ROOT = Path(__file__).parents[3]
PROGRAM = [sys.executable, "-c", "from oxllm.sim.cli import sim_command; sim_command()"]
PATIENT = [*PROGRAM[:2], "from oxllm.sim.serve import runner; runner.DRAIN_S = 600; " + PROGRAM[2]]
"""It waits that long for answers under way."""
HANG_S = 60
"""What has not happened by then never will."""


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(sim_command, arguments)
    return result.exit_code, result.output


def test_it_serves_what_its_config_says_until_a_signal_and_ends_with_the_seed(tmp_path: Path) -> None:
    config = tmp_path / "sim.toml"
    command = [*PROGRAM, "--seed", "7", "--write-config", str(config)]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        ) as process,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(process.kill)  # if an assertion fails, it must not be waited for
        assert process.stdout is not None
        assert process.stdout.readline() == "seed 7\n"
        assert "oxllm serve -c" in process.stdout.readline()
        written = tomllib.loads(config.read_text(encoding="utf-8"))
        base = written["providers"][0]["base_url"]
        assert (
            httpx.get(base + "/models", timeout=HANG_S).json()["data"][0]["id"]
            == written["virtual_models"]["smart"][0]["model"]
        )
        headers = {"x-oxllm-sim": "500"}
        body = {"model": "sim-1", "messages": [{"role": "user", "content": "hi"}]}
        assert httpx.post(base + "/chat/completions", json=body, headers=headers, timeout=HANG_S).status_code == 500
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert re.search(r"alpha request [0-9a-f]{12}\.1: 500\n", rest)
    assert rest.endswith("seed 7\n")
    assert "alpha: 2 requests, 1 struck: 500 1\n" in rest


SLOW = '[upstream.alpha]\npace = "ttft 100ms, itl 10ms, out 60"\n'
ASK = {"model": "sim-1", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


@contextlib.contextmanager
def running(tmp_path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A simulator that waits for answers under way as long as they take, and the base URL of its first provider."""
    config = tmp_path / "sim.toml"
    command = [*PATIENT, *options, "--write-config", str(config)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while "gateway config written" not in process.stdout.readline():
            pass
        yield process, tomllib.loads(config.read_text(encoding="utf-8"))["providers"][0]["base_url"]


@contextlib.contextmanager
def asked(tmp_path: Path, headers: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], httpx.Response]]:
    """One in the midst of an answer."""
    scene = tmp_path / "scene.toml"
    scene.write_text(SLOW, encoding="utf-8")
    with (
        running(tmp_path, "--scene", str(scene)) as (process, base),
        httpx.stream("POST", base + "/chat/completions", json=ASK, headers=headers, timeout=HANG_S) as response,
    ):
        yield process, response


def test_a_signal_lets_the_answers_under_way_end(tmp_path: Path) -> None:
    with asked(tmp_path, {}) as (process, response):
        lines = response.iter_lines()
        next(lines)
        process.send_signal(signal.SIGINT)
        assert list(lines)[-2:] == ["data: [DONE]", ""]
        rest, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert "1 under way: they have 600 s to end" in rest
    assert "alpha: 1 request, 0 struck\nseed " in rest


def test_a_second_signal_cuts_an_answer_that_hangs(tmp_path: Path) -> None:
    with asked(tmp_path, {"x-oxllm-sim": "stall@token:1"}) as (process, response):
        lines = response.iter_lines()
        next(lines)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        while "Ctrl-C again" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=HANG_S)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)
    assert "alpha: 1 request, 1 struck: stall@token:1 1\nseed " in rest


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


def test_a_fate_is_told_in_the_order_of_time_and_no_further_than_asked() -> None:
    said = run("--chaos", "hell", "--fate", "7:alpha:412", "--for", "2m")[1].splitlines()
    starts = [float(line.split("s..")[0]) for line in said[1:-1]]
    assert starts == sorted(starts)
    assert max(starts) < 120
    assert said[-1].split() == ["at", "any", "other", "time", "a", "healthy", "answer"]
    assert len(run("--exhibit", "anthropic-529", "--fate", "7:alpha:1")[1].splitlines()) == 2, "there is no other time"


def test_what_strikes_connections_and_names_is_told_apart_from_what_strikes_the_request(tmp_path: Path) -> None:
    scene = tmp_path / "scene.toml"
    scene.write_text(
        "[upstream.alpha]\n[upstream.beta]\n"
        "[[scene]]\nname = 'a'\non = 'alpha'\nwhen = '1s..3s'\nfaults = ['429', 'rst@connect 50%']\n"
        "[[scene]]\nname = 'b'\non = 'alpha'\nwhen = '4s..9s'\nfaults = ['slow-accept~1s']\n"
        "[[scene]]\nname = 'c'\non = 'beta'\nfaults = ['dns']\n",
        encoding="utf-8",
    )
    said = run("--scene", str(scene), "--fate", "7:alpha:1")[1].splitlines()
    told = [line.split(maxsplit=1)[1] for line in said[1:-1]]
    assert told == ["429; a new connection: rst@connect 50%", "a new connection: slow-accept~1s"]
    assert run("--scene", str(scene), "--fate", "7:beta:1")[1].splitlines()[-1].split() == ["always", "dns"]


def test_a_set_of_faults_that_comes_again_is_told_once() -> None:
    said = run("--chaos", "hell", "--seed", "7", "--explain")[1].splitlines()
    assert sum("split-utf8" in line for line in said) == 1
    assert max(map(len, said)) <= 80


def test_an_exhibit_tells_its_story_and_its_source() -> None:
    said = run("--exhibit", "anthropic-529", "--for", "1ms")[1]
    assert EXHIBITS["anthropic-529"].story in said
    assert EXHIBITS["anthropic-529"].source in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--chaos", "wild"), "'mild', 'rough', 'hell'"),
        (("--chaos", "mild", "--exhibit", "groq-498"), "give one of them"),
        (("--blackout",), "give --chaos too"),
        (("--fate", "7:alpha"), "write SEED:PROVIDER:REQUEST"),
        (("--fate", "7:gamma:1"), "there are alpha, beta"),
        (("--fate", "7:alpha:1", "--seed", "8"), "leave out --seed"),
        (("--for", "0s"), "write 60s or 500ms"),
        (("--rps", "5"), "--rps: only for a rehearsal; give --rehearse CONFIG"),
        (("--rps", "nan"), "nan is not in the range"),
        (("--report", "r.html", "--streams", "5"), "--streams, --report: only for a rehearsal"),
        (("--write-config", "/proc/none/x.toml"), "/proc/none/x.toml cannot be written: no such directory"),
        (("--port", "65535"), "would lie above 65535"),
        (("--write-config", __file__), "exists already; write over it with --force"),
        (("--for", "soon"), "write 400ms, 2s, 1m or 2h"),
        (("--scene", "/nonexistent.toml"), "does not exist"),
    ],
)
def test_a_wrong_option_is_a_usage_error_that_says_what_to_write(arguments: tuple[str, ...], words: str) -> None:
    code, said = run(*arguments)
    assert (code, words in said) == (2, True), said


@pytest.mark.parametrize("file", ["/proc/x.toml", "/dev/full"])
@pytest.mark.skipif(sys.platform != "linux", reason="what nobody can write, root neither, is Linux's")
def test_a_config_that_cannot_be_written_is_a_message_that_names_the_file(file: str) -> None:
    code, said = run("--write-config", file, "--force", "--for", "1ms")
    assert (code, f"{file} cannot be written: " in said) == (1, True), said


@pytest.mark.parametrize("options", [("--write-config",), ("--rehearse", __file__, "--report")])
def test_a_directory_of_somebody_else_is_found_out_before_anything_runs(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "closed").mkdir(0o500)
    file = tmp_path / "closed" / "x.toml"
    with plain_user():
        code, said = run(*options, str(file), "--for", "1ms")
    assert (code, f"{file} cannot be written: permission denied" in said, "seed" in said) == (2, True, False), said


def test_a_seed_that_is_given_goes_before_that_of_the_scene_file(tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_text('seed = 3\n[upstream.alpha]\nfaults = ["500 50%"]\n', encoding="utf-8")
    assert run("--scene", str(file), "--explain")[1].startswith("seed 3\n")
    assert run("--scene", str(file), "--seed", "9", "--explain")[1].startswith("seed 9\n")
    assert "request 2 of alpha under seed 8" in run("--scene", str(file), "--fate", "8:alpha:2")[1]


def test_a_scene_file_that_is_no_text_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_bytes(b"\xff\xfe")
    code, said = run("--scene", str(file), "--explain")
    assert (code, "is not UTF-8; save it as UTF-8" in said) == (2, True), said


@pytest.mark.parametrize("option", ["--scene", "--script"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"x = {'9' * 5000}", "holds a number too long to be read"),
        (f"x = {'[' * 5000}{']' * 5000}", "is nested too deeply to be read"),
        (f"{'x.' * 500}x = 1", "is nested too deeply to be read"),
    ],
    ids=["digits", "lists", "keys"],
)
def test_a_file_that_nobody_can_read_is_a_usage_error(tmp_path: Path, option: str, text: str, words: str) -> None:
    file = tmp_path / "scene.toml"
    file.write_text(text, encoding="utf-8")
    code, said = run(option, str(file), "--for", "1ms")
    assert (code, words in said) == (2, True), said


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_bytes(b"#" * (FILE_MAX + 1))
    for option in ("--scene", "--script"):
        code, said = run(option, str(file))
        assert (code, said.partition("Error: ")[2]) == (2, f"{file}: is over 16 MB\n")


@pytest.mark.parametrize(("terminal", "drawn"), [("xterm", True), ("dumb", False)])
def test_the_strip_is_drawn_where_a_terminal_can_be_drawn_on(terminal: str, drawn: bool) -> None:
    command = [sys.executable, "-m", "oxllm", "sim", "--for", "300ms", "--seed", "7"]
    with OnTerminal(command, {"TERM": terminal}) as shown:
        said = shown.until("seed 7", times=2)
    assert ("\x1b" in said, "latest requests" in said) == (drawn, drawn)


def test_a_scene_without_providers_is_told_of_them_alone(tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_text('[[scene]]\non = "alpha"\nfaults = ["500"]\n', encoding="utf-8")
    code, said = run("--scene", str(file))
    assert (code, said.partition("Error: ")[2]) == (2, f"{file}: no providers; write [upstream.alpha]\n")


def test_an_ipv6_address_may_stand_in_its_brackets() -> None:
    with contextlib.suppress(OSError):
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        code, said = run("--host", "[::1]", "--for", "1ms")
        assert (code, "http://[::1]:" in said) == (0, True), said


def test_a_taken_port_is_an_error_that_names_it_and_says_what_to_write() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        code, said = run("--port", str(number), "--for", "1s")
    assert (code, f"port {number}" in said, "try --port 0" in said) == (1, True, True), said


def test_a_port_that_is_not_for_everybody_says_which_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden(socket.socket):
        def bind(self, _address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    code, said = run("--port", "80", "--for", "1ms")
    assert code == 1
    assert "127.0.0.1: Permission denied; try a port from 1024 up, or --port 0\n" in said


def test_a_bad_scene_file_is_a_usage_error_that_points(tmp_path: Path) -> None:
    file = tmp_path / "scene.toml"
    file.write_text('[upstream.alpha]\n[[scene]]\non = "alpha"\nfaults = ["cut@tokn:3 10%"]\n', encoding="utf-8")
    code, said = run("--scene", str(file))
    assert (code, "cannot strike at 'tokn'" in said) == (2, True)
    file.write_text('[upstream.alpha]\nfaults = ["tls-expired"]\n', encoding="utf-8")
    assert "give --tls" in run("--scene", str(file))[1]


def test_an_address_that_is_not_here_is_told() -> None:
    code, said = run("--host", "192.0.2.1", "--for", "1ms")
    assert (code, "write an address of this machine" in said) == (1, True), said


def test_who_listens_everywhere_is_called_on_loopback() -> None:
    assert 'base_url = "http://127.0.0.1:' in run("--host", "0.0.0.0", "--for", "1ms")[1]


def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = run("--port", str(taken.getsockname()[1]), "--for", "1ms")
    assert (code, "try --port 0" in said) == (1, True)


def test_tls_without_trustme_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    code, said = run("--tls", "--for", "1ms")
    assert (code, "pip install 'oxllm[sim]'" in said) == (1, True), said
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(need.startswith("trustme") for need in project["optional-dependencies"]["sim"])


def test_tls_prints_the_path_of_its_ca_and_a_config_that_trusts_it(tmp_path: Path) -> None:
    config = tmp_path / "sim.toml"
    command = [*PROGRAM, "--tls", "--host", "127.0.0.2", "--write-config", str(config)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("seed ")
        ca = process.stdout.readline().removeprefix("CA certificate: ").strip()
        process.stdout.readline()
        provider = tomllib.loads(config.read_text(encoding="utf-8"))["providers"][0]
        trusting = ssl.create_default_context(cafile=ca)
        try:
            status = httpx.get(provider["base_url"] + "/models", verify=trusting, timeout=HANG_S).status_code
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=HANG_S)
    assert (provider["ca_file"], provider["base_url"][:18], status) == (ca, "https://127.0.0.2:", 200)
    assert not Path(ca).exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('fault = "429 30%"', "write how many requests"),
        ("answer = 3", "unknown key 'answer'; write fault and reply"),
        ("fault =", "not TOML"),
        ('fault = ["429", "500"]', "write one text for all of them, such as '429 x2, then cut@token:3'"),
    ],
)
def test_a_script_file_that_cannot_be_played_says_what_to_write(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "script.toml"
    file.write_text(text, encoding="utf-8")
    code, said = run("--script", str(file))
    assert (code, words in said) == (2, True), said


def test_a_script_file_decides_what_the_next_requests_get(tmp_path: Path) -> None:
    file = tmp_path / "script.toml"
    file.write_text('fault = "429, then ok"\nreply = ["Hello!", { answer = 42 }]\n', encoding="utf-8")
    with running(tmp_path, "--script", str(file)) as (process, base):
        body = {"model": "sim-1", "messages": [{"role": "user", "content": "hi"}]}
        answers = [httpx.post(base + "/chat/completions", json=body, timeout=HANG_S) for _ in range(3)]
        process.terminate()
        process.communicate(timeout=HANG_S)
    assert answers[0].status_code == 429
    told = [answer.json()["choices"][0]["message"]["content"] for answer in answers[1:]]
    assert told[-1] == '{"answer":42}'
