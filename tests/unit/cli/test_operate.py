"""Commands that talk to a running gateway, which here is respx."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import respx

from oxllm import runfile
from oxllm.cli import signals
from oxllm.runfile import RunFile
from tests.unit.cli.conftest import Run

URL = "http://127.0.0.1:9001"


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
    http.get(f"{URL}/status").respond(text="<html>")
    result = run("provider", "list", "-p", "9001")
    assert (result.exit_code, result.stderr) == (3, f"oxllm: what answers at {URL} is not oxllm\n")


def test_a_refusal_is_shown_in_the_gateways_words(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/status").respond(403, json={"error": {"message": "operator routes are local only"}})
    result = run("status", "-p", "9001")
    assert (result.exit_code, result.stderr) == (1, f"oxllm: {URL} refused: operator routes are local only\n")
    http.get(f"{URL}/status").respond(401, text="?")
    assert "refused: HTTP 401" in run("status", "-p", "9001").stderr


def test_another_failure_of_the_connection_is_not_taken_for_not_running(run: Run, http: respx.MockRouter) -> None:
    http.route().mock(side_effect=httpx.ReadTimeout("timed out"))
    assert run("status", "-p", "9001").exit_code == 1


def test_the_token_of_the_run_file_goes_along(run: Run, http: respx.MockRouter, tmp_path: Path) -> None:
    route = http.get(f"{URL}/status").respond(json={"version": "0", "pid": 1, "uptime": 1})
    pid = os.getpid()
    me = RunFile(pid, runfile.start_time(pid), 0.0, "127.0.0.1", 9001, "tok")
    with runfile.write(str(tmp_path / "run" / "oxllm"), me):
        run("status")
    assert route.calls.last.request.headers["authorization"] == "Bearer tok"


def test_reload_shows_the_difference(run: Run, http: respx.MockRouter) -> None:
    diff = {"added": ["provider beta"], "removed": ["provider old"], "changed": ["retry"], "restart": ["port"]}
    http.post(f"{URL}/reload").respond(json={"ok": True, "errors": [], "diff": diff})
    result = run("reload", "-p", "9001")
    assert result.exit_code == 0
    assert result.stdout == "reloaded:\n  + provider beta\n  - provider old\n  ~ retry\n  needs a restart: port\n"


def test_a_dry_run_says_what_would_change(run: Run, http: respx.MockRouter) -> None:
    route = http.post(f"{URL}/reload", params={"dry_run": "1"}).respond(json={"ok": True, "diff": {}})
    result = run("reload", "-p", "9001", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "nothing would change\n")
    assert route.called


def test_a_reload_tells_warnings_too(run: Run, http: respx.MockRouter) -> None:
    answer = {"ok": True, "diff": {}, "warnings": ["c.toml:3: warning: server.host: can be reached from outside"]}
    http.post(f"{URL}/reload").respond(json=answer)
    result = run("reload", "-p", "9001")
    assert (result.exit_code, result.stdout) == (0, "reloaded, nothing changed\n")
    assert result.stderr == "c.toml:3: warning: server.host: can be reached from outside\n"


def test_a_refused_reload_lists_the_errors_and_exits_1(run: Run, http: respx.MockRouter) -> None:
    errors = [{"text": "c.toml:2: error: server.prot: is not a key"}, {"text": "c.toml:3: error: x"}]
    http.post(f"{URL}/reload").respond(400, json={"ok": False, "errors": errors})
    result = run("reload", "-p", "9001")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "c.toml:2: error: server.prot: is not a key",
        "c.toml:3: error: x",
        "oxllm: refused, the running configuration stays (2 errors)",
    ]


def test_a_reload_that_is_answered_with_an_error_object_is_refused_too(run: Run, http: respx.MockRouter) -> None:
    http.post(f"{URL}/reload").respond(404, json={"error": {"message": "there is no '/reload' here"}})
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
    http.get(f"{URL}/status", params={"format": "json"}).respond(json=answer)
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
    route = http.post(f"{URL}/admin/providers/a%2Fb%20%C3%BC/{verb}").respond(json={})
    result = run("provider", verb, "a/b ü", "-p", "9001")
    assert (result.exit_code, result.stdout) == (0, f"a/b ü is {verb}\n")
    assert route.calls.last.request.url.raw_path == f"/admin/providers/a%2Fb%20%C3%BC/{verb}".encode()


def test_an_unknown_provider_exits_1(run: Run, http: respx.MockRouter) -> None:
    http.post(f"{URL}/admin/providers/x/reset").respond(404, json={"error": {"message": "no provider 'x'"}})
    result = run("provider", "reset", "x", "-p", "9001")
    assert (result.exit_code, result.stderr) == (1, "oxllm: no provider 'x'\n")


def test_explain_prints_what_the_gateway_tells(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/explain/r%2F1", params={"format": "text"}).respond(text="1. alpha\n")
    http.get(f"{URL}/explain/r%2F1", params={"format": "json"}).respond(text="{}")
    http.get(f"{URL}/explain/other").respond(404, json={"error": {"message": "unknown request"}})
    assert run("explain", "r/1", "-p", "9001").stdout == "1. alpha\n"
    assert run("explain", "r/1", "-p", "9001", "--json").stdout == "{}\n"
    result = run("explain", "other", "-p", "9001")
    assert (result.exit_code, result.stderr) == (1, "oxllm: unknown request\n")


OBEDIENT = "import time; print(flush=True); time.sleep(60)  # oxllm.gateway"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


def start(script: str) -> subprocess.Popen[bytes]:
    """A process that passes for a gateway by its command line."""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
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
        assert "still finishing after 0.1 s" in result.stderr
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


def test_stop_finds_the_process_by_the_gateways_status(run: Run, http: respx.MockRouter) -> None:
    process = start(OBEDIENT)
    http.get(f"{URL}/status").respond(json={"pid": process.pid})
    assert run("stop", "-p", "9001").exit_code == 0
    process.wait()


def test_stop_leaves_a_process_number_of_another_machine_alone(run: Run, http: respx.MockRouter) -> None:
    http.get("http://127.0.0.1.example:80/status").respond(json={"pid": os.getpid()})
    result = run("stop", "--url", "http://127.0.0.1.example")
    assert (result.exit_code, result.stderr) == (
        1,
        "oxllm: cannot tell the process of http://127.0.0.1.example:80: give --pid\n",
    )


@pytest.mark.parametrize("command", ["stop", "reload"])
def test_a_process_that_is_no_gateway_gets_no_signal(run: Run, command: str) -> None:
    result = run(command, "--pid", str(os.getpid()))
    assert result.exit_code == 3
    assert "is not a running oxllm gateway" in result.stderr


def test_reload_by_process_number_sends_sighup(run: Run) -> None:
    process = start(OBEDIENT)
    assert run("reload", "--pid", str(process.pid), "--dry-run").exit_code == 1
    assert "sent SIGHUP" in run("reload", "--pid", str(process.pid)).stdout
    assert process.wait() == -signal.SIGHUP


def test_waiting_works_without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    process = start(OBEDIENT)
    assert not signals.wait_for_end(process.pid, 0.06)
    process.kill()
    process.wait()
    assert signals.wait_for_end(process.pid, 1.0)
