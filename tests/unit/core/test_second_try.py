"""The second try at one target: when it is planned, for how long it waits, and that it is waited for once."""

from __future__ import annotations

import random
from math import inf

import pytest

from oxllm.core.budget.retry import RetryBudget
from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.request.books import Books
from oxllm.core.request.second_try import JITTER_S, SecondTry
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.ticket import Ticket
from tests.support.routers import AB, opened, router, start, virtual

PASSING = Outcome(Kind.SERVER_ERROR, "HTTP 500", same_target=True)
LATER = 600.0
"""A deadline that is far away."""
BOOKS = Books(router(virtual("v", *AB)), 0.0)


def a_ticket() -> Ticket:
    return start(router(virtual("v", *AB)), "a/m")


def second_try(most: int = 1, budget: RetryBudget | None = None) -> SecondTry:
    return SecondTry(most, budget or plenty(), random.Random(1), BOOKS)


def plenty() -> RetryBudget:
    """A budget behind which there is much traffic."""
    budget = RetryBudget(1.0)
    for _ in range(100):
        budget.request(1.0)
    return budget


def test_it_is_due_after_the_jitter_on_the_same_ticket() -> None:
    subject, ticket = second_try(), a_ticket()
    assert subject.plan(ticket, PASSING, LATER, 1.0)
    assert 1.0 + JITTER_S[0] <= subject.at <= 1.0 + JITTER_S[1]
    assert (subject.ticket, subject.result) == (ticket, PASSING)
    subject.clear()
    assert (subject.ticket, subject.result, subject.at) == (None, None, inf)


def test_two_requests_that_fail_together_do_not_come_back_together() -> None:
    rng, times = random.Random(1), set()
    for _ in range(20):
        subject = SecondTry(1, plenty(), rng, BOOKS)
        assert subject.plan(a_ticket(), PASSING, LATER, 1.0)
        times.add(subject.at)
    assert len(times) == 20


def test_only_a_failure_that_may_be_a_passing_one_has_a_second_try() -> None:
    assert not second_try().plan(a_ticket(), Outcome(Kind.SERVER_ERROR, "HTTP 503"), LATER, 1.0)


@pytest.mark.parametrize("most", [0, 1, 2])
def test_each_target_has_so_many_and_no_more(most: int) -> None:
    subject, a, b = second_try(most), a_ticket(), a_ticket()
    for ticket in (a, b):
        assert [subject.plan(ticket, PASSING, LATER, 1.0) for _ in range(3)] == [n < most for n in range(3)]


def test_a_probe_has_no_second_try() -> None:
    subject, now = opened()
    ticket = start(subject, "a/m", now)
    assert ticket.probe
    assert not second_try().plan(ticket, PASSING, now + LATER, now)


@pytest.mark.parametrize(("deadline", "planned"), [(1.0 + JITTER_S[1], False), (1.0 + JITTER_S[1] + 0.001, True)])
def test_the_longest_jitter_has_to_end_before_the_deadline(deadline: float, planned: bool) -> None:
    assert second_try().plan(a_ticket(), PASSING, deadline, 1.0) == planned


@pytest.mark.parametrize(("hint", "planned"), [(JITTER_S[0], True), (JITTER_S[0] + 0.001, False), (30.0, False)])
def test_a_provider_that_said_when_to_come_back_is_not_asked_before(hint: float, planned: bool) -> None:
    result = Outcome(Kind.SERVER_ERROR, "HTTP 500", retry_after=hint, same_target=True)
    assert second_try().plan(a_ticket(), result, LATER, 1.0) == planned


def test_a_target_that_was_marked_meanwhile_has_none() -> None:
    ticket = a_ticket()
    ticket.candidate.state.cooldown.mark(Skip.COOLING, 1.0, 5.0)
    assert not second_try().plan(ticket, PASSING, LATER, 1.0)


def test_it_costs_a_part_of_the_budget_and_only_if_it_is_planned() -> None:
    budget = RetryBudget(0.0)
    subject = second_try(9, budget)
    assert not subject.plan(a_ticket(), PASSING, 1.0, 1.0)
    assert [subject.plan(a_ticket(), PASSING, LATER, 1.0) for _ in range(4)] == [True, True, True, False]


def test_one_that_is_cancelled_ends_its_ticket_and_without_one_nothing_happens() -> None:
    subject, ticket = second_try(), a_ticket()
    subject.cancel(PASSING, 1.0)
    assert subject.plan(ticket, PASSING, LATER, 1.0)
    subject.cancel(PASSING, 1.05)
    assert (ticket.ended, subject.ticket, subject.at) == (True, None, inf)
