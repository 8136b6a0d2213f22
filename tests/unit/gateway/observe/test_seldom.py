"""What is said seldom."""

from __future__ import annotations

from oxllm.gateway.observe.seldom import EVERY_S, Seldom


def test_it_is_said_at_once_and_then_at_most_once_a_minute() -> None:
    seldom = Seldom()
    times = [0.0, 0.1, EVERY_S - 0.1, EVERY_S, EVERY_S + 0.1, 3 * EVERY_S]
    assert [now for now in times if seldom.due(now)] == [0.0, EVERY_S, 3 * EVERY_S]
