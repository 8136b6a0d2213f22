"""Finds where JSON ends without parsing it, by skipping strings and counting brackets.

The JSON arrives in parts, cut anywhere, and may be large, so nearly all of the work is done by `bytes` methods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

SLICE: Final = 64 * 1024
"""Bytes that are looked at in one go."""

CROWD_MAX: Final = 2048
"""Members of an event's choices or block; the APIs have 128 choices, and ten members in a block."""

_SIGNS: Final = bytes.maketrans(b"[{]}", b"(())")
"""One sign for all opening brackets, one for all closing ones; a colon stays."""
_NO_SIGNS: Final = bytes(set(range(256)) - set(b'[{]}:"'))
_STEPS: Final = bytes.maketrans(b"():", b"\x01\xff\x00")
"""The change of level at a sign, as a signed byte."""
_QUOTE_OR_BRACKET: Final = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)


def ends_in_escape(part: bytes) -> bool:
    """Whether `part` ends with a backslash whose escape is incomplete."""
    return part.endswith(b"\\") and (len(part) - len(part.rstrip(b"\\"))) % 2 == 1


def slices(data: bytes | bytearray | memoryview, size: int = SLICE) -> Iterator[bytes]:
    """`data` in slices of `size` bytes, or of one more where that would end within an escape."""
    view, start = memoryview(data), 0
    while start < len(view):
        part = bytes(view[start : start + size])
        if ends_in_escape(part):
            part = bytes(view[start : start + size + 1])
        start += len(part)
        yield part


def levels(part: bytes, inside: bool, level: int) -> tuple[list[int], bool]:
    """The level before `part` and after each bracket or colon in it, and whether it ends inside a string.

    `inside`: whether it begins inside one. It must not end within an escape.
    """
    signs, inside = _outside(part, inside, _SIGNS, _NO_SIGNS)
    return _after(signs, level), inside


def reach(part: bytes, inside: bool, level: int) -> tuple[int, int, int, bool]:
    """The lowest of the `levels` and the last, between them one that none is above, and whether `part` ends inside a
    string. Takes a fraction of their time.

    Brackets with nothing between them cancel out: first the innermost, then those around them, as long as each round
    takes many away. What is left is at the levels where it was; what went was higher by as many as there were rounds,
    at most.
    """
    signs, inside = _outside(part, inside, _SIGNS, _NO_SIGNS)
    rest, rounds = signs.replace(b":", b""), 0
    many = True
    while many:
        shorter = rest.replace(b"()", b"")
        many = len(rest) - len(shorter) > len(shorter) // 8
        rest, rounds = shorter, rounds + 1
    found = _after(rest, level)
    return min(found), max(found) + rounds, found[-1], inside


def _after(signs: bytes, level: int) -> list[int]:
    return list(accumulate(memoryview(signs.translate(_STEPS)).cast("b"), initial=level))


def _outside(part: bytes, inside: bool, table: bytes | None, unwanted: bytes) -> tuple[bytes, bool]:
    """What stands outside of strings in `part`, translated by `table` and without the `unwanted` bytes, and whether it
    ends inside one; as for `levels`.

    Removing backslashes in pairs, from the left, leaves only those that escape something else. Of quotes, two with
    nothing wanted between them can go, whether they begin a string and end it or the other way round: nearly all do.
    """
    if inside and b'"' not in part:
        return b"", True  # most of a long text
    if b"\\" in part and b'\\"' in part:  # a single byte is found ten times as fast
        part = part.replace(b"\\\\", b"").replace(b'\\"', b"")
    pieces = part.translate(table, unwanted).replace(b'""', b"").split(b'"')
    return b"".join(pieces[inside::2]), inside ^ (len(pieces) % 2 == 0)


def first_at(part: bytes, inside: bool, level: int, wanted: int) -> int:
    """The offset in `part` of the bracket that brings the level to `wanted`; -1 if there is none."""
    for token in _QUOTE_OR_BRACKET.finditer(part):
        if token[0] == b'"':
            inside = not inside
        elif not inside and token[0] in b"[]{}":
            level += 1 if token[0] in b"[{" else -1
            if level == wanted:
                return token.start()
    return -1


def count_outside(data: bytes | memoryview, wanted: bytes) -> int:
    """How often the byte `wanted` occurs in `data` outside of strings."""
    found = 0
    inside = False
    unwanted = bytes(set(range(256)) - set(b'"' + wanted))
    for part in slices(data):
        outside, inside = _outside(part, inside, None, unwanted)
        found += len(outside)
    return found


def is_crowded(data: bytes) -> bool:
    """Whether the containers in a JSON object have more than CROWD_MAX members with names, or that are containers:
    decoded, these take 20 times the memory of their text."""
    level = found = 0
    inside = False
    for part in slices(data):
        after, inside = levels(part, inside, level)
        level = after[-1]
        found += after.count(2)
        if found > CROWD_MAX:
            return True
    return False


class Closing:
    """Finds the closing bracket of a JSON object or array that arrives in parts."""

    __slots__ = ("_escape", "_inside", "_level")

    def __init__(self) -> None:
        self._level = 0
        self._inside = False
        """Inside a string."""
        self._escape = False
        """The last byte was a backslash whose escape is incomplete."""

    def find(self, part: bytes) -> int | None:
        """The offset of the closing bracket in `part`; None if it is not there. Not to be called again once found."""
        ahead = int(self._escape)
        if ahead:
            part = b"\\" + part
        self._escape = ends_in_escape(part)
        whole = part[:-1] if self._escape else part
        lowest, _, last, inside = reach(whole, self._inside, self._level)
        if lowest <= 0 and min(levels(whole, self._inside, self._level)[0][1:], default=1) <= 0:  # not at its beginning
            return first_at(whole, self._inside, self._level, 0) - ahead
        self._level, self._inside = last, inside
        return None


class Passing:
    """Watches a JSON object that is passed on in pieces: whether it is complete, with nothing behind it.

    Counts brackets and checks UTF-8, no more: the reader will find out what is wrong in between.
    """

    __slots__ = ("_character", "_closed", "_closing")

    def __init__(self) -> None:
        self._closing = Closing()
        self._closed = False
        """Its closing bracket has been seen."""
        self._character = b""
        """The first bytes of a character that is still incomplete."""

    @property
    def whole(self) -> bool:
        """The whole object has been passed on."""
        return self._closed and not self._character

    def feed(self, piece: bytes) -> bytes | None:
        """What may be sent now: all but an incomplete character at the end, on which a reader would fail before it saw
        what we may have to append. None if it is not JSON, or more than one value."""
        if self._closed:
            behind = piece
        else:
            at = self._closing.find(piece)
            self._closed = at is not None
            behind = b"" if at is None else piece[at + 1 :]
        if behind.strip():
            return None
        piece = self._character + piece
        cut = len(piece) - half_character(piece)
        piece, self._character = piece[:cut], piece[cut:]
        try:
            if not piece.isascii():
                piece.decode()
        except UnicodeDecodeError:
            return None
        return piece


def half_character(data: bytes) -> int:
    """The number of bytes at the end of `data` that begin an incomplete UTF-8 character."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # not a continuation byte
            length = 1 if byte < 0xC0 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < length else 0
    return 0
