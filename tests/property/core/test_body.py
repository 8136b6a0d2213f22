"""Bodies: what goes in comes out but for what is ours to change, and nothing but JSON gets in.

`SLICE` is drawn small, too, so that every place of a body comes to lie on a border of slices.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn
from unittest import mock

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from oxllm.cli.built import built
from oxllm.core.wire import body, body_faults
from oxllm.core.wire.body import RequestBody
from oxllm.core.wire.body_faults import BadBody, invalid_utf8


@contextmanager
def bounds(**values: int) -> Iterator[None]:
    """With these bounds instead of our own."""
    with ExitStack() as patches:
        for module in (body, body_faults):
            for name in values.keys() & vars(module).keys():
                patches.enter_context(mock.patch.object(module, name, values[name]))
        yield


patched = pytest.mark.skipif(
    built() == "compiled", reason="compiled code has its bounds built in, and no patch moves them"
)

SLICES = st.sampled_from([4, 5, 7, 64, 65536])  # a character has up to 4 bytes
NAMES = st.sampled_from(["messages", "model", "a", "b", "stop", 'q"', "ä", "😀"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="n"), max_size=4
)
"""Names of members; `n` is read, and may not be anything."""
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
TEXTS = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent),
    VALUES,
    st.booleans(),
    st.sampled_from([None, None, 1]),
) | st.sampled_from(
    ["1.50", "-0", "1E+2", "12345678901234567890123", '"\\/\\u0041\\ud83d\\ude00"', "[ ]", "{ }", '"[{\\\\"']
)
SPACE = st.sampled_from(["", "", " ", "\n\t", "\r\n"])
MEMBERS = st.lists(st.tuples(NAMES, TEXTS), max_size=5)
EXTRA = st.dictionaries(NAMES.filter(lambda name: name != "model"), TEXTS, max_size=2)


@st.composite
def texts(draw: st.DrawFn) -> tuple[dict[str, str], bytes]:
    """A body as text with spaces and repeated names, and what its members are."""
    members = [*draw(MEMBERS), ("model", json.dumps(draw(NAMES)))]
    if draw(st.booleans()):
        members += [("stream", "true"), ("stream_options", draw(st.sampled_from(["null", "{}", '{"x": [1.0]}'])))]
    last: dict[str, str] = {}
    parts = []
    for name, text in members:
        last[name] = text
        ascii_only = draw(st.booleans())
        parts.append(draw(SPACE) + json.dumps(name, ensure_ascii=ascii_only) + draw(SPACE) + ":" + draw(SPACE) + text)
    return last, ("{" + (draw(SPACE) + ",").join(parts) + draw(SPACE) + "}").encode()


@given(texts(), NAMES, EXTRA, st.booleans(), SLICES)
def test_what_is_sent_is_what_came_with_our_members_in_it(
    given_text: tuple[dict[str, str], bytes], model: str, extra: dict[str, str], ask_usage: bool, size: int
) -> None:
    members, data = given_text
    with bounds(SLICE=size):
        request = RequestBody.parse(bytearray(data))
        length, segments = request.render(model, extra, ask_usage)
    sent = b"".join(segments)
    expected = {**members, "model": json.dumps(model, ensure_ascii=False), **extra}
    if ask_usage:
        options = json.loads(expected.get("stream_options") or "null")
        kept = options if isinstance(options, dict) else {}
        expected["stream_options"] = json.dumps({**kept, "include_usage": True}, separators=(",", ":"))
    assert request.model == json.loads(members["model"])
    assert length == len(sent)
    assert json.loads(sent) == {name: json.loads(text) for name, text in expected.items()}
    rendered = [json.dumps(name, ensure_ascii=False) + ":" + text for name, text in expected.items()]
    assert sent.decode() == "{" + ",".join(rendered) + "}"


def strictly(data: bytes) -> Any:
    """The value of a body that RFC 8259 and we let pass. Raises ValueError."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    value = json.loads(data.decode(), parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate
    return value


def surrogates_are_paired(data: bytes) -> bool:
    """json.loads forgets lone surrogates in members that a later one of the same name replaces."""
    escapes = re.sub(rb"\\[^u]", b"", data)
    return not re.search(rb"\\u[dD][89a-fA-F]", re.sub(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..", b"", escapes))


PIECES = st.sampled_from(
    [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\ud800", b"\\udc00", b"\xff", b"\xc3", b"NaN", b"\x00"]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A body with a few bytes put in or taken out."""
    data = draw(texts())[1]
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(PIECES | st.just(b"")) + data[at + draw(st.integers(0, 2)) :]
    return data


@given(damaged() | st.binary(max_size=40), SLICES)
def test_a_body_gets_in_only_if_it_is_strict_json_and_nothing_else_is_raised(data: bytes, size: int) -> None:
    with bounds(SLICE=size, MEMBERS_MAX=8):
        try:
            request = RequestBody.parse(bytearray(data))
        except BadBody as error:
            event("refused")
            json_fault = error.param is None and "members" not in error.message and "object" not in error.message
            assume(json_fault)
        else:
            event("accepted")
            assert strictly(data)["model"] == request.model
            assert surrogates_are_paired(data)
            assert json.loads(b"".join(request.render("real", {}, True)[1]))["model"] == "real"
            return
    offset = re.search(r"\(byte (\d+)\)$", str(error_of(data)))
    assert offset is not None
    assert 0 <= int(offset[1]) <= len(data)
    try:
        strictly(data)
    except ValueError:
        return
    assert not surrogates_are_paired(data)


def error_of(data: bytes) -> BadBody | None:
    try:
        RequestBody.parse(data)
    except BadBody as error:
        return error
    return None


def naive_fault(data: bytes, deepest: int) -> int | None:
    """The place of the first bracket that opens one level too many, byte by byte."""
    level, inside, escaped = 0, False, False
    for at, byte in enumerate(data):
        char = chr(byte)
        if escaped:
            escaped = False
        elif inside:
            escaped, inside = char == "\\", char != '"'
        elif char == '"':
            inside = True
        elif char in "[{":
            level += 1
            if level > deepest:
                return at
        elif char in "]}":
            level -= 1
    return None


@patched
@given(texts(), SLICES, st.integers(1, 5))
def test_nesting_is_measured_as_a_naive_scan_measures_it(
    given_text: tuple[dict[str, str], bytes], size: int, deepest: int
) -> None:
    data = given_text[1]
    found = None
    with bounds(SLICE=size, DEPTH_MAX=deepest):
        try:
            RequestBody.parse(bytearray(data))
        except BadBody as error:
            found = int(error.message.rpartition("(byte ")[2][:-1])
    event(f"too deep {found is not None}")
    assert found == naive_fault(data, deepest)


@patched
@given(st.lists(TEXTS, max_size=12), SLICES, st.integers(1, 10))
def test_members_are_bounded_whatever_they_hold(values: list[str], size: int, most: int) -> None:
    members = {"model": '"m"'} | {f"m{i}": text for i, text in enumerate(values)}
    data = ("{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}").encode()
    with bounds(SLICE=size, MEMBERS_MAX=most, DEPTH_MAX=12, NAME_MAX=10):
        error = error_of(data)
    if error is None:
        assert len(members) <= most or len(data) <= 12
    else:
        assert error.message == f"the request body has more than {most} members"
        assert len(members) > most


def first_bad(data: bytes) -> int | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


@given(st.binary(max_size=60) | st.text(max_size=30).map(lambda text: text.encode(errors="replace")), SLICES)
def test_the_first_byte_that_is_not_utf8_is_found(data: bytes, size: int) -> None:
    with bounds(SLICE=size):
        found = invalid_utf8(data)
    assert found == first_bad(data)
    if found is None:
        with bounds(SLICE=size):
            assert all(invalid_utf8(data[:stop], final=False) is None for stop in range(len(data)))
