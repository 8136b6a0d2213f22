"""The outline of a JSON text says what the text says of all that is short and not deep, however it is cut."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.wire.outline import LONG_STRING, STRING_MAX, Outline
from tests.property.core.cuts import cut

TEXTS = st.text('{}[]"\\aä😀\n', max_size=9) | st.integers(STRING_MAX - 3, STRING_MAX + 3).map("x".__mul__)
VALUES = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.just([0] * 300)
        | st.dictionaries(st.text('"}ä', max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


def outlined(data: st.DataObject, text: bytes, depth: int) -> Outline:
    outline = Outline(depth)
    for piece in cut(text, data):
        outline.feed(piece)
    return outline


def shown(value: object, depth: int, plain: bool) -> object:
    """What an outline has of a value that stands inside containers of which so many more are looked into."""
    if isinstance(value, dict):
        return {name: shown(inner, depth - 1, plain) for name, inner in value.items()} if depth else {}
    if isinstance(value, list):
        return [shown(inner, depth - 1, plain) for inner in value] if depth else []
    if isinstance(value, str) and len(json.dumps(value, ensure_ascii=plain).encode()) - 2 > STRING_MAX:
        return LONG_STRING.decode()
    return value


@given(st.data(), VALUES, st.integers(0, 4), st.booleans())
def test_an_outline_says_what_is_short_and_not_deep(
    data: st.DataObject, value: object, depth: int, plain: bool
) -> None:
    text = json.dumps(value, ensure_ascii=plain).encode()
    assert json.loads(outlined(data, text, depth).text) == shown(value, depth, plain)


@given(st.data(), VALUES, st.sampled_from(["\\", "\\\\", "x", '"', "]"]))
def test_an_outline_of_more_than_json_is_more_than_json(data: st.DataObject, value: object, more: str) -> None:
    kept = outlined(data, json.dumps(value).encode() + more.encode(), 2).text
    try:
        json.loads(kept)
    except json.JSONDecodeError:
        return
    raise AssertionError(kept)


@given(st.data(), st.dictionaries(st.text("ab", max_size=2), VALUES, max_size=3), st.integers(1, 20))
def test_an_outline_of_a_cut_text_is_cut(data: st.DataObject, value: object, missing: int) -> None:
    kept = outlined(data, json.dumps(value).encode()[:-missing], 2).text
    try:
        json.loads(kept)
    except json.JSONDecodeError:
        return
    raise AssertionError(kept)


def test_an_escape_may_stand_where_a_text_is_cut() -> None:
    outline = Outline(1)
    for piece in (b'{"a', rb"\"b", b'": [1]}'):
        outline.feed(piece)
    assert json.loads(outline.text) == {'a"b': []}
