"""Commands that show: requests, explain, doctor, report-bug, completion, colours, the manual page."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
import pytest
import respx
from click.shell_completion import BashComplete

from oxllm.cli import COMMANDS, main, manual, wants_color
from oxllm.cli.completing import provider_names, request_ids
from oxllm.status import ModelStatus, ProviderStatus, Status, TargetStatus
from oxllm.verdict import DEGRADED, OK, UNSERVED, verdict
from tests.unit.cli.conftest import CONFIG, OURS, Run

URL = "http://127.0.0.1:9001"
ROOT = Path(__file__).parents[3]


def request(number: int, **more: Any) -> dict[str, Any]:
    base = {"id": f"oxllm-{number}", "time": 1e9 + number, "model": "smart", "status": 200, "provider": "alpha"}
    return base | {"upstream_model": "m", "attempts": 1, "first_content": 0.31, "total": 1.5, "error": None} | more


def followed(
    http: respx.MockRouter, monkeypatch: pytest.MonkeyPatch, answers: Sequence[Sequence[dict[str, Any]]]
) -> respx.Route:
    """A gateway that has these requests for each who asks in turn; behind the last somebody presses Ctrl-C."""
    route = http.get(f"{URL}/requests").mock(
        side_effect=[httpx.Response(200, headers=OURS, json={"requests": answer}) for answer in answers]
    )

    def sleep(seconds: float) -> None:
        if route.call_count == len(answers):
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    return route


# requests


def test_the_last_requests_are_a_line_each(run: Run, http: respx.MockRouter) -> None:
    failed = request(2, status=503, provider=None, error="all failed", first_content=None, attempts=2)
    route = http.get(f"{URL}/requests").respond(headers=OURS, json={"requests": [request(1), failed]})
    result = run("requests", "-p", "9001", "--failed", "--model", "a/b", "-n", "5")
    assert result.exit_code == 0
    lines = [re.split(r" {2,}", line.strip()) for line in result.stdout.splitlines()]
    assert lines[0] == ["TIME", "STATUS", "MODEL", "SERVED BY", "TRIES", "FIRST", "TOTAL", "ID"]
    assert lines[1][1:] == ["200", "smart", "alpha/m", "1", "310 ms", "1.5 s", "oxllm-1"]
    assert lines[2][1:] == ["503", "smart", "-", "2", "-", "1.5 s", "oxllm-2"]
    assert route.calls.last.request.url.query == b"format=json&failed=1&model=a%2Fb&limit=5"


def test_followed_requests_come_as_they_end(run: Run, http: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[request(1)], [request(2)], []]
    route = followed(http, monkeypatch, answers)
    result = run("requests", "-f", "-p", "9001", "-o", "json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["oxllm-1", "oxllm-2"]
    assert [b"after=" in call.request.url.query for call in route.calls] == [False, True, True]
    assert b"after=oxllm-2&at=1000000002.0" in route.calls.last.request.url.query


def test_who_follows_and_wants_none_of_those_before_gets_only_new_ones(
    run: Run, http: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = followed(http, monkeypatch, [[request(1)], [request(2)]])
    result = run("requests", "-f", "-n", "0", "-p", "9001", "-o", "json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["oxllm-2"]
    assert b"limit=1" in route.calls[0].request.url.query
    assert b"after=oxllm-1" in route.calls[1].request.url.query


def test_the_heading_of_followed_requests_comes_with_the_first_and_stands_over_all_of_them(
    run: Run, http: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [[], [request(1, model="a model of a long name")], [request(2)]]
    followed(http, monkeypatch, answers)
    heading, *rows = run("requests", "-f", "-p", "9001").stdout.splitlines()
    assert [row.split()[-1] for row in rows] == ["oxllm-1", "oxllm-2"]
    assert {row.index("oxllm-") for row in rows} == {heading.index("ID")}
    assert {row.index("alpha/m") for row in rows} == {heading.index("SERVED BY")}


# explain


@pytest.mark.parametrize(("option", "query"), [("--last", b"limit=1"), ("--last-failed", b"limit=1&failed=1")])
def test_the_last_request_is_explained(run: Run, http: respx.MockRouter, option: str, query: bytes) -> None:
    listed = http.get(f"{URL}/requests").respond(headers=OURS, json={"requests": [request(7)]})
    http.get(f"{URL}/explain/oxllm-7").respond(headers=OURS, text="1. alpha\n")
    assert run("explain", option, "-p", "9001").stdout == "1. alpha\n"
    assert listed.calls.last.request.url.query == query


def test_which_request_is_meant_is_said_once(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/requests").respond(headers=OURS, json={"requests": []})
    assert run("explain", "-p", "9001").exit_code == 2
    assert run("explain", "--last", "x", "-p", "9001").exit_code == 2
    result = run("explain", "--last-failed", "-p", "9001")
    assert (result.exit_code, result.stderr) == (1, "oxllm: no request has failed yet, as far back as it remembers\n")


# The verdict, and --check

WELL = ProviderStatus("alpha", targets=1)
SERVED = ModelStatus("smart", targets=(TargetStatus("alpha/m"), TargetStatus("beta/m")))
REFUSED = ProviderStatus("alpha", targets=1, marks={"m": {"state": "key refused", "seconds_left": 40.2}})  # type: ignore[dict-item]


def status(*providers: ProviderStatus, models: tuple[ModelStatus, ...] = (SERVED,), **more: Any) -> Status:
    raw = {"version": "1", "pid": 1, "uptime": 1.0, "providers": providers, "models": models, **more}
    return msgspec.convert(msgspec.to_builtins(raw), Status)


HALF = ModelStatus("smart", targets=(TargetStatus("alpha/m", state="key refused"), TargetStatus("beta/m")))
NONE = ModelStatus("smart", targets=(TargetStatus("alpha/m", state="breaker open"),))
BOTH = (
    "1 of 2 models served, not smart; alpha refuses its key, 41 s: oxllm provider reset alpha; "
    "a b is offline: oxllm provider online 'a b'"
)
FULL = "9 requests at once are all that max_in_flight allows: more are refused"
VERDICTS = [
    (status(WELL), OK, "1 model served"),
    (status(REFUSED), DEGRADED, "1 model served; alpha refuses its key, 41 s: oxllm provider reset alpha"),
    (
        status(ProviderStatus("a b", state="offline"), REFUSED, models=(HALF, NONE)),
        UNSERVED,
        BOTH,
    ),
    (status(WELL, models=(HALF,)), DEGRADED, "1 model served"),
    (
        status(ProviderStatus("a'b", state="offline", seconds_left=150)),
        DEGRADED,
        "1 model served; a'b is offline, 3 min: oxllm provider online 'a'\\''b'",
    ),
    (
        status(ProviderStatus("alpha", state="open", seconds_left=3.2, last_failure="connection refused")),
        DEGRADED,
        "1 model served; alpha fails (connection refused), 4 s",
    ),
    (
        status(ProviderStatus("alpha", state="half-open", last_failure="HTTP 502")),
        DEGRADED,
        "1 model served; alpha is half-open, so the next request tries it",
    ),
    (status(ProviderStatus("alpha", state="probing")), DEGRADED, "1 model served; alpha is being tried again"),
    (
        status(REFUSED, in_flight=9, max_in_flight=9),
        DEGRADED,
        f"1 model served; {FULL}; alpha refuses its key, 41 s: oxllm provider reset alpha",
    ),
    (
        status(WELL, in_flight=9, max_in_flight=9),
        DEGRADED,
        f"1 model served; {FULL}",
    ),
    (status(WELL, in_flight=8, max_in_flight=9), OK, "1 model served"),
    (status(WELL, models=()), OK, "serving 1 provider, no virtual model"),
    (status(WELL, draining=True, drain_left=11.6, in_flight=1), DEGRADED, "draining, 1 request left, 12 s"),
]


@pytest.mark.parametrize(("told", "level", "line"), VERDICTS)
def test_the_verdict_is_a_line_and_an_exit_code(
    run: Run, http: respx.MockRouter, told: Status, level: int, line: str
) -> None:
    assert (verdict(told).level, verdict(told).line(None)) == (level, line)
    http.get(f"{URL}/status").respond(headers=OURS, json=msgspec.to_builtins(told))
    result = run("status", "--check", "-p", "9001")
    assert (result.exit_code, result.stdout) == (level, f"{line}\n")
    told_json = json.loads(run("status", "--check", "-p", "9001", "-o", "json").stdout)
    assert told_json == {"level": level, "verdict": line}


def test_a_verdict_leaves_out_commands_and_reasons_and_then_the_least_troubles() -> None:
    said = verdict(VERDICTS[2][0])
    assert said.line(120) == "1 of 2 models served, not smart; alpha refuses its key, 41 s; a b is offline"
    assert said.line(70) == "1 of 2 models served, not smart; alpha refuses its key, 41 s; 1 more"
    assert said.line(60) == "1 of 2 models served, not smart; 2 providers not well"
    assert said.line(10) == "1 of 2 models served, not smart"
    assert verdict(VERDICTS[5][0]).line(40) == "1 model served; alpha fails, 4 s"


def test_where_there_is_nothing_to_check_the_code_is_3(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/status").mock(side_effect=httpx.ConnectError)
    result = run("status", "--check", "-p", "9001")
    assert (result.exit_code, result.stdout) == (3, f"not running: nothing answers at {URL}\n")


# doctor


class Listener:
    """Answers whatever it is asked with one status, and the time of its own."""

    def __init__(self, status_line: str, date: str = "") -> None:
        self._answer = f"HTTP/1.1 {status_line}\r\n{date}content-length: 0\r\nconnection: close\r\n\r\n".encode()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self._answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    listening = [Listener("401 Unauthorized"), Listener("404 Not Found", "date: Sat, 01 Jan 2000 00:00:00 GMT\r\n")]
    yield listening
    for one in listening:
        one.close()


def test_the_doctor_finds_what_is_wrong_on_each_way(run: Run, listeners: list[Listener]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    urls = {"shut": f"http://127.0.0.1:{port}", "dns": "http://nowhere.invalid"} | {
        name: f"http://127.0.0.1:{one.port}" for name, one in zip(("key", "clock"), listeners, strict=True)
    }
    Path("config.toml").write_text(
        "".join(f'[[providers]]\nname = "{name}"\nbase_url = "{url}"\n' for name, url in urls.items())
    )
    result = run("doctor", "-o", "json")
    assert result.exit_code == 1
    found = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert {"configuration", "system", "descriptors", "run file"} <= set(found)
    states = {what: finding["state"] for what, finding in found.items() if ": " in what}
    assert states == {
        "shut: name": "ok",
        "shut: connection": "failed",
        "dns: name": "failed",
        "key: name": "ok",
        "key: connection": "ok",
        "key: key": "failed",
        "clock: name": "ok",
        "clock: connection": "ok",
        "clock: clock": "warning",
        "clock: key": "ok",
    }
    assert all(finding["fix"] for finding in found.values() if finding["state"] == "failed")
    assert found["shut: connection"]["found"] == f"127.0.0.1:{port}: connection refused"
    text = run("doctor").stdout
    assert "key: key: put a valid key into its variable or file, then `oxllm reload`\n" in text


@pytest.mark.parametrize(
    ("number", "reason", "fix"),
    [
        (socket.EAI_NONAME, "there is no such host", "is base_url right? "),
        (socket.EAI_AGAIN, "its name server does not answer", "is there a network? "),
    ],
)
def test_a_name_server_that_does_not_answer_is_not_a_host_that_does_not_exist(
    run: Run, monkeypatch: pytest.MonkeyPatch, number: int, reason: str, fix: str
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "")

    Path("config.toml").write_text('[[providers]]\nname = "a"\nbase_url = "http://llm.example"\n')
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = {finding["what"]: finding for finding in json.loads(run("doctor", "-o", "json").stdout)}
    assert found["a: name"]["found"] == f"llm.example: {reason}"
    assert found["a: name"]["fix"].startswith(fix)
    assert f"llm.example:80: {reason} " in run("validate", "--probe").stdout


@pytest.mark.parametrize(
    ("scheme", "variable", "written", "by", "way_out"),
    [
        ("http", "http_proxy", "", "http_proxy", "put 127.0.0.9 into no_proxy"),
        ("https", "HTTPS_PROXY", "", "HTTPS_PROXY", "put 127.0.0.9 into no_proxy"),
        ("http", "all_proxy", "", "all_proxy", "put 127.0.0.9 into no_proxy"),
        ("http", "http_proxy", 'proxy = "http://127.0.0.1:1"', "its `proxy`", 'proxy = ""'),
    ],
)
def test_the_doctor_names_what_leads_through_a_proxy_and_the_way_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, scheme: str, variable: str, written: str, by: str, way_out: str
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:1" if not written else "http://127.0.0.1:2")
    provider = f'[[providers]]\nname = "near"\nbase_url = "{scheme}://127.0.0.9:9/v1"\nmodels = ["m"]\n{written}\n'
    Path("config.toml").write_text(provider)
    said = " ".join(run("doctor").stdout.split())
    assert f"the way leads through a proxy, by {by}; if it should not, " in said
    assert way_out in said


def test_the_doctor_says_so_when_the_configuration_is_bad(run: Run) -> None:
    Path("config.toml").write_text("prot = 1")
    result = run("doctor")
    assert result.exit_code == 1
    assert re.search(r"configuration +failed +2 errors", result.stdout)
    assert "configuration: oxllm validate lists them\n" in result.stdout


def test_the_doctor_names_the_configuration_that_it_was_given(run: Run) -> None:
    Path("my own.toml").write_text("prot = 1")
    assert "configuration: oxllm validate -c 'my own.toml' lists them\n" in run("doctor", "-c", "my own.toml").stdout


# report-bug


def test_a_bug_report_holds_no_secret(run: Run, config: Path, http: respx.MockRouter) -> None:
    secret = 'headers = { X-Secret = "sk-hush-header" }\nextra_body = { user = "sk-hush-body" }\n'
    secret += 'user_agent = "hush-agent"\n'
    config.write_text(
        '[server]\nadmin_token = "sk-hush-admin"\napi_keys = ["sk-hush-team"]\n'
        + CONFIG.replace('models = ["m"]\n', 'models = ["m"]\n' + secret)
    )
    http.get(f"{URL}/status").respond(headers=OURS, text="1 model served\n")
    http.get(f"{URL}/requests").respond(headers=OURS, json={"requests": [request(1, error="HTTP 500")]})
    result = run("report-bug", "-p", "9001")
    assert result.exit_code == 0
    for part in ("oxllm ", "pydantic ", '"name": "alpha"', "X-Secret", "1 model served", "HTTP 500"):
        assert part in result.stdout
    assert "hush" not in result.output


def test_a_bug_report_needs_neither_gateway_nor_configuration(run: Run, http: respx.MockRouter) -> None:
    http.route().mock(side_effect=httpx.ConnectError)
    result = run("report-bug")
    assert result.exit_code == 0
    assert "there is no configuration" in result.stdout
    assert "not running" in result.stdout


# Completion, colours, the manual


def test_a_shell_is_proposed_what_the_gateway_knows(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/status").respond(headers=OURS, json=msgspec.to_builtins(status(WELL)))
    http.get(f"{URL}/requests").respond(headers=OURS, json={"requests": [request(1), request(2)]})
    context = click.Context(click.Command("x"))
    context.params = {"port": 9001}
    argument = click.Argument(["name"])
    assert provider_names(context, argument, "al") == ["alpha"]
    assert provider_names(context, argument, "b") == []
    assert request_ids(context, argument, "") == ["oxllm-2", "oxllm-1"]
    http.get().mock(side_effect=httpx.ConnectError)
    context.params = {"port": 9002}
    assert provider_names(context, argument, "") == [], "no gateway, no names, and no error"


def test_files_are_proposed_where_a_file_is_meant() -> None:
    shell = BashComplete(main, {}, "oxllm", "_OXLLM_COMPLETE")
    for words in (["serve", "-c"], ["adapt"], ["init"]):
        assert [item.type for item in shell.get_completions(words, "")] == ["file"]


@pytest.mark.parametrize(
    ("given", "env", "wanted"),
    [
        (None, {}, None),
        ("always", {"NO_COLOR": "1"}, True),
        ("never", {"FORCE_COLOR": "1"}, False),
        ("auto", {"NO_COLOR": "1"}, None),
        (None, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        (None, {"FORCE_COLOR": "1"}, True),
        (None, {"FORCE_COLOR": "0"}, None),
        (None, {"NO_COLOR": ""}, None),
    ],
)
def test_the_option_goes_before_the_environment(given: str | None, env: dict[str, str], wanted: bool | None) -> None:
    assert wants_color(given, env) is wanted


def test_colours_can_be_had_in_a_pipe(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/status").respond(headers=OURS, json=msgspec.to_builtins(status(REFUSED)))
    assert "\x1b[31mkey refused" in run("--color", "always", "status", "-p", "9001").stdout
    assert "\x1b[" not in run("status", "-p", "9001").stdout


PAGE = ROOT / "contrib" / "man" / "oxllm.1"


def test_the_manual_is_made_from_the_help() -> None:
    text = manual.render()
    assert PAGE.read_text(encoding="utf-8") == text, "run: python -m oxllm.cli.reference docs/cli.md"
    shown = text.replace("\\-", "-")
    assert all(f".SS oxllm {name} " in shown for name in COMMANDS)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_is_good_roff() -> None:
    done = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-z", PAGE], capture_output=True, text=True, check=True)
    assert done.stderr == ""
