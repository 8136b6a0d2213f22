"""The breaker: opens at the threshold, cools off longer each time, lets one probe through, obeys its operator."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable

import pytest

from oxllm import plan
from oxllm.cli.built import built
from oxllm.core.routing import breaker as breakers
from oxllm.core.routing.breaker import TABLE, Breaker, BreakerState
from tests.support.noted import Noted


class Even(random.Random):
    """Jitter in the middle of its range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


class Edge(random.Random):
    """Jitter at the end of its range."""

    def uniform(self, a: float, b: float) -> float:
        return b


RNG = Even()


def breaker(failures: int = 3, cooldown: float = 5.0, cooldown_max: float = 20.0) -> Breaker:
    return Breaker(plan.Breaker(failures, cooldown, cooldown_max))


def fail(subject: Breaker, now: float, times: int = 1, rng: random.Random = RNG) -> None:
    for _ in range(times):
        subject.failure(subject.generation, now, rng)


def probe(subject: Breaker, now: float, succeeds: bool) -> None:
    generation = subject.begin_probe(now)
    if succeeds:
        subject.success(generation, now)
    else:
        subject.failure(generation, now, RNG)


def in_state(state: BreakerState) -> Breaker:
    subject = breaker()
    if state in {BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.PROBING}:
        fail(subject, 0.0, 3)
    if state in {BreakerState.HALF_OPEN, BreakerState.PROBING}:
        subject.state(5.0)
    if state is BreakerState.PROBING:
        subject.begin_probe(5.0)
    if state is BreakerState.OFFLINE:
        subject.offline()
    return subject


def last_failure(subject: Breaker, now: float) -> None:
    """The one that reaches the threshold."""
    subject.halves = 2 * (subject.settings.failures - 1)
    subject.failure(subject.generation, now, RNG)


CALLS: dict[str, Callable[[Breaker, float], object]] = {
    "success": lambda subject, now: subject.success(subject.generation, now),
    "failure": lambda subject, now: subject.failure(subject.generation, now, RNG),
    "last failure": last_failure,
    "excuse": lambda subject, now: subject.excuse(subject.generation - 1),
    "cooled": lambda subject, now: subject.state(5.0),
    "take": lambda subject, now: subject.begin_probe(now),
    "trial": lambda subject, now: subject.trial(subject.generation, now),
    "give back": lambda subject, now: subject.give_back(subject.generation),
    "offline": lambda subject, now: subject.offline(),
    "online": lambda subject, now: subject.online(),
    "reset": lambda subject, now: subject.reset(),
}
"""All that can be done to a breaker."""


@pytest.mark.skipif(built() == "compiled", reason="the moves are seen by a patch, which compiled code calls past")
def test_each_call_in_each_state_moves_it_by_one_row_of_the_table_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = set()
    for state, call in itertools.product(BreakerState, CALLS):
        subject = in_state(state)
        now = 4.0 if state is BreakerState.OPEN else 5.0
        generation = subject.generation
        noted = Noted(TABLE)
        monkeypatch.setattr(breakers, "TABLE", noted)
        with contextlib.suppress(AssertionError):  # what is not in the table is a bug of the caller
            CALLS[call](subject, now)
        after = subject.state(now)
        assert [TABLE.rows[row] for row in noted.used] == [after] if noted.used else after is state, (state, call)
        assert subject.closed == (after is BreakerState.CLOSED)
        assert (subject.generation > generation) == (after is not state or call == "reset"), (state, call)
        used |= noted.used
    assert used == set(TABLE.rows), "there is a call for each row"


def test_its_repr_says_its_state_on_one_line() -> None:
    subject = breaker()
    subject.failure(subject.generation, 1.0, random.Random(1), 1)
    assert repr(subject) == "<Breaker closed 0.5 failures 0 probes>"


@pytest.mark.parametrize("threshold", [1, 2, 3, 10])
def test_it_opens_exactly_at_the_threshold(threshold: int) -> None:
    subject = breaker(threshold)
    fail(subject, 1.0, threshold - 1)
    assert subject.state(1.0) is BreakerState.CLOSED
    fail(subject, 1.0)
    assert subject.state(1.0) is BreakerState.OPEN


def test_a_success_ends_the_run_of_failures() -> None:
    subject = breaker()
    fail(subject, 0.0, 2)
    subject.success(subject.generation, 0.0)
    fail(subject, 0.0, 2)
    assert subject.state(0.0) is BreakerState.CLOSED


def test_it_is_half_open_at_the_very_end_of_the_cool_off() -> None:
    subject = in_state(BreakerState.OPEN)
    assert subject.state(4.999) is BreakerState.OPEN
    assert subject.state(5.0) is BreakerState.HALF_OPEN


def test_each_reopening_doubles_the_cool_off_up_to_the_cap() -> None:
    subject = breaker()
    fail(subject, 0.0, 3)
    lengths, now = [subject.opens_until], subject.opens_until
    for _ in range(4):
        probe(subject, now, succeeds=False)
        lengths.append(subject.opens_until - now)
        now = subject.opens_until
    assert lengths == [5.0, 10.0, 20.0, 20.0, 20.0]


def test_closing_does_not_forget_the_doublings() -> None:
    subject = breaker()
    fail(subject, 0.0, 3)
    probe(subject, 5.0, succeeds=True)
    fail(subject, 6.0, 3)
    assert subject.opens_until == 16.0


@pytest.mark.parametrize(
    ("closed_s", "cool_off"), [(299.9, 20.0), (300.0, 10.0), (599.9, 10.0), (600.0, 5.0), (1e6, 5.0)]
)
def test_each_300_s_closed_forget_one_doubling(closed_s: float, cool_off: float) -> None:
    subject = breaker()
    fail(subject, 0.0, 3)
    probe(subject, 5.0, succeeds=False)
    probe(subject, 16.0, succeeds=True)
    now = 16.0 + closed_s
    fail(subject, now, 3)
    assert subject.opens_until - now == pytest.approx(cool_off)


def test_successes_while_closed_do_not_restart_the_forgetting() -> None:
    subject = breaker()
    fail(subject, 0.0, 3)
    probe(subject, 5.0, succeeds=True)
    subject.success(subject.generation, 304.0)
    fail(subject, 305.0, 3)
    assert subject.opens_until == 310.0


def test_the_jitter_comes_after_the_cap() -> None:
    subject = breaker(cooldown=50.0)
    fail(subject, 0.0, 3, Edge())
    assert subject.opens_until == pytest.approx(22.0)


def test_jitter_is_at_most_a_tenth_either_way() -> None:
    rng = random.Random(1)
    lengths = []
    for _ in range(500):
        subject = breaker()
        fail(subject, 0.0, 3, rng)
        lengths.append(subject.opens_until)
    assert 4.5 <= min(lengths) < 4.6
    assert 5.4 < max(lengths) <= 5.5


def test_a_probe_given_back_can_be_taken_again() -> None:
    subject = in_state(BreakerState.HALF_OPEN)
    first = subject.begin_probe(5.0)
    assert subject.state(5.0) is BreakerState.PROBING
    subject.give_back(first)
    assert subject.state(5.0) is BreakerState.HALF_OPEN
    second = subject.begin_probe(5.0)
    assert second != first


def test_a_former_probe_moves_nothing() -> None:
    subject = in_state(BreakerState.HALF_OPEN)
    first = subject.begin_probe(5.0)
    subject.give_back(first)
    subject.begin_probe(6.0)
    subject.give_back(first)
    subject.success(first, 7.0)
    subject.failure(first, 7.0, RNG)
    assert subject.state(7.0) is BreakerState.PROBING


def test_nobody_takes_a_second_probe() -> None:
    subject = in_state(BreakerState.PROBING)
    with pytest.raises(AssertionError):
        subject.begin_probe(5.0)


def test_results_of_an_earlier_generation_move_nothing() -> None:
    subject = breaker()
    old = subject.generation
    fail(subject, 0.0, 3)
    probe(subject, 5.0, succeeds=True)
    for _ in range(5):
        subject.failure(old, 6.0, RNG)
    assert subject.state(6.0) is BreakerState.CLOSED
    fail(subject, 6.0, 2)
    subject.success(old, 6.0)
    assert subject.halves == 4


def test_offline_is_undone_by_online_alone() -> None:
    subject = in_state(BreakerState.OFFLINE)
    subject.reset()
    subject.offline()
    assert subject.state(1e9) is BreakerState.OFFLINE
    subject.online()
    assert subject.state(1e9) is BreakerState.CLOSED


def test_online_does_nothing_to_what_is_not_offline() -> None:
    for state in BreakerState:
        subject = in_state(state)
        before = subject.generation
        subject.online()
        assert (subject.generation != before) == (state is BreakerState.OFFLINE)


@pytest.mark.parametrize("state", BreakerState)
def test_a_reset_forgets_everything_and_outdates_what_is_under_way(state: BreakerState) -> None:
    subject = in_state(state)
    old = subject.generation
    subject.reset()
    subject.failure(old, 10.0, RNG)
    assert subject.halves == 0
    assert subject.state(0.0) is (BreakerState.OFFLINE if state is BreakerState.OFFLINE else BreakerState.CLOSED)
    subject.online()
    fail(subject, 10.0, 3)
    assert subject.opens_until == 15.0


def test_moves_are_counted() -> None:
    subject = in_state(BreakerState.PROBING)
    assert subject.moves == {
        (BreakerState.CLOSED, BreakerState.OPEN): 1,
        (BreakerState.OPEN, BreakerState.HALF_OPEN): 1,
        (BreakerState.HALF_OPEN, BreakerState.PROBING): 1,
    }


@pytest.mark.parametrize(
    ("results", "flaky"),
    [
        ("", False),
        ("000", False),
        ("111111000", False),  # it worked, and died
        ("0001111000", False),  # it came back once
        ("0101000", True),
        ("0101" + "0" * 15, True),
        ("0101" + "0" * 16, False),  # by now it is down
        ("0101" + "1" * 27 + "0", True),
        ("0101" + "1" * 30 + "0", False),  # that was long ago
    ],
)
def test_a_provider_is_flaky_that_has_answered_again_twice_of_late(results: str, flaky: bool) -> None:
    subject = breaker()
    for result in results:
        subject.heard(result == "1")
    assert subject.flaky == flaky
    subject.reset()
    assert not subject.flaky
