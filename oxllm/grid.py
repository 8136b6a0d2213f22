"""Text in columns, for a person, in the width there is.

What does not fit is left out in this order: whole columns, the least telling first, then the middle of long texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from oxllm.words import text_width

TEXT_FAIR, TEXT_MIN = 24, 8
"""Characters that a text keeps while there are whole columns to leave out, and those that it keeps in any case."""
GAP = "  "
LEFT = " left"
"""The end of "41 s left", and the first thing to go if there is no room."""

GOOD, WAIT, BAD, OFF, HEAD, CHOSEN = "good", "wait", "bad", "off", "head", "chosen"
"""Moods: works; will soon recover by itself; does not work; switched off; a heading; what a key acts on."""
Still = dict[str, int]
"""A column's title -> its greatest width so far."""
Paint = Callable[[str, str], str]
"""(text, mood) -> the text to print, as wide as before."""


class Column(msgspec.Struct, frozen=True):
    """One column of a table."""

    title: str
    number: bool = True
    """Aligned right, and never shortened."""
    leaves: int = 0
    """If there is no room, columns with the highest number are left out first; those with 0 never are."""
    firm: bool = False
    """Shortened only once all other texts are as short as they get."""


class Row(msgspec.Struct, frozen=True):
    """One line of a table: its cells, and the moods of some of them, by column title."""

    cells: tuple[str, ...]
    moods: dict[str, str] = {}


def plain(text: str, mood: str) -> str:
    """Paint without colours."""
    return text


def grid(
    columns: Sequence[Column],
    rows: Sequence[Row],
    width: int | None,
    paint: Paint = plain,
    still: Still | None = None,
) -> list[str]:
    """A heading and the rows, in columns, with no line longer than `width` if possible."""
    places = range(len(columns))
    heading = Row(tuple(column.title for column in columns), {column.title: HEAD for column in columns})
    needs = [max(text_width(row.cells[i]) for row in (heading, *rows)) for i in places]
    if still is not None:
        keys = [f"{columns[0].title} {column.title}" for column in columns]
        needs = [max(need, still.get(key, 0)) for key, need in zip(keys, needs, strict=True)]
        still.update(zip(keys, needs, strict=True))
    fair = [need if column.firm else TEXT_FAIR for column, need in zip(columns, needs, strict=True)]
    shown = _that_fit(columns, _squeezed(columns, needs, places, width, fair), places, width)
    firm = [need if column.firm else TEXT_MIN for column, need in zip(columns, needs, strict=True)]
    widths = _squeezed(columns, needs, shown, width, firm)
    if width is not None and _length(widths, shown) > width and any(map(_is_long, rows)):
        return grid(columns, [_terse(columns, row) for row in rows], width, paint)
    widths = _squeezed(columns, widths, shown, width, [TEXT_MIN] * len(columns))
    return [_line(columns, row, shown, widths, paint) for row in (heading, *rows)]


def _is_long(row: Row) -> bool:
    return any(cell.endswith(LEFT) for cell in row.cells)


def _terse(columns: Sequence[Column], row: Row) -> Row:
    """The row without LEFT at the end of its firm cells."""
    cells = (cell.removesuffix(LEFT) if column.firm else cell for cell, column in zip(row.cells, columns, strict=True))
    return Row(tuple(cells), row.moods)


def _that_fit(columns: Sequence[Column], needs: Sequence[int], shown: Iterable[int], width: int | None) -> list[int]:
    """The columns that stay: as long as the line is too long, those that may be left out are, one by one."""
    shown = list(shown)
    while width is not None and _length(needs, shown) > width:
        last = max(shown, key=lambda i: columns[i].leaves)
        if not columns[last].leaves:
            break
        shown.remove(last)
    return shown


def _squeezed(
    columns: Sequence[Column], needs: Sequence[int], shown: Sequence[int], width: int | None, least: Sequence[int]
) -> list[int]:
    """The width of each column: texts are shortened, the widest first, down to `least`."""
    widths = list(needs)
    while width is not None and _length(widths, shown) > width:
        texts = [i for i in shown if not columns[i].number and widths[i] > least[i]]
        if not texts:
            break
        widths[max(texts, key=lambda i: widths[i])] -= 1
    return widths


def _length(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[i] for i in shown) + len(GAP) * (len(shown) - 1)


def _line(columns: Sequence[Column], row: Row, shown: Sequence[int], widths: Sequence[int], paint: Paint) -> str:
    parts = []
    for i in shown:
        text = shortened(row.cells[i], widths[i])
        mood = row.moods.get(columns[i].title)
        blank = " " * (widths[i] - text_width(text))
        text = paint(text, mood) if mood is not None and text else text
        parts.append(blank + text if columns[i].number else text + blank)
    return GAP.join(parts).rstrip()


def shortened(text: str, width: int | None) -> str:
    """The text, with `..` in the middle if it is too long: names differ at their ends."""
    if width is None or text_width(text) <= width:
        return text
    tail = (width - 2) // 2
    head = width - 2 - tail
    while (
        head + tail and text_width(text[:head]) + text_width(text[-tail:] if tail else "") + 2 > width
    ):  # wide characters
        head, tail = (head - 1, tail) if head >= tail else (head, tail - 1)
    return f"{text[:head]}..{text[-tail:] if tail else ''}"
