"""An exact name wins, then the pattern that says most; `*` alone is the last resort."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.routing.names import Names, Pattern

NAMES = Names({name: name for name in ["*", "claude-*", "claude-haiku-*", "*-haiku-*", "claude-haiku-4", "gpt-*-mini"]})


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("claude-haiku-4", "claude-haiku-4"),
        ("claude-haiku-4-5", "claude-haiku-*"),
        ("claude-haiku-", "claude-haiku-*"),
        ("claude-opus-4", "claude-*"),
        ("my-haiku-1", "*-haiku-*"),
        ("gpt-4o-mini", "gpt-*-mini"),
        ("gpt-mini", "*"),
        ("", "*"),
        ("gpt-*-mini", "gpt-*-mini"),
        ("Claude-haiku-4", "*-haiku-*"),
        ("a/b\n", "*"),
    ],
)
def test_a_name_means_itself_or_the_pattern_that_fits_it_best(name: str, meaning: str) -> None:
    assert NAMES.find(name) == meaning


def test_a_name_that_nothing_matches_means_nothing() -> None:
    assert Names({"a*": 1}).find("b") is None


def test_of_two_patterns_that_say_as_much_the_first_wins() -> None:
    assert Names({"a*": 1, "*a": 2}).find("aa") == 1
    assert Names({"*a": 2, "a*": 1}).find("aa") == 2


def test_the_longest_part_counts_before_all_of_them() -> None:
    assert Names({"a*b*c*": 1, "ab*": 2}).find("abxbxc") == 2


@given(st.text("ab*", max_size=8).map(lambda text: text + "*"), st.text("ab", max_size=8))
def test_a_pattern_matches_what_a_regular_expression_does(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert Pattern(pattern).matches(name) == (re.fullmatch(expression, name, re.DOTALL) is not None)


def test_a_pattern_of_many_parts_takes_no_time() -> None:
    assert not Pattern("a*" * 300 + "b").matches("a" * 1024)
