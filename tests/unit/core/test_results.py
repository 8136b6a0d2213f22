"""What an attempt's result does to its provider's breaker and counters."""

from __future__ import annotations

import msgspec
import pytest

from oxllm.core.reading.outcome import GONE, LOST, SUCCESS, Kind, Outcome
from oxllm.core.routing.breaker import BreakerState
from oxllm.core.routing.cooldown import Skip
from oxllm.plan import Timeouts
from tests.support.routers import AB, BROKEN, choose, of, opened, router, run, skips, start, virtual

COUNTED = {Kind.BAD_ANSWER, Kind.SERVER_ERROR, Kind.NETWORK, Kind.TIMEOUT, Kind.BROKEN}


@pytest.mark.parametrize("kind", Kind)
def test_three_failures_that_count_open_the_breaker_and_no_others_do(kind: Kind) -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", of(kind), times=3)
    is_open = subject.providers["a"].breaker.state(0.0) is BreakerState.OPEN
    assert is_open == (kind in COUNTED)


def test_a_deadline_counts_only_when_the_outcome_says_so() -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", of(Kind.DEADLINE), times=5)
    assert choose(subject) == "a/m"
    run(subject, "a/m", Outcome(Kind.DEADLINE, "x", counts=True), times=3)
    assert skips(subject) == {"a/m": Skip.OPEN}


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.CLIENT_ERROR, Kind.GONE, Kind.LOST, Kind.STOPPED, Kind.AUTH])
def test_what_does_not_count_does_not_end_a_row_of_failures_either(kind: Kind) -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", BROKEN, times=2)
    run(subject, "a/m", of(kind))
    assert run(subject, "a/m", BROKEN)[0].startswith("breaker closed -> open for ")


def test_the_breaker_closes_on_trial_at_its_probes_head_and_one_failure_opens_it_again() -> None:
    subject, now = opened()
    ticket = start(subject, "a/m", now)
    assert [change.text for change in subject.results.answered(ticket, now)] == ["breaker probing -> closed"]
    assert choose(subject, now) == "a/m"
    assert subject.providers["a"].breaker.halves == 4
    subject.results.end(ticket, of(Kind.BROKEN), now)
    assert subject.providers["a"].breaker.state(now) is BreakerState.OPEN


def test_a_whole_answer_ends_the_trial() -> None:
    subject, now = opened()
    ticket = start(subject, "a/m", now)
    subject.results.answered(ticket, now)
    subject.results.end(ticket, SUCCESS, now)
    assert subject.providers["a"].breaker.halves == 0


def test_the_head_of_what_is_no_probe_means_nothing() -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", BROKEN, times=2)
    assert subject.results.answered(start(subject, "a/m"), 0.0) == ()
    assert subject.providers["a"].breaker.halves == 4


def test_what_may_be_the_requests_fault_counts_half_unless_another_target_does_otherwise() -> None:
    subject = router(virtual("v", *AB))
    breaker = subject.providers["a"].breaker
    run(subject, "a/m", BROKEN)
    ticket = start(subject, "a/m")
    subject.results.end(ticket, BROKEN, 0.0)
    subject.results.excuse(ticket, 0.0)
    assert breaker.halves == 3
    subject.results.confirm(ticket, 0.0)
    assert breaker.halves == 4


def test_an_excuse_closes_again_what_its_failure_has_opened_and_nothing_else() -> None:
    subject = router(virtual("v", *AB))
    breaker = subject.providers["a"].breaker
    run(subject, "a/m", BROKEN, times=2)
    other, last = start(subject, "a/m"), start(subject, "a/m")
    assert subject.results.end(last, BROKEN, 0.0)
    assert [change.text for change in subject.results.excuse(last, 0.0)] == ["breaker open -> closed"]
    assert breaker.halves == 5
    subject.results.end(other, BROKEN, 0.0)
    assert breaker.halves == 5, "it began in an older generation"
    final = start(subject, "a/m")
    subject.results.end(final, BROKEN, 0.0)
    assert breaker.opens_until <= 5.5, "the cool-off that did not last has doubled nothing"
    subject.results.excuse(last, 0.0)
    subject.results.excuse(final, 0.0)
    assert breaker.state(0.0) is BreakerState.OPEN, "half of it was enough"


def test_a_probe_that_succeeds_without_a_commit_closes_too() -> None:
    subject, now = opened()
    assert run(subject, "a/m", SUCCESS, now) == ["breaker probing -> closed"]


def test_a_probe_that_fails_opens_again() -> None:
    subject, now = opened()
    assert run(subject, "a/m", BROKEN, now)[0].startswith("breaker probing -> open for ")


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in COUNTED | {Kind.SUCCESS}])
def test_a_probe_that_says_nothing_of_the_host_is_given_back(kind: Kind) -> None:
    subject, now = opened()
    run(subject, "a/m", of(kind), now)
    assert subject.providers["a"].breaker.state(now) is BreakerState.HALF_OPEN
    later = now + 600
    assert start(subject, "a/m", later).probe


def test_a_beaten_probe_doubles_the_patience_for_the_next_up_to_first_byte() -> None:
    models = virtual("v", *AB)
    targets = tuple(msgspec.structs.replace(t, timeouts=Timeouts(first_byte=10.0)) for t in models.targets)
    subject, now = opened(msgspec.structs.replace(models, targets=targets))
    seen = []
    for _ in range(5):
        seen.append(subject.providers["a"].patience)
        run(subject, "a/m", LOST, now)
    assert seen == [2.0, 4.0, 8.0, 10.0, 10.0]
    subject.results.answered(start(subject, "a/m", now), now)
    assert subject.providers["a"].patience == 2.0


@pytest.mark.parametrize("outcome", [GONE, of(Kind.RATE_LIMITED), BROKEN])
def test_other_ends_of_a_probe_leave_the_patience(outcome: Outcome) -> None:
    subject, now = opened()
    run(subject, "a/m", outcome, now)
    assert subject.providers["a"].patience == 2.0


def test_a_lost_hedge_that_is_no_probe_leaves_the_patience() -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", LOST)
    assert subject.providers["a"].patience == 2.0


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.WITHHELD])
def test_an_attempt_that_was_given_up_is_no_failure_of_anybody(kind: Kind) -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", of(kind))
    totals = subject.providers["a"].totals
    assert (totals.attempts, totals.lost, sum(totals.failures.values())) == (1, 1, 0)


def test_results_from_before_the_outage_move_nothing() -> None:
    subject = router(virtual("v", *AB))
    old = [start(subject, "a/m") for _ in range(4)]
    run(subject, "a/m", BROKEN, times=3)
    now = subject.providers["a"].breaker.opens_until
    subject.results.end(old[0], SUCCESS, now)
    assert subject.providers["a"].breaker.state(now) is BreakerState.HALF_OPEN
    run(subject, "a/m", SUCCESS, now)
    for ticket in old[1:]:
        assert subject.results.end(ticket, BROKEN, now) == []
    assert choose(subject, now) == "a/m"


def test_what_ends_after_offline_moves_nothing_but_leaves_the_bulkhead() -> None:
    subject = router(virtual("v", *AB))
    tickets = [start(subject, "a/m") for _ in range(3)]
    subject.offline("a")
    for ticket in tickets:
        subject.results.end(ticket, BROKEN, 1.0)
    subject.online("a")
    assert (choose(subject), subject.providers["a"].in_flight) == ("a/m", 0)
