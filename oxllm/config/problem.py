"""A problem in a configuration, told so that it can be fixed: where, what, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

import msgspec

from oxllm.config.excerpt import Excerpt, excerpt_at
from oxllm.config.lines import Path, Places, line_of, show
from oxllm.config.masking import unmarked
from oxllm.config.veil import veiled

Severity = Literal["error", "warning", "note"]


class BadValueError(ValueError):
    """A bad value. Arguments: what is wrong with it, and (optionally) what to write instead."""


class UnsetVariableError(BadValueError):
    """A value needs an environment variable that is not set."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the environment variable {name} is not set", f"set it, or write ${{{name}:-default}}")
        self.name = name


class Problem(msgspec.Struct, frozen=True):
    """One finding. `line` counts from 1; None if there is no such line (the file does not exist, or is empty)."""

    file: str
    line: int | None
    key: str
    """As the file would write it, `providers[0].base_url`; empty for the whole file."""
    message: str
    help: str = ""
    """What to write instead; empty when the message says it all."""
    severity: Severity = "error"
    excerpt: Excerpt | None = None
    """The line itself, for people."""

    @property
    def place(self) -> str:
        """`file:line`, which editors and terminals turn into a link."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        said = f"{self.key}: {self.message}" if self.key else self.message
        return f"{self.place}: {self.severity}: {said}" + (f"; {self.help}" if self.help else "")


class Problems:
    """Collects the findings in one file. Only the first error at a path is kept, since it causes the later ones."""

    def __init__(self, file: str, places: Places, text: str) -> None:
        self.file = file
        self.lines = places.lines
        self._places = places
        self._text = text
        self.found: list[tuple[Path, Problem]] = []
        self.muted: set[Path] = set()
        self.options: dict[Path, str] = {}
        """Keys that a command line option overrides -> the option. Problems with them are in no line of the file."""
        self.unset: list[str] = []
        """Environment variables that values need but that are not set."""

    def error(self, path: Path, message: str, help: str = "", on_key: bool = False) -> None:
        """`path` is wrong (`on_key`: the key itself, not its value). Later errors at or below it are suppressed."""
        if self.is_sound(path):
            self.mute(path)
            self._add(path, message, help, "error", on_key)

    def warning(self, path: Path, message: str, help: str = "") -> None:
        self._add(path, message, help, "warning")

    def note(self, path: Path, message: str, help: str = "") -> None:
        """Nothing is wrong, but this is worth knowing."""
        self._add(path, message, help, "note")

    def mute(self, path: Path) -> None:
        """Report no errors at or below `path`: its value is unknown (variables not expanded) or already reported."""
        self.muted.add(path)

    def is_sound(self, *paths: Path) -> bool:
        """Are all of these, and everything that contains them, free of errors?"""
        return not any(path[:depth] in self.muted for path in paths for depth in range(len(path) + 1))

    def of(self, severity: Severity) -> tuple[Problem, ...]:
        """Those of one severity, in file order."""
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
    """Advice for an invalid `name`: the valid name that was probably meant, or all of them."""
    names = sorted(valid)
    if not names:
        return "there is none"
    if (meant := closest(name, names)) is not None:
        return f"did you mean {meant!r}?"
    return f"there {'is' if len(names) == 1 else 'are'} {listed(names)}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names for a sentence, in quotes; a long list is cut."""
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
