"""The memory of owners does what a list does that is searched from its end and cut at its front."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.routing import owners
from oxllm.core.routing.owners import Owner, Owners

MAX = 3
STEPS = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([None, ("x", "1"), ("y", "2")])), max_size=40)


@given(STEPS)
def test_owners_are_what_a_naive_list_of_uses_says(steps: list[tuple[str, Owner | None]]) -> None:
    """A step without an owner is a question."""
    with patch.object(owners, "OWNERS_MAX", MAX):
        known = Owners()
        used: list[tuple[str, Owner]] = []
        for answer, owner in steps:
            if answer == "a":
                known.pack()
            expected = next((found for name, found in reversed(used) if name == answer), None)
            if owner is None:
                assert known.owner(answer) == expected
            else:
                known.remember(answer, owner)
                expected = owner
            if expected is not None:
                used = [*(use for use in used if use[0] != answer), (answer, expected)][-MAX:]
            assert len(known) == len(used)
