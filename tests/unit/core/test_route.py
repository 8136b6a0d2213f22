"""Candidates in tiers: which speak a protocol, whether one can be asked, and when one can be again."""

from __future__ import annotations

import pytest

from oxllm.core.reading.outcome import RULES, Kind
from oxllm.core.routing.cooldown import Skip
from tests.support.routers import AB, label, of, opened, provider, route, router, run, start, virtual


def test_a_virtual_model_without_targets_has_nothing_to_choose() -> None:
    subject = router(virtual("v"), providers=[provider("a")])
    assert subject.balancer.choose(route(subject), set(), 0.0) == (None, ())
    assert route(subject).recovery(0.0) == (None, [])


def test_recovery_is_the_soonest_of_those_that_time_cures() -> None:
    subject = router(virtual("v", "a/m 1", "b/m 2", "c/m 3"))
    run(subject, "a/m", of(Kind.RATE_LIMITED, 40.0))
    run(subject, "b/m", of(Kind.SERVER_ERROR, 20.0))
    subject.offline("c")
    soonest, states = route(subject).recovery(10.0)
    assert soonest == 10.0
    assert [(label(c), skip, left) for c, skip, left in states] == [
        ("a/m", Skip.COOLING, 30.0),
        ("b/m", Skip.WAITING, 10.0),
        ("c/m", Skip.OFFLINE, None),
    ]


@pytest.mark.parametrize("kind", [Kind.QUOTA, Kind.AUTH, Kind.MISSING])
def test_a_mark_that_somebody_has_to_cure_is_no_recovery(kind: Kind) -> None:
    subject = router(virtual("v", "a/m"))
    run(subject, "a/m", of(kind))
    soonest, states = route(subject).recovery(1.0)
    assert soonest is None
    assert states[0][2] == (599.0 if kind is Kind.QUOTA else 59.0)


def test_a_hint_of_over_a_minute_is_out_of_reach() -> None:
    subject = router(virtual("v", "a/m"))
    run(subject, "a/m", of(Kind.RATE_LIMITED, 60.5))
    assert route(subject).recovery(0.0)[0] is None
    assert route(subject).recovery(0.5)[0] == 60.0


def test_recovery_waits_for_both_breaker_and_cooldown() -> None:
    subject, opens = opened(virtual("v", "a/m"))
    subject.providers["a"].targets["m"].cooldown.mark(Skip.COOLING, 0.0, 50.0)
    assert route(subject).recovery(0.0)[0] == 50.0
    assert opens < 50.0


def test_recovery_of_what_is_usable_is_now_and_of_a_probe_or_a_full_one_is_soon() -> None:
    subject = router(virtual("v", "a/m"), providers=[provider("a", max_in_flight=1)])
    assert route(subject).recovery(0.0)[0] == 0.0
    start(subject, "a/m")
    assert route(subject).recovery(0.0)[0] == 1.0
    probing, now = opened(virtual("v", "a/m"))
    start(probing, "a/m", now)
    assert route(probing).recovery(now)[0] == 1.0


def test_usable_says_whether_anything_untried_is_left() -> None:
    subject = router(virtual("v", *AB))
    first, second = route(subject).candidates
    assert route(subject).usable(0.0)
    assert route(subject).usable(0.0, {first.state})
    assert not route(subject).usable(0.0, {first.state, second.state})


def test_only_targets_whose_provider_speaks_the_protocol_are_candidates() -> None:
    providers = (provider("a", protocols=("chat",)), provider("b", protocols=("chat", "messages")))
    whole = route(router(virtual("v", "a/m", "b/m"), providers=providers))
    assert whole.speaking("chat") is whole
    assert whole.speaking("embeddings") is None
    part = whole.speaking("messages")
    assert part is not None
    assert part is whole.speaking("messages")
    assert part.candidates == whole.candidates[1:]
    assert part.counters is whole.counters


@pytest.mark.parametrize("kind", Kind)
def test_another_target_is_asked_as_the_rules_have_it_and_about_refused_content_as_the_route_has_it(kind: Kind) -> None:
    strict = route(router(virtual("v", *AB)))
    lenient = route(router(virtual("v", *AB, content_filter_failover=True)))
    assert strict.fails_over(of(kind)) == RULES[kind].failover
    assert lenient.fails_over(of(kind)) == (RULES[kind].failover or kind is Kind.CONTENT_REFUSED)
