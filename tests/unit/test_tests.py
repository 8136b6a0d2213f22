"""The tests themselves: each of them says what must hold."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("*.py"))
WORDS = {"fail", "raises", "skip", "warns"}
"""What of pytest says what must hold."""


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def says(function: ast.AST) -> bool:
    """It asserts something, or expects an exception."""
    return any(
        isinstance(node, ast.Assert | ast.Raise) or (isinstance(node, ast.Attribute) and node.attr in WORDS)
        for node in ast.walk(function)
    )


def called(function: ast.AST) -> set[str]:
    """What it calls or hands on by a name."""
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}


def silent(everything: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]]) -> set[str]:
    """Names of functions that say nothing, neither themselves nor by what they call."""
    calls = {name: set[str]().union(*map(called, found)) for name, found in everything.items()}
    saying = {name for name, found in everything.items() if any(map(says, found))}
    while more := {name for name in calls.keys() - saying if calls[name] & saying}:
        saying |= more
    return calls.keys() - saying


def test_every_test_says_what_must_hold() -> None:
    everything: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
    for file in FILES:
        for function in functions(file):
            everything.setdefault(function.name, []).append(function)
    assert len(everything) > 1000
    assert {name for name in silent(everything) if name.startswith("test_")} == set()


def test_a_test_that_says_nothing_is_found() -> None:
    text = "def test_a(): helper()\ndef helper(): check()\ndef check(): assert 1\ndef test_b(): print()\n"
    named = {node.name: [node] for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert silent(named) == {"test_b"}  # type: ignore[arg-type]
