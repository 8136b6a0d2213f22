"""What is promised of a rehearsal, on the virtual clock: 90 s of each preset under ten seeds, and some odd configs.

`tests/e2e/test_rehearsal.py` has it on real sockets for one seed, `tests/soak/test_rehearsals.py` for all."""

from __future__ import annotations

import msgspec
import pytest

from oxllm import plan as plans
from oxllm.plan import Plan, Target
from oxllm.sim.provider import pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal.card import Verdict
from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.script import presets, scenes
from tests.support.by_hand import make_plan
from tests.support.virtual_rehearsal import PACE, SEEDS, played, rehearsed, shipped, summary

THREE = ("alpha", "beta", "gamma")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("chaos", presets.NAMES)
@pytest.mark.slow
def test_clients_of_the_shipped_config_see_no_error_of_a_preset_before_content(chaos: str, seed: int) -> None:
    card = rehearsed(shipped(), chaos, seed, duration=90.0, rps=1.5).card
    assert card.failed == (), summary(card)
    assert {name for name, reason in card.survivable.items() if reason} <= set(card.single_points)
    assert card.whole + card.broken + card.client_errors == card.requests
    assert card.rescued <= card.rescuable
    assert card.rescued > 0 or chaos == "mild"


def many() -> Plan:
    """Tiers, embeddings, and a model with limits of its own, all over the same providers."""
    tiers = tuple(Target(name, "big-1", tier) for name, tier in zip(THREE, (1, 1, 2), strict=True))
    models = (
        plans.VirtualModel("tiered", tiers),
        plans.VirtualModel("vectors", tuple(Target(name, "text-embed", tier) for tier, name in enumerate(THREE, 1))),
        plans.VirtualModel("back", tuple(reversed(tiers)), hold_back=plans.HoldBack(tokens=20), hedge_after=1.0),
    )
    return plans.Plan(providers=make_plan(*THREE).providers, virtual_models=models)


def speaking(**hosts: str) -> Plan:
    """Providers at these addresses, which their dialects follow from."""
    plan = make_plan(*hosts)
    moved = tuple(msgspec.structs.replace(one, host=hosts[one.name], port=443) for one in plan.providers)
    return msgspec.structs.replace(plan, providers=moved)


CONFIGS = {
    "two": make_plan("alpha", "beta"),
    "three": make_plan(*THREE),
    "five": make_plan(*THREE, "delta", "epsilon"),
    "many models": many(),
    "dialects": speaking(a="x.openai.azure.com", b="api.anthropic.com", c="api.groq.com", d="openrouter.ai"),
    "slow breakers": make_plan(*THREE, breaker=plans.Breaker(failures=1, cooldown=30.0, cooldown_max=60.0)),
    "no second tries": make_plan("alpha", "beta", retry=plans.Retry(same_target=0, budget=0.0)),
}


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.slow
def test_clients_of_other_configs_see_no_error_in_four_minutes_of_hell(config: str) -> None:
    card = rehearsed(CONFIGS[config], "hell", 5, duration=240.0, rps=0.8).card
    assert card.failed == (), summary(card)
    assert set(card.survivable.values()) == {None}


def test_a_request_that_waits_for_a_slow_accept_is_not_taken_for_one_that_was_sent_too_early() -> None:
    rough = scenes.over(
        (Upstream("alpha", pace=pace.parse(PACE)), Upstream("beta", pace=pace.parse(PACE))),
        '[[scene]]\nname = "slow"\non = "alpha"\nwhen = "0s..50s"\nfaults = ["slow-accept~1s", "429~5s 30%"]\n',
        7,
    )
    plan = make_plan("alpha", "beta")
    run = played(rough, plan, {"smart": ["alpha", "beta"]}, Questions(7, {"smart": ["big-1"]}, 0.8), 60.0, 8.0)
    assert run.card.kinds["slow-accept"] > 2
    assert run.card.kinds["429"] > 2
    assert [finding.what for finding in run.card.findings] == []


@pytest.mark.parametrize("seed", [1, 2, 6])
def test_in_a_blackout_no_provider_is_pressed_and_no_answer_is_cut_short_unsaid(seed: int) -> None:
    card = rehearsed(make_plan("alpha", "beta"), "hell", seed, duration=60.0, rps=4.0, blackout=True).card
    assert (card.failed, card.verdict) == ((), Verdict.NOT_TESTED), summary(card)
    assert card.client_errors > 0
    assert card.survivable_errors == 0
    assert card.whole + card.broken + card.client_errors == card.requests
