"""Objects that are passed on in pieces: however they are cut, the same is known of them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.wire.nesting import Passing, ends_in_escape, levels, reach
from tests.property.core.cuts import cut

VALUES = st.recursive(
    st.none() | st.integers() | st.text('{}[]"\\\\aä😀\n', max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('"}ä', max_size=2), inner, max_size=3),
    max_leaves=9,
)
OBJECTS = st.dictionaries(st.text("a", max_size=2), VALUES, max_size=3)


def passed(data: st.DataObject, text: bytes) -> tuple[bytes, Passing] | None:
    """What is passed on of a text that comes in pieces; None if it is seen to be none."""
    passing, out = Passing(), b""
    for piece in cut(text, data):
        found = passing.feed(piece)
        if found is None:
            return None
        found.decode()
        out += found
    return out, passing


@given(st.data(), OBJECTS, st.booleans(), st.text(" \n", max_size=3))
def test_an_object_is_passed_on_and_whole(data: st.DataObject, value: object, ascii: bool, behind: str) -> None:
    text = (json.dumps(value, ensure_ascii=ascii) + behind).encode()
    found = passed(data, text)
    assert found is not None
    assert (found[0], found[1].whole) == (text, True)


@given(st.data(), OBJECTS, st.booleans(), st.integers(1, 50))
def test_one_that_is_cut_is_not_whole(data: st.DataObject, value: object, ascii: bool, missing: int) -> None:
    found = passed(data, json.dumps(value, ensure_ascii=ascii).encode()[:-missing])
    assert found is not None
    assert not found[1].whole


@given(st.data(), OBJECTS, st.sampled_from([b"}", b"{}", b"x", b" ]", b"\xff"]))
def test_nothing_may_stand_behind_it(data: st.DataObject, value: object, behind: bytes) -> None:
    assert passed(data, json.dumps(value).encode() + behind) is None


@given(
    st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b":", b'"', b"\\", b"a", b"[]", b'""', b'{"":'])).map(b"".join),
    st.booleans(),
    st.integers(0, 9),
)
def test_how_far_a_part_reaches_is_told_by_its_levels(part: bytes, inside: bool, level: int) -> None:
    if ends_in_escape(part):
        part += b"n"
    found, inside_then = levels(part, inside, level)
    lowest, highest, last, then = reach(part, inside, level)
    assert (lowest, last, then) == (min(found), found[-1], inside_then)
    assert max(found) <= highest


@given(VALUES, st.booleans())
def test_the_levels_of_a_value_are_those_of_its_brackets_and_colons(value: object, ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii).encode()
    expected, in_string, escaped = [0], False, False
    for byte in text:
        sign = chr(byte)
        if in_string:
            in_string, escaped = escaped or sign != '"', not escaped and sign == "\\"
        elif sign == '"':
            in_string = True
        elif sign in "[{]}:":
            expected.append(expected[-1] + {"[": 1, "{": 1, ":": 0}.get(sign, -1))
    assert levels(text, False, 0) == (expected, False)
