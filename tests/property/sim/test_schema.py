"""Whatever schema a client sends, of the kinds that providers take, the answer is one of its values, and the same."""

from __future__ import annotations

import contextlib

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.sim.provider import schema
from oxllm.sim.provider.chance import Chance

NAMES = st.text("abcdefgh_", min_size=1, max_size=8)
BOUNDS = st.tuples(st.integers(-1000, 1000), st.integers(0, 1000)).map(lambda pair: (pair[0], sum(pair)))
LEAVES = st.one_of(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "null")]),
    st.sampled_from([{"type": "string", "format": name} for name in schema.FORMATS]),
    st.lists(st.one_of(st.integers(), st.text(max_size=5), st.none()), min_size=1, max_size=4).map(
        lambda values: {"enum": values}
    ),
    st.integers().map(lambda value: {"const": value}),
    BOUNDS.map(lambda pair: {"type": "integer", "minimum": pair[0], "maximum": pair[1]}),
    BOUNDS.map(lambda pair: {"type": "number", "minimum": pair[0], "maximum": pair[1]}),
    st.tuples(st.integers(0, 30), st.integers(0, 30)).map(
        lambda pair: {"type": "string", "minLength": min(pair), "maxLength": max(pair)}
    ),
    st.just({"type": ["string", "null"]}),
)


def nested(inner: st.SearchStrategy[dict[str, object]]) -> st.SearchStrategy[dict[str, object]]:
    objects = st.dictionaries(NAMES, inner, max_size=4).map(
        lambda members: {
            "type": "object",
            "properties": members,
            "required": sorted(members),
            "additionalProperties": False,
        }
    )
    lists = st.tuples(inner, st.integers(0, 4), st.integers(0, 4)).map(
        lambda parts: {"type": "array", "items": parts[0], "minItems": min(parts[1:]), "maxItems": max(parts[1:])}
    )
    return st.one_of(objects, lists, st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each}))


SCHEMAS = st.recursive(LEAVES, nested, max_leaves=12)


@given(SCHEMAS, st.integers(0, 2**32))
def test_a_value_is_one_that_its_schema_allows_and_always_the_same(wanted: dict[str, object], seed: int) -> None:
    made = schema.value(wanted, Chance(seed, "alpha", "q"))
    jsonschema.validate(made, wanted)
    assert schema.value(wanted, Chance(seed, "alpha", "q")) == made


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["name", "next"],
        }
    },
    "type": "object",
    "properties": {"root": {"$ref": "#/$defs/node"}, "all": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    "required": ["root", "all"],
}


@given(st.integers(0, 500))
def test_a_schema_that_refers_to_itself_has_values_that_end(seed: int) -> None:
    jsonschema.validate(schema.value(TREE, Chance(seed, "alpha", "q")), TREE)


WIDE = {"type": "object", "properties": {name: {"type": "array", "items": {"$ref": "#"}} for name in "abcdefgh"}}


@given(st.integers(0, 20))
def test_a_schema_that_branches_at_each_level_has_values_that_end(seed: int) -> None:
    jsonschema.validate(schema.value(WIDE, Chance(seed, "alpha", "q")), WIDE)


@pytest.mark.parametrize(
    "endless",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 9},
        {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "integer", "minimum": 1e300},
    ],
    ids=str,
)
def test_what_no_answer_holds_is_refused(endless: dict[str, object]) -> None:
    with pytest.raises(schema.BadSchema, match=r"leads to itself|parts|characters|64 bits"):
        schema.value(endless, Chance(7, "alpha", "q"))


KEYWORDS = (
    *("$ref", "const", "enum", "anyOf", "allOf", "type", "properties", "required", "items", "prefixItems"),
    *("minItems", "maxItems", "minLength", "maxLength", "minimum", "exclusiveMaximum", "multipleOf", "format"),
)
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["array", "integer", "#"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), JUNK))
def test_what_is_no_schema_has_a_value_all_the_same_or_is_refused(junk: dict[str, object]) -> None:
    with contextlib.suppress(schema.BadSchema):
        msgspec.json.encode(schema.value(junk, Chance(7, "alpha", "q")))
