"""Generates a value that a JSON Schema allows, for structured outputs and tool arguments.

Not taken from a library, since an answer must be a pure function of seed, provider and request: generators for testing
(hypothesis-jsonschema, polyfactory) draw from shared state, shrink towards empty values, or need Python models. It
supports what providers accept: types, enums and constants, bounds, formats, `$ref`, `anyOf` and the like. Other
keywords (`pattern`, `not`, `if`) are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.text import WORDS

Json = dict[str, Any]
DEPTH_MAX = 12
"""Depth from which optional members are omitted and lists are as short as possible, so that recursive schemas end."""
MANY = 2_000
"""Number of values after which the same applies."""
FORMATS = {
    "date": "2026-03-01",
    "date-time": "2026-03-01T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "6f1ed002-ab5c-4b5a-9d2e-6b6f0f1d2c3a",
}


VALUES_MAX, STRING_MAX = 20_000, 20_000
"""Most values in one answer, and characters in one value: each is drawn, and no client needs more."""
DEEPEST = 100
"""Nesting of references, objects and lists, beyond which a schema is taken to recurse for ever."""


class BadSchema(ValueError):
    """No value can be made for the schema; the message is for its author."""


def value(schema: object, chance: Chance) -> object:
    """A value; the same chance gives the same one. Raises BadSchema."""
    root = schema if isinstance(schema, dict) else {}
    try:
        return _Maker(root, chance).make(root, "$", 0)
    except BadSchema:
        raise
    except (TypeError, AttributeError, LookupError, ValueError, ArithmeticError):  # the schema is untrusted input
        raise BadSchema("a keyword has a value of a kind that it does not take") from None


class _Maker:
    """Makes a value for one schema."""

    def __init__(self, root: Json, chance: Chance) -> None:
        self._root = root
        self._chance = chance
        self._made = 0

    def make(self, schema: object, at: str, depth: int) -> object:
        """A value for the JSON path `at`."""
        self._made += 1
        if self._made > VALUES_MAX:
            raise BadSchema(f"its values have more than {VALUES_MAX} parts")
        if depth > DEEPEST:
            raise BadSchema("it leads to itself, and no value of it ever ends")
        if not isinstance(schema, dict):
            return self._words(at, 2)
        if "$ref" in schema:
            return self.make(self._referred(str(schema["$ref"])), at, depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._one(schema["enum"], at)
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self.make(self._chosen(schema[union], at, depth), at, depth + 1)
        if schema.get("allOf"):
            return self.make(_merged(schema), at, depth + 1)
        return self._typed(schema, at, depth)

    def _typed(self, schema: Json, at: str, depth: int) -> object:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        makers: dict[str, Callable[[Json, str, int], object]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda _schema, at, _depth: self._chance.draw(at) < 0.5,
            "null": lambda _schema, _at, _depth: None,
        }
        return makers.get(str(kind), self._string)(schema, at, depth)

    def _object(self, schema: Json, at: str, depth: int) -> Json:
        required = set(schema.get("required", ()))
        wanted = schema.get("properties", {})
        return {
            name: self.make(sub, f"{at}.{name}", depth + 1)
            for name, sub in wanted.items()
            if name in required or not self._must_end(depth)
        }

    def _array(self, schema: Json, at: str, depth: int) -> list[object]:
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, 3)))
        count = least if self._must_end(depth) else max(least, min(most, 1 + int(self._chance.draw(at) * 3)))
        first = schema.get("prefixItems", [])
        return [
            self.make(first[place] if place < len(first) else schema.get("items"), f"{at}[{place}]", depth + 1)
            for place in range(count)
        ]

    def _string(self, schema: Json, at: str, depth: int) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 1_000_000))
        if least > STRING_MAX:
            raise BadSchema(f"it wants a string of {least} characters; {STRING_MAX} are as many as there are here")
        said = self._words(at, 1 + int(self._chance.draw(at) * 4))
        while len(said) < least:
            said += self._words(f"{at} {len(said)}", 1)
        return said[:most]

    def _integer(self, schema: Json, at: str, depth: int) -> int:
        step = schema.get("multipleOf", 1)
        low, high = self._bounds(schema, 1)
        made = int(step * -(-(low + self._chance.draw(at) * (high - low)) // step)) if high > low else int(high)
        if abs(made) >= 1 << 63:
            raise BadSchema("it wants an integer of more than 64 bits")
        return made

    def _number(self, schema: Json, at: str, depth: int) -> float:
        low, high = self._bounds(schema, 0.001)
        return round(low + self._chance.draw(at) * (high - low), 3)

    def _bounds(self, schema: Json, beside: float) -> tuple[float, float]:
        """Minimum and maximum; `beside` is the distance to an exclusive bound."""
        low, high = schema.get("minimum"), schema.get("maximum")
        low = schema["exclusiveMinimum"] + beside if "exclusiveMinimum" in schema else low
        high = schema["exclusiveMaximum"] - beside if "exclusiveMaximum" in schema else high
        if low is None:
            low = min(0, high - 100) if high is not None else 0
        return low, low + 100 if high is None else high

    def _must_end(self, depth: int) -> bool:
        return depth >= DEPTH_MAX or self._made > MANY

    def _chosen(self, choices: list[object], at: str, depth: int) -> object:
        """One of several schemas: any, or beyond the limits one that does not recurse."""
        if not self._must_end(depth):
            return self._one(choices, at)
        ends = [each for each in choices if isinstance(each, dict) and not {"$ref", "properties"}.intersection(each)]
        return (ends or choices)[0]

    def _one(self, choices: list[Any], at: str) -> Any:
        return choices[int(self._chance.draw(at) * len(choices))]

    def _words(self, at: str, count: int) -> str:
        draws = (self._chance.draw(f"{at} word {number}") for number in range(count))
        return "".join(WORDS[int(draw * len(WORDS))] for draw in draws).strip()

    def _referred(self, reference: str) -> object:
        """The schema that `#/$defs/Name` refers to."""
        found: object = self._root
        for part in reference.lstrip("#").strip("/").split("/"):
            if part:
                found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found


def _merged(schema: Json) -> Json:
    """The schemas of `allOf` merged into one."""
    whole: Json = {key: member for key, member in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        if isinstance(part, dict):
            properties = {**whole.get("properties", {}), **part.get("properties", {})}
            required = [*whole.get("required", []), *part.get("required", [])]
            whole = {**whole, **part, "properties": properties, "required": required}
    return whole
