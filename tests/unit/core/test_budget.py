"""Three ledgers that say yes or no: extra attempts, request bodies, and what is held of answers."""

from __future__ import annotations

import pytest

from oxllm.core.budget.answers import HELD_FREE, HeldBudget
from oxllm.core.budget.bodies import RESERVE, STEP, BodyBudget, BodyHolder
from oxllm.core.budget.readers import HeldHolder
from oxllm.core.budget.retry import RetryBudget
from tests.support.effort import passes

MIB = 1024 * 1024


class Body:
    """Somebody who receives a body."""

    def granted(self) -> None: ...


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
        assert budget.admit(body, size)
        counted.append(budget.total // 1024)
    assert counted == [1, 4, 64, 128, 192, 192]


def test_a_thousand_chat_requests_of_4_kb_fit_at_once() -> None:
    budget = BodyBudget(8 * MIB)
    assert all(budget.admit(body, 4000, 4000) for body in bodies(1000))


def test_a_whole_body_gives_back_what_it_was_granted_and_does_not_need() -> None:
    budget = BodyBudget(STEP)
    first, second = bodies(2)
    assert budget.admit(first, STEP)
    assert not budget.admit(second, 2000, 2000)
    assert budget.settle(first, 3000) == [second]
    assert budget.total == 3 * 1024 + 2 * 1024


def test_a_body_that_would_pass_the_bound_waits_until_another_is_dropped() -> None:
    budget = BodyBudget(8 * MIB)
    first, second = bodies(2)
    assert budget.admit(first, 5 * MIB)
    assert not budget.admit(second, 3 * MIB)
    assert (budget.waiting, budget.total) == (1, 5 * MIB)
    assert budget.release(first) == [second]
    assert (budget.waiting, budget.total) == (0, 3 * MIB)


def test_a_bound_that_is_raised_makes_room_for_those_that_wait() -> None:
    budget = BodyBudget(8 * MIB)
    first, second, third = bodies(3)
    assert budget.admit(first, 5 * MIB)
    assert not budget.admit(second, 3 * MIB)
    assert budget.resize(16 * MIB) == [second]
    assert budget.admit(third, 3 * MIB)


def test_a_mib_is_kept_for_small_bodies() -> None:
    budget = BodyBudget(8 * MIB)
    first, second, *small = bodies(2 + RESERVE // STEP)
    assert budget.admit(first, 4 * MIB)
    assert budget.admit(second, 3 * MIB)
    assert not budget.admit(second, 3 * MIB + 1)
    assert all(budget.admit(body, STEP, STEP) for body in small)
    assert budget.total == 8 * MIB
    assert not budget.admit(Body(), 1, 1)


def test_bodies_of_unknown_length_leave_a_mib_for_small_ones() -> None:
    budget = BodyBudget(8 * MIB)
    admitted = [budget.admit(body, STEP) for body in bodies(8 * MIB // STEP)]
    assert admitted.count(True) == 7 * MIB // STEP
    assert all(budget.admit(body, STEP, STEP) for body in bodies(RESERVE // STEP))


def test_a_single_large_body_may_have_the_whole_bound() -> None:
    budget = BodyBudget(8 * MIB)
    assert budget.admit(Body(), 8 * MIB)
    assert not budget.admit(Body(), 1)


def test_even_a_bound_under_the_reserve_serves_a_body() -> None:
    budget = BodyBudget(4 * STEP)
    first, second, third = bodies(3)
    assert budget.admit(first, 3 * STEP)
    assert not budget.admit(second, 2 * STEP)
    assert budget.admit(third, STEP, STEP)


def test_small_bodies_pass_a_large_one_that_waits() -> None:
    budget = BodyBudget(8 * MIB)
    first, large, small = bodies(3)
    budget.admit(first, 6 * MIB)
    assert not budget.admit(large, 2 * MIB)
    assert budget.admit(small, STEP, STEP)


def test_large_bodies_do_not_pass_an_older_one_that_waits() -> None:
    budget = BodyBudget(8 * MIB)
    first, older, younger = bodies(3)
    budget.admit(first, 6 * MIB)
    assert not budget.admit(older, 2 * MIB)
    assert not budget.admit(younger, 2 * STEP)
    assert budget.release(older) == [younger]


def test_the_oldest_body_is_served_first_even_if_it_asked_last() -> None:
    budget = BodyBudget(8 * MIB)
    first, older, younger = bodies(3)
    budget.admit(older, STEP)
    budget.admit(younger, STEP)
    budget.admit(first, 6 * MIB)
    assert not budget.admit(younger, 5 * MIB)
    assert not budget.admit(older, 5 * MIB)
    assert budget.release(first) == [older]


def test_who_stops_waiting_leaves_the_line_and_gives_back_what_it_had() -> None:
    budget = BodyBudget(2 * MIB)
    first, second = bodies(2)
    budget.admit(first, MIB)
    budget.admit(second, STEP)
    assert not budget.admit(second, 2 * STEP)
    assert budget.release(second) == []
    assert (budget.waiting, budget.total) == (0, MIB)
    assert budget.release(second) == []


def test_nobody_has_to_give_way_while_somebody_can_move() -> None:
    budget = BodyBudget(2 * MIB)
    first, second = bodies(2)
    budget.admit(first, MIB // 2)
    budget.admit(second, MIB // 2)
    assert budget.deadlocked() is None
    assert not budget.admit(first, MIB)
    assert budget.deadlocked() is None


def test_the_youngest_gives_way_when_everybody_waits_for_everybody() -> None:
    budget = BodyBudget(2 * MIB)
    first, second, third = bodies(3)
    for body in (first, second):
        budget.admit(body, MIB // 2)
    assert [budget.admit(body, MIB) for body in (third, second, first)] == [False] * 3
    assert budget.deadlocked() is second
    assert budget.release(second) == [first]
    assert budget.deadlocked() is None


def test_a_body_of_declared_length_begins_when_there_is_room_for_all_of_it() -> None:
    budget = BodyBudget(8 * MIB)
    *begun, eighth = bodies(8)
    assert [budget.admit(body, STEP, MIB) for body in begun] == [True] * 7
    assert not budget.admit(eighth, STEP, MIB)
    assert budget.total == 7 * STEP
    assert all(budget.admit(body, MIB, MIB) for body in begun)
    assert budget.release(begun[3]) == [eighth]


def test_who_comes_slowly_keeps_no_room_that_it_has_not_filled() -> None:
    budget = BodyBudget(8 * MIB)
    slow, second, third = bodies(3)
    assert budget.admit(slow, STEP, 7 * MIB)
    assert not budget.admit(second, STEP, MIB)
    assert not budget.admit(third, STEP, 6 * MIB)
    assert budget.lapse(slow) == [second]
    assert budget.admit(second, MIB, MIB)
    assert budget.release(second) == [third]
    assert not budget.admit(slow, 2 * MIB, 7 * MIB)
    assert budget.release(third) == [slow]


def test_a_slow_body_goes_on_only_while_all_slow_ones_can_still_finish() -> None:
    budget = BodyBudget(RESERVE + 16 * STEP)
    first, second, third = bodies(3)
    for body in (first, second):
        assert budget.admit(body, STEP, 14 * STEP)
        budget.lapse(body)
    assert not budget.admit(third, STEP, 16 * STEP)
    assert budget.admit(first, 8 * STEP, 14 * STEP)
    assert budget.admit(second, 2 * STEP, 14 * STEP)
    assert not budget.admit(second, 3 * STEP, 14 * STEP)
    assert budget.admit(first, 14 * STEP, 14 * STEP)
    assert budget.release(first) == [second]


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
            elif body in sizes and budget.admit(body, sizes[body] + STEP):
                grow(body)
        while (loser := budget.deadlocked()) is not None:
            leave(loser, refused)
    assert len(served) >= 7
    assert len(served) + len(refused) == uploads
    assert (budget.total, budget.waiting) == (0, 0)


def test_a_small_body_is_let_in_past_twice_as_many_that_wait_in_twice_the_time() -> None:
    def effort(waiting: int) -> float:
        budget, small = BodyBudget(2 * STEP * waiting + RESERVE), Body()
        for size in (2 * STEP, 3 * STEP):
            admitted = [budget.admit(body, size) for body in many[:waiting]]
            assert admitted == [size == 2 * STEP] * waiting

        def pass_by() -> None:
            for _ in range(20):
                assert budget.admit(small, 1000, 1000)
                budget.release(small)

        return passes(pass_by)

    many = bodies(200)
    assert effort(200) < 8 * effort(50)


@pytest.mark.parametrize("how", ["granted", "admitted", "left"])
def test_who_came_beyond_the_bound_and_waits_no_longer_leaves_that_room_to_the_next_crowd(how: str) -> None:
    budget = BodyBudget(8 * MIB)
    (upload,) = bodies(1)
    assert budget.admit(upload, 8 * MIB, 8 * MIB)
    crowd = [body for body in bodies(1000) if budget.admit_head(body, 1000, 4000)]
    if how == "granted":
        assert not any(budget.admit(body, 4000, 4000) for body in crowd)
        assert budget.release(upload) == crowd
    else:
        budget.release(upload)
        for body in crowd:
            assert how == "left" or budget.admit(body, 4000, 4000)
            assert how == "admitted" or not budget.release(body, 1000)
    while budget.admit(last := Body(), 50_000, 50_000):
        pass
    budget.release(last)
    fill = budget.limit - budget.total - budget.heads
    assert budget.admit(Body(), fill, fill)
    assert [budget.admit_head(body, 1000, 4000) for body in bodies(1000)].count(True) == len(crowd) == MIB // 5000


class Reader(HeldHolder):
    """One that reads an answer: `early` is what it passes on when asked to."""

    def __init__(self, budget: HeldBudget, early: bool = False) -> None:
        self.budget = budget
        self.size = 0
        self.early = early
        self.stopped = False
        self.asked = 0

    def has(self, size: int) -> None:
        self.size = size
        self.budget.grew(self, size, self.early)

    def measure(self) -> int:
        return self.size

    def commit_early(self) -> None:
        self.asked += 1
        self.size = 0
        self.budget.hold(self, 0)

    def pause(self) -> None:
        self.stopped = True

    def resume(self) -> None:
        self.stopped = False


def held_budget() -> HeldBudget:
    """Full past 10,000 bytes of 30,000, of which a turn has 18,000."""
    return HeldBudget(30_000, 18_000, 2_000)


def readers(budget: HeldBudget, *sizes: int) -> list[Reader]:
    made = [Reader(budget) for _ in sizes]
    for reader, size in zip(made, sizes, strict=True):
        reader.has(size)
    return made


def stopped(*readers: Reader) -> list[bool]:
    return [reader.stopped for reader in readers]


def test_what_is_held_counts_from_a_kib_on() -> None:
    budget = held_budget()
    small, large = readers(budget, HELD_FREE, HELD_FREE + 1)
    assert budget.total == HELD_FREE + 1
    large.has(HELD_FREE)
    small.has(0)
    assert budget.total == 0


def test_a_read_brings_what_it_likes_until_it_is_full_and_then_what_is_lacking_to_a_kib() -> None:
    budget = held_budget()
    first, small = readers(budget, 10_000, 100)
    assert budget.room(small, 100) == 64 * 1024
    first.has(10_001)
    assert budget.full
    assert budget.room(small, 100) == HELD_FREE - 100
    assert budget.room(small, HELD_FREE) == 1


def test_the_largest_that_can_commits_early_and_only_as_many_as_are_needed() -> None:
    budget = held_budget()
    hopeless, larger, large = readers(budget, 5000, 3000, 2000)
    larger.early = large.early = True
    larger.has(3000)
    large.has(2500)
    assert (hopeless.asked, larger.asked, large.asked) == (0, 1, 0)
    assert stopped(hopeless, larger, large) == [False] * 3


def test_one_gets_the_turn_and_the_others_wait_until_it_is_done() -> None:
    budget = held_budget()
    first, second, third = readers(budget, 9000, 1500, 1500)
    assert stopped(first, second, third) == [False, False, True]
    assert budget.room(second, 1500) == 64 * 1024
    second.has(17_000)
    assert stopped(second) == [False]
    second.has(0)
    assert stopped(third) == [False]
    third.has(2000)
    first.has(9001)
    assert stopped(first, third) == [True, False]
    third.has(0)
    assert stopped(first) == [False]


def test_who_waited_first_goes_first_however_often_it_was_stopped() -> None:
    budget = held_budget()
    readers(budget, 9000)
    turn, first, second = readers(budget, 1100, 1200, 1300)
    assert stopped(turn, first, second) == [False, True, True]
    budget.drop(turn)
    assert stopped(first, second) == [False, True]


def test_the_turn_waits_until_clients_have_taken_what_leaves_no_room_for_it() -> None:
    budget = held_budget()
    client = Reader(budget)
    budget.hold(client, 15_000)
    (reader,) = readers(budget, 2000)
    assert stopped(reader) == [True]
    client.size = 12_000
    budget.look()
    assert stopped(reader) == [False]


def test_when_all_that_is_held_waits_for_room_one_goes_on_all_the_same() -> None:
    budget = held_budget()
    first, second = readers(budget, 9000, 9000)
    assert stopped(first) == [False]
    assert stopped(second) == [False]
    first.has(9500)
    assert stopped(first) == [True]
    second.has(0)
    assert stopped(first) == [False]


def test_a_turn_that_is_not_used_goes_to_the_next() -> None:
    budget = held_budget()
    _, silent, second = readers(budget, 8000, 2500, 1300)
    budget.look()
    assert stopped(second) == [True]
    budget.look()
    assert stopped(second) == [False]
    assert (budget.contended, stopped(silent)) == (False, [False])
    silent.has(2501)
    assert (budget.contended, stopped(silent)) == (True, [True])
    second.has(0)
    assert stopped(silent) == [False]


def test_who_leaves_gives_all_back_and_loses_its_place() -> None:
    budget = held_budget()
    first, second, third = readers(budget, 9000, 9000, 9000)
    assert stopped(third) == [True]
    for reader in (third, second, first, first):
        budget.drop(reader)
    assert (budget.total, budget.full, budget.contended) == (0, False, False)


def test_of_those_who_wait_only_as_many_go_on_as_may_read_and_the_next_when_these_have() -> None:
    """The fastest, whose answers may be minutes away, would take it all."""
    budget = held_budget()
    (first,) = readers(budget, 9000)
    waiting = readers(budget, *[1100] * 6)
    first.has(10_000)
    assert stopped(*waiting) == [False, True, True, True, True, True]  # one has the turn
    first.has(0)
    assert stopped(*waiting) == [False, False, False, True, True, True]
    assert not budget.full
    waiting[1].has(3000)
    assert stopped(*waiting) == [False, False, False, True, True, True], "it has taken what was kept for it"
    waiting[2].has(0)
    assert stopped(*waiting) == [False, False, False, False, False, True]


def test_who_has_held_for_longest_goes_first_though_it_was_stopped_last() -> None:
    """Who had read while there was plenty, and needs only a little more, would wait for all who came behind it."""
    budget = held_budget()
    readers(budget, 1100)
    first, *others = readers(budget, 8000, *[1100] * 3)
    assert stopped(first, *others) == [False, False, True, True]
    first.has(8001)
    assert stopped(first, *others) == [True, False, True, True]
    others[0].has(0)
    assert stopped(first, *others) == [False, False, True, True]


@pytest.mark.parametrize(("many", "waiting"), [(5, 1), (6, 3)])
def test_who_comes_stands_behind_those_who_wait_though_it_is_not_full(many: int, waiting: int) -> None:
    budget = held_budget()
    (first,) = readers(budget, 9000)
    others = readers(budget, *[1100] * many)
    first.has(0)
    assert sum(stopped(*others)) == waiting
    assert (budget.full, budget.tight) == (False, True)
    new = Reader(budget)
    assert budget.room(new, 24) == HELD_FREE - 24
    new.has(HELD_FREE)
    assert stopped(new) == [False]
    new.has(HELD_FREE + 1)
    assert stopped(new) == [True]


def test_who_goes_on_and_has_nothing_to_read_keeps_nobody_waiting() -> None:
    budget = held_budget()
    (first,) = readers(budget, 9000)
    waiting = readers(budget, *[1100] * 6)
    first.has(0)
    before = stopped(*waiting).count(True)
    budget.look()
    assert stopped(*waiting).count(True) < before
