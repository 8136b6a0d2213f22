"""Commands that talk to a running gateway, which here is respx."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from oxllm import runfile
from oxllm.cli import signals
from oxllm.runfile import Draining, RunFile
from tests.unit.cli.conftest import OURS, Run

URL = "http://127.0.0.1:9001"


@pytest.mark.parametrize("command", ["stop", "reload"])
def test_no_process_has_a_number_that_the_system_does_not_take(run: Run, command: str) -> None:
    result = run(command, "--pid", "9" * 20)
    assert result.exit_code == 3
    assert result.stderr.startswith("oxllm: not running: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("reload",),
        ("stop",),
        ("provider", "list"),
        ("provider", "offline", "alpha"),
        ("explain", "oxllm-1"),
    ],
)
def test_where_nothing_answers_the_exit_is_3(run: Run, http: respx.MockRouter, arguments: tuple[str, ...]) -> None:
    http.route().mock(side_effect=httpx.ConnectError)
    result = run(*arguments)
    assert result.exit_code == 3
    assert result.stderr == "oxllm: not running: nothing answers at http://127.0.0.1:8080\n"


def test_what_answers_but_is_not_oxllm_is_told_apart(run: Run, http: respx.MockRouter) -> None:
    http.route(host="127.0.0.1").respond(headers={"server": "uvicorn"}, text="{}")
    for words in (("provider", "list"), ("provider", "offline", "a"), ("explain", "r"), ("reload",), ("stop",)):
        result = run(*words, "-p", "9001")
        assert (result.exit_code, result.stderr) == (3, f"oxllm: what answers at {URL} is not oxllm but uvicorn\n")
    assert all(call.request.method == "GET" or b"providers" in call.request.url.raw_path for call in http.calls)


def test_what_answers_and_speaks_no_http_is_not_oxllm_either(run: Run, http: respx.MockRouter) -> None:
    http.route().mock(side_effect=httpx.RemoteProtocolError("no status line"))
    result = run("status", "-p", "9001")
    assert (result.exit_code, result.stderr) == (
        3,
        f"oxllm: what answers at {URL} is not oxllm: it does not speak HTTP\n",
    )


def test_a_refusal_is_shown_in_the_gateways_words(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/status").respond(403, headers=OURS, json={"error": {"message": "operator routes are local only"}})
    result = run("status", "-p", "9001")
    assert (result.exit_code, result.stderr) == (1, f"oxllm: {URL} refused: operator routes are local only\n")
    http.get(f"{URL}/status").respond(401, headers=OURS, text="?")
    assert "refused: HTTP 401; set OXLLM_ADMIN_TOKEN to it" in run("status", "-p", "9001").stderr


def test_another_failure_of_the_connection_is_not_taken_for_not_running(run: Run, http: respx.MockRouter) -> None:
    http.route().mock(side_effect=httpx.ReadTimeout("timed out"))
    assert run("status", "-p", "9001").exit_code == 1


def test_the_token_of_the_run_file_goes_along(run: Run, http: respx.MockRouter, tmp_path: Path) -> None:
    route = http.get(f"{URL}/status").respond(headers=OURS, json={"version": "0", "pid": 1, "uptime": 1})
    pid = os.getpid()
    me = RunFile(pid, runfile.start_time(pid), 0.0, "127.0.0.1", 9001, "tok")
    with runfile.write(str(tmp_path / "run" / "oxllm"), me):
        run("status")
    assert route.calls.last.request.headers["authorization"] == "Bearer tok"


def test_reload_shows_the_difference(run: Run, http: respx.MockRouter) -> None:
    diff = {"added": ["provider beta"], "removed": ["provider old"], "changed": ["retry"], "restart": ["port"]}
    http.get(f"{URL}/health").respond(headers=OURS)
    http.post(f"{URL}/reload").respond(headers=OURS, json={"ok": True, "errors": [], "diff": diff})
    result = run("reload", "-p", "9001")
    assert result.exit_code == 0
    assert result.stdout == "reloaded:\n  + provider beta\n  - provider old\n  ~ retry\n  needs a restart: port\n"


def test_a_dry_run_says_what_would_change(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/health").respond(headers=OURS)
    route = http.post(f"{URL}/reload", params={"dry_run": "1"}).respond(headers=OURS, json={"ok": True, "diff": {}})
    result = run("reload", "-p", "9001", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "nothing would change\n")
    assert route.called


def test_a_reload_tells_warnings_too(run: Run, http: respx.MockRouter) -> None:
    answer = {"ok": True, "diff": {}, "warnings": ["c.toml:3: warning: server.host: can be reached from outside"]}
    http.get(f"{URL}/health").respond(headers=OURS)
    http.post(f"{URL}/reload").respond(headers=OURS, json=answer)
    result = run("reload", "-p", "9001")
    assert (result.exit_code, result.stdout) == (0, "reloaded, nothing changed\n")
    assert result.stderr == "c.toml:3: warning: server.host: can be reached from outside\n"


def test_a_refused_reload_lists_the_errors_and_exits_1(run: Run, http: respx.MockRouter) -> None:
    errors = [{"text": "c.toml:2: error: server.prot: is not a key"}, {"text": "c.toml:3: error: x"}]
    http.get(f"{URL}/health").respond(headers=OURS)
    http.post(f"{URL}/reload").respond(400, headers=OURS, json={"ok": False, "errors": errors})
    result = run("reload", "-p", "9001")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "c.toml:2: error: server.prot: is not a key",
        "c.toml:3: error: x",
        "oxllm: refused, the running configuration stays (2 errors)",
    ]


def test_a_reload_that_is_answered_with_an_error_object_is_refused_too(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/health").respond(headers=OURS)
    http.post(f"{URL}/reload").respond(404, headers=OURS, json={"error": {"message": "there is no '/reload' here"}})
    result = run("reload", "-p", "9001")
    assert result.exit_code == 1
    assert result.stderr.startswith("there is no '/reload' here\n")


def test_providers_are_listed_with_their_state_and_its_reason(run: Run, http: respx.MockRouter) -> None:
    providers = [
        {"name": "a", "state": "closed", "base_url": "http://a"},
        {"name": "longer", "state": "open", "seconds_left": 3.5, "base_url": "http://b"},
        {"name": "b", "base_url": "http://c", "targets": 1, "marks": {"m": {"state": "key refused"}}},
    ]
    answer = {"version": "1", "pid": 1, "uptime": 1, "providers": providers, "disabled": ["spare"]}
    http.get(f"{URL}/status", params={"format": "json"}).respond(headers=OURS, json=answer)
    assert run("provider", "list", "-p", "9001").stdout.splitlines() == [
        "PROVIDER  STATE                   BASE URL",
        "a         ok                      http://a",
        "longer    breaker open, 4 s left  http://b",
        "b         key refused             http://c",
        "spare     disabled",
    ]
    assert json.loads(run("provider", "list", "-p", "9001", "--json").stdout) == providers


@pytest.mark.parametrize("verb", ["offline", "online", "reset"])
def test_an_override_is_asked_for_by_its_name(run: Run, http: respx.MockRouter, verb: str) -> None:
    http.get(f"{URL}/health").respond(headers=OURS)
    route = http.post(f"{URL}/admin/providers/a%2Fb%20%C3%BC/{verb}").respond(headers=OURS, json={})
    result = run("provider", verb, "a/b ü", "-p", "9001")
    assert (result.exit_code, result.stdout) == (0, f"a/b ü is {verb}\n")
    assert route.calls.last.request.url.raw_path == f"/admin/providers/a%2Fb%20%C3%BC/{verb}".encode()


def test_a_name_that_would_be_a_step_in_a_path_is_asked_for_as_a_name(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/health").respond(headers=OURS)
    http.route().respond(404, headers=OURS, json={"error": {"message": "there is none"}})
    for name, path in ((".", "%2E"), ("..", "%2E%2E"), ("...", "...")):
        assert run("provider", "offline", name, "-p", "9001").exit_code == 1
        assert http.calls.last.request.url.raw_path == f"/admin/providers/{path}/offline".encode()
        assert run("explain", name, "-p", "9001").exit_code == 1
        assert http.calls.last.request.url.raw_path == f"/explain/{path}?format=text".encode()
    assert run("provider", "offline", "", "-p", "9001").stderr == "oxllm: an empty name is nobody's\n"


def test_offline_for_a_time_says_so_and_passes_warnings_on(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/health").respond(headers=OURS)
    answer = {"warnings": ["no target of smart is left: a/m offline"]}
    route = http.post(f"{URL}/admin/providers/a/offline", params={"for": "600"}).respond(headers=OURS, json=answer)
    result = run("provider", "offline", "a", "--for", "10m", "-p", "9001")
    assert (result.exit_code, result.stdout) == (0, "a is offline for 10 min\n")
    assert result.stderr == "warning: no target of smart is left: a/m offline\n"
    assert route.called
    for wrong in ("0", "soon", "-1m", "1w"):
        assert run("provider", "offline", "a", "--for", wrong, "-p", "9001").exit_code == 2


def test_an_unknown_provider_exits_1(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/health").respond(headers=OURS)
    http.post(f"{URL}/admin/providers/x/reset").respond(
        404, headers=OURS, json={"error": {"message": "no provider 'x'"}}
    )
    result = run("provider", "reset", "x", "-p", "9001")
    assert (result.exit_code, result.stderr) == (1, "oxllm: no provider 'x'\n")


def test_explain_prints_what_the_gateway_tells(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/explain/r%2F1", params={"format": "text"}).respond(headers=OURS, text="1. alpha\n")
    http.get(f"{URL}/explain/r%2F1", params={"format": "json"}).respond(headers=OURS, text="{}")
    http.get(f"{URL}/explain/other").respond(404, headers=OURS, json={"error": {"message": "unknown request"}})
    assert run("explain", "r/1", "-p", "9001").stdout == "1. alpha\n"
    assert run("explain", "r/1", "-p", "9001", "--json").stdout == "{}\n"
    result = run("explain", "other", "-p", "9001")
    assert (result.exit_code, result.stderr) == (1, "oxllm: unknown request\n")


def test_a_name_that_is_no_utf_8_is_one_that_nobody_has(run: Run, http: respx.MockRouter) -> None:
    """Bytes that are no text come from argv as lone surrogates (PEP 383)."""
    http.get(f"{URL}/health").respond(headers=OURS)
    for method, path in (("POST", "/admin/providers/%FF/reset"), ("GET", "/explain/%FF")):
        http.request(method, f"{URL}{path}").respond(404, headers=OURS, json={"error": {"message": "there is none"}})
    http.get(f"{URL}/requests").respond(headers=OURS, json={"requests": []})
    for words in (("provider", "reset", "\udcff"), ("explain", "\udcff")):
        result = run(*words, "-p", "9001")
        assert (result.exit_code, result.stderr) == (1, "oxllm: there is none\n")
    assert run("requests", "--model", "\udcff", "-p", "9001").exit_code == 0
    assert b"&model=%FF" in http.calls.last.request.url.query
    result = run("status", "--url", "http://\udcff")
    assert (result.exit_code, "is not an http URL" in result.stderr) == (2, True)


OBEDIENT = "import time; print(flush=True); time.sleep(60)  "
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT
AS_USUAL = "import signal; [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGHUP, signal.SIGTERM)]; "
"""What is ignored here, as under nohup, is so in a child, too."""


def start(script: str) -> subprocess.Popen[bytes]:
    """A process that passes for a gateway by its command line."""
    process = subprocess.Popen([sys.executable, "-c", AS_USUAL + script, "-m", "oxllm.gateway"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def test_stop_ends_the_process_and_waits_for_it(run: Run) -> None:
    process = start(OBEDIENT)
    result = run("stop", "--pid", str(process.pid))
    assert (result.exit_code, result.stdout) == (0, f"stopped (process {process.pid})\n")
    assert process.wait() == -signal.SIGTERM


def test_stop_does_not_wait_for_ever(run: Run) -> None:
    process = start(STUBBORN)
    try:
        result = run("stop", "--pid", str(process.pid), "--wait", "0.1")
        assert result.exit_code == 1
        assert f"after 0.1 s process {process.pid} is still finishing; " in result.stderr
    finally:
        process.kill()
        process.wait()


def test_stop_that_cuts_in_vain_says_what_is_left_to_do(run: Run) -> None:
    process = start(STUBBORN)
    try:
        result = run("stop", "--now", "--pid", str(process.pid), "--wait", "0.1")
        assert (result.exit_code, "--now" in result.stderr) == (1, False)
        assert f"; `kill -9 {process.pid}` ends it\n" in result.stderr
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="it is read from /proc")
def test_who_has_been_stopped_by_a_signal_is_not_waited_for(run: Run, tmp_path: Path, http: respx.MockRouter) -> None:
    process = start(OBEDIENT)
    advice = f"process {process.pid} has been stopped (SIGSTOP): `kill -CONT {process.pid}` lets it go on\n"
    try:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        with run_file(tmp_path, process.pid):
            for asks in (["status"], ["reload"], ["explain", "oxllm-1"], ["provider", "offline", "alpha"]):
                assert run(*asks).stderr.endswith(f" does not answer: {advice}")
            assert not http.calls
            assert run("stop", "--wait", "0.1").stderr.endswith(f"; {advice}")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("wait", ["nan", "inf", "-1", "soon"])
def test_stop_sends_nothing_when_the_wait_is_no_time(run: Run, wait: str) -> None:
    process = start(OBEDIENT)
    try:
        assert run("stop", "--pid", str(process.pid), "--wait", wait).exit_code == 2
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_stop_believes_no_process_number_that_a_port_tells(run: Run, http: respx.MockRouter) -> None:
    process = start(OBEDIENT)
    try:
        http.route(host="127.0.0.1").respond(headers=OURS, json={"pid": process.pid})
        result = run("stop", "-p", "9001")
        assert result.exit_code == 1
        assert f"an oxllm answers at {URL}, but no run file of yours says which process it is" in result.stderr
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def run_file(directory: Path, pid: int, **more: Any) -> Iterator[runfile.Written]:
    """The run file of a gateway at URL with that process number."""
    run = RunFile(pid, more.pop("start_time", runfile.start_time(pid)), 0.0, "127.0.0.1", 9001, **more)
    with runfile.write(str(directory / "run" / "oxllm"), run) as written:
        yield written


@pytest.fixture
def obedient() -> Iterator[subprocess.Popen[bytes]]:
    process = start(OBEDIENT)
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("choice", [(), ("-p", "9001"), ("--url", "http://localhost:9001")])
def test_stop_ends_the_process_that_the_run_file_names(
    run: Run, tmp_path: Path, obedient: subprocess.Popen[bytes], choice: tuple[str, ...]
) -> None:
    with run_file(tmp_path, obedient.pid):
        assert run("stop", *choice).exit_code == 0
    assert obedient.wait() == -signal.SIGTERM


def test_a_run_file_of_an_earlier_process_of_the_same_number_stops_nobody(
    run: Run, http: respx.MockRouter, tmp_path: Path, obedient: subprocess.Popen[bytes]
) -> None:
    http.route().mock(side_effect=httpx.ConnectError)
    with run_file(tmp_path, obedient.pid, start_time=runfile.start_time(obedient.pid) - 1):
        assert run("stop").exit_code == 3
    assert obedient.poll() is None


def test_a_run_file_that_names_no_gateway_stops_nobody(run: Run, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        with run_file(tmp_path, other.pid):
            result = run("stop")
        assert (result.exit_code, result.stderr) == (
            3,
            f"oxllm: not running: process {other.pid} is not an oxllm gateway\n",
        )
        assert other.poll() is None
        other.kill()


def at_once(said: str) -> str:
    """As it is said of a drain of 12 s that has just begun: a busy machine may have taken some seconds to ask."""
    return re.sub(r"(?<![.\d])\d+ s\b", "12 s", said)


def test_one_that_drains_is_only_waited_for(run: Run, tmp_path: Path, obedient: subprocess.Popen[bytes]) -> None:
    leaving = Draining(time.time() + 12, 1)
    with run_file(tmp_path, obedient.pid, draining=leaving):
        result = run("stop", "--wait", "0.1")
    assert result.exit_code == 1
    assert at_once(result.stderr) == (
        "already draining, 1 request left, 12 s to go; waiting for it\n"
        f"oxllm: after 0.1 s process {obedient.pid} is still draining, 1 request left, 12 s to go; "
        "--now cuts what is left\n"
    )
    assert obedient.poll() is None


def test_now_cuts_what_is_left(run: Run, tmp_path: Path, obedient: subprocess.Popen[bytes]) -> None:
    with run_file(tmp_path, obedient.pid, draining=Draining(time.time() + 12, 1)):
        assert run("stop", "--now").exit_code == 0
    assert obedient.wait() == -signal.SIGTERM


def test_status_of_one_that_drains_and_listens_no_more_is_in_its_run_file(
    run: Run, http: respx.MockRouter, tmp_path: Path, obedient: subprocess.Popen[bytes]
) -> None:
    http.route().mock(side_effect=httpx.ConnectError)
    with run_file(tmp_path, obedient.pid, draining=Draining(time.time() + 12, 1), version="9.9"):
        result = run("status")
        told = json.loads(run("status", "--json").stdout)
    assert result.exit_code == 0
    assert at_once(result.stdout).startswith("draining, 1 request left, 12 s\noxllm 9.9\n")
    assert (told["draining"], told["in_flight"], told["pid"]) == (True, 1, obedient.pid)


@pytest.mark.parametrize(
    "words",
    [
        ("requests",),
        ("explain", "oxllm-1"),
        ("explain", "--last"),
        ("provider", "list"),
        ("provider", "offline", "alpha"),
        ("reload",),
    ],
)
def test_one_that_drains_and_listens_no_more_is_not_said_to_be_gone(
    run: Run, http: respx.MockRouter, tmp_path: Path, obedient: subprocess.Popen[bytes], words: tuple[str, ...]
) -> None:
    http.route().mock(side_effect=httpx.ConnectError)
    with run_file(tmp_path, obedient.pid, draining=Draining(time.time() + 12, 1)):
        result = run(*words)
    said = f"oxllm: draining, 1 request left, 12 s: process {obedient.pid} takes no more questions\n"
    assert (result.exit_code, at_once(result.stderr)) == (1, said)


def test_a_report_of_a_bug_tells_that_the_gateway_drains(
    run: Run, http: respx.MockRouter, tmp_path: Path, obedient: subprocess.Popen[bytes]
) -> None:
    http.route().mock(side_effect=httpx.ConnectError)
    with run_file(tmp_path, obedient.pid, draining=Draining(time.time() + 12, 3)):
        result = run("report-bug")
    assert result.exit_code == 0
    assert "\ndraining, 3 requests left, 12 s: process" in at_once(result.stdout)


@pytest.mark.parametrize("command", ["stop", "reload"])
def test_a_process_that_is_no_gateway_gets_no_signal(run: Run, command: str) -> None:
    result = run(command, "--pid", str(os.getpid()))
    assert result.exit_code == 3
    assert "is not an oxllm gateway" in result.stderr


def test_reload_by_process_number_sends_sighup(run: Run) -> None:
    process = start(OBEDIENT)
    assert run("reload", "--pid", str(process.pid), "--dry-run").exit_code == 1
    assert "sent SIGHUP" in run("reload", "--pid", str(process.pid)).stdout
    assert process.wait() == -signal.SIGHUP


def test_waiting_works_without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    running = start(OBEDIENT)
    process = signals.Process(running.pid)
    assert not process.has_ended(0.06)
    process.send(signal.SIGTERM)
    running.wait()
    assert process.has_ended(1.0)
