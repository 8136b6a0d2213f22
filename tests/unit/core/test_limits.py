"""What an attempt has not done in time, in words, and whether it counts."""

from __future__ import annotations

import pytest

from oxllm import plan as plans
from oxllm.core.reading.outcome import Kind
from oxllm.core.request.limits import out_of_time, timed_out
from tests.support.by_hand import JSON, Drive, make_plan
from tests.support.chat_bytes import ROLE, token

TIMES = plans.Timeouts(connect=5.0, first_byte=20.0, answer=30.0, idle=15.0)


def drive(stream: bool = True, timeout: float | None = None) -> Drive:
    plan = make_plan(plans.Target("alpha", "big-1", 1, 1, TIMES), request=100.0)
    return Drive(plan=plan, stream=stream, timeout=timeout).start()


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        (drive(), "no connection within 5 s"),
        (drive().connect("alpha"), "no content within 20 s"),
        (drive().stream("alpha", ROLE).pass_time(11), "no content within 20 s"),
        (drive().stream("alpha", token("a")), "silent for 15 s"),
        (drive(stream=False).connect("alpha"), "no answer within 30 s"),
        (drive(stream=False).head("alpha", fields=JSON), "silent for 15 s"),
        (drive().head("alpha", 500, JSON), "silent for 15 s"),
    ],
)
def test_each_phase_has_a_limit_of_its_own_that_counts(subject: Drive, reason: str) -> None:
    result = timed_out(subject["alpha"], subject.now)
    assert (result.kind, result.reason, result.is_failure) == (Kind.TIMEOUT, reason, True)


def test_who_has_not_had_its_turn_to_connect_says_nothing_about_its_provider() -> None:
    subject = drive()
    attempt = subject["alpha"]
    attempt.waits(True, subject.now)
    result = timed_out(attempt, subject.now + 5.0)
    assert (result.kind, result.is_failure) == (Kind.LOCAL, False)
    assert result.reason == "no turn for a TLS handshake within 5 s"


def test_the_time_to_connect_begins_with_its_turn() -> None:
    subject = drive()
    attempt = subject["alpha"]
    attempt.waits(True, subject.now)
    attempt.waits(False, subject.now + 4.0)
    assert attempt.clock.at == subject.now + 9.0
    assert timed_out(attempt, subject.now + 9.0).is_failure


@pytest.mark.parametrize(("ago", "alive"), [(9.9, True), (10.1, False)])
def test_a_host_from_which_something_came_in_half_of_the_time_is_alive_and_it_does_not_count(
    ago: float, alive: bool
) -> None:
    subject = drive().stream("alpha", b": heartbeat\n\n")
    result = timed_out(subject["alpha"], subject.now + ago)
    assert result.reason == "no content within 20 s" + (", but heartbeats" if alive else "")
    assert result.is_failure != alive


@pytest.mark.parametrize(
    ("timeout", "lasted", "counts"),
    [(None, 19.0, False), (None, 20.0, True), (99.0, 50.0, False), (100.0, 50.0, True), (3600.0, 50.0, True)],
)
def test_a_deadline_counts_if_it_is_ours_and_the_attempt_has_had_its_own_limit(
    timeout: float | None, lasted: float, counts: bool
) -> None:
    subject = drive(timeout=timeout)
    result = out_of_time(subject["alpha"], 100.0, subject.now + lasted)
    assert (result.kind, result.is_failure) == (Kind.DEADLINE, counts)
    assert result.reason == f"out of time after {lasted:.1f} s"


def test_the_limit_of_a_plain_answer_is_that_of_an_answer() -> None:
    subject = drive(stream=False)
    assert not out_of_time(subject["alpha"], 100.0, subject.now + 29.0).is_failure
    assert out_of_time(subject["alpha"], 100.0, subject.now + 30.0).is_failure
