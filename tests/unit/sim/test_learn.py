"""A scene that is learnt from a log plays what the log tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from oxllm.sim.cli import sim_command
from oxllm.sim.provider.chance import Chance
from oxllm.sim.script import learn, scenes

SECRET = "my prompt"


def of_oxllm(number: int) -> str:
    """Nine answers of alpha and one of beta, after alpha had failed."""
    failed = number % 10 == 9
    record = {
        "time": 1.0, "event": "request", "id": f"oxllm-{number}", "protocol": "chat", "model": SECRET, "status": 200,
        "provider": "beta" if failed else "alpha", "upstream_model": "m", "attempts": 1 + failed, "stream": True,
        "first_content_ms": 400.0 + number, "total_ms": 2400.0 + number, "completion_tokens": 101, "end": "ok",
        "failed": ["alpha/m: too busy"] if failed else [], "failed_status": [503] if failed else [],
    }  # fmt: skip
    return json.dumps(record)


def test_oxllms_own_log_tells_pace_sizes_and_shares() -> None:
    text = learn.scene([of_oxllm(number) for number in range(100)])
    scenario = scenes.load(text, 7)
    alpha, beta = scenario.upstreams
    assert (alpha.name, beta.name) == ("alpha", "beta")
    assert alpha.pace.ttft.mean == pytest.approx(0.45, abs=0.01)
    assert alpha.pace.itl.mean == pytest.approx(0.02, abs=0.001)
    assert alpha.pace.length(Chance(1, "a", 1).draw("x")) == 101
    (scene,) = scenario.scenes
    assert (scene.on, [str(dosed) for dosed in scene.faults]) == (("alpha",), ["503 10%"])
    assert SECRET not in text


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, None),
        (413, None),
        (422, None),
        (402, "429-quota"),
        (403, "401"),
        (408, "500"),
        (500, "500"),
        (504, "504-html"),
        (520, "500"),
    ],
)
def test_a_status_that_no_fault_is_named_after_is_the_nearest_or_the_clients_own(
    status: int, fault: str | None
) -> None:
    record = json.loads(of_oxllm(0))
    failed = record | {"failed": [f"alpha/m: HTTP {status}"], "failed_status": [status], "provider": None, "end": "x"}
    access = f'- "POST /v1/chat/completions HTTP/1.1" {status} 512 "-" "x" 1.250'
    for line, healthy in ((json.dumps(failed), of_oxllm(0)), (access, access.replace(f" {status} ", " 200 "))):
        text = learn.scene([line, healthy])
        assert ("faults" in text) == (fault is not None)
        assert fault is None or f'faults = ["{fault} 50%"]' in text
        assert text.startswith("# Learnt from 2 attempts.")


def test_litellms_log_is_read_too() -> None:
    good = {"startTime": 10.0, "completionStartTime": 10.3, "endTime": 12.0, "status": "success", "stream": True}
    good |= {"custom_llm_provider": "openai", "completion_tokens": 50, "messages": [{"content": SECRET}]}
    asked_wrongly = good | {"status": "failure", "error_information": {"error_code": "400"}}
    assert "faults" not in learn.scene([json.dumps(asked_wrongly)])
    bad = {"startTime": 10.0, "endTime": 10.1, "status": "failure", "custom_llm_provider": "openai"}
    lines = [json.dumps(good)] * 8
    lines += [json.dumps({**bad, "error_information": {"error_code": code}}) for code in ("429", "")]
    (upstream,) = scenes.load(text := learn.scene(lines), 7).upstreams
    assert upstream.pace.ttft.mean == pytest.approx(0.3)
    assert 'faults = ["429 10%", "rst 10%"]' in text
    assert SECRET not in text


def test_an_access_log_tells_the_statuses() -> None:
    line = '127.0.0.1 - - [28/Nov/2026:01:00:00 +0000] "POST /v1/chat/completions HTTP/1.1" {} 512 "-" "x" 1.250'
    text = learn.scene([line.format(200)] * 9 + [line.format(502), "something else"])
    assert "[upstream.provider]" in text
    assert '"502-html 10%"' in text


def test_the_command_prints_a_scene_and_says_when_there_is_nothing_to_learn(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(of_oxllm(number) for number in range(20)), encoding="utf-8")
    done = CliRunner().invoke(sim_command, ["learn", str(log)])
    assert (done.exit_code, scenes.load(done.output, 7).upstreams[0].name) == (0, "alpha")
    piped = CliRunner().invoke(sim_command, ["learn", "-"], input=b"\xff\n" + log.read_bytes())
    assert (piped.exit_code, piped.output) == (0, done.output)
    log.write_text("nothing\n", encoding="utf-8")
    done = CliRunner().invoke(sim_command, ["learn", str(log)])
    assert (done.exit_code, "no line of it is a request" in done.output) == (2, True)


def test_a_provider_is_called_in_the_scene_what_it_is_called_in_the_log() -> None:
    for name in ("al pha", 'quo"ted', "\u00fcber", "a:b"):
        text = learn.scene([of_oxllm(number).replace('"alpha"', json.dumps(name)) for number in (0, 1)])
        (upstream,) = scenes.load(text, 7).upstreams
        assert upstream.name == name


GOOD = json.loads(of_oxllm(0))
CALL = {"startTime": 10.0, "endTime": 12.0, "status": "success"}


WRONG: dict[str, tuple[object, ...]] = {
    "provider": (1, {}, [], True, "", "a/b", "a\nb"),
    "failed": (1, "x", {}, [1], [None]),
    "failed_status": (["x"],),
    "first_content_ms": ("x", [], -1),
    "total_ms": ("x", [], -1),
    "completion_tokens": ("x", 1.5, -1, []),
}
WRONG_CALL: dict[str, tuple[object, ...]] = {
    "startTime": ("x", None, [], -1),
    "endTime": ("x", None, [], -1),
    "custom_llm_provider": (1, [], "\x00"),
}


@pytest.mark.parametrize(
    "line",
    [
        *({**GOOD, key: value} for key, values in WRONG.items() for value in values),
        *({**CALL, key: value} for key, values in WRONG_CALL.items() for value in values),
        [],
        "x",
    ],
    ids=str,
)
def test_a_line_that_is_none_of_its_kind_is_passed_over(line: object) -> None:
    with pytest.raises(learn.NothingLearnt):
        learn.scene([json.dumps(line)])


@pytest.mark.parametrize("lacking", ["first_content_ms", "total_ms", "completion_tokens", "failed", "stream"])
def test_what_a_line_does_not_tell_is_not_learnt(lacking: str) -> None:
    for line in ({key: value for key, value in GOOD.items() if key != lacking}, {**GOOD, lacking: None}):
        assert "[upstream.alpha]" in learn.scene([json.dumps(line)] * 9)


def test_a_clock_that_was_set_back_is_no_time() -> None:
    line = json.dumps({**CALL, "startTime": 13.0, "completionStartTime": 11.0, "stream": True, "completion_tokens": 9})
    (upstream,) = scenes.load(learn.scene([line] * 9), 7).upstreams
    assert upstream.name == learn.NAME
