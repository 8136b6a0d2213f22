"""One attempt's phases: the table, and what each phase allows."""

from __future__ import annotations

import pytest

from oxllm.core.request.attempt import Attempt
from oxllm.core.request.phases import TABLE, AttemptEvent, AttemptPhase
from tests.support.by_hand import EVENT_STREAM, Drive


def attempt_in(phase: AttemptPhase) -> Attempt:
    attempt = Drive("alpha").start()["alpha"]
    attempt.phase = phase
    return attempt


@pytest.mark.parametrize("before", AttemptPhase)
@pytest.mark.parametrize("event", AttemptEvent)
def test_only_the_moves_of_the_table_are_possible(before: AttemptPhase, event: AttemptEvent) -> None:
    attempt = attempt_in(before)
    if (before, event) in TABLE.rows:
        attempt.move(event)
        assert attempt.phase is TABLE.rows[before, event]
    else:
        with pytest.raises(AssertionError):
            attempt.move(event)


def test_every_phase_but_the_last_can_end() -> None:
    assert {before for before, after in TABLE.moves() if after is AttemptPhase.ENDED} == set(AttemptPhase) - {
        AttemptPhase.ENDED
    }


def test_nothing_leads_back_but_a_dead_connection_from_the_pool() -> None:
    order = list(AttemptPhase)
    back = [(before, after) for before, after in TABLE.moves() if order.index(before) > order.index(after)]
    assert back == [(AttemptPhase.WAITING, AttemptPhase.CONNECTING)]


def test_a_new_attempt_has_the_time_to_connect() -> None:
    drive = Drive("alpha").start()
    assert (drive["alpha"].phase, drive["alpha"].clock.at) == (AttemptPhase.CONNECTING, drive.now + 5.0)


def test_its_target_is_named_as_clients_name_it() -> None:
    assert Drive("alpha/vendor/model").start()["alpha"].target == "alpha/vendor/model"


@pytest.mark.parametrize("status", [200, 400])
def test_it_keeps_no_field_of_a_head_that_is_of_no_use_to_a_client(status: int) -> None:
    passed = [*EVENT_STREAM, (b"x-request-id", b"r")]
    d = Drive("alpha").start().head("alpha", status, [*passed, (b"set-cookie", b"c" * 9000)])
    assert d["alpha"].headers == passed
