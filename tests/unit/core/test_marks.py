"""Which mark each outcome sets, on whom, and for how long."""

from __future__ import annotations

import random

import pytest

from oxllm.core.reading.outcome import GONE, LOST, SUCCESS, Kind, Outcome
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.router import Router
from oxllm.plan import Server
from tests.support.routers import AB, BROKEN, choose, of, plan, provider, router, run, skips, start, virtual


@pytest.mark.parametrize(
    ("outcome", "skip", "ends"),
    [
        (of(Kind.RATE_LIMITED), Skip.COOLING, 5.0),
        (of(Kind.RATE_LIMITED, 18.6), Skip.COOLING, 18.6),
        (of(Kind.SERVER_ERROR, 7.0), Skip.WAITING, 7.0),
        (of(Kind.QUOTA), Skip.QUOTA, 600.0),
        (of(Kind.AUTH), Skip.AUTH, 60.0),
        (of(Kind.MISSING), Skip.MISSING, 60.0),
        (of(Kind.LOADING), Skip.WAITING, 5.0),
        (of(Kind.LOADING, 20.0), Skip.WAITING, 20.0),
    ],
)
def test_an_outcome_keeps_its_target_out_for_its_time(outcome: Outcome, skip: Skip, ends: float) -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", outcome)
    assert skips(subject, ends - 0.001) == {"a/m": skip}
    assert choose(subject, ends) == "a/m"


QUIET = {
    Kind.SUCCESS,
    Kind.BAD_ANSWER,
    Kind.TOO_LARGE,
    Kind.SERVER_ERROR,
    Kind.NETWORK,
    Kind.LOCAL,
    Kind.TIMEOUT,
    Kind.FORBIDDEN,
    Kind.NOT_FOUND,
    Kind.CONTEXT_LENGTH,
    Kind.UNSUPPORTED,
    Kind.CONTENT_REFUSED,
    Kind.FOREIGN_STATE,
    Kind.CLIENT_ERROR,
    Kind.BROKEN,
    Kind.GONE,
    Kind.DEADLINE,
    Kind.LOST,
    Kind.STOPPED,
    Kind.WITHHELD,
}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind in QUIET])
def test_other_outcomes_leave_their_target_in(kind: Kind) -> None:
    subject = router(virtual("v", *AB))
    assert run(subject, "a/m", of(kind)) == []
    assert choose(subject) == "a/m"


def test_quota_and_auth_concern_every_target_of_the_provider_and_a_429_does_not() -> None:
    for kind, passed_over in ((Kind.QUOTA, True), (Kind.AUTH, True), (Kind.RATE_LIMITED, False), (Kind.MISSING, False)):
        subject = router(virtual("v", "a/m 1", "a/n 2", "b/m 3"))
        run(subject, "a/m", of(kind))
        assert choose(subject) == ("b/m" if passed_over else "a/n")


def test_a_quota_of_one_model_is_held_against_that_alone() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    run(subject, "a/m", Outcome(Kind.QUOTA, "x", of_target=True))
    assert (skips(subject), choose(subject)) == ({"a/m": Skip.QUOTA}, "a/n")


def test_the_second_404_in_a_row_marks_the_target_and_a_403_between_them_begins_anew() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    for kind in (Kind.NOT_FOUND, Kind.FORBIDDEN, Kind.NOT_FOUND):
        run(subject, "a/m", of(kind))
        assert choose(subject) == "a/m"
    run(subject, "a/m", of(Kind.NOT_FOUND))
    assert (skips(subject), choose(subject)) == ({"a/m": Skip.MISSING}, "a/n")


def test_a_model_that_is_not_ready_is_no_failure_of_its_host() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    run(subject, "a/m", of(Kind.LOADING), times=5)
    assert choose(subject) == "a/n"


def test_a_mark_is_known_through_every_name_of_its_target() -> None:
    subject = router(virtual("v", *AB), virtual("w", "b/m", "a/m"))
    run(subject, "b/m", of(Kind.RATE_LIMITED))
    assert skips(subject, name="w") == {"b/m": Skip.COOLING}
    assert skips(subject, name="b/m") == {"b/m": Skip.COOLING}


def test_the_second_403_in_a_row_marks_the_target_alone() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    run(subject, "a/m", of(Kind.FORBIDDEN))
    assert choose(subject) == "a/m"
    run(subject, "a/m", of(Kind.FORBIDDEN))
    assert (skips(subject), choose(subject)) == ({"a/m": Skip.AUTH}, "a/n")


@pytest.mark.parametrize(
    ("between", "marked"),
    [(SUCCESS, False), (of(Kind.CLIENT_ERROR), False), (BROKEN, False), (GONE, True), (LOST, True)],
)
def test_a_403_is_in_a_row_with_another_unless_an_answer_came_between(between: Outcome, marked: bool) -> None:
    subject = router(virtual("v", *AB))
    for outcome in (of(Kind.FORBIDDEN), between, of(Kind.FORBIDDEN)):
        run(subject, "a/m", outcome)
    assert (choose(subject) == "b/m") == marked


@pytest.mark.parametrize("kind", [Kind.AUTH, Kind.QUOTA, Kind.FORBIDDEN])
def test_an_answer_to_an_old_key_does_not_mark_the_new_one(kind: Kind) -> None:
    models = virtual("v", *AB)
    subject = router(models)
    old = [start(subject, "a/m") for _ in range(2)]
    renewed = (provider("a", api_key="new"), provider("b"))
    fresh = Router(plan(models, providers=renewed), random.Random(0), subject)
    for ticket in old:
        fresh.results.end(ticket, of(kind), 1.0)
    assert skips(fresh, 1.0) == {}
    for _ in range(2):
        run(fresh, "a/m", of(kind), 2.0)
    assert skips(fresh, 2.0) != {}


def test_a_success_that_used_up_its_limit_cools_its_target() -> None:
    subject = router(virtual("v", *AB))
    changes = subject.results.predicted(start(subject, "a/m"), 30.0, 0.0)
    assert [change.text for change in changes] == ["rate-limited: not asked for 30.0 s"]
    assert skips(subject, 29.9) == {"a/m": Skip.COOLING}


def test_prediction_never_cools_the_last_usable_target_of_a_virtual_model() -> None:
    subject = router(virtual("v", *AB))
    subject.results.predicted(start(subject, "a/m"), 30.0, 0.0)
    assert subject.results.predicted(start(subject, "b/m"), 30.0, 0.0) == ()
    assert choose(subject) == "b/m"


def test_prediction_looks_at_every_virtual_model_that_lists_the_target() -> None:
    subject = router(virtual("v", *AB), virtual("alone", "a/m"))
    assert subject.results.predicted(start(subject, "a/m"), 30.0, 0.0) == ()
    assert subject.results.predicted(start(subject, "b/m"), 30.0, 0.0) != ()


def test_prediction_never_cools_the_last_target_that_speaks_a_protocol() -> None:
    providers = (provider("a", protocols=("chat", "messages")), provider("b", protocols=("chat",)))
    subject = router(virtual("v", *AB), providers=providers)
    assert subject.results.predicted(start(subject, "a/m"), 30.0, 0.0) == ()
    assert subject.results.predicted(start(subject, "b/m"), 30.0, 0.0) != ()


def test_prediction_does_not_lean_on_a_target_that_is_out_half_open_or_itself() -> None:
    for out in ("offline", "half-open", "itself"):
        targets = ("b/m 1", "b/m 2") if out == "itself" else ("b/m 1", "a/m 2")
        subject = router(virtual("v", *targets, "c/m 3"))
        subject.offline("c")
        now = 0.0
        if out == "offline":
            subject.offline("a")
        if out == "half-open":
            run(subject, "a/m", BROKEN, times=3)
            now = 10.0
        assert subject.results.predicted(start(subject, "b/m", now), 30.0, now) == ()


def test_prediction_leaves_a_target_that_only_direct_names_reach() -> None:
    subject = router(virtual("v", *AB), providers=[provider("a", models=("m", "x")), provider("b")])
    assert subject.results.predicted(start(subject, "a/x", name="a/x"), 30.0, 0.0) == ()


def test_prediction_can_be_switched_off() -> None:
    subject = router(virtual("v", *AB), server=Server(predictive_cooldown=False))
    assert subject.results.predicted(start(subject, "a/m"), 30.0, 0.0) == ()
