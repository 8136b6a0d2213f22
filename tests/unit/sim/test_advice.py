"""What a card advises: one sentence with the key and the number, and what heeding it is worth."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from oxllm import plan as plans
from oxllm.plan import HoldBack, Plan, VirtualModel
from oxllm.sim.provider import pace
from oxllm.sim.provider.ledger import Harm, Record
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import advice, grade, waits
from oxllm.sim.rehearsal.advice import Advice, Change
from oxllm.sim.rehearsal.card import Card
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.rehearsal.run import Run
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
    return waits.found(grade.Recorded(scenario, {"smart": BOTH}, 60.0, transcripts, records, []))


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
    run = grade.Recorded(Scenario(7, (Upstream("alpha"),)), {"smart": ["alpha"]}, 60.0, transcripts, [], [])
    return grade.grade(run, ())


def test_advice_has_a_share_a_time_a_key_and_a_number() -> None:
    given = advice.advise(make_plan(*BOTH), card(), [Wait(n, "alpha", Cause.CONNECT, 5.0) for n in range(3)])
    assert given[0].text == ("30 % waited 5 s for `alpha` to connect: `timeouts.connect = 1` would have saved 12 s")
    assert given[0].change == Change("providers", "alpha", "connect", 1.0)


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
    plan = advice.applied(make_plan(*BOTH), [advice.Advice("", Change("providers", "alpha", "connect", 1.0))])
    assert [provider.timeouts.connect for provider in plan.providers] == [1.0, 5.0]
    assert [target.timeouts.connect for target in plan.virtual_models[0].targets] == [1.0, 5.0]
    assert advice.advise(plan, card(), [Wait(n, "alpha", Cause.CONNECT, 5.0) for n in range(3)]) == []


def lost(what: str, plan: Plan, streams: float = 1.0) -> tuple[Run, list[Advice]]:
    """A minute of these scenes, and what its card advises. `streams`: the share of its questions that are."""
    speed = pace.parse("ttft 50ms, itl 8ms, out 20..30")
    scenario = scenes.over((Upstream("alpha", pace=speed), Upstream("beta", pace=speed)), what, 7)
    groups = {"smart": [target.provider for target in plan.virtual_models[0].targets]}
    run = played(scenario, plan, groups, Questions(7, {"smart": ["big-1"]}, streams), 60.0, 2.0)
    return run, advice.advise(plan, run.card, waits.found(run.recorded))


def scene(faults: str, when: str = "5s..45s") -> str:
    return f'[[scene]]\nname = "bad"\non = "alpha"\nwhen = "{when}"\nfaults = ["{faults}"]\n'


def first(run: Run) -> float:
    return run.card.ttft.p99 or 0.0


def slowest(run: Run) -> float:
    """To the end of a whole answer."""
    return run.card.total.p99 or 0.0


def refused(run: Run) -> float:
    return run.card.client_errors


def longest(run: Run) -> float:
    """Of the answers that broke."""
    return max((seen.ended or 0.0) - seen.started for seen in run.recorded.transcripts if seen.verdict == "broken")


TWO = make_plan(*BOTH)
SLOW_BREAKER = make_plan(*BOTH, breaker=plans.Breaker(failures=2, cooldown=20.0, cooldown_max=20.0))
ALONE = make_plan("alpha", retry=plans.Retry(same_target=0))
FEW_RETRIES = make_plan("alpha", retry=plans.Retry(budget=0.0), breaker=plans.Breaker(failures=99))
CAUSES: dict[str, tuple[Plan, str, str, Callable[[Run], float]]] = {
    "connect": (TWO, scene("blackhole@connect"), "connect", first),
    "first byte": (TWO, scene("stall@token:0 20%"), "first_byte", first),
    "answer": (TWO, scene("stall@headers 20%"), "answer", slowest),
    "idle": (TWO, scene("stall@token:4 10%"), "idle", longest),
    "late": (TWO, scene("slow~4s 15%"), "hedge_after", first),
    "broken": (TWO, scene("cut@token:6 20%"), "hold_back", lambda run: run.card.broken),
    "breaker": (SLOW_BREAKER, scene("refuse", "5s..27s"), "cooldown_max", lambda run: run.card.recovery.p99 or 0.0),
    "no second try": (ALONE, scene("500 20%"), "same_target", refused),
    "too few second tries": (FEW_RETRIES, scene("500 30%"), "budget", refused),
}
"""Cause -> a plan, what befalls it, the key that is advised, and the figure that heeding it makes smaller."""


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.slow
def test_heeding_it_is_worth_what_it_says(cause: str) -> None:
    """The same seed, before and after."""
    plan, what, key, figure = CAUSES[cause]
    streams = 0.0 if cause == "answer" else 1.0
    before, given = lost(what, plan, streams)
    heard = [one for one in given if one.change is not None and one.change.key == key]
    assert len(heard) == 1, given
    after, rest = lost(what, advice.applied(plan, heard), streams)
    assert figure(after) < figure(before) / 2
    assert not [one for one in rest if one.change == heard[0].change]


def test_each_key_that_can_be_advised_has_been_heeded() -> None:
    keys = {key for _, _, key, _ in CAUSES.values()}
    told = {cause.value for cause in Cause} - {
        Cause.HINT.value,
        Cause.REFUSED.value,
    }  # no key; `same_target` or `budget`
    assert keys == told | {"same_target", "budget", "cooldown_max"}


def test_a_provider_that_asks_for_a_day_gets_it_until_an_operator_knows_better() -> None:
    _, given = lost(scene("retry-after~86400 x1"), TWO)
    words = "`alpha` asked for a wait of 24 h, and gets it, up to an hour: `oxllm provider reset alpha` ends it when"
    assert [one.text for one in given] == [f"{words} you know better"]
    assert given[0].change is None


@pytest.mark.parametrize(
    ("hold", "at"),
    [(HoldBack(), 0.05), (HoldBack(tokens=11), 0.15), (HoldBack(seconds=0.1), 0.15), (HoldBack(full=True), 0.24)],
)
def test_what_a_config_asks_to_be_held_is_not_blamed_on_the_gateway(hold: plans.HoldBack, at: float) -> None:
    speed = pace.parse("ttft 50ms, itl 10ms, out 20")
    scenario = Scenario(7, (Upstream("alpha", pace=speed),))
    plan = Plan(virtual_models=(VirtualModel("smart", (), hold_back=hold),))
    run = grade.Recorded(scenario, {"smart": ["alpha"]}, 60.0, [seen(0, 0.0, 0.1, 1.0)], [], [], plan)
    (first,) = grade.perfect(run, first=True)
    assert first == pytest.approx(at)


def test_a_card_tells_each_model_and_protocol_and_each_provider() -> None:
    transcripts = [
        seen(0, 0.0, 0.1, 1.0),
        msgspec.structs.replace(seen(1, 1.0, None, 2.0, "refused"), protocol="messages"),
    ]
    records = [attempt(0, "alpha", 0.0, 1.0), attempt(1, "beta", 1.0, 2.0, Harm.LOSS)]
    groups = {"smart": BOTH, "smart (messages)": ["beta"]}
    scenario = Scenario(7, (Upstream("alpha"), Upstream("beta")))
    made = grade.grade(grade.Recorded(scenario, groups, 60.0, transcripts, records, []), ())
    assert (made.lanes["smart"].whole, made.lanes["smart (messages)"].refused) == (1, 1)
    assert made.providers == {"alpha": (1, 0), "beta": (1, 1)}
    assert (
        "`smart (messages)` was refused 1 time, since only `beta`" in advice.advise(make_plan(*BOTH), made, [])[0].text
    )
