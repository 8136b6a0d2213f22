"""What a card advises: one sentence with the key and the number, and what heeding it is worth."""

from __future__ import annotations

import msgspec
import pytest

from oxllm import plan as plans
from oxllm.plan import HoldBack, Plan
from oxllm.sim.provider import pace
from oxllm.sim.provider.ledger import Harm, Record
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import advice, grade, waits
from oxllm.sim.rehearsal.card import Card
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.rehearsal.waits import Cause, Wait
from oxllm.sim.script import grammar, scenes
from oxllm.sim.script.scenario import Scenario, Scene, When
from tests.support.by_hand import make_plan
from tests.support.virtual_rehearsal import played

BOTH = ["alpha", "beta"]
HOLE = Scene("hole", ("alpha",), (grammar.parse("blackhole@connect"),), When(10.0, 30.0))


def seen(number: int, started: float, first: float | None, ended: float, verdict: str = "whole") -> Transcript:
    return Transcript(number, "smart", True, f"q{number}", started, first, ended, 200, verdict)


def attempt(number: int, provider: str, arrived: float, ended: float, harm: Harm = Harm.NONE) -> Record:
    record = Record(provider, 1, "1", arrived, 1, "POST", "/v1/chat/completions", "m", f"q{number}")
    record.status, record.harm, record.ended = (200 if harm is Harm.NONE else None), harm, ended
    return record


def found(transcripts: list[Transcript], records: list[Record]) -> list[Wait]:
    scenario = Scenario(7, (Upstream("alpha"), Upstream("beta")), (HOLE,))
    return waits.found(scenario, {"smart": BOTH}, transcripts, records)


def test_a_request_that_nobody_had_while_a_port_was_a_black_hole_waited_for_a_connection() -> None:
    late = seen(0, 12.0, 17.1, 18.0)
    assert found([late], [attempt(0, "beta", 17.0, 18.0)]) == [Wait(0, "alpha", Cause.CONNECT, 5.0)]
    assert found([seen(0, 40.0, 45.1, 46.0)], [attempt(0, "beta", 45.0, 46.0)]) == [], "there was no hole any more"


def test_an_attempt_that_was_lost_before_content_was_a_wait_for_the_first_byte() -> None:
    slow = seen(0, 1.0, 21.2, 22.0)
    records = [attempt(0, "alpha", 1.0, 21.0, Harm.LOSS), attempt(0, "beta", 21.1, 22.0)]
    assert found([slow], records) == [Wait(0, "alpha", Cause.FIRST_BYTE, 20.0)]
    broken = seen(0, 1.0, 1.1, 21.0, "broken")
    assert found([broken], records[:1]) == [], "its client had content"


def card(requests: int = 10) -> Card:
    transcripts = [seen(number, number, number + 0.1, number + 1.0) for number in range(requests)]
    return grade.grade(Scenario(7, (Upstream("alpha"),)), {"smart": ["alpha"]}, transcripts, [], [], 60.0, ())


def test_advice_has_a_share_a_time_a_key_and_a_number() -> None:
    given = advice.advise(make_plan(*BOTH), card(), [Wait(n, "alpha", Cause.CONNECT, 5.0) for n in range(3)])
    assert given[0].text == ("30 % waited 5 s for `alpha` to connect: `timeouts.connect = 1` would have saved 12 s")
    assert (given[0].provider, given[0].key, given[0].seconds) == ("alpha", "connect", 1.0)


@pytest.mark.parametrize(
    "given",
    [
        [Wait(0, "alpha", Cause.CONNECT, 5.0)],
        [Wait(n, "alpha", Cause.CONNECT, 1.1) for n in range(3)],
    ],
    ids=["bad luck", "not worth it"],
)
def test_there_is_no_advice_without_need(given: list[Wait]) -> None:
    assert advice.advise(make_plan(*BOTH), card(), given) == []


def test_a_limit_that_is_as_short_already_is_not_advised() -> None:
    plan = advice.applied(make_plan(*BOTH), [advice.Advice("", "alpha", "connect", 1.0)])
    assert [provider.timeouts.connect for provider in plan.providers] == [1.0, 5.0]
    assert [target.timeouts.connect for target in plan.virtual_models[0].targets] == [1.0, 5.0]
    assert advice.advise(plan, card(), [Wait(n, "alpha", Cause.CONNECT, 5.0) for n in range(3)]) == []


SCENES = '[[scene]]\nname = "hole"\non = "alpha"\nwhen = "5s..45s"\nfaults = ["blackhole@connect"]\n'


def test_heeding_it_is_worth_what_it_says() -> None:
    """The same seed, before and after."""
    speed = pace.parse("ttft 50ms, itl 8ms, out 20..30")
    scenario = scenes.over((Upstream("alpha", pace=speed), Upstream("beta", pace=speed)), SCENES, 7)

    def run(plan: Plan) -> tuple[Card, list[advice.Advice]]:
        done = played(scenario, plan, {"smart": BOTH}, Questions(7, {"smart": ["big-1"]}, 1.0), 60.0, 2.0)
        records = [record for record in done.records if record.ordinal]
        return done.card, advice.advise(plan, done.card, waits.found(scenario, done.groups, done.transcripts, records))

    plan = make_plan(*BOTH)
    before, given = run(plan)
    assert [one.key for one in given] == ["connect"], given
    after, rest = run(advice.applied(plan, given))
    assert (before.ttft.p99 or 0) > 4.0
    assert (after.ttft.p99 or 9) < 1.2
    assert [one.key for one in rest] == []


@pytest.mark.parametrize(
    ("hold", "at"),
    [(HoldBack(), 0.05), (HoldBack(tokens=11), 0.15), (HoldBack(seconds=0.1), 0.15), (HoldBack(full=True), 0.24)],
)
def test_what_a_config_asks_to_be_held_is_not_blamed_on_the_gateway(hold: plans.HoldBack, at: float) -> None:
    speed = pace.parse("ttft 50ms, itl 10ms, out 20")
    scenario = Scenario(7, (Upstream("alpha", pace=speed),))
    (first,) = grade.perfect(scenario, [seen(0, 0.0, 0.1, 1.0)], {"smart": ["alpha"]}, True, {"smart": hold})
    assert first == pytest.approx(at)


def test_a_card_tells_each_model_and_protocol_and_each_provider() -> None:
    transcripts = [
        seen(0, 0.0, 0.1, 1.0),
        msgspec.structs.replace(seen(1, 1.0, None, 2.0, "refused"), protocol="messages"),
    ]
    records = [attempt(0, "alpha", 0.0, 1.0), attempt(1, "beta", 1.0, 2.0, Harm.LOSS)]
    groups = {"smart": BOTH, "smart (messages)": ["beta"]}
    made = grade.grade(Scenario(7, (Upstream("alpha"), Upstream("beta"))), groups, transcripts, records, [], 60.0, ())
    assert (made.lanes["smart"].whole, made.lanes["smart (messages)"].refused) == (1, 1)
    assert made.providers == {"alpha": (1, 0), "beta": (1, 1)}
    assert (
        "`smart (messages)` was refused 1 time, since only `beta`" in advice.advise(make_plan(*BOTH), made, [])[0].text
    )
