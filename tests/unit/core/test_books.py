"""The books of one request: whom it asked and passed over, whose fault a failure is, and what each attempt came to."""

from __future__ import annotations

import random

import pytest

from oxllm.core.reading.outcome import GONE, SUCCESS, Kind, Outcome
from oxllm.core.request.books import Books
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.router import Router
from oxllm.core.routing.ticket import Ticket
from tests.support.by_hand import Drive, make_plan
from tests.support.chat_bytes import DONE, FINISH, token

SERVER_ERROR = Outcome(Kind.SERVER_ERROR, "HTTP 503", 503)
WITHHELD = Outcome(Kind.WITHHELD, "not to be asked any more")
LOCAL = Outcome(Kind.LOCAL, "not possible from here")
LIMITED = Outcome(Kind.RATE_LIMITED, "HTTP 429", 429)


class Kept:
    """Books over three targets."""

    def __init__(self) -> None:
        self.router = Router(make_plan("alpha", "beta", "gamma"), random.Random(1))
        route = self.router.resolve("smart")
        assert route is not None
        self.route = route
        self.books = Books(self.router, 0.0)

    def begin(self) -> Ticket:
        candidate = self.books.choose(self.route, None, 0.0)
        assert candidate is not None
        return self.books.begin(self.route, candidate, 0.0)

    def fail(self, *results: Outcome) -> None:
        for result in results:
            self.books.end(self.begin(), result, 0.0)

    @property
    def halves(self) -> list[int]:
        """Failures in a row of each provider, in halves."""
        return [provider.breaker.halves for provider in self.router.providers.values()]


def test_a_target_is_asked_once_and_who_was_passed_over_is_remembered_with_the_reason() -> None:
    kept = Kept()
    kept.router.offline("beta")
    assert [kept.begin().candidate.state.name for _ in range(2)] == ["alpha/big-1", "gamma/big-1"]
    assert kept.books.choose(kept.route, None, 0.0) is None
    assert kept.books.skips["beta/big-1"] is Skip.OFFLINE
    assert kept.books.skips["alpha/big-1"] is Skip.TRIED


def test_to_choose_is_to_begin_nothing() -> None:
    kept = Kept()
    assert kept.books.choose(kept.route, None, 0.0) is kept.books.choose(kept.route, None, 0.0)
    assert kept.books.tried_states == ()


@pytest.mark.parametrize(
    ("results", "halves"),
    [
        ([SERVER_ERROR], [2, 0, 0]),
        ([SERVER_ERROR, SERVER_ERROR], [1, 1, 0]),
        ([SERVER_ERROR, SERVER_ERROR, SERVER_ERROR], [1, 1, 1]),
        ([SERVER_ERROR, SERVER_ERROR, LIMITED], [2, 2, 0]),
        ([SERVER_ERROR, LIMITED, SERVER_ERROR], [2, 0, 2]),
        ([SERVER_ERROR, SERVER_ERROR, GONE], [1, 1, 0]),
        ([LIMITED, SERVER_ERROR], [0, 2, 0]),
        ([LIMITED, LIMITED, SERVER_ERROR], [0, 0, 2]),
    ],
)
def test_a_server_error_of_each_of_several_is_half_a_failure_until_one_does_otherwise(
    results: list[Outcome], halves: list[int]
) -> None:
    kept = Kept()
    kept.fail(*results)
    assert kept.halves == halves


def test_a_commit_does_otherwise_too() -> None:
    kept = Kept()
    kept.fail(SERVER_ERROR, SERVER_ERROR)
    kept.books.confirm_failures(0.0)
    assert kept.halves == [2, 2, 0]


def test_if_nobody_else_could_be_asked_it_is_half_a_failure_as_well() -> None:
    kept = Kept()
    kept.fail(SERVER_ERROR)
    kept.books.unanswered(0.0)
    assert kept.halves == [1, 0, 0]


@pytest.mark.parametrize("not_asked", [WITHHELD, LOCAL])
def test_who_was_not_asked_after_all_could_not_do_otherwise(not_asked: Outcome) -> None:
    for results, halves in (((SERVER_ERROR, not_asked), [1, 0, 0]), ((not_asked, SERVER_ERROR), [0, 1, 0])):
        kept = Kept()
        kept.fail(*results)
        kept.books.unanswered(0.0)
        assert kept.halves == halves


@pytest.mark.parametrize("not_asked", [WITHHELD, LOCAL])
def test_who_was_not_asked_after_all_does_not_stand_in_for_another_that_can_be_asked(not_asked: Outcome) -> None:
    kept = Kept()
    kept.router.offline("gamma")
    kept.fail(not_asked, SERVER_ERROR)
    assert kept.halves == [0, 1, 0], "at once"


@pytest.mark.parametrize("not_asked", [WITHHELD, LOCAL])
@pytest.mark.parametrize("first", [SERVER_ERROR, Outcome(Kind.NETWORK, "connection closed")])
def test_of_a_second_try_that_did_not_go_out_the_first_counts(first: Outcome, not_asked: Outcome) -> None:
    kept = Kept()
    ticket = kept.begin()
    ticket.try_again(first)
    kept.books.end(ticket, not_asked, 0.0)
    assert kept.halves == [2, 0, 0]
    kept.books.unanswered(0.0)
    assert kept.halves == [1 if first is SERVER_ERROR else 2, 0, 0]


def test_what_a_request_has_changed_is_told_once_to_the_log() -> None:
    kept = Kept()
    kept.fail(LIMITED)
    assert [(change.provider, change.text) for change in kept.books.changes] == [
        ("alpha", "rate-limited: not asked for 5.0 s")
    ]


def test_an_answer_counts_at_its_target_and_each_attempt_leaves_a_step() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    d = Drive("alpha").start().pass_time(1.5).stream("alpha", token("a"), FINISH, usage, DONE)
    counters = d["alpha"].candidate.state.counters
    assert (counters.prompt_tokens, counters.completion_tokens, counters.ttft.count) == (7, 2, 1)
    step = d.exchange.books.steps[0]
    assert (step.number, step.target, step.started, step.content, step.result) == (
        1,
        "alpha/big-1",
        0.0,
        1.5,
        SUCCESS.reason,
    )
