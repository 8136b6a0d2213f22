"""Whether a request says something itself, however its JSON is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.reading.echo import LOOKS_MAX, PIECE
from oxllm.core.reading.echo import says as says_any
from tests.support.effort import passes

RUN = ("credit", "balance", "is", "too", "low")
OTHERS = tuple(("credit", "balance", str(number)) for number in range(30))


def says(data: bytes, run: tuple[str, ...]) -> bool:
    """The one run that most tests are about."""
    return says_any(data, [run])


@pytest.mark.parametrize(
    "text",
    [
        "credit balance is too low",
        "Your CREDIT Balance is too low to go on",
        "credit-balance_is: too\nlow",
        "credit  \t\n balance\r\n\r\nis 'too' \"low\"",
        "credit\u00a0balance"[:6] + "\n\nbalance is (too) low",
        "creditBalanceIsTooLow",
    ],
)
def test_a_run_is_found_in_any_case_and_with_anything_but_letters_between(text: str) -> None:
    assert says(json.dumps({"content": text}).encode(), RUN)


@pytest.mark.parametrize("text", ["", "credit", "credit balance is very low", "balance credit is too low", "too low"])
def test_other_words_are_no_run(text: str) -> None:
    assert not says(json.dumps(text).encode(), RUN)


@pytest.mark.parametrize(
    "written", ["doesn't have any credits", "does not have any credits", "doesn\u2019t have any credits"]
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_contraction_is_the_same(written: str, ascii_only: bool) -> None:
    data = json.dumps(written, ensure_ascii=ascii_only).encode()
    assert says(data, ("does", "not", "have", "any", "credits"))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_signs_are_found_raw_and_escaped(ascii_only: bool) -> None:
    assert says(json.dumps("您的账户余额不足", ensure_ascii=ascii_only).encode(), ("余额不足",))


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(
    "text",
    ["Cr\u00e9dit \u00e9puis\u00e9", "CR\u00c9DIT \u00c9PUIS\u00c9", "cr\u00e9dit, d\u00e9j\u00e0: \u00c9puis\u00e9!"],
)
def test_words_with_accents_are_found_however_they_are_written(text: str, ascii_only: bool) -> None:
    data = json.dumps({"content": text}, ensure_ascii=ascii_only).encode()
    assert says(data, ("cr\u00e9dit", "\u00e9puis\u00e9"))
    assert says(data, ("cr\u00e9dit", "~", "\u00e9puis\u00e9"))
    assert not says(data, ("cr\u00e9dit", "suffisant"))
    assert not says(data, ("solde", "\u00e9puis\u00e9"))


@pytest.mark.parametrize("ascii_only", [True, False])
def test_capitals_of_another_script_are_found(ascii_only: bool) -> None:
    sign = "\u043d\u0435\u0434\u043e\u0441\u0442\u0430\u0442\u043e\u0447\u043d\u043e"
    assert says(json.dumps({"content": sign.upper()}, ensure_ascii=ascii_only).encode(), (sign,))


def test_a_name_inside_a_run_may_be_anything() -> None:
    assert says(b'"the model gpt-4o-mini does not exist"', ("model", "~", "does", "not", "exist"))
    assert says(b'"quota exceeded"', ("~", "quota", "exceeded", "~"))
    assert not says(b'"anything"', ("~", "gt"))


def test_letters_that_are_hidden_in_escapes_are_taken_for_a_find() -> None:
    assert says(b'"cr\\u0065dit balance is too low"', RUN)


@given(st.integers(0, PIECE + 50), st.integers(0, 2000))
def test_a_run_is_found_wherever_pieces_end(before: int, behind: int) -> None:
    assert says(b"x" * before + b"credit balance is too low" + b"y" * behind, RUN)


@pytest.mark.parametrize(
    "data", [b"credit " * 1_200_000, b"credit balance is too " * 380_000, b"x" * 8_400_000, b"\\u00e9" * 1_400_000]
)
def test_a_request_of_megabytes_takes_no_time(data: bytes) -> None:
    assert passes(lambda: says(data, RUN)) < 50


def test_what_begins_it_too_often_is_taken_for_a_find() -> None:
    assert says(b"credit " * (LOOKS_MAX + 1), RUN)
    assert not says(b"credit " * 100, RUN)


@pytest.mark.parametrize("runs", [(), [("~",)], OTHERS])
def test_of_several_runs_none_may_be_there(runs: tuple[tuple[str, ...], ...]) -> None:
    assert not says_any(b"credit balance", runs)


@pytest.mark.parametrize("run", [RUN, ("too", "low"), ("gt", "credit", "balance"), ("m\u00fcde",)])
def test_of_several_runs_any_is_found(run: tuple[str, ...]) -> None:
    assert says_any("credit balance is too low, m\u00fcde".encode(), [*OTHERS, run, *OTHERS])


def test_many_runs_take_little_longer_than_one_if_they_begin_alike() -> None:
    data = b"a credit balance is something else " + b"x" * 4_000_000
    assert passes(lambda: says_any(data, OTHERS * 2)) < 3 * passes(lambda: says_any(data, [RUN]))
