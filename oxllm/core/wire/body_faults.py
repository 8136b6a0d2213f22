"""What is wrong with a request body, and where. Everything here is linear in the body's size."""

from __future__ import annotations

import re
from codecs import utf_8_decode
from typing import Final

import msgspec

from oxllm.core.wire.nesting import SLICE, first_at, levels, reach, slices

DEPTH_MAX: Final = 500
"""Containers inside one another, the body itself included."""
MEMBERS_MAX: Final = 1024
"""Members of the body."""
NESTING_SLICE: Final = 16 * 1024
"""Bytes whose nesting is checked at a time: those around the ends of a member are looked at more closely."""

Buffer = bytes | bytearray


class BadBody(ValueError):
    """The body cannot be a request: a 400 with this message (nothing of the body's content in it) and `param`."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


_HIGH_SURROGATE: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_SEEN_LATE: Final = {"trailing characters", "invalid escape character in string", "invalid character in unicode escape"}
"""Faults that msgspec reports one byte too late."""
_CUT_ESCAPE: Final = re.compile(rb"(?:\\(?:u[0-9a-fA-F]{0,3})?)?")


def _invalid(what: str, offset: int) -> BadBody:
    return BadBody(f"the request body is not valid JSON: {what} (byte {offset})")


def explain(data: Buffer, error: Exception) -> BadBody:
    """Why msgspec refused `data`, with the offset, which some of its messages leave out."""
    if isinstance(error, msgspec.ValidationError):
        return BadBody("the request body must be a JSON object")
    if isinstance(error, RecursionError):  # only if the interpreter's limit is below ours
        return BadBody("the request body is nested too deep")
    if isinstance(error, UnicodeDecodeError) or "UTF-8" in str(error):  # in a name; its offset counts from there
        return utf8_fault(data) or _invalid("not UTF-8", 0)
    what, _, place = str(error).removeprefix("JSON is malformed: ").rpartition(" (byte ")
    if not what:
        cut = _cut_surrogate(data)
        return _invalid("it ends too early", len(data)) if cut is None else _invalid("a lone surrogate", cut)
    if "surrogate" in what or "hex escape" in what:
        return _invalid("a lone surrogate", _lone_surrogate(data, int(place[:-1])))
    return _invalid(what, int(place[:-1]) - (what in _SEEN_LATE))


def _lone_surrogate(data: Buffer, stop: int) -> int:
    """The offset of the lone surrogate that made msgspec stop at `stop`: behind it, or behind the escape after it."""
    last = data.rfind(b"\\u", 0, stop)
    first = last - 6
    paired = first >= 0 and _HIGH_SURROGATE.match(data, first) and _is_escape(data, first)
    return first if paired else last


def _cut_surrogate(data: Buffer) -> int | None:
    """The offset of a high surrogate with less than an escape behind it, which msgspec reports as truncated data."""
    last = data.rfind(b"\\u")
    rest = len(data) - last - 6
    if last < 0 or not 0 <= rest < 6 or not _HIGH_SURROGATE.match(data, last) or not _is_escape(data, last):
        return None
    return None if _CUT_ESCAPE.fullmatch(data, last + 6) else last


def _is_escape(data: Buffer, at: int) -> bool:
    """Whether the backslash at `at` is not itself escaped: an even number of backslashes precedes it."""
    before = data[max(0, at - SLICE) : at]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 0


def utf8_fault(data: Buffer) -> BadBody | None:
    offset = invalid_utf8(data)
    return None if offset is None else _invalid("not UTF-8", offset)


def invalid_utf8(data: Buffer, final: bool = True) -> int | None:
    """The offset of the first byte of `data` that is not UTF-8. `final`: nor may its last character be cut off."""
    start, view = 0, memoryview(data)
    while start < len(view):
        last = start + SLICE >= len(view)
        try:
            start += utf_8_decode(view[start : start + SLICE], "strict", final and last)[1]
        except UnicodeDecodeError as error:
            return start + error.start
        if last:
            break
    return None


def check_nesting(data: Buffer) -> None:
    """Refuse nesting that is too deep, and far too many members. A body with few brackets and colons has neither; in a
    large one counting them takes longer than what it may save."""
    few = len(data) <= NESTING_SLICE and data.count(b"[") + data.count(b"{") <= DEPTH_MAX
    if few and data.count(b":") <= MEMBERS_MAX:
        return
    start = level = at_top = 0
    inside = False
    for part in slices(data, NESTING_SLICE):
        lowest, highest, last, inside_next = reach(part, inside, level)
        if lowest <= 1 or highest > DEPTH_MAX:  # else all of it is inside of one member, and not too deep
            found, _ = levels(part, inside, level)
            if max(found) > DEPTH_MAX:
                at = start + first_at(part, inside, level, DEPTH_MAX + 1)
                raise _invalid(f"nested deeper than {DEPTH_MAX}", at)
            found.pop()  # the next slice begins with it
            at_top += found.count(1)
        start, inside, level = start + len(part), inside_next, last
        if at_top > 2 * MEMBERS_MAX + 1:  # per member a colon, for some a closing bracket; and the first bracket
            raise too_many()


def too_many() -> BadBody:
    return BadBody(f"the request body has more than {MEMBERS_MAX} members")
