"""Changes of a breaker that a run never had."""

from __future__ import annotations

import pytest

from oxllm.core.routing.breaker import TABLE, BreakerEvent, BreakerState
from oxllm.sim.rehearsal.changes import NEXT, never_met

ALL = [
    "closed -> open", "open -> half-open", "half-open -> probing", "probing -> closed", "probing -> open",
    "probing -> half-open",
]  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "never"),
    [
        ([], ALL),
        (["closed", "open"], ALL),
        (["closed -> open"], ALL[1:]),
        (["open -> closed"], [ALL[0], *ALL[4:]]),
        (["closed -> probing", "probing -> half-open"], [*ALL[3:5]]),
        (["closed -> offline", "offline -> closed", "unknown -> open"], ALL),
        (ALL, []),
    ],
)
def test_what_lies_between_two_samples_counts_as_met(seen: list[str], never: list[str]) -> None:
    assert never_met(seen) == never


def test_the_changes_are_those_of_the_breaker_when_nobody_interferes() -> None:
    hands = {BreakerEvent.RESET, BreakerEvent.OFFLINE, BreakerEvent.ONLINE, BreakerEvent.EXCUSE}  # takes one back
    resort = (BreakerState.OPEN, BreakerEvent.TRIAL)
    moves = {(one[0].value, other.value) for one, other in TABLE.rows.items() if one[1] not in hands and one != resort}
    assert {(one, other) for one, other in moves if one != other} == {
        (one, other) for one, others in NEXT.items() for other in others
    }
    assert {state.value for state in BreakerState} - set(NEXT) == {"offline"}
