"""The tests themselves: each of them says what must hold."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("*.py"))
WORDS = {"fail", "raises", "skip", "warns"}
"""What of pytest says what must hold."""


class Function(NamedTuple):
    """A function of a test file, and all that are defined in it."""

    name: str
    says: bool
    """It asserts something, or expects an exception."""
    uses: set[str]
    """The names of what it calls or hands on."""


def function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    says, uses = False, set()
    for part in ast.walk(node):
        match part:
            case ast.Assert() | ast.Raise():
                says = True
            case ast.Name(id=name) | ast.Attribute(attr=name):
                says = says or (name in WORDS and isinstance(part, ast.Attribute))
                uses.add(name)
    return Function(node.name, says, uses)


def functions(text: str) -> list[Function]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [function(node) for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]


def silent(found: list[Function]) -> set[str]:
    """Names of functions that say nothing, neither themselves nor by what they call."""
    calls: dict[str, set[str]] = {}
    for one in found:
        calls.setdefault(one.name, set()).update(one.uses)
    saying = {one.name for one in found if one.says}
    while more := {name for name in calls.keys() - saying if not calls[name].isdisjoint(saying)}:
        saying |= more
    return calls.keys() - saying


def test_every_test_says_what_must_hold() -> None:
    found = [one for file in FILES for one in functions(file.read_text(encoding="utf-8"))]
    assert len(found) > 3000
    assert {name for name in silent(found) if name.startswith("test_")} == set()


def test_a_test_that_says_nothing_is_found() -> None:
    text = "def test_a(): helper()\ndef helper(): check()\ndef check(): assert 1\ndef test_b(): print()\n"
    assert silent(functions(text)) == {"test_b"}
