"""Marks of a target: how long each lasts, which is named first, and that none is ever cut short."""

from __future__ import annotations

import pytest

from oxllm.core.routing.cooldown import MARKS, Cooldown, Skip


def limited(cooldown: Cooldown, now: float, hint: float | None = None) -> float:
    """Seconds of the cool-off that a 429 for an attempt begun just now sets."""
    cooldown.rate_limited(hint, now, now)
    return cooldown.until - now


@pytest.mark.parametrize(("mark", "seconds"), [(Skip.QUOTA, 600.0), (Skip.AUTH, 60.0), (Skip.MISSING, 60.0)])
def test_a_mark_lasts_its_time_and_not_a_moment_longer(mark: Skip, seconds: float) -> None:
    cooldown = Cooldown()
    assert cooldown.mark(mark, 100.0)
    assert cooldown.blocked(100.0 + seconds - 0.001) is mark
    assert cooldown.blocked(100.0 + seconds) is None


def test_nothing_is_blocked_at_first_whatever_the_clock() -> None:
    assert Cooldown().blocked(0.0) is None
    assert Cooldown().blocked(-1e9) is None


def test_429s_without_a_hint_cool_longer_each_time_up_to_a_minute() -> None:
    cooldown = Cooldown()
    now, lengths = 0.0, []
    for _ in range(12):
        lengths.append(limited(cooldown, now))
        now = cooldown.until
    assert lengths == [5.0, 10.0, 20.0, 40.0, *[60.0] * 8]


def test_a_success_makes_the_next_429_a_first_one() -> None:
    cooldown = Cooldown()
    limited(cooldown, 0.0)
    cooldown.succeeded()
    assert limited(cooldown, 10.0) == 5.0


def test_a_success_cuts_no_mark_short() -> None:
    cooldown = Cooldown()
    limited(cooldown, 0.0)
    cooldown.succeeded()
    assert cooldown.blocked(4.999) is Skip.COOLING


def test_many_429s_for_attempts_that_were_under_way_together_count_once() -> None:
    cooldown = Cooldown()
    for _ in range(10):
        cooldown.rate_limited(None, 0.0, 1.0)
    assert cooldown.until == 6.0
    assert limited(cooldown, 6.0) == 10.0


def test_a_hint_is_taken_as_it_is() -> None:
    cooldown = Cooldown()
    assert limited(cooldown, 0.0, 0.006) == pytest.approx(0.006)
    assert limited(cooldown, 1.0, 3600.0) == 3600.0


def test_a_later_hint_never_shortens_an_earlier_one() -> None:
    cooldown = Cooldown()
    limited(cooldown, 0.0, 30.0)
    limited(cooldown, 1.0, 2.0)
    assert cooldown.blocked(29.9) is Skip.COOLING


@pytest.mark.parametrize("first", MARKS)
@pytest.mark.parametrize("second", MARKS)
def test_of_two_marks_the_graver_is_named_and_both_have_to_pass(first: Skip, second: Skip) -> None:
    cooldown = Cooldown()
    cooldown.mark(first, 0.0, 10.0)
    cooldown.mark(second, 0.0, 20.0)
    assert cooldown.blocked(5.0) is min(first, second, key=MARKS.index)
    assert cooldown.blocked(15.0) is second
    assert cooldown.blocked(20.0) is None


def test_one_403_is_forgiven_and_the_second_in_a_row_is_not() -> None:
    cooldown = Cooldown()
    assert not cooldown.refused(Skip.AUTH, 0.0)
    assert cooldown.blocked(0.0) is None
    assert cooldown.refused(Skip.AUTH, 1.0)
    assert cooldown.blocked(60.999) is Skip.AUTH
    assert cooldown.blocked(61.0) is None


def test_any_other_answer_between_two_403s_ends_the_row() -> None:
    cooldown = Cooldown()
    cooldown.refused(Skip.AUTH, 0.0)
    cooldown.allowed()
    assert not cooldown.refused(Skip.AUTH, 1.0)


def test_a_404_after_a_403_is_the_first_of_its_row() -> None:
    cooldown = Cooldown()
    cooldown.refused(Skip.AUTH, 0.0)
    assert not cooldown.refused(Skip.MISSING, 1.0)
    assert cooldown.refused(Skip.MISSING, 2.0)
    assert cooldown.blocked(2.0) is Skip.MISSING


def test_a_model_that_is_not_ready_is_waited_for_longer_each_time() -> None:
    cooldown = Cooldown()
    assert cooldown.rate_limited(None, 0.0, 0.0, Skip.WAITING)
    assert cooldown.blocked(4.999) is Skip.WAITING
    cooldown.rate_limited(None, 5.0, 5.0, Skip.WAITING)
    assert cooldown.until == 15.0


def test_only_a_mark_that_was_not_in_force_is_news() -> None:
    cooldown = Cooldown()
    assert cooldown.mark(Skip.AUTH, 0.0)
    assert not cooldown.mark(Skip.AUTH, 59.0)
    assert cooldown.mark(Skip.AUTH, 119.0)


def test_a_new_key_ends_what_was_said_of_the_old_one_and_nothing_else() -> None:
    cooldown = Cooldown()
    for mark in MARKS:
        cooldown.mark(mark, 0.0, 100.0)
    cooldown.refused(Skip.AUTH, 0.0)
    cooldown.key_changed()
    assert cooldown.blocked(0.0) is Skip.MISSING
    assert not cooldown.refused(Skip.AUTH, 0.0)
    alone = Cooldown()
    alone.mark(Skip.QUOTA, 0.0)
    alone.key_changed()
    assert alone.blocked(0.0) is None


def test_the_operator_clears_everything() -> None:
    cooldown = Cooldown()
    for mark in MARKS:
        cooldown.mark(mark, 0.0, 100.0)
    limited(cooldown, 0.0)
    cooldown.clear()
    assert cooldown.blocked(0.0) is None
    assert limited(cooldown, 0.0) == 5.0
