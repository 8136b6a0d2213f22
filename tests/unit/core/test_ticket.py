"""One attempt from its beginning to its one end, and a second try that goes on with it."""

from __future__ import annotations

import pytest

from oxllm.core.reading.outcome import SUCCESS, Cause, Kind
from oxllm.core.routing.cooldown import Skip
from tests.support.routers import AB, BROKEN, of, opened, router, run, start, virtual


def test_a_second_try_goes_ahead_on_its_ticket_and_counts_once() -> None:
    subject = router(virtual("v", *AB))
    for _ in range(2):
        ticket = start(subject, "a/m")
        assert ticket.unusable(0.1) is None
        ticket.try_again(BROKEN)
        subject.results.end(ticket, BROKEN, 0.2)
    assert subject.providers["a"].breaker.halves == 4
    totals = subject.providers["a"].totals
    assert (totals.attempts, totals.retries, totals.failures[Cause.CAPACITY]) == (4, 2, 2)


def test_a_second_try_is_refused_when_its_target_is_out_meanwhile() -> None:
    subject = router(virtual("v", *AB))
    ticket, cooled, offline = start(subject, "a/m"), start(subject, "b/m"), start(subject, "b/m")
    run(subject, "a/m", BROKEN, times=3)
    assert ticket.unusable(0.1) is Skip.OPEN
    assert ticket.unusable(1e6) is Skip.OPEN
    run(subject, "b/m", of(Kind.RATE_LIMITED))
    assert cooled.unusable(0.1) is Skip.COOLING
    subject.offline("b")
    assert offline.unusable(1e6) is Skip.OFFLINE


def test_a_probe_may_be_sent_while_it_is_the_probe_but_is_never_tried_again() -> None:
    subject, now = opened()
    ticket = start(subject, "a/m", now)
    assert ticket.unusable(now) is None
    with pytest.raises(AssertionError):
        ticket.try_again(BROKEN)


def test_a_ticket_ends_once() -> None:
    subject = router(virtual("v", *AB))
    ticket = start(subject, "a/m")
    subject.results.end(ticket, SUCCESS, 0.0)
    with pytest.raises(AssertionError):
        subject.results.end(ticket, SUCCESS, 0.0)
