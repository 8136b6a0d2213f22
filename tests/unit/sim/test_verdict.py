"""What counts as harm, as rescued, as passed: the verdict of a card, its exit code, its JUnit document."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
import pytest

from oxllm.sim import faults
from oxllm.sim.provider.ledger import COMPLETE, GONE, KEEP_BYTES, RECORD_BYTES, WORD_MAX, Harm, Ledger, Record
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import expect, grade
from oxllm.sim.rehearsal.card import Card, Spread, Verdict
from oxllm.sim.rehearsal.junit import junit
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.rehearsal.replay import Replay
from oxllm.sim.script import grammar
from oxllm.sim.script.scenario import Scenario, Scene, When

BOTH = ["alpha", "beta"]
TROUBLE = Scene("trouble", ("alpha",), (grammar.parse("500 20%"),))
DARK = Scene("dark", ("alpha",), (grammar.parse("refuse"),), When(10.0, 20.0))


def seen(number: int, verdict: str = "whole", model: str = "smart", protocol: str = "chat") -> Transcript:
    return Transcript(number, model, True, f"q{number}", float(number), verdict=verdict, protocol=protocol)


def attempt(number: int, status: int | None = 200, harm: Harm = Harm.NONE, end: str = COMPLETE) -> Record:
    record = Record("alpha", number + 1, f"{number}", float(number), 1, "POST", "/v1/chat/completions", "m")
    record.asked, record.status, record.harm, record.end = f"q{number}", status, harm, end
    record.fault = None if harm is Harm.NONE else "a fault"
    return record


def graded(
    transcripts: list[Transcript],
    records: list[Record],
    scenes: tuple[Scene, ...] = (TROUBLE,),
    groups: dict[str, list[str]] | None = None,
    chaos: str | None = "rough",
    interrupted: bool = False,
    rules: tuple[str, ...] = ("truncated == 0",),
) -> Card:
    scenario = Scenario(7, tuple(map(Upstream, BOTH)), scenes, chaos)
    groups = groups or {"smart": BOTH}
    run = grade.Recorded(scenario, groups, 60.0, transcripts, records, [], interrupted=interrupted)
    return grade.grade(run, rules)


RESCUED = ([seen(0), seen(1)], [attempt(0, 500, Harm.LOSS), attempt(1)])


@pytest.mark.parametrize(
    ("record", "lost"),
    [
        (attempt(0), False),
        (attempt(0, 429), True),
        (attempt(0, 200, Harm.LOSS), True),
        (attempt(0, 200, Harm.DELAY), False),
        (attempt(0, 200, Harm.DELAY, GONE), True),
        (attempt(0, None, Harm.NONE, GONE), False),
    ],
)
def test_an_attempt_is_lost_when_its_answer_never_came_whole_and_not_when_the_client_left(
    record: Record, lost: bool
) -> None:
    assert record.lost is lost
    assert graded([seen(0)], [record]).rescuable == lost


def test_kinds_that_harm_nobody_are_told_apart() -> None:
    harmless = {kind for kind in faults.KINDS if grammar.fault(kind).harm is Harm.NONE}
    assert harmless == {
        "comments", "split-utf8", "no-done", "hold-open", "lying-headers",
        "no-event-lines", "sequence-gap", "big-event", "twice", "half-open",
    }  # fmt: skip
    commented = attempt(0)
    commented.fault = "comments"
    card = graded([seen(0)], [commented])
    assert (card.kinds, card.harmless) == ({}, {"comments": 1})


def test_a_run_in_which_a_failing_attempt_was_rescued_has_passed() -> None:
    card = graded(*RESCUED)
    assert (card.rescued, card.rescuable, card.verdict) == (1, 1, Verdict.PASSED)


def test_a_rule_that_is_not_kept_goes_before_what_was_not_tested() -> None:
    card = graded([seen(0, "truncated")], [attempt(0)], interrupted=True)
    assert (card.failed, card.verdict) == (("truncated == 0",), Verdict.FAILED)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (graded(*RESCUED, interrupted=True), "it was interrupted after 60 s"),
        (graded([], []), "nothing was asked"),
        (graded([seen(0)], [attempt(0)]), "no request met a failing attempt"),
        (graded(*RESCUED, groups={"smart": ["alpha"]}), "smart: alpha is all there is behind it"),
        (
            graded([seen(0, "refused")], [], (Scene("all", tuple(BOTH), (grammar.parse("500"),)),)),
            "clients were refused that no gateway could have served: smart",
        ),
    ],
)
def test_what_a_run_does_not_show_is_said_and_never_passed(card: Card, words: str) -> None:
    assert any(words in why for why in card.untested), card.untested
    assert card.verdict is Verdict.NOT_TESTED


@pytest.mark.parametrize("verdict", ["whole", "truncated", "broken"])
def test_answers_of_others_than_the_simulated_providers_blame_no_gateway(verdict: str) -> None:
    card = graded([seen(0, verdict), seen(1, "refused")], [])
    assert (card.verdict, card.failed, card.findings) == (Verdict.NOT_TESTED, (), ())
    assert "the gateway asked none of the simulated providers: its answers are of others" in card.untested


def test_a_gateway_that_refuses_all_and_asks_nobody_fails() -> None:
    card = graded([seen(0, "refused")], [], rules=("survivable_errors == 0",))
    assert (card.verdict, card.survivable_errors) == (Verdict.FAILED, 1)


def test_a_protocol_with_one_provider_is_a_single_point_of_failure_and_the_model_is_tested_all_the_same() -> None:
    groups = {"smart": BOTH, "smart (messages)": ["beta"], "alpha/big": ["alpha"]}
    card = graded(*RESCUED, groups=groups)
    assert card.single_points == {"smart (messages)": "beta", "alpha/big": "alpha"}
    assert card.verdict is Verdict.PASSED
    refused = graded([*RESCUED[0], seen(2, "refused", protocol="messages")], RESCUED[1], groups=groups)
    assert refused.survivable_errors == 1, "beta was clean, so that one was avoidable"


def test_without_an_outage_there_is_no_coming_back() -> None:
    assert graded(*RESCUED).outages == 0
    assert graded(*RESCUED, scenes=(DARK,)).outages == 1


def card_with(ttft: float, perfect: float) -> Card:
    return msgspec.structs.replace(
        graded(*RESCUED), ttft=Spread(ttft, ttft, 9), ttft_perfect=Spread(perfect, perfect, 9)
    )


@pytest.mark.parametrize(("ttft", "met"), [(1.29, True), (1.3, True), (1.31, False)])
def test_a_time_may_be_held_to_a_perfect_gateways(ttft: float, met: bool) -> None:
    assert expect.met("ttft.p99 <= 3 x perfect + 1s", card_with(ttft, 0.1), []) is met
    assert expect.check("ttft.p99 <= 3 x perfect + 1s", BOTH) is None
    assert "ttft and total only" in (expect.check("failover.p99 <= 3 x perfect + 1s", BOTH) or "")
    assert expect.measured("ttft.p99 <= 3 x perfect + 1s", card_with(ttft, 0.1)) == ttft
    assert "ttft.p99 <= 3 x perfect + 1s" in expect.DEFAULT


def test_junit_has_a_case_for_each_rule_and_one_that_was_skipped() -> None:
    card = graded([seen(0, "truncated")], [attempt(0)], interrupted=True)
    suite = ET.fromstring(junit(card, ("truncated == 0", "broken == 0"), 60.0, Replay("my config.toml")))
    assert {name: suite.attrib[name] for name in ("tests", "failures", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "skipped": "1",
    }
    failure = suite.find(".//failure")
    assert failure is not None
    assert (failure.attrib["message"], "--fate 7:alpha:0" in (failure.text or "")) == ("got 1", True)
    skipped = suite.find(".//skipped")
    assert skipped is not None
    assert "interrupted" in skipped.attrib["message"]


def test_a_ledger_forgets_the_oldest_before_it_takes_more_than_its_room() -> None:
    ledger, most = Ledger(), KEEP_BYTES // RECORD_BYTES
    for number in range(most + 10):
        ledger.add(Record("alpha", number, "k", 0.0, 1, "POST", "/x" * 10_000, "m" * 10_000))
    assert len(ledger.records) < most
    assert sum(RECORD_BYTES + len(one.path) + len(one.model or "") for one in ledger.records) <= KEEP_BYTES
    assert ledger.records[-1].ordinal == most + 9
    assert len(ledger.records[-1].path) == WORD_MAX
