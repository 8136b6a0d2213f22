"""The rooms keep their doors: who imports whom, what the serving process loads, what the core may not touch, and what
tests may not touch."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "oxllm"
ROOMS = {
    "plan": set[str](),
    "early": set[str](),
    "__main__": {"cli", "early"},
    "runfile": set[str](),
    "words": set[str](),
    "local": set[str](),
    "terminal": set[str](),
    "launch": {"plan"},
    "authorities": set[str](),
    "params": set[str](),
    "status": set[str](),
    "verdict": {"status", "words"},
    "grid": {"words"},
    "table": {"grid", "status", "verdict", "words"},
    "core": {"plan"},
    "gateway": {"authorities", "core", "early", "local", "plan", "runfile", "status", "table", "words"},
    "config": {"plan"},
    "sim": {"plan", "config", "launch", "local", "params", "terminal", "words"},
    "cli": {
        *(
            "authorities",
            "early",
            "verdict",
            "plan",
            "config",
            "sim",
            "runfile",
            "launch",
            "params",
            "status",
            "grid",
            "table",
        ),
        *("terminal", "words"),
    },
}
"""Room -> the other rooms that it may import."""

THIRD_PARTY = {"httptools", "msgspec", "cython_runtime"}
"""What the serving process may load beside the standard library; httptools is written in Cython."""
HEAVY = {
    "json",
    "http",
    "urllib",
    "email",
    "hmac",
    "hashlib",
    "argparse",
    "dataclasses",
    "ipaddress",
    "pydantic",
    "click",
}
"""Of what others bring along, or of the standard library: each would cost memory that nobody counted."""


@functools.cache
def parsed(file: Path) -> ast.Module:
    """What a file says."""
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def imports(file: Path) -> set[str]:
    """Dotted names that a file imports, whether at once or later."""
    names: set[str] = set()
    package = ("oxllm", *file.relative_to(ROOT).parts[:-1])
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return names


def room_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "oxllm" and len(parts) > 1 else None


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_room_imports_only_rooms_below_it(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0].removesuffix(".py")
    others = {other for name in imports(file) if (other := room_of(name)) in ROOMS and other != room}
    assert others <= ROOMS.get(room, set()), f"{room} may not import {others - ROOMS.get(room, set())}"


def test_the_rule_knows_every_room() -> None:
    there = {file.stem for file in ROOT.iterdir() if file.suffix == ".py" or (file / "__init__.py").exists()}
    assert there - {"__init__"} == ROOMS.keys()


@functools.cache
def modules() -> dict[str, Path]:
    """Every file with something in it, by its dotted name."""
    return {
        ".".join(("oxllm", *file.relative_to(ROOT).with_suffix("").parts)): file
        for file in sorted(ROOT.rglob("*.py"))
        if file.name != "__init__.py"
    }


@functools.cache
def arrows() -> dict[str, set[str]]:
    """File -> the files that it imports, for its types alone, too."""
    known = modules()
    found: dict[str, set[str]] = {}
    for module, file in known.items():
        names = imports(file) | {name.rpartition(".")[0] for name in imports(file)}
        found[module] = (names & known.keys()) - {module}
    return found


def circles(graph: dict[str, set[str]]) -> set[str]:
    """The files of all circles, and those between two of them: what is left once each file that needs none of the
    others, or that none of the others needs, has been taken away, again and again."""
    left = set(graph)
    while ends := {
        module for module in left if not graph[module] & left or not any(module in graph[other] for other in left)
    }:
        left -= ends
    return left


def test_no_file_needs_a_file_that_needs_it() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b", "c"}
    assert not circles(arrows())


def wing_of(module: str) -> tuple[str, str] | None:
    """Room and wing of a file that lies in a wing."""
    parts = module.split(".")
    return (parts[1], parts[2]) if len(parts) > 3 else None


def test_between_two_wings_of_a_room_arrows_run_one_way() -> None:
    between = {
        (here, there)
        for module, needed in arrows().items()
        for other in needed
        if (here := wing_of(module)) and (there := wing_of(other)) and here[0] == there[0] and here != there
    }
    assert not {pair for pair in between if pair[::-1] in between}


def test_the_map_leads_to_files_that_are_there() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:core|gateway|sim|config|cli)/[\w/]*(?:\.py)?)`", page))
    assert len(named) > 20
    assert not {name for name in named if not (ROOT / name).exists()}


def test_the_map_names_every_file_of_the_core_and_of_the_gateway() -> None:
    """And those beside the rooms. A room of the command line is a list of commands, of the simulator one of faults."""
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", page))))
    drawn = [module.split(".") for module in modules() if not module.endswith(("_shapes", "__main__"))]
    missing = {".".join(parts) for parts in drawn if len(parts) == 2 or parts[1] in ("core", "gateway")}
    assert not {module for module in missing if module.rpartition(".")[2] not in named}


LINES_MAX, METHODS_MAX = 300, 20
"""A class that is larger says on its docstring's first line why it is one."""


@pytest.mark.parametrize(
    "file",
    modules().values(),
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_a_large_class_says_on_its_first_line_why_it_is_one(file: Path) -> None:
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.ClassDef):
            methods = sum(isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) for part in node.body)
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > LINES_MAX or methods > METHODS_MAX:
                first = (ast.get_docstring(node) or "").partition("\n")[0]
                assert "ne class, since" in first, f"{node.name}: {lines} lines, {methods} methods"


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_points_to_papers_that_its_reader_does_not_have(file: Path) -> None:
    assert not re.search(r"\bSPEC\b|\b(DESIGN|WIRE|PROTOCOLS|SIM|STYLE)( \d|\.md)", file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", sorted((ROOT / "core").rglob("*.py")), ids=lambda file: file.name)
def test_the_core_has_no_clock_no_sockets_and_no_loop(file: Path) -> None:
    banned = {"asyncio", "time", "logging", "threading", "signal", "os", "selectors", "ssl", "socket"}
    assert not {name.split(".")[0] for name in imports(file)} & banned


def test_the_serving_process_loads_the_standard_library_httptools_and_msgspec_only() -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['gateway', '--plan-fd', '999']\n"
        "try: runpy.run_module('oxllm.gateway', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules if sys.modules[name] is not None}))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    foreign = loaded - set(sys.stdlib_module_names) - {"__main__", "oxllm"} - THIRD_PARTY
    # Of the test's own environment: runpy brings these, and an editable install its finder.
    foreign = {name for name in foreign if not name.startswith(("_", "sitecustomize", "distutils-precedence"))}
    assert not foreign
    assert not loaded & HEAVY


# Tests.

TESTS = Path(__file__).parents[1]
PUBLIC = {
    "_replace": "of a NamedTuple: the underscore keeps it apart from the fields",
    "_fields": "of a NamedTuple",
    "_request_id": "of an answer of the openai and anthropic SDKs, whose manuals have it",
}
"""Names that are public in spite of their underscore, each with the reason."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in PUBLIC


def private_uses(tree: ast.AST) -> Iterator[str]:
    """Each use of something private of another object or file, as it is written."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if is_private(name):
                yield ast.unparse(node)
            case ast.ImportFrom(names=names) if any(is_private(alias.name) for alias in names):
                yield ast.unparse(node)
            case ast.Call(func=ast.Name(id="getattr" | "setattr") | ast.Attribute(attr="setattr"), args=arguments):
                named = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
                if any(isinstance(value, str) and is_private(value.rpartition(".")[2]) for value in named):
                    yield ast.unparse(node)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("thing._inner", True),
        ("thing.self._inner.more", True),
        ("super()._step(x)", True),
        ("from oxllm.core import _inner", True),
        ("getattr(thing, '_inner')", True),
        ("patch.setattr(Thing, '_inner', 1)", True),
        ("patch.setattr('oxllm.core.thing._inner', 1)", True),
        ("self._inner; cls._inner; thing.outer; thing.__slots__; pair._replace(x=1)", False),
        ("getattr(thing, 'outer'); from oxllm import outer", False),
    ],
)
def test_what_is_private_of_another_is_found(text: str, found: bool) -> None:
    assert bool(list(private_uses(ast.parse(text)))) == found


@pytest.mark.parametrize("file", sorted(TESTS.rglob("*.py")), ids=lambda file: str(file.relative_to(TESTS)))
def test_no_test_reaches_for_what_is_private(file: Path) -> None:
    assert list(private_uses(parsed(file))) == []
