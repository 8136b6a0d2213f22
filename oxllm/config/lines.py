"""Where each key is in a TOML file: the one thing that `tomllib` does not tell.

`find_places` reads text that `tomllib` has accepted, so it only has to know where keys, values and brackets begin and
end (toml.io v1.0.0), never whether they are valid. It returns no values, but two maps from key paths (those of the
parsed document): to line numbers from 1, and to the offsets of key and value.

    providers = [ { name = "a" } ]      ("providers",)  ("providers", 0)  ("providers", 0, "name")
    [[providers]]                       ("providers",)  ("providers", 1)
    [server.tls]                        ("server",)  ("server", "tls")

A table that is opened more than once, or implied by a dotted key, has the line where it is first named.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import NamedTuple

Path = tuple[str | int, ...]
"""From the document's root: table keys and array indices."""

SHOWN_MAX = 200
"""Characters of a path that are shown; no known key comes near it."""
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = (
    re.compile(r'"""(?:\\.|[^"\\]|"{1,2}(?!"))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}"),
    re.compile(r'"(?:\\.|[^"\\])*"'),
    re.compile(r"'[^']*'"),
)
"""Longest delimiter first. A multi-line string may end in up to two quotes of its own."""
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^,\]}\s#]*|[^,\]}\s#]+")
"""A number, a boolean or a date. Only a date and its time may have a space between them."""


class Span(NamedTuple):
    """Offsets of a key and its value; an array's element is its own key."""

    key: int
    key_end: int
    value: int
    value_end: int


class Places(NamedTuple):
    """The location of everything in one document."""

    lines: dict[Path, int]
    """Of every table, key and array element."""
    spans: dict[Path, Span]
    """Of every key with a value and every array element."""


def find_places(text: str) -> Places:
    """Locate everything in a valid TOML document."""
    return _Finder(text).document()


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of `path`; for a missing key, that of the nearest parent that the file names."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def show(path: Path) -> str:
    """A key path as the file would write it: `providers[0].headers."X Team"`."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += ("." if shown else "") + (part if _BARE_KEY.fullmatch(part) else _quoted(part))
    return shown if len(shown) <= SHOWN_MAX else f"{shown[:SHOWN_MAX]}\N{HORIZONTAL ELLIPSIS}"


def _quoted(key: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in key) + '"'


class _Finder:
    """A single pass over one document."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.lines: dict[Path, int] = {}
        self.spans: dict[Path, Span] = {}
        self.sizes: dict[Path, int] = {}  # arrays of tables -> number of elements so far

    def document(self) -> Places:
        table: Path = ()
        self.blank()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.blank()
        return Places(self.lines, self.spans)

    def header(self) -> Path:
        start, depth = self.at, 2 if self.text.startswith("[[", self.at) else 1
        self.at += depth
        keys = self.keys()
        self.at += depth
        table: Path = ()
        for key in keys[:-1]:
            table = self.open(table, key, start)
        if depth == 1:
            return self.open(table, keys[-1], start)
        array = (*table, keys[-1])
        self.note(array, start)
        self.sizes[array] = self.sizes.get(array, 0) + 1
        return self.open(table, keys[-1], start)

    def open(self, table: Path, key: str, start: int) -> Path:
        """The table that `key` means inside `table`: for an array of tables, its last element."""
        path = (*table, key)
        self.note(path, start)
        if path in self.sizes:
            path = (*path, self.sizes[path] - 1)
            self.note(path, start)
        return path

    def pair(self, table: Path) -> None:
        start = self.at
        for key in self.keys():
            table = (*table, key)
            self.note(table, start)
        end = start + len(self.text[start : self.at].rstrip())
        self.at += 1  # the equals sign
        self.blank()
        value = self.at
        self.value(table)
        self.spans.setdefault(table, Span(start, end, value, self.at))

    def keys(self) -> list[str]:
        """The parts of a dotted key; ends at what follows it: `=` or `]`."""
        keys = []
        while True:
            self.blank()
            keys.append(self.key())
            self.blank()
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def key(self) -> str:
        if self.text[self.at] in "\"'":
            literal = self.string()
            return str(tomllib.loads(f"key = {literal}")["key"])
        return self.match(_BARE_KEY)

    def value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.array(path)
        elif opening == "{":
            self.inline_table(path)
        else:
            self.match(_SCALAR)

    def array(self, path: Path) -> None:
        index = 0
        while self.inside("]"):
            self.note((*path, index), start := self.at)
            self.value((*path, index))
            self.spans[*path, index] = Span(start, self.at, start, self.at)
            index += 1

    def inline_table(self, path: Path) -> None:
        while self.inside("}"):
            self.pair(path)

    def inside(self, closing: str) -> bool:
        """Past the opening bracket or a comma: is another item here, or the end?"""
        self.blank()
        if self.text[self.at] != closing:
            self.at += 1
            self.blank()
        if self.text[self.at] == closing:
            self.at += 1
            return False
        return True

    def string(self) -> str:
        for pattern in _STRINGS:
            if pattern.match(self.text, self.at):
                return self.match(pattern)
        raise AssertionError(f"no string at offset {self.at}")

    def blank(self) -> None:
        self.match(_BLANK)

    def match(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        assert found, f"not {pattern.pattern} at offset {self.at}"
        self.at = found.end()
        return found.group()

    def note(self, path: Path, offset: int) -> None:
        self.lines.setdefault(path, bisect_right(self.starts, offset))
