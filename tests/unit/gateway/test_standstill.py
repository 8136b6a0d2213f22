"""A gateway that stood still (SIGSTOP, a paused container) first reads what came meanwhile: nobody was silent."""

from __future__ import annotations

import pytest

from tests.support.house import WHOLE, House, Response, answer, stream, token
from tests.support.scripted import Step

SILENCE_S = 100.0
"""Longer than `idle` and `first_byte`, which are 60."""


def stood_still(reply: list[Step], *, streams: bool, after_s: float, for_s: float) -> tuple[Response, float, int]:
    """What becomes of a request that alpha answers so, if `after_s` from its start the gateway stands still: the
    response, failures of alpha, and how often beta was asked."""
    with House() as house:
        house.providers["alpha"].replies = [reply]
        client = house.chat(stream=streams)
        house.advance(after_s)
        house.loop.stand_still(for_s)
        house.advance(10)
        failures = house.generation.router.providers["alpha"].breaker.halves // 2
        return client.response, failures, len(house.providers["beta"].asked)


@pytest.mark.parametrize("after_s", [0.05, 1.0])
@pytest.mark.parametrize(
    "reply",
    [stream(token("half"), SILENCE_S, token("whole")), stream(SILENCE_S, token("whole"))],
    ids=["content", "first content"],
)
def test_a_stream_that_went_on_meanwhile_is_whole(reply: list[Step], after_s: float) -> None:
    response, failures, others = stood_still(reply, streams=True, after_s=after_s, for_s=2 * SILENCE_S)
    assert response.whole
    assert response.text.endswith("data: [DONE]\n\n")
    assert (failures, others) == (0, 0)


def test_a_stream_whose_deadline_was_next_is_whole() -> None:
    reply = stream(0.05, token("half"), SILENCE_S, token("whole"))
    response, failures, _ = stood_still(reply, streams=True, after_s=60.02, for_s=2 * SILENCE_S)
    assert response.whole
    assert failures == 0


@pytest.mark.parametrize("after_s", [0.05, 1.0])
def test_an_answer_that_came_meanwhile_is_taken(after_s: float) -> None:
    reply: list[Step] = [4 * SILENCE_S, *answer(WHOLE)]
    response, failures, others = stood_still(reply, streams=False, after_s=after_s, for_s=5 * SILENCE_S)
    assert (response.status, response.body) == (200, WHOLE)
    assert (failures, others) == (0, 0)


def test_who_said_nothing_meanwhile_was_silent() -> None:
    reply = stream(token("half"), 4 * SILENCE_S)
    response, failures, _ = stood_still(reply, streams=True, after_s=1.0, for_s=2 * SILENCE_S)
    assert "stream_interrupted" in response.text
    assert failures == 1
