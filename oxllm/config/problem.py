"""What is wrong with a configuration, said so that it can be put right: where, what, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

import msgspec

from oxllm.config.excerpt import Excerpt, excerpt_at
from oxllm.config.lines import Path, Places, line_of, show
from oxllm.config.veil import unmarked, veiled

Severity = Literal["error", "warning", "note"]


class BadValueError(ValueError):
    """A value that cannot stand. The arguments: what is wrong with it, and (optional) what to write instead."""


class UnsetVariableError(BadValueError):
    """A value needs an environment variable that is not set."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the environment variable {name} is not set", f"set it, or write ${{{name}:-default}}")
        self.name = name


class Problem(msgspec.Struct, frozen=True):
    """One finding. `line` counts from 1; None when the file has no such place (it does not exist, it is empty)."""

    file: str
    line: int | None
    key: str
    """As the file would write it, `providers[0].base_url`; empty when the whole file is meant."""
    message: str
    help: str = ""
    """What to write instead; empty when the message says it all."""
    severity: Severity = "error"
    excerpt: Excerpt | None = None
    """What stands there, for a person to see."""

    @property
    def place(self) -> str:
        """`file:line`, as editors and terminals make a link of it."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        said = f"{self.key}: {self.message}" if self.key else self.message
        return f"{self.place}: {self.severity}: {said}" + (f"; {self.help}" if self.help else "")


class Problems:
    """Collects what is found in one file. The first error at a place is the cause, so later ones there are left out."""

    def __init__(self, file: str, places: Places, text: str) -> None:
        self.file = file
        self.lines = places.lines
        self._places = places
        self._text = text
        self.found: list[tuple[Path, Problem]] = []
        self.muted: set[Path] = set()
        self.options: dict[Path, str] = {}
        """Keys that options of the command line stand over, so that no file has what is wrong with them."""
        self.unset: list[str] = []
        """Environment variables that values need and that are not set."""

    def error(self, path: Path, message: str, help: str = "", on_key: bool = False) -> None:
        """`path` is wrong (`on_key`: not what it holds). Later errors at it or below it would only repeat that."""
        if self.is_sound(path):
            self.mute(path)
            self._add(path, message, help, "error", on_key)

    def warning(self, path: Path, message: str, help: str = "") -> None:
        self._add(path, message, help, "warning")

    def note(self, path: Path, message: str, help: str = "") -> None:
        """Nothing is wrong, but there is something to know."""
        self._add(path, message, help, "note")

    def mute(self, path: Path) -> None:
        """Nothing true can be said about the value at `path`: its variables are not expanded."""
        self.muted.add(path)

    def is_sound(self, *paths: Path) -> bool:
        """Has none of these, nor anything around them, been found wrong?"""
        return not any(path[:depth] in self.muted for path in paths for depth in range(len(path) + 1))

    def of(self, severity: Severity) -> tuple[Problem, ...]:
        """In the order of the file."""
        chosen = [problem for _, problem in self.found if problem.severity == severity]
        return tuple(sorted(chosen, key=lambda problem: problem.line or 0))

    def _add(self, path: Path, message: str, help: str, severity: Severity, on_key: bool = False) -> None:
        line: int | None = None
        excerpt: Excerpt | None = None
        if path not in self.options:
            line, excerpt = line_of(self.lines, path), excerpt_at(self._veiled, self._places, path, on_key)
        key, said, advice = self.options.get(path) or show(path), unmarked(message), unmarked(help)
        self.found.append((path, Problem(self.file, line, key, said, advice, severity, excerpt)))

    @cached_property
    def _veiled(self) -> str:
        return veiled(self._text, self._places)


def closest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that was probably meant, if one is near enough."""
    names = {each.lower(): each for each in sorted(valid, reverse=True)}
    close = get_close_matches(name.lower(), sorted(names), n=1, cutoff=0.58)
    return names[close[0]] if close else None


def nearest(name: str, valid: Iterable[str]) -> str:
    """The end of a sentence that rejects `name`: the valid name that was probably meant, or all of them."""
    names = sorted(valid)
    if not names:
        return "there is none"
    if (meant := closest(name, names)) is not None:
        return f"did you mean {meant!r}?"
    return f"there {'is' if len(names) == 1 else 'are'} {listed(names)}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names in a sentence, in quotes; a long list is cut."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
