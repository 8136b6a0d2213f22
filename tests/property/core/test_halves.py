"""Lone surrogates become U+FFFD, pairs and all else stay, however they stand beside each other."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.halves import without_halves
from tests.support.effort import passes

TOKENS = st.sampled_from(
    [rb"\ud83d", rb"\ude00", rb"\uD83D\uDE00", rb"\\", rb"\"", rb"\u00e4", b"ud83d", b"a", b"\xc3\xa4"]
)


@given(st.lists(TOKENS, max_size=9).map(b"".join))
def test_each_half_is_replaced_and_nothing_else(text: bytes) -> None:
    data = b'"%b"' % text
    joined = json.loads(data).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    mended = without_halves(data)
    assert json.loads(mended) == joined
    assert len(mended) == len(data)
    if joined == json.loads(data):
        assert mended == data


def test_a_text_of_escapes_with_a_pair_in_it_is_looked_through_in_little_time() -> None:
    data = json.dumps("привет 😀 " * 20_000).encode()
    assert passes(lambda: without_halves(data)) < 6
