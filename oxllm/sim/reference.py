"""Generates the tables of docs/simulator.md from the code: kinds, places, dialects, exhibits, presets, paces.

`python -m oxllm.sim.reference docs/simulator.md` rewrites them between their marks; a test keeps them current.
"""

from __future__ import annotations

import importlib
import itertools
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from oxllm.config.reference import insert
from oxllm.sim import dialects, faults
from oxllm.sim.faults.base import Fault
from oxllm.sim.provider import pace, place
from oxllm.sim.script import exhibits, presets


def kinds() -> str:
    """Every kind: its syntax, what it does, and where it strikes by default."""
    rows = (
        (*_told(fault.__module__), _only(fault), _code(fault.default or "")) for fault in map(faults.load, faults.KINDS)
    )
    return _table(("kind", "what arrives", "only in", "`@` if not said"), rows)


def places() -> str:
    """What may follow the `@`, from the docstring of `Place`."""
    told = re.findall(r"`([^`]+)`: (.+?)\.(?= `|$| An N)", " ".join((place.Place.__doc__ or "").split()))
    return _table(("place", "where"), ((_code(word), where) for word, where in told))


def speech() -> str:
    """How each dialect differs."""
    rows = (
        (_code(name), _paragraph(type(dialects.load(name)).__module__).partition(": ")[2]) for name in dialects.NAMES
    )
    return _table(("dialect", "what is its own"), rows)


def incidents() -> str:
    """The exhibits."""
    rows = (
        (_code(name), told.story, ", ".join(map(_code, told.told)), told.source)
        for name, told in exhibits.EXHIBITS.items()
    )
    return _table(("exhibit", "what happened", "faults", "source"), rows)


def chaos() -> str:
    """The faults of each preset, and the kinds that are in none."""
    rows = ((_code(name), ", ".join(presets.FAULTS[name])) for name in presets.NAMES)
    absent = (
        f"{', '.join(_code(kind) for kind, _ in kinds)} ({why})"
        for why, kinds in itertools.groupby(presets.LEFT_OUT.items(), key=lambda each: each[1])
    )
    return f"{_table(('preset', 'faults'), rows)}\nNo preset has {', '.join(absent)}.\n"


def paces() -> str:
    """The named paces."""
    return _table(("pace", "which is"), ((_code(name), _code(text)) for name, text in pace.NAMED.items()))


TABLES: dict[str, Callable[[], str]] = {
    "kinds": kinds,
    "places": places,
    "dialects": speech,
    "exhibits": incidents,
    "presets": chaos,
    "paces": paces,
}


def render(text: str) -> str:
    """The page with all its tables regenerated. Raises ValueError if it lacks the marks of one."""
    for name, table in TABLES.items():
        begin = f"<!-- {name}: made by `python -m oxllm.sim.reference`, do not edit -->"
        text = insert(text, table(), begin, f"<!-- end of {name} -->")
    return text


def _only(fault: type[Fault]) -> str:
    """Which answers a kind can strike, if not all."""
    apis = ", ".join(fault.protocols)
    return f"streams{f' of {apis}' if apis else ''}" if fault.streams_only else apis


def _told(module: str) -> tuple[str, str]:
    """Syntax and meaning, from the first paragraph of a fault's docstring."""
    syntax, _, meaning = _paragraph(module).partition(": ")
    return syntax, meaning


def _paragraph(module: str) -> str:
    return " ".join((importlib.import_module(module).__doc__ or "").split("\n\n")[0].split())


def _code(word: object) -> str:
    return f"`{word}`" if str(word) else ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def write(arguments: list[str]) -> int:
    """Write the tables into the given files."""
    for name in arguments:
        file = Path(name)
        file.write_text(render(file.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(write(sys.argv[1:]))
