"""Who is next: tiers, weights, what was tried, and a reason for each candidate passed over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from oxllm.core.reading.outcome import SUCCESS, Kind
from oxllm.core.routing.breaker import BreakerState
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.route import Candidate
from oxllm.core.routing.router import Router
from tests.support.routers import (
    AB,
    BROKEN,
    choose,
    of,
    opened,
    provider,
    route,
    router,
    run,
    skips,
    start,
    turn,
    virtual,
)


def test_the_first_tier_is_chosen_while_it_is_usable() -> None:
    subject = router(virtual("v", *AB))
    assert [choose(subject) for _ in range(3)] == ["a/m"] * 3
    assert subject.balancer.choose(route(subject), set(), 0.0)[1] == ()


def test_tiers_go_by_number_not_by_place() -> None:
    assert choose(router(virtual("v", "b/m 7", "a/m 3"))) == "a/m"


def test_weights_are_met_smoothly() -> None:
    subject = router(virtual("v", "a/m 1 5", "b/m 1 1", "c/m 1 1"))
    order = [turn(subject) for _ in range(7)]
    assert order == ["a/m", "a/m", "b/m", "a/m", "c/m", "a/m", "a/m"]


def test_each_tier_is_balanced_on_its_own() -> None:
    subject = router(virtual("v", "a/m 1", "b/m 2 2", "c/m 2 1"))
    subject.offline("a")
    assert Counter(turn(subject) for _ in range(30)) == {"b/m": 20, "c/m": 10}


def test_weights_among_the_usable_hold_when_one_is_out() -> None:
    subject = router(virtual("v", "a/m 1 3", "b/m 1 2", "c/m 1 1"))
    subject.offline("a")
    assert Counter(turn(subject) for _ in range(30)) == {"b/m": 20, "c/m": 10}


def test_who_has_just_had_its_turn_is_chosen_if_nobody_else_can_be() -> None:
    subject = router(virtual("v", "a/m 1", "b/m 1", "c/m 1"))
    assert turn(subject) == "a/m"
    subject.offline("b")
    subject.offline("c")
    assert choose(subject) == "a/m"


def test_what_was_tried_is_passed_over_and_when_all_was_nothing_is_left() -> None:
    subject = router(virtual("v", *AB))
    first, second = route(subject).candidates
    assert choose(subject, tried=[first]) == "b/m"
    assert choose(subject, tried=[first, second]) is None
    assert subject.balancer.choose(route(subject), {first.state}, 0.0)[1] == [(first, Skip.TRIED)]


def test_a_target_listed_twice_is_tried_once() -> None:
    subject = router(virtual("v", "a/m 1", "a/m 2"))
    first = route(subject).candidates[0]
    assert choose(subject, tried=[first]) is None


def test_two_targets_on_one_provider_are_both_reachable() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    first = route(subject).candidates[0]
    assert choose(subject, tried=[first]) == "a/n"
    run(subject, "a/m", of(Kind.MISSING))
    assert choose(subject) == "a/n"


def test_a_full_bulkhead_passes_on_and_takes_in_again() -> None:
    subject = router(virtual("v", *AB), providers=[provider("a", max_in_flight=2), provider("b")])
    tickets = [start(subject, "a/m") for _ in range(2)]
    assert skips(subject) == {"a/m": Skip.FULL}
    subject.results.end(tickets[0], SUCCESS, 1.0)
    assert choose(subject) == "a/m"


def test_nothing_goes_to_an_open_provider() -> None:
    subject, now = opened()
    assert skips(subject, now - 0.001) == {"a/m": Skip.OPEN}


def test_exactly_one_request_is_the_probe() -> None:
    subject, now = opened()
    assert choose(subject, now) == "a/m"
    assert start(subject, "a/m", now).probe
    assert skips(subject, now) == {"a/m": Skip.PROBING}


def test_there_is_one_probe_a_provider_not_one_a_target() -> None:
    subject, now = opened(virtual("v", "a/m 1", "a/n 2", "b/m 3"))
    start(subject, "a/m", now)
    assert skips(subject, now) == {"a/m": Skip.PROBING, "a/n": Skip.PROBING}


def test_each_two_seconds_of_probing_twice_as_many_may_probe() -> None:
    subject, now = opened(virtual("v", "a/m 1"))
    probes = []
    for seconds in (0.0, 1.9, 2.0, 4.1, 6.1):
        while choose(subject, now + seconds) is not None:
            probes.append(start(subject, "a/m", now + seconds))
        assert all(ticket.probe for ticket in probes)
        assert len(probes) == 2 ** int(seconds / 2)
    subject.results.end(probes[3], BROKEN, now + 7)
    assert subject.providers["a"].breaker.state(now + 7) is BreakerState.OPEN
    for ticket in probes[:3]:
        assert subject.results.end(ticket, SUCCESS, now + 7) == []


def flaky(subject: Router, name: str) -> None:
    """A provider's breaker has opened, and it is known to answer now and then."""
    for kind in (BROKEN, SUCCESS, BROKEN, SUCCESS, BROKEN, BROKEN, BROKEN):
        run(subject, f"{name}/m", kind)


def last_resort(subject: Router, now: float = 0.0, *, tried: Sequence[Candidate] = ()) -> str | None:
    found = subject.balancer.last_resort(route(subject), {candidate.state for candidate in tried}, now)
    return found.state.name if found is not None else None


def test_whose_breaker_is_open_may_be_asked_by_who_has_nobody_else_if_it_is_flaky_and_not_down() -> None:
    subject = router(virtual("v", *AB))
    run(subject, "b/m", BROKEN, times=3)
    flaky(subject, "a")
    assert choose(subject) is None
    assert last_resort(subject) == "a/m"
    assert last_resort(subject, tried=route(subject).candidates[:1]) is None, "b is down"
    run(subject, "a/m", BROKEN, times=13)
    assert last_resort(subject) is None


@pytest.mark.parametrize("why", ["cooling", "offline", "full"])
def test_a_flaky_provider_is_no_last_resort_where_more_than_its_breaker_says_no(why: str) -> None:
    subject = router(virtual("v", "a/m 1"), providers=[provider("a", max_in_flight=1)])
    flaky(subject, "a")
    if why == "cooling":
        run(subject, "a/m", of(Kind.RATE_LIMITED, 5.0))
    elif why == "offline":
        subject.offline("a")
    else:
        start(subject, "a/m")
    assert last_resort(subject) is None


def test_an_answer_of_a_last_resort_closes_on_trial_and_its_failure_moves_nothing() -> None:
    subject = router(virtual("v", "a/m 1"))
    flaky(subject, "a")
    breaker = subject.providers["a"].breaker
    until, generation = breaker.opens_until, breaker.generation
    first, second = start(subject, "a/m"), start(subject, "a/m")
    assert not subject.results.end(first, BROKEN, 0.0)
    assert (breaker.state(0.0), breaker.opens_until, breaker.generation) == (BreakerState.OPEN, until, generation)
    assert [change.text for change in subject.results.answered(second, 0.0)] == ["breaker open -> closed"]
    assert breaker.halves == 2 * (breaker.settings.failures - 1)
    subject.results.end(second, SUCCESS, 0.0)
    assert breaker.halves == 0
