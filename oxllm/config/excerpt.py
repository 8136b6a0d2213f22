"""The line of a file that a problem is about, with what to underline in it and all credentials hidden."""

from __future__ import annotations

import msgspec

from oxllm.config.lines import Path, Places
from oxllm.config.masking import COMMENT, lift

LINE_MAX = 200
"""Characters of a line that are shown; a longer line is cut, with an ellipsis."""
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


class Excerpt(msgspec.Struct, frozen=True):
    """One line, ready to be shown."""

    text: str
    column: int
    """Where the underline starts, from 0."""
    width: int = 1


def excerpt_at(veiled: str, places: Places, path: Path, on_key: bool) -> Excerpt | None:
    """The line of a problem at `path`. Underlined is the value if on one line, else the key, or what lacks the key."""
    if path not in places.spans and path not in places.lines:
        return excerpt_at(veiled, places, path[:-1], on_key) if path else None
    span = places.spans.get(path)
    if span is None:
        return _whole_line(veiled, places.lines[path])
    start, end = (span.key, span.key_end) if on_key or "\n" in veiled[span.value : span.value_end] else span[2:]
    return _excerpt(veiled, start, end)


def excerpt_of(veiled: str, line: int, column: int) -> Excerpt | None:
    """The line (from 1) of a text that is not TOML, with its column (from 1) underlined."""
    lines = veiled.split("\n")
    if line > len(lines):
        return None
    content = lines[line - 1].rstrip("\r")
    at = min(column - 1, len(content.rstrip(f"{COMMENT} \t")))
    shown = lift(content)
    return _window(shown, min(len(lift(content[:at])), len(shown)), 1)


def _whole_line(veiled: str, line: int) -> Excerpt | None:
    content = veiled.split("\n")[line - 1]
    start = sum(len(before) + 1 for before in veiled.split("\n")[: line - 1])
    indent = len(content) - len(content.lstrip())
    end = start + max(indent + 1, len(content.rstrip(f"{COMMENT} \t\r")))
    return _excerpt(veiled, start + indent, end)


def _excerpt(veiled: str, start: int, end: int) -> Excerpt:
    first = veiled.rfind("\n", 0, start) + 1
    last = veiled.find("\n", start)
    line = veiled[first : len(veiled) if last < 0 else last].rstrip("\r")
    start, end = min(start - first, len(line)), min(end - first, len(line))
    before, marked, after = lift(line[:start]), lift(line[start:end]), lift(line[end:])
    return _window(before + marked + after, len(before), len(marked))


def _window(line: str, column: int, width: int) -> Excerpt:
    """Cut a long line to the part around the underline."""
    cut = max(0, column - LINE_MAX // 2)
    text, column = line[cut : cut + LINE_MAX], column - cut
    if cut:
        text = ELLIPSIS + text[1:]
    if cut + LINE_MAX < len(line.rstrip()):
        text += ELLIPSIS
    return Excerpt(text.rstrip(), column, max(1, min(width, LINE_MAX // 2)))
