"""Rehearsals, short ones: the real gateway passes, a naive one is caught, and the report says so."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from oxllm import __version__
from oxllm.plan import Plan
from oxllm.sim.cli import sim_command
from oxllm.sim.provider import limits, pace, text
from oxllm.sim.provider.ledger import Record
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import expect, gateway, grade, report
from oxllm.sim.rehearsal.answer import Answer
from oxllm.sim.rehearsal.card import Card, Sample
from oxllm.sim.rehearsal.external import External
from oxllm.sim.rehearsal.gateway import Gateway
from oxllm.sim.rehearsal.grade import Recorded
from oxllm.sim.rehearsal.likeness import Likeness, fates, likeness
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.rehearsal.replay import Replay
from oxllm.sim.rehearsal.request import Request
from oxllm.sim.rehearsal.run import Run, Setup, rehearse
from oxllm.sim.rehearsal.schedule import CLEAR_S, Schedule
from oxllm.sim.script import grammar, scenes
from oxllm.sim.script.scenario import Scenario, Scene, When
from oxllm.sim.serve.engine import attempt_key
from oxllm.sim.serve.ports import free_port
from oxllm.sim.testing import Sim
from tests.support.by_hand import make_plan
from tests.support.processes import answers
from tests.support.user import eventually
from tests.support.virtual_rehearsal import played

CONFIG = """
[[providers]]
name = "alpha"
base_url = "https://api.openai.com/v1"
api_key = "sk-never-sent"
[[providers]]
name = "beta"
base_url = "https://api.groq.com/openai/v1"
[virtual_models]
smart = [{ provider = "alpha", model = "big-1" }, { provider = "beta", model = "big-2" }]
"""
ASKED = Questions(7, {"text-embed": ["text-embed"]}, 1.0)[3]
NAMES = ("alpha", "beta")
SCENE = """
[[scene]]
name = "alpha is bad"
on = "alpha"
faults = ["429~2s 20%", "500 15%", "cut@token:6 15%", "rst 10%"]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG, encoding="utf-8")
    return file


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(sim_command, arguments)
    return result.exit_code, result.output


def test_a_file_of_a_key_or_of_authorities_need_not_be_there(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    text = '[[providers]]\nname = "alpha"\nbase_url = "https://a.example/v1"\nmodels = ["m"]\n'
    file.write_text(text + 'api_key_file = "/run/secrets/none"\nca_file = "none.pem"\n', encoding="utf-8")
    (provider,) = gateway.compiled(file)[0].providers
    assert (provider.api_key, provider.ca_file) == (None, None)


@pytest.mark.slow
def test_the_real_gateway_behind_a_users_config_passes(config: Path, tmp_path: Path) -> None:
    scene, page = tmp_path / "scene.toml", tmp_path / "report.html"
    scene.write_text(SCENE, encoding="utf-8")
    options = ["--scene", str(scene), "--seed", "7", "--for", "3s", "--rps", "20", "--report", str(page)]
    code, said = invoke(
        "--rehearse", str(config), *options, "--grade", "survivable_errors == 0", "--grade", "truncated == 0"
    )
    assert code == 0, said
    assert said.splitlines()[0] == said.splitlines()[-1] == "seed 7"
    assert "passed" in said
    assert re.search(r"rescued +([1-9]\d*) of", said), said
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
@pytest.mark.parametrize("option", ["--report", "--junit"])
@pytest.mark.slow
def test_a_full_disk_under_a_file_leaves_the_card_and_the_other_file(config: Path, tmp_path: Path, option: str) -> None:
    other = tmp_path / "other"
    files = (option, "/dev/full", "--junit" if option == "--report" else "--report", str(other))
    code, said = invoke("--rehearse", str(config), "--for", "500ms", "--seed", "7", *files)
    assert code == 1
    assert "\nrequests " in said
    assert said.endswith("\nseed 7\nError: /dev/full cannot be written: no space left on device\n")
    assert other.read_text(encoding="utf-8")


@pytest.mark.slow
async def test_a_naive_proxy_fails_every_grade(tmp_path: Path) -> None:
    run = await naive()
    rules = ("survivable_errors == 0", "truncated == 0", "amplification < 1.1", "retry_after_violations == 0")
    assert [expect.met(rule, run.card, run.recorded.samples) for rule in rules] == [False] * 4
    assert run.card.failed == rules
    coordinates = [coordinate for finding in run.card.findings for coordinate in finding.coordinates]
    assert any(coordinate.startswith("7:alpha:") for coordinate in coordinates)
    said = report.text(run.card, Replay("my config.toml"))
    assert max(len(line) for line in said.splitlines() if not line.startswith(("!", "    oxllm"))) <= 80
    narrow = report.text(run.card, Replay("my config.toml"), 60)
    assert max(len(line) for line in narrow.splitlines() if not line.startswith(("!", "    oxllm"))) <= 60
    assert narrow.split() == said.split()
    assert "FAILED: truncated == 0" in said
    assert f"    oxllm sim --rehearse 'my config.toml' --fate {coordinates[0]}\n" in said
    whole = report.Told(run.card, Replay("my config.toml").run, fates(run.recorded.records))
    told = json.loads(report.as_json(whole, run.recorded.duration))
    assert (told["truncated"], told["verdict"]) == (run.card.truncated, "failed")
    assert (told["command"], told["version"]) == ("oxllm sim --rehearse 'my config.toml'", __version__)


async def naive() -> Run:
    """A naive proxy before alpha, where a good gateway would have gone to beta."""
    speed = pace.parse("ttft 10ms, itl 2ms, out 20..40")
    scenario = scenes.over((Upstream("alpha", pace=speed), Upstream("beta", pace=speed)), SCENE, 7)
    port = free_port()

    def front(urls: Mapping[str, str]) -> Gateway:
        return Gateway([sys.executable, str(Path(__file__).parent / "naive_proxy.py"), str(port), urls["alpha"]], port)

    setup = Setup(
        scenario=scenario,
        plan=Plan(),
        groups={"smart": ["alpha", "beta"]},
        questions=Questions(7, {"smart": ["big-1"]}, streams=0.9),
        duration=3.0,
        rps=20,
        expectations=("survivable_errors == 0", "truncated == 0", "amplification < 1.1", "retry_after_violations == 0"),
    )
    return await rehearse(setup, front, lambda _at, _load: None)


def test_no_key_of_the_user_reaches_the_rehearsed_gateway(config: Path) -> None:
    plan, _ = gateway.compiled(config)
    rewired = gateway.rewired(plan, {"alpha": "http://127.0.0.1:1/v1", "beta": "http://127.0.0.1:2/v1"}, 3)
    assert plan.providers[0].api_key == "sk-never-sent"
    assert [(provider.api_key, provider.host, provider.tls) for provider in rewired.providers] == [
        (None, "127.0.0.1", False)
    ] * 2
    assert (rewired.server.port, rewired.source) == (3, None)


def test_a_provider_speaks_the_dialect_of_its_address(config: Path) -> None:
    simulated = gateway.upstreams(gateway.compiled(config)[0], pace.Pace())
    assert [(each.name, each.dialect, each.models) for each in simulated] == [
        ("alpha", "openai", ("big-1",)),
        ("beta", "groq", ("big-2",)),
    ]


@pytest.mark.slow
def test_a_variable_that_is_not_set_has_a_stand_in(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY_A", raising=False)
    monkeypatch.delenv("KEY_B", raising=False)
    config.write_text(CONFIG.replace("sk-never-sent", "${KEY_A}/${KEY_B}"), encoding="utf-8")
    assert gateway.compiled(config)[1] == ["KEY_A", "KEY_B"]
    config.write_text(CONFIG.replace("https://api.openai.com", "${KEY_A}"), encoding="utf-8")
    with pytest.raises(gateway.ConfigError, match="KEY_A is not set"):
        gateway.compiled(config)


def test_what_clients_ask_is_every_virtual_model_or_what_is_named(config: Path) -> None:
    routes = {route.name: route.providers for route in gateway.virtual(gateway.compiled(config)[0])}
    assert routes == {"smart": ("alpha", "beta")}
    config.write_text(CONFIG.partition("[virtual_models]")[0] + 'models = ["big-1"]\n', encoding="utf-8")
    assert [route.name for route in gateway.direct(gateway.compiled(config)[0])] == ["beta/big-1"]
    code, said = invoke("--rehearse", str(config), "--model", "beta/big-2", "--explain")
    assert (code, "did you mean 'beta/big-1'?" in said) == (2, True), said
    code, said = invoke("--rehearse", str(config), "--model", "beta/big-1", "--chaos", "hell", "--explain")
    assert (code, "alpha" in said, "beta" in said) == (0, True, True), "chaos has no virtual model to spare anyone for"


def test_a_config_without_any_model_cannot_be_rehearsed(config: Path) -> None:
    config.write_text(CONFIG.partition("[virtual_models]")[0], encoding="utf-8")
    code, said = invoke("--rehearse", str(config))
    assert (code, "add one under [virtual_models]" in said) == (2, True), said


def test_a_virtual_model_of_one_provider_is_spared_and_the_user_is_told(config: Path) -> None:
    config.write_text(CONFIG.replace(', { provider = "beta", model = "big-2" }', ""), encoding="utf-8")
    code, said = invoke("--rehearse", str(config), "--for", "500ms")
    assert code == 4, said
    assert "note: smart: one provider" in said
    assert "NOT TESTED: smart: alpha is all" in said


@pytest.mark.parametrize(
    ("vector", "verdict"),
    [([text.vector(7, "alpha", ASKED.asked, 8)], "whole"), ([[0.0]], "truncated"), ([], "refused")],
)
def test_an_embedding_is_whole_if_it_is_a_providers_to_the_last_number(vector: list[object], verdict: str) -> None:
    answer = Answer("embeddings")
    answer.line(json.dumps({"data": [{"embedding": one} for one in vector]}), events=False)
    answer.end(stream=False, status=200)
    assert answer.verdict(ASKED, 7, (Upstream("beta"), Upstream("alpha")))[0] == verdict


@pytest.mark.parametrize("protocol", ["chat", "completions", "messages", "responses", "embeddings", "json"])
@pytest.mark.parametrize("member", ["choices", "content", "output", "data", "results"])
@pytest.mark.parametrize("value", ["[null]", "[7]", '{"a":1}', "7", '[{"message":null,"content":7}]'])
def test_a_body_of_no_known_shape_is_refused_and_stops_no_client(protocol: str, member: str, value: str) -> None:
    """A gateway under test may answer anything."""
    answer = Answer(protocol)
    answer.line(f'{{"{member}":{value}}}', events=False)
    answer.end(stream=False, status=200)
    assert answer.error in ("an answer of no known shape", "200 without an answer") or answer.vectors


def test_a_config_that_does_not_validate_is_no_failed_rehearsal(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[[providers]]\nname = 3\n", encoding="utf-8")
    code, said = invoke("--rehearse", str(file))
    assert (code, "bad.toml" in said) == (2, True), said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--grade", "client_errors = 0"), "write 'client_errors == 0'"),
        (("--grade", "errors == 0"), "did you mean 'client_errors'?"),
        (("--grade", "quality == 0"), "write one of"),
        (("--grade", "failover < 1s"), "write failover.p50 or failover.p99"),
        (("--grade", "broken.p50 < 1"), "write one of"),
        (("--grade", "broken < 1s"), "broken is a number; leave out the unit"),
        (("--grade", "failover.p99 < 1h"), "'failover.p99 < 500ms'"),
        (("--grade", "amplificatoin < 2"), "'amplificatoin < 2': did you mean 'amplification'?"),
        (("--grade", "recovry.p50 < 2s"), "'recovry.p50 < 2s': did you mean 'recovery'?"),
        (("--grade", "ttft.p98 < 1s"), "'ttft.p98 < 1s': write ttft.p50 or ttft.p99"),
        (("--grade", "gamma closed by 45s"), "'gamma closed by 45s': unknown provider 'gamma'; there are "),
        (("--grade", "alpha closed"), "'alpha closed by 45s'"),
        (("--grade", "alpha closed by soon"), "is not a duration"),
        (("--pace", "quick"), "write ttft, itl, out or load"),
        (("--tls",), "--tls: not for a rehearsal; leave it out"),
        (("--port", "9000", "--host", "::1"), "--host, --port: not for a rehearsal; leave them out"),
        (("--report", "/proc/nonexistent/r.html"), "/proc/nonexistent/r.html cannot be written"),
        (("--scene", "/nonexistent.toml"), "does not exist"),
        (("--for", "0s"), "write 60s or 500ms"),
    ],
)
def test_a_wrong_option_of_a_rehearsal_is_a_usage_error(config: Path, arguments: tuple[str, ...], words: str) -> None:
    code, said = invoke("--rehearse", str(config), *arguments)
    assert (code, words in said) == (2, True), said


@pytest.mark.parametrize("kind", ["tls-abort", "tls-expired"])
def test_a_fault_that_needs_tls_is_refused_since_it_would_never_strike(config: Path, kind: str, tmp_path: Path) -> None:
    scene = tmp_path / "scene.toml"
    scene.write_text(f'[[scene]]\non = "alpha"\nfaults = ["429 10%", "{kind}"]\n', encoding="utf-8")
    code, said = invoke("--rehearse", str(config), "--scene", str(scene))
    words = f"scene 'scene 1': {kind!r} needs TLS, which no rehearsal speaks; play it with oxllm sim --tls"
    assert (code, words in said) == (2, True), said


@pytest.mark.slow
def test_a_findings_coordinate_is_explained_under_the_same_config(config: Path) -> None:
    key = attempt_key(Questions(7, {"smart": ["big-1"]}, 0.8)[12].asked, 1)
    code, said = invoke("--rehearse", str(config), "--chaos", "rough", "--fate", f"7:alpha:{key}")
    assert (code, said.startswith(f"request {key} of alpha under seed 7:")) == (0, True)
    assert invoke("--rehearse", str(config), "--chaos", "rough", "--fate", "7:alpha:12") == (0, said), "question 12"
    code, said = invoke("--rehearse", str(config), "--chaos", "rough", "--seed", "7", "--explain")
    assert (code, "alpha" in said) == (0, True)
    assert invoke("--rehearse", str(config), "--fate", "7:gamma:12")[0] == 2
    short = invoke("--rehearse", str(config), "--chaos", "rough", "--fate", "7:alpha:12", "--for", "5s")[1].splitlines()
    assert len(short) == 3, "there is no further than the run"


def test_an_exhibit_is_rehearsed_at_the_provider_that_is_asked_first(config: Path) -> None:
    asked = ("--rehearse", str(config), "--exhibit", "openai-2024-08-16", "--for", "128s", "--explain")
    code, said = invoke(*asked)
    lines = [line.split() for line in said.splitlines()[1:]]
    assert (code, {line[1] for line in lines}) == (0, {"alpha"}), said
    assert [line[0] for line in lines] == ["10s..14s", "14s..54s", "93s..95s", "95s..108s"]
    assert invoke(*asked, "--chaos", "mild")[0] == 2


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.slow
def test_what_is_advised_is_tried_with_the_same_seed_and_told_beside_what_was(config: Path, as_json: bool) -> None:
    scene = config.parent / "scene.toml"
    scene.write_text('[[scene]]\non = "alpha"\nfaults = ["cut@token:4 40%"]\n', encoding="utf-8")
    options = (
        "--scene",
        str(scene),
        "--for",
        "2s",
        "--rps",
        "20",
        "--streams",
        "100",
        "--model",
        "smart",
        "--seed",
        "7",
    )
    output = ("--json",) if as_json else ()
    done = CliRunner().invoke(sim_command, ["--rehearse", str(config), *options, "--try-advice", *output])
    said = done.stdout
    if as_json:
        card = json.loads(said)
        heeded = card["with_advice"]
        assert (card["broken"] > 2, heeded["broken"], heeded["verdict"]) == (True, 0, "passed")
        assert heeded["fates"].items() & card["fates"].items()
        return
    before, now = re.findall(r"^errors after content +(\d+) +(\d+)$", said, re.MULTILINE)[0]
    assert (int(before) > 2, int(now)) == (True, 0), said
    assert re.search(r"^faults of both runs: [1-9]\d* attempts of both compared, all alike$", said, re.MULTILINE)


def test_where_nothing_is_advised_there_is_nothing_to_try_and_that_is_said(config: Path) -> None:
    scene = config.parent / "scene.toml"
    scene.write_text("", encoding="utf-8")
    code, said = invoke("--rehearse", str(config), "--scene", str(scene), "--for", "300ms", "--try-advice")
    assert (code, "nothing is advised that could be tried" in said) == (0, True), said


@pytest.mark.slow
def test_a_gateway_that_asks_others_is_not_tested_and_it_is_said_where_to_point_it() -> None:
    first, own, others = free_ports(3)
    commands = [
        [sys.executable, "-m", "oxllm", "sim", "--port", str(others)],
        [sys.executable, str(Path(__file__).parent / "naive_proxy.py"), str(own), f"http://127.0.0.1:{others}/v1"],
    ]
    with contextlib.ExitStack() as stack:
        for command in commands:
            quiet = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.enter_context(quiet)
            stack.callback(quiet.terminate)
        assert eventually(lambda: answers(others, "/v1/models"))
        options = ("--against", f"http://127.0.0.1:{own}/v1", "--model", "smart", "--port", str(first), "--for", "1s")
        code, said = invoke(*options, "--chaos", "rough", "--seed", "7")
    assert code == 4, said
    assert "NOT TESTED: the gateway asked none of the simulated providers" in said
    where = f"alpha at http://127.0.0.1:{first}/v1, beta at http://127.0.0.1:{first + 1}/v1"
    assert f"note: your gateway has asked neither of {where}; point it at them" in said


@pytest.mark.slow
async def test_any_gateway_is_asked_the_same_and_the_naive_one_fails(tmp_path: Path) -> None:
    """The proxy is started by hand, after the rehearsal, and pointed at the ports that were told."""
    first, own = free_ports(2)
    url, page = f"http://127.0.0.1:{own}/v1", tmp_path / "card.json"
    options = ("--against", url, "--model", "smart", "--port", f"{first}", "--for", "3s", "--rps", "20", "--seed", "7")
    scene = tmp_path / "scene.toml"
    scene.write_text('[upstream.alpha]\nfaults = ["500 20%", "cut@token:6 15%"]\n', encoding="utf-8")
    command = [sys.executable, "-m", "oxllm", "sim", *options, "--scene", str(scene)]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as rehearsal:
        assert rehearsal.stderr is not None
        while "start your gateway now" not in rehearsal.stderr.readline():
            pass
        proxy = [
            sys.executable,
            str(Path(__file__).parent / "naive_proxy.py"),
            str(own),
            f"http://127.0.0.1:{first}/v1",
        ]
        with subprocess.Popen(proxy, stderr=subprocess.DEVNULL) as naive:
            said, told = rehearsal.communicate(timeout=60)
            naive.terminate()
    card = json.loads(said)
    assert (rehearsal.returncode, card["verdict"]) == (1, "failed"), told
    assert card["truncated"] > 0
    assert card["command"].startswith(f"oxllm sim --against {url} --scene")
    page.write_text(said, encoding="utf-8")
    read = report.read(page)
    beside = report.beside(read, read).splitlines()
    assert beside[1] == f"right: {read.command}"
    assert beside[-2].split() == ["verdict", "failed", "failed"]
    assert re.fullmatch(r"faults of both runs: [1-9]\d* attempts of both compared, all alike", beside[-1])


@pytest.mark.parametrize("path", ["/v1", "/api"])
async def test_a_base_url_without_its_v1_is_asked_about(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Sim("alpha", faults={"alpha": ["404"]}) as gateway:
        await External(gateway.url("alpha").removesuffix("/v1") + path, {"alpha": "http://x/v1"}).start()
    asked = "/models is a 404 there; is /v1 missing at the end of --against?" in capsys.readouterr().err
    assert asked is not path.endswith("/v1")


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, as far as one can know, nor those behind each: two providers take both."""
    chosen: list[int] = []
    while len(chosen) < count:
        port = free_port()
        if all(abs(port - one) > 1 for one in chosen):
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                chosen.append(port)
    return chosen


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--against", "http://127.0.0.1:1/v1"), "give --model NAME"),
        (("--against", "localhost:4000/v1", "--model", "m"), "write its base URL, such as http://127.0.0.1:4000/v1"),
        (("--key-env", "KEY"), "only for --against"),
        (("--header", "a: b"), "only for --against"),
        (("--against", "http://x/v1", "--model", "m", "--try-advice"), "--try-advice: only for --rehearse CONFIG"),
        (("--against", "http://x/v1", "--model", "m", "--header", "a b"), "write 'NAME: VALUE'"),
        (("--against", "http://x/v1", "--model", "m", "--key-env", "NOT_SET"), "NOT_SET: the environment variable"),
        (("--against", "http://x/v1", "--model", "m", "--host", "::1"), "--host: not for a rehearsal; leave it out"),
    ],
)
def test_what_is_asked_of_a_foreign_gateway_is_checked(options: tuple[str, ...], words: str) -> None:
    code, said = invoke(*options)
    assert (code, words in said) == (2, True), said


def test_a_report_without_a_rehearsal_is_a_usage_error() -> None:
    assert invoke("--json")[0] == 2


def card(records: Sequence[Record] = (), samples: Sequence[Sample] = ()) -> Card:
    scenario = Scenario(7, (Upstream("alpha"), Upstream("beta")))
    return grade.grade(Recorded(scenario, {"smart": NAMES}, 60.0, [], records, samples), ())


def attempt(ordinal: int, at: float, hint: float | None = None, ended: float | None = None) -> Record:
    record = Record("alpha", ordinal, str(ordinal), at, 1, "POST", "/v1/chat/completions", "m", "asked")
    record.hint, record.ended = hint, ended
    return record


def test_an_attempt_before_the_wait_is_over_is_a_violation_and_one_on_its_way_is_none() -> None:
    refused = attempt(1, 10.0, hint=5.0, ended=10.1)
    assert [card([refused, attempt(2, at)]).retry_after_violations for at in (10.2, 12.0, 15.0)] == [0, 1, 0]
    assert card([refused, attempt(2, 12.0)]).findings[0].coordinates == ("7:alpha:2",)


def test_a_later_shorter_wait_does_not_end_an_earlier_longer_one() -> None:
    records = [attempt(1, 10.0, hint=20.0, ended=10.0), attempt(2, 10.1, hint=1.0, ended=10.1), attempt(3, 20.0)]
    assert card(records).retry_after_violations == 1


@pytest.mark.parametrize(
    ("rule", "met"),
    [
        ("failover.p99 < 500ms", False),
        ("failover.p99 < 1.5s", True),
        ("failover.p50 >= 1", True),
        ("recovery.p50 < 1ms", True),
    ],
)
def test_a_grade_compares_times_and_one_that_was_never_measured_is_short_enough(rule: str, met: bool) -> None:
    first, second = attempt(1, 1.0, ended=2.0), attempt(1, 3.0)
    second.provider = "beta"
    assert expect.met(rule, card([first, second]), []) is met


def test_an_error_is_no_gateways_fault_where_every_provider_has_a_limit() -> None:
    refused = Transcript(0, "smart", True, "asked", 1.0, verdict="refused")
    for limited, avoidable in ((("alpha", "beta"), 0), (("alpha",), 1)):
        some = {name: limits.parse("5 rpm") for name in limited}
        upstreams = tuple(Upstream(name, limit=some.get(name, limits.Limits())) for name in NAMES)
        found = grade.grade(Recorded(Scenario(7, upstreams), {"smart": NAMES}, 60.0, [refused], [], []), ())
        assert (found.client_errors, found.survivable_errors) == (1, avoidable)


def recovery(*arrivals: float, on: str = "alpha") -> float | None:
    """As the card says after outages of 10s..20s and 40s..50s, of a run of 60 s."""
    dark = tuple(
        Scene(f"dark {when}", (on,), (grammar.parse("refuse"),), when) for when in (When(10, 20), When(40, 50))
    )
    scenario = Scenario(7, (Upstream("alpha"), Upstream("beta")), dark)
    records = [attempt(number, at) for number, at in enumerate(arrivals, 1)]
    return grade.grade(Recorded(scenario, {"smart": NAMES}, 60.0, [], records, []), ()).recovery.p99


def test_the_time_back_after_an_outage_is_that_of_the_next_request_there_or_as_long_as_none_came() -> None:
    assert recovery(5.0, 21.0, 22.0, 53.0) == 3.0
    assert recovery(5.0, 21.0) == 10.0, "not since the second one, until the end"
    assert recovery(5.0) == 20.0, "not between the two"
    assert recovery(5.0, on="beta") is None, "nobody prefers it"


def test_an_attempt_between_two_samples_of_an_open_breaker_is_a_violation() -> None:
    samples = [
        Sample(at, {"alpha": "open"}, {"alpha": left}, None) for at, left in ((1.0, 2.0), (2.0, 1.0), (4.0, 5.0))
    ]
    assert card([attempt(1, 1.5)], samples).open_violations == 1
    assert card([attempt(1, 3.5)], samples).open_violations == 0, "it may have been half-open between"


@pytest.mark.parametrize(("started", "violations"), [(0.5, 0), (1.2, 1)])
def test_an_attempt_that_was_on_its_way_when_the_breaker_opened_is_no_violation(
    started: float, violations: int
) -> None:
    samples = [Sample(at, {"alpha": "open"}, {"alpha": 9.0 - at}, None) for at in (1.0, 2.0, 3.0)]
    seen = Transcript(1, "smart", stream=True, asked="asked", started=started, verdict="whole")
    scenario = Scenario(7, (Upstream("alpha"), Upstream("beta")))
    found = grade.grade(Recorded(scenario, {"smart": NAMES}, 60.0, [seen], [attempt(1, 2.5)], samples), ())
    assert found.open_violations == violations


@pytest.mark.parametrize(
    ("out", "asked_before", "violations"),
    [((), (), 1), (("alpha",), (), 1), (("alpha", "beta"), (), 0), (("alpha",), ("beta",), 0)],
)
def test_the_last_resort_of_a_question_is_no_violation(
    out: tuple[str, ...], asked_before: tuple[str, ...], violations: int
) -> None:
    samples = [Sample(at, {"alpha": "open"}, {"alpha": 9.0 - at}, None, frozenset(out)) for at in (1.0, 2.0, 3.0)]
    seen = Transcript(1, "smart", stream=True, asked="asked", started=2.1, verdict="whole")
    records = [attempt(1, 2.5)]
    for name in asked_before:
        records.insert(0, Record(name, 1, "1", 2.2, 1, "POST", "/v1/chat/completions", "m", "asked"))
    scenario = Scenario(7, (Upstream("alpha"), Upstream("beta")))
    found = grade.grade(Recorded(scenario, {"smart": NAMES}, 60.0, [seen], records, samples), ())
    assert found.open_violations == violations


def test_a_breaker_is_closed_by_a_time_if_the_first_sample_after_it_says_so() -> None:
    samples = [
        Sample(at, {"alpha": state}, {}, None) for at, state in ((1.0, "closed"), (2.0, "open"), (3.0, "closed"))
    ]
    assert [expect.met(f"alpha closed by {at}s", card(), samples) for at in (1, 2, 3, 4)] == [True, False, True, False]


@pytest.mark.parametrize(
    ("lines", "error", "content", "finished"),
    [
        (
            [
                'data: {"choices":[{"delta":{"content":"a"}}]}',
                'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}',
            ],
            None,
            "a",
            True,
        ),
        (['data: {"choices":[{"delta":{"content":"a"}}]}', "data: [DONE]"], None, "a", False),
        (['data: {"error":{"code":"x"}}'], "error event x", "", False),
        (["data: nonsense"], "an event that is no JSON", "", False),
        (['data: {"choices":[{"delta":null}]}'], "an event of no known shape", "", False),
        (['data: {"choices":[{"delta":{"content":["a"]}}]}'], "an event of no known shape", "", False),
        ([": ping", "", 'data: {"choices":[],"usage":{}}'], None, "", False),
    ],
)
def test_a_client_reads_a_stream_as_an_sdk_does(
    lines: list[str], error: str | None, content: str, finished: bool
) -> None:
    answer = Answer()
    for line in lines:
        answer.line(line, events=True)
    answer.end(stream=True, status=200)
    assert (answer.error, answer.content, answer.finished) == (error, content, finished)


@pytest.mark.parametrize("late_s", [0.004, 0.45])
def test_two_runs_of_one_seed_give_the_same_faults_to_the_same_questions_wherever_scenes_begin(late_s: float) -> None:
    """Each scene begins a few milliseconds after a question is due, and a busy machine asks later than that."""
    first, second = edged(lambda _: 0.0), edged(lambda number: late_s * (number % 5) / 4)
    found = likeness(first, second)
    assert found.differing == ()
    assert found.compared > 30
    assert sum(map(bool, first.values())) > 5


def test_a_machine_that_is_a_second_late_plays_another_run() -> None:
    assert likeness(edged(lambda _: 0.0), edged(lambda _: 0.7)).differing


def edged(late: Callable[[int], float]) -> Mapping[str, str]:
    """The fates of two seconds in which a scene begins and another ends behind every second question."""
    windows = [When(round(0.1 * n + 0.004, 3), round(0.1 * n + 0.104, 3)) for n in range(20)]
    faults = tuple(map(grammar.parse, ("500 30%", "cut@token:3 10%", "rst 10%")))
    table = tuple(Scene(f"{n}", ("alpha",), faults, when) for n, when in enumerate(windows))
    scenario = Scenario(7, (Upstream("alpha"), Upstream("beta")), table)
    questions = Questions(7, {"smart": ["big-1"]}, 0.8)
    run = played(scenario, make_plan("alpha", "beta"), {"smart": ["alpha", "beta"]}, questions, 2.0, 20.0, late=late)
    assert run.card.truncated == 0
    return fates(run.recorded.records)


def test_attempts_that_met_something_else_are_named() -> None:
    one, other = {"alpha:a.1": "500", "alpha:b.1": "", "beta:a.1": ""}, {"alpha:a.1": "", "alpha:b.1": ""}
    assert likeness(one, other) == Likeness(2, ("alpha:a.1",))
    assert str(likeness(one, other)) == "2 attempts of both compared, 1 differ: alpha:a.1"
    assert str(likeness(one, one)) == "3 attempts of both compared, all alike"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"openai:a.1": ""}, "their providers have other names: alpha, beta here and openai there"),
        ({"alpha:x.1": ""}, "their providers were asked other questions"),
    ],
)
def test_where_nothing_can_be_compared_it_is_said_why(other: dict[str, str], why: str) -> None:
    said = str(likeness({"beta:b.1": "", "alpha:a.1": "500", "alpha:b.1": ""}, other))
    assert said == f"nothing of both could be compared: {why}"


@given(st.floats(0.1, 100), st.lists(st.floats(0.1, 60), max_size=6), st.integers(0, 400))
def test_no_question_is_due_beside_an_edge_and_each_when_the_one_before_it_or_later(
    rps: float, edges: list[float], number: int
) -> None:
    schedule = Schedule(rps, [Scene("s", ("alpha",), (), When(edge, edge + 7)) for edge in edges])
    due = schedule.due(number)
    assert due >= max(number / rps, schedule.due(number - 1) if number else 0)
    assert all(abs(due - moment) > CLEAR_S - 1e-6 for edge in edges for moment in (edge, edge + 7))


def test_what_never_ended_counts_as_unfinished() -> None:
    scenario = Scenario(7, (Upstream("alpha"),))
    waiting = Transcript(0, "smart", True, "asked", 0.0)
    assert grade.grade(Recorded(scenario, {"smart": ["alpha"]}, 60.0, [waiting], [], []), ()).unfinished == 1


def test_the_command_of_a_run_says_all_that_it_hangs_on(config: Path) -> None:
    asked = Request(
        config=config,
        chaos="hell",
        scene=None,
        exhibit=None,
        blackout=True,
        seed=7,
        chosen=True,
        duration=90.0,
        rps=2.5,
        streams=0.8,
        pace="fast",
        grade=("broken < 9",),
    )
    again = asked.replay(8)
    assert again.run == (
        f"oxllm sim --rehearse {config} --chaos hell --blackout --for 90s "
        "--seed 8 --rps 2.5 --streams 80 --pace fast --grade 'broken < 9'"
    )
    assert again.fate("8:it's:3").endswith("--blackout --for 90s --fate '8:it'\"'\"'s:3'")
    headed = msgspec.structs.replace(asked, against="http://x/v1", key="sk-1", headers=("x-how: a: b",))
    assert headed.sent == {"authorization": "Bearer sk-1", "x-how": "a: b"}
    assert headed.replay(8).run.endswith(" --header 'x-how: a: b'")
    assert "sk-1" not in headed.replay(8).run
    scened = msgspec.structs.replace(asked, scene=Path("s.toml")).replay(8)
    assert scened.fate("8:alpha:3") == f"oxllm sim --rehearse {config} --scene s.toml --for 90s --fate 8:alpha:3"
