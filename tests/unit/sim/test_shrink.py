"""What fails is made smaller for as long as it fails, and what is written of it plays the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from oxllm.sim import dialects, faults
from oxllm.sim.cli import sim_command
from oxllm.sim.provider import limits, pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal.card import Card, Finding
from oxllm.sim.rehearsal.report import Told, as_json
from oxllm.sim.rehearsal.shrink import OutOfTries, Trial, guesses, heard, shortest
from oxllm.sim.script import exhibits, grammar, presets, scenes, writing
from oxllm.sim.script.scenario import ALWAYS, Scenario, Scene, When
from tests.support.rehearsed import rehearsed

NAMES = ("alpha", "beta")


def scene(name: str, on: str, *texts: str, when: When = ALWAYS) -> Scene:
    return Scene(name, (on,), tuple(map(grammar.parse, texts)), when)


HELL = Trial(
    (
        scene("one", "alpha", "429 30%", "cut@token:3 20%", "500 5%", when=When(10.0, 40.0)),
        scene("dark", "beta", "refuse", when=When(30.0, 60.0)),
        scene("two", "beta", "503 5%"),
    ),
    400,
)


def told(trial: Trial) -> list[str]:
    return [f"{one.on[0]}: {dosed} ({one.when})" for one in trial.scenes for dosed in one.faults]


def test_only_what_the_failure_needs_is_left() -> None:
    """It needs the cut, and the seventh question."""

    def fails(trial: Trial) -> bool:
        return any("cut" in line for line in told(trial)) and trial.questions >= 7

    found = shortest([HELL], fails)
    assert found is not None
    assert (told(found), found.questions) == (["alpha: cut@token:3 x1 (always)"], 7)


def test_of_an_outage_only_the_time_before_it_is_dropped() -> None:
    found = shortest([HELL], lambda trial: any("refuse" in line for line in told(trial)))
    assert found is not None
    assert (told(found), found.questions) == (["beta: refuse (0s..30s)"], 1)


def test_scenes_behind_the_end_of_what_is_played_are_left_out_before_a_run() -> None:
    late = scene("late", "alpha", "500", when=When(8.0, 9.0))
    by_request = scene("third", "alpha", "500", when=When(first=3))
    trial = Trial((scene("now", "alpha", "429"), late, by_request), 70)
    assert heard(trial, 10.0) == msgspec.structs.replace(trial, scenes=(trial.scenes[0], by_request))
    assert heard(trial, 8.0) == trial, "it ends 8.8 s in"


def test_of_many_faults_the_one_that_matters_is_found_in_the_runs_that_are_usual() -> None:
    texts = [f"cut@token:{number} 5%" for number in range(1, 31)]
    hell = Trial(tuple(scene(f"{n}", NAMES[n % 2], *texts, when=When(n, n + 9.0)) for n in range(8)), 600)
    for wanted in ("beta: cut@token:17", "alpha: cut@token:30"):
        runs: list[Trial] = []

        def fails(trial: Trial, runs: list[Trial] = runs, wanted: str = wanted) -> bool:
            runs.append(trial)
            return any(line.startswith(f"{wanted} ") for line in told(trial))

        found = shortest([hell], fails)
        assert found is not None
        assert (told(found), found.questions) == ([f"{wanted} x1 (always)"], 1)
        assert len(runs) <= 60, len(runs)


def test_what_never_fails_has_no_shortest_scene() -> None:
    assert shortest([HELL], lambda _trial: False) is None


def test_who_wants_no_more_runs_gets_the_best_so_far() -> None:
    seen: list[Trial] = []

    def fails(trial: Trial) -> bool:
        if len(seen) == 3:
            raise OutOfTries
        seen.append(trial)
        return True

    found = shortest([HELL], fails)
    assert found is not None
    assert found.questions == 100


def test_what_a_failing_request_met_is_tried_alone_first() -> None:
    card = rehearsed().card
    where = ("7:alpha:aa.1", "7:alpha:aa.2", "7:beta:aa.1", "7:beta:aa.2")
    found = card_of(card, Finding("refused", where))
    met = {"alpha:aa.1": "500", "alpha:aa.2": "rst", "beta:aa.1": "refuse", "beta:aa.2": ""}
    once, always = guesses(found, met, turn=10)
    assert told(once) == ["alpha: 500 x1 (always)", "alpha: rst x1 (always)", "beta: refuse (always)"]
    assert (told(always), always.questions) == (["alpha: 500 (always)", "beta: refuse (always)"], 10)


def card_of(card: Card, *findings: Finding) -> Card:
    return msgspec.structs.replace(card, findings=findings)


def test_a_run_without_findings_has_its_most_frequent_faults_tried() -> None:
    met = {"alpha:a.1": "500", "alpha:b.1": "rst", "beta:c.1": "", "alpha:d.1": "rst"}
    tried = [told(trial) for trial in guesses(card_of(rehearsed().card), met, turn=3)]
    assert tried[0] == ["alpha: rst x1 (always)"]
    assert tried[-1] == ["alpha: 500 (always)"]


WHOLE = st.integers(1, 10**6)
SECONDS = st.integers(0, 10**6).map(lambda ms: ms / 1000)
SPREADS = st.builds(pace.Spread, SECONDS) | st.builds(
    pace.Spread, SECONDS, st.just("lognormal"), st.integers(0, 300).map(lambda n: n / 100)
)
PACES = st.builds(
    pace.Pace, SPREADS, SPREADS, st.tuples(st.integers(1, 50), st.integers(50, 900)), st.none() | st.integers(1, 99)
)
LIMITS = st.builds(
    limits.Limits,
    st.none() | st.builds(limits.Limit, WHOLE, st.sampled_from([1.0, 60.0, 3600.0, 86400.0])),
    st.none() | st.builds(limits.Limit, WHOLE, st.sampled_from([1.0, 60.0, 3600.0, 86400.0])),
)
UPSTREAMS = st.builds(
    Upstream, st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True), st.sampled_from(dialects.NAMES),
    st.lists(st.text(min_size=1), min_size=1, max_size=3).map(tuple), PACES, LIMITS, st.booleans(),
)  # fmt: skip


@given(UPSTREAMS)
def test_an_upstream_that_was_written_is_read_as_it_was(upstream: Upstream) -> None:
    assert scenes.load(writing.toml([upstream], ()), 3).upstreams == (upstream,)


@pytest.mark.parametrize("name", [*exhibits.EXHIBITS, *presets.NAMES])
def test_scenes_that_were_written_play_the_same(name: str) -> None:
    if name in presets.NAMES:
        scenario = Scenario(3, tuple(map(Upstream, NAMES)), presets.timetable(name, 3, [NAMES], 300.0))
    else:
        scenario = exhibits.scenario(name, 3)
    read = scenes.load(writing.toml(scenario.upstreams, scenario.scenes), 3)
    assert read.upstreams == scenario.upstreams
    assert [(one.name, one.on, one.when, list(map(str, one.faults))) for one in read.scenes] == [
        (one.name, one.on, one.when, list(map(str, one.faults))) for one in scenario.scenes
    ]


def test_every_kind_that_was_written_is_read() -> None:
    for kind in faults.KINDS:
        again = scenes.load(writing.toml([Upstream("alpha")], [scene("s", "alpha", kind)]), 3)
        assert str(again.scenes[0].faults[0]) == kind


CONFIG = """
[[providers]]
name = "alpha"
base_url = "https://api.openai.com/v1"
[[providers]]
name = "beta"
base_url = "https://api.groq.com/openai/v1"
[virtual_models]
smart = [{ provider = "alpha", model = "big-1" }, { provider = "beta", model = "big-2" }]
"""
SCENES = """
[[scene]]
name = "bad"
on = "alpha"
faults = ["429~1s 10%", "cut@token:4 30%", "comments 10%"]
[[scene]]
name = "also bad"
on = "beta"
faults = ["503 10%"]
"""


@pytest.mark.slow
def test_the_command_finds_the_one_fault_and_writes_a_test_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(CONFIG, encoding="utf-8")
    Path("bad.toml").write_text(SCENES, encoding="utf-8")
    options = ("--rehearse", "config.toml", "--scene", "bad.toml", "--seed", "7", "--for", "2s", "--rps", "20")
    done = CliRunner().invoke(sim_command, [*options, "--streams", "100", "--grade", "broken == 0", "--json"])
    assert done.exit_code == 1, done.output
    Path("card.json").write_text(done.output[done.output.index("{") :], encoding="utf-8")
    found = CliRunner().invoke(sim_command, ["shrink", "card.json", "-o", "short.toml", "--pytest", "test_short.py"])
    assert found.exit_code == 0, found.output
    assert "broken == 0 is not kept: oxllm sim --rehearse config.toml --scene short.toml" in found.output
    (only,) = scenes.over(tuple(map(Upstream, NAMES)), Path("short.toml").read_text(encoding="utf-8"), 7).scenes
    assert (only.on, [str(dosed) for dosed in only.faults]) == (("alpha",), ["cut@token:4 x1"])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_short.py"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, "FAILED: broken == 0, got 1" in run.stdout) == (1, True), run.stdout


def test_too_few_tries_to_play_all_of_it_are_not_taken_for_a_rule_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(CONFIG, encoding="utf-8")
    failed = msgspec.structs.replace(rehearsed().card, failed=("broken == 0",), findings=())
    fates = {"alpha:a.1": "comments"}  # which breaks nothing
    command = "oxllm sim --rehearse config.toml --for 1s --seed 7 --chaos rough"
    Path("card.json").write_text(as_json(Told(failed, command, fates), 1.0), encoding="utf-8")
    done = CliRunner().invoke(sim_command, ["shrink", "card.json", "--tries", "1"])
    assert done.exit_code == 1
    assert "Error: 1 run was too few to play all of it again; give more --tries" in done.output


def test_a_run_that_has_passed_is_not_shrunk(tmp_path: Path) -> None:
    card, config = tmp_path / "card.json", tmp_path / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    passed = msgspec.structs.replace(rehearsed().card, failed=())
    card.write_text(as_json(Told(passed, f"oxllm sim --rehearse {config}"), 60.0), encoding="utf-8")
    done = CliRunner().invoke(sim_command, ["shrink", str(card)])
    assert (done.exit_code, "there is nothing to shrink" in done.output) == (2, True), done.output


def test_a_run_of_a_config_that_is_not_there_is_told_by_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card says of its command what was typed: from another directory its files are not found."""
    monkeypatch.chdir(tmp_path)
    failed = msgspec.structs.replace(rehearsed().card, failed=("broken == 0",))
    Path("card.json").write_text(as_json(Told(failed, "oxllm sim --rehearse gone.toml"), 1.0), encoding="utf-8")
    done = CliRunner().invoke(sim_command, ["shrink", "card.json"])
    told = "Error: the run of card.json, `oxllm sim --rehearse gone.toml`, cannot be had again here: "
    assert (done.exit_code, told in done.output) == (2, True), done.output
    assert "'gone.toml' does not exist" in done.output
