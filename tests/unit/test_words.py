"""Numbers and text for a person."""

from __future__ import annotations

import pytest

from oxllm.words import bracketed, compact, count, reached_at, seconds, text_width


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0 k"),
        (12_345, "12.3 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (7_891_234, "7.89 M"),
        (10**9, "1.00 G"),
        (10**15, "1,000 T"),
    ],
)
def test_a_count_is_short_and_keeps_three_digits(number: int, text: str) -> None:
    assert compact(number) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 ms"),
        (0.0004, "0 ms"),
        (0.0006, "1 ms"),
        (0.0149, "15 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (61.26, "61.3 s"),
    ],
)
def test_a_short_time_is_in_milliseconds_or_tenths_of_a_second(value: float, text: str) -> None:
    assert seconds(value) == text


def test_one_has_no_plural() -> None:
    assert [count(n, "error") for n in (0, 1, 2)] == ["0 errors", "1 error", "2 errors"]


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("ü", 1), ("u\u0308", 1), ("日本", 4), ("\uff57", 2)])
def test_the_width_is_that_on_a_terminal(text: str, columns: int) -> None:
    assert text_width(text) == columns


@pytest.mark.parametrize(
    ("listens_on", "url"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("192.0.2.7", "192.0.2.7"),
        ("gateway.example", "gateway.example"),
    ],
)
def test_who_listens_everywhere_is_reached_on_loopback(listens_on: str, url: str) -> None:
    assert bracketed(reached_at(listens_on)) == url
