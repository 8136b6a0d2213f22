"""Three ledgers that say yes or no: extra attempts, request bodies, and what is held of answers."""

from __future__ import annotations

import pytest

from oxllm.core.budget import HELD_FREE, RESERVE, STEP, BodyBudget, BodyHolder, HeldBudget, RetryBudget

MIB = 1024 * 1024


class Body:
    """Somebody who receives a body."""

    def room(self) -> None: ...


def bodies(count: int) -> list[Body]:
    return [Body() for _ in range(count)]


def spent(budget: RetryBudget, now: float) -> int:
    return next(count for count in range(10_000) if not budget.spend(now))


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_three_extra_attempts_are_allowed_without_traffic(share: float) -> None:
    assert spent(RetryBudget(share), 100.0) == 3


@pytest.mark.parametrize(
    ("share", "requests", "extras"),
    [(0.0, 100, 3), (0.2, 14, 3), (0.2, 19, 3), (0.2, 20, 4), (0.2, 100, 20), (0.29, 100, 29), (1.0, 50, 50)],
)
def test_extra_attempts_are_a_share_of_the_requests(share: float, requests: int, extras: int) -> None:
    budget = RetryBudget(share)
    for _ in range(requests):
        budget.request(5.0)
    assert spent(budget, 5.0) == extras


def test_what_was_spent_comes_back_after_ten_seconds_and_a_tick() -> None:
    budget = RetryBudget(0.2)
    assert spent(budget, 7.05) == 3
    assert spent(budget, 17.05) == 0
    assert spent(budget, 17.15) == 3


def test_requests_of_more_than_ten_seconds_ago_pay_for_nothing() -> None:
    budget = RetryBudget(0.5)
    for _ in range(100):
        budget.request(0.0)
    assert spent(budget, 10.2) == 3


def test_a_long_silence_empties_the_window() -> None:
    budget = RetryBudget(1.0)
    for _ in range(100):
        budget.request(0.0)
    budget.request(1e6)
    assert spent(budget, 1e6) == 3


def test_a_clock_that_stands_or_steps_back_forgets_nothing() -> None:
    budget = RetryBudget(0.2)
    assert spent(budget, 50.0) == 3
    assert spent(budget, 50.0) == 0
    assert spent(budget, 49.0) == 0


def test_a_body_is_counted_by_kib_up_to_64_and_in_steps_of_64_beyond() -> None:
    budget = BodyBudget(8 * MIB)
    (body,) = bodies(1)
    counted = []
    for size in (1, 4000, STEP, STEP + 1, 3 * STEP, 2 * STEP):
        assert budget.take(body, size)
        counted.append(budget.total // 1024)
    assert counted == [1, 4, 64, 128, 192, 192]


def test_a_thousand_chat_requests_of_4_kb_fit_at_once() -> None:
    budget = BodyBudget(8 * MIB)
    assert all(budget.take(body, 4000) for body in bodies(1000))


def test_a_whole_body_gives_back_what_it_was_granted_and_does_not_need() -> None:
    budget = BodyBudget(STEP)
    first, second = bodies(2)
    assert budget.take(first, STEP)
    assert not budget.take(second, 2000)
    assert budget.settle(first, 3000) == [second]
    assert budget.total == 3 * 1024 + 2 * 1024


def test_a_body_that_would_pass_the_bound_waits_until_another_is_dropped() -> None:
    budget = BodyBudget(8 * MIB)
    first, second = bodies(2)
    assert budget.take(first, 5 * MIB)
    assert not budget.take(second, 3 * MIB)
    assert (budget.waiting, budget.total) == (1, 5 * MIB)
    assert budget.release(first) == [second]
    assert (budget.waiting, budget.total) == (0, 3 * MIB)


def test_a_mib_is_kept_for_small_bodies() -> None:
    budget = BodyBudget(8 * MIB)
    first, second, *small = bodies(2 + RESERVE // STEP)
    assert budget.take(first, 4 * MIB)
    assert budget.take(second, 3 * MIB)
    assert not budget.take(second, 3 * MIB + 1)
    assert all(budget.take(body, STEP) for body in small)
    assert budget.total == 8 * MIB
    assert not budget.take(Body(), 1)


def test_a_single_large_body_may_have_the_whole_bound() -> None:
    budget = BodyBudget(8 * MIB)
    assert budget.take(Body(), 8 * MIB)
    assert not budget.take(Body(), 1)


def test_even_a_bound_under_the_reserve_serves_a_body() -> None:
    budget = BodyBudget(4 * STEP)
    first, second = bodies(2)
    assert budget.take(first, 3 * STEP)
    assert not budget.take(second, 2 * STEP)
    assert budget.take(second, STEP)


def test_small_bodies_pass_a_large_one_that_waits() -> None:
    budget = BodyBudget(8 * MIB)
    first, large, small = bodies(3)
    budget.take(first, 6 * MIB)
    assert not budget.take(large, 2 * MIB)
    assert budget.take(small, STEP)


def test_large_bodies_do_not_pass_an_older_one_that_waits() -> None:
    budget = BodyBudget(8 * MIB)
    first, older, younger = bodies(3)
    budget.take(first, 6 * MIB)
    assert not budget.take(older, 2 * MIB)
    assert not budget.take(younger, 2 * STEP)
    assert budget.release(older) == [younger]


def test_the_oldest_body_is_served_first_even_if_it_asked_last() -> None:
    budget = BodyBudget(8 * MIB)
    first, older, younger = bodies(3)
    budget.take(older, STEP)
    budget.take(younger, STEP)
    budget.take(first, 6 * MIB)
    assert not budget.take(younger, 5 * MIB)
    assert not budget.take(older, 5 * MIB)
    assert budget.release(first) == [older]


def test_who_stops_waiting_leaves_the_line_and_gives_back_what_it_had() -> None:
    budget = BodyBudget(2 * MIB)
    first, second = bodies(2)
    budget.take(first, MIB)
    budget.take(second, STEP)
    assert not budget.take(second, 2 * STEP)
    assert budget.release(second) == []
    assert (budget.waiting, budget.total) == (0, MIB)
    assert budget.release(second) == []


def test_nobody_has_to_give_way_while_somebody_can_move() -> None:
    budget = BodyBudget(2 * MIB)
    first, second = bodies(2)
    budget.take(first, MIB // 2)
    budget.take(second, MIB // 2)
    assert budget.deadlocked() is None
    assert not budget.take(first, MIB)
    assert budget.deadlocked() is None


def test_the_youngest_gives_way_when_everybody_waits_for_everybody() -> None:
    budget = BodyBudget(2 * MIB)
    first, second, third = bodies(3)
    for body in (first, second):
        budget.take(body, MIB // 2)
    assert [budget.take(body, MIB) for body in (third, second, first)] == [False] * 3
    assert budget.deadlocked() is second
    assert budget.release(second) == [first]
    assert budget.deadlocked() is None


@pytest.mark.parametrize("uploads", [8, 64])
def test_of_many_uploads_at_once_each_is_served_or_gives_way(uploads: int) -> None:
    budget = BodyBudget(8 * MIB)
    sizes: dict[BodyHolder, int] = dict.fromkeys(bodies(uploads), 0)
    served: list[BodyHolder] = []
    refused: list[BodyHolder] = []

    def leave(body: BodyHolder, where: list[BodyHolder]) -> None:
        del sizes[body]
        where.append(body)
        for granted in budget.release(body):
            grow(granted)

    def grow(body: BodyHolder) -> None:
        sizes[body] += STEP

    while sizes:
        for body in list(sizes):
            if sizes.get(body) == MIB:
                leave(body, served)
            elif body in sizes and budget.take(body, sizes[body] + STEP):
                grow(body)
        while (loser := budget.deadlocked()) is not None:
            leave(loser, refused)
    assert len(served) >= 7
    assert len(served) + len(refused) == uploads
    assert (budget.total, budget.waiting) == (0, 0)


def test_held_bytes_are_shared_until_the_bound() -> None:
    budget: HeldBudget[str] = HeldBudget(10_000)
    assert budget.take("a", 6000)
    assert budget.take("b", 4000)
    assert not budget.take("a", 1)
    assert (budget.total, budget.held("a"), budget.largest()) == (10_000, 6000, "a")


def test_each_may_hold_a_kib_however_full_it_is() -> None:
    budget: HeldBudget[str] = HeldBudget(10_000)
    budget.take("a", 10_000)
    assert budget.take("b", HELD_FREE)
    assert not budget.take("b", 1)


def test_who_was_told_no_is_named_when_it_has_what_it_asked_for() -> None:
    budget: HeldBudget[str] = HeldBudget(10_000)
    budget.take("a", 9000)
    assert not budget.take("b", 3000)
    assert not budget.take("c", 2000)
    assert budget.give("a", 1000) == []
    assert budget.give("a", 8000) == ["b", "c"]
    assert (budget.held("b"), budget.held("c"), budget.total) == (3000, 2000, 5000)


def test_nobody_passes_those_in_line_with_more_than_a_kib() -> None:
    budget: HeldBudget[str] = HeldBudget(10_000)
    budget.take("a", 8000)
    assert not budget.take("b", 5000)
    assert not budget.take("c", 2000)
    assert budget.take("d", HELD_FREE)


def test_who_leaves_gives_all_back_and_loses_its_place() -> None:
    budget: HeldBudget[str] = HeldBudget(10_000)
    budget.take("a", 9000)
    budget.take("b", 3000)
    budget.take("c", 3000)
    assert budget.drop("b") == []
    assert budget.drop("a") == ["c"]
    assert budget.drop("c") == ()
    assert (budget.total, budget.largest()) == (0, None)
