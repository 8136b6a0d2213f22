"""The simulator's rooms: each imports only those before it, and no two files import each other."""

from __future__ import annotations

import ast
import graphlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3] / "oxllm" / "sim"
ORDER = ("dialects", "provider", "faults", "script", "serve", "rehearsal", "page")
"""What stands beside the rooms (the command, the demo, the tables of the docs) may import all of them."""
FILES = sorted(ROOT.rglob("*.py"))


def module(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module(file): file for file in FILES}


def imported(file: Path) -> set[str]:
    """The modules of the simulator that a file imports, at once or later, or for its types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file.name}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            inside = [name.removeprefix("oxllm.sim.") for name in names if name.startswith("oxllm.sim.")]
            found.update(name if name in MODULES else name.rpartition(".")[0] for name in inside)
    return found - {module(file)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_room_imports_only_rooms_before_it(file: Path) -> None:
    room = file.relative_to(ROOT).parts[0]
    if room in ORDER:
        later = {name for name in imported(file) if name.split(".")[0] not in ORDER[: ORDER.index(room) + 1]}
        assert not later


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {name: imported(file) for name, file in MODULES.items()}
    assert tuple(graphlib.TopologicalSorter(graph).static_order())
