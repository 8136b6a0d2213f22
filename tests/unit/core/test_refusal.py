"""The answer when nothing is left to try: which status, which words, when to come back."""

from __future__ import annotations

import random

import pytest

from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.request.refusal import Tried, describe, refuse, sealed_elsewhere
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.route import Candidate, Recovery
from oxllm.core.routing.router import Router
from oxllm.core.wire.errors import ApiError
from tests.support.by_hand import make_plan

ROUTE = Router(make_plan("alpha", "beta", "gamma"), random.Random(1)).resolve("smart")
assert ROUTE is not None
ALPHA, BETA, GAMMA = ROUTE.candidates

RATE = Outcome(Kind.RATE_LIMITED, "HTTP 429: rate limited", 429)
QUOTA = Outcome(Kind.QUOTA, "HTTP 429: out of quota or credit", 429, "insufficient_quota")
DOWN = Outcome(Kind.SERVER_ERROR, "HTTP 503", 503)
LARGE = Outcome(Kind.TOO_LARGE, "HTTP 413: request too large", 413)
LATE = Outcome(Kind.DEADLINE, "out of time after 4.0 s")


def refused(
    *tried: Tried,
    skips: list[tuple[Candidate, Skip | None, float | None]] | None = None,
    soonest: float | None = 7.2,
    deadline: bool = False,
) -> ApiError:
    recovery: Recovery = (soonest, skips or [])
    return refuse("smart", tried, recovery, deadline)


@pytest.mark.parametrize(
    ("tried", "skips", "deadline", "status", "code"),
    [
        ([RATE, RATE], [], False, 429, "rate_limit_exceeded"),
        ([RATE, QUOTA], [], False, 429, "rate_limit_exceeded"),
        ([QUOTA, QUOTA], [], False, 429, "insufficient_quota"),
        ([QUOTA], [Skip.QUOTA], False, 429, "insufficient_quota"),
        ([QUOTA], [Skip.COOLING], False, 429, "rate_limit_exceeded"),
        ([], [Skip.COOLING, Skip.COOLING], False, 429, "rate_limit_exceeded"),
        ([], [Skip.QUOTA, Skip.QUOTA], False, 429, "insufficient_quota"),
        ([RATE], [Skip.OPEN], False, 502, "all_targets_failed"),
        ([RATE], [None], False, 502, "all_targets_failed"),
        ([RATE, DOWN], [], False, 502, "all_targets_failed"),
        ([DOWN, DOWN], [], False, 502, "all_targets_failed"),
        ([LARGE], [], False, 502, "all_targets_failed"),
        ([], [Skip.OPEN], False, 503, "no_target_available"),
        ([], [Skip.COOLING, Skip.OPEN], False, 503, "no_target_available"),
        ([], [Skip.WAITING], False, 503, "no_target_available"),
        ([], [], False, 503, "no_target_available"),
        ([LATE], [], True, 504, "deadline_exceeded"),
        ([DOWN, LATE], [], True, 504, "deadline_exceeded"),
        ([RATE, LATE], [], True, 504, "deadline_exceeded"),
        ([RATE, RATE], [], True, 429, "rate_limit_exceeded"),
    ],
)
def test_the_status_says_whose_move_it_is(
    tried: list[Outcome], skips: list[Skip | None], deadline: bool, status: int, code: str
) -> None:
    left = [ALPHA, BETA, GAMMA]
    pairs = [(left.pop(0), outcome) for outcome in tried]
    states: list[tuple[Candidate, Skip | None, float | None]] = [(left.pop(0), skip, 5.0) for skip in skips]
    error = refused(*pairs, skips=states, deadline=deadline)
    assert (error.status, error.code) == (status, code)


def test_each_target_is_named_once_with_its_reason() -> None:
    states: list[tuple[Candidate, Skip | None, float | None]] = [
        (ALPHA, None, 0.0),  # tried: its outcome is the reason
        (BETA, Skip.OPEN, 3.2),
        (GAMMA, Skip.OFFLINE, None),
    ]
    message = refused((ALPHA, DOWN), skips=states).message
    assert message == (
        "all targets of 'smart' failed: alpha/big-1: HTTP 503; beta/big-1: breaker open, 4 s left; gamma/big-1: offline"
    )


def test_a_target_that_was_not_reached_is_named_too() -> None:
    assert "beta/big-1: not reached" in refused((ALPHA, DOWN), skips=[(BETA, None, 0.0)]).message


def test_a_model_without_targets_says_so() -> None:
    assert refused().message == "no target of 'smart' can be tried now: it has no enabled target"


@pytest.mark.parametrize(("soonest", "seconds"), [(0.0, 1), (0.2, 1), (7.0, 7), (7.2, 8), (59.5, 60), (60.0, 60)])
def test_retry_after_is_the_soonest_recovery_rounded_up(soonest: float, seconds: int) -> None:
    for tried in ([], [(ALPHA, RATE)], [(ALPHA, DOWN)]):
        error = refused(*tried, soonest=soonest)
        assert (error.retry_after, error.should_retry) == (seconds, None)


@pytest.mark.parametrize("soonest", [None, 60.1, 3600.0])
def test_what_does_not_recover_within_a_minute_is_not_worth_a_retry(soonest: float | None) -> None:
    error = refused((ALPHA, DOWN), soonest=soonest)
    assert (error.retry_after, error.should_retry) == (60, False)


def test_a_request_too_large_for_everybody_is_not_worth_a_retry() -> None:
    assert refused((ALPHA, LARGE), soonest=0.0).should_retry is False
    assert refused((ALPHA, LARGE), (BETA, DOWN), soonest=0.0).should_retry is None


def test_what_every_target_would_say_again_is_not_worth_a_retry() -> None:
    refusals = [Kind.FORBIDDEN, Kind.AUTH, Kind.MISSING, Kind.NOT_FOUND, Kind.QUOTA, Kind.TOO_LARGE, Kind.UNSUPPORTED]
    for one in refusals:
        error = refused((ALPHA, Outcome(one, "x")), (BETA, Outcome(Kind.FORBIDDEN, "x")), soonest=0.0)
        assert (error.status, error.should_retry) == (502, False)


def test_whom_another_may_serve_next_time_is_worth_a_retry() -> None:
    failures = [Kind.BAD_ANSWER, Kind.RATE_LIMITED, Kind.SERVER_ERROR, Kind.NETWORK, Kind.TIMEOUT, Kind.LOADING]
    for one in failures:
        error = refused((ALPHA, Outcome(one, "x")), (BETA, Outcome(Kind.FORBIDDEN, "x")), soonest=0.0)
        assert (error.status, error.retry_after, error.should_retry) == (502, 1, None), one


def test_who_would_say_the_same_again_is_not_waited_for() -> None:
    states: list[tuple[Candidate, Skip | None, float | None]] = [(ALPHA, None, 0.0), (BETA, Skip.OPEN, 19.5)]
    assert refused((ALPHA, LARGE), (BETA, DOWN), skips=states, soonest=0.0).retry_after == 20


def test_a_target_that_was_not_asked_may_be_worth_a_retry_when_it_is_back() -> None:
    forbidden = (ALPHA, Outcome(Kind.FORBIDDEN, "HTTP 403"))
    assert refused(forbidden, skips=[(BETA, Skip.COOLING, 7.0)], soonest=0.0).retry_after == 7
    assert refused(forbidden, skips=[(BETA, Skip.MISSING, 7.0)], soonest=0.0).should_retry is False


def test_a_deadline_says_nothing_about_when_to_come_back() -> None:
    error = refused((ALPHA, LATE), deadline=True)
    assert (error.retry_after, error.should_retry) == (None, None)


def test_an_outcome_is_described_with_its_code_if_it_has_one() -> None:
    assert describe(DOWN) == "HTTP 503"
    assert describe(QUOTA) == "HTTP 429: out of quota or credit (insufficient_quota)"


@pytest.mark.parametrize(
    ("second", "skip", "left", "waits"),
    [
        (Kind.FOREIGN_STATE, Skip.OPEN, 5.0, True),
        (Kind.SERVER_ERROR, Skip.OPEN, 5.0, True),
        (Kind.SERVER_ERROR, Skip.OPEN, 61.0, False),
        (Kind.SERVER_ERROR, Skip.QUOTA, 5.0, False),
        (Kind.SERVER_ERROR, None, 0.0, False),
    ],
)
def test_who_may_have_sealed_what_another_cannot_read_is_waited_for_whatever_a_third_said(
    second: Kind, skip: Skip | None, left: float, waits: bool
) -> None:
    tried = [(ALPHA, Outcome(Kind.FOREIGN_STATE, "x")), (BETA, Outcome(second, "x"))]
    assert sealed_elsewhere(tried, (left, [(GAMMA, skip, left)])) == waits
    assert not sealed_elsewhere(tried[1:], (left, [(GAMMA, skip, left)])) or second is Kind.FOREIGN_STATE
