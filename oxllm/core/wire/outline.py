"""The outline of a JSON text that is too large to keep: its upper levels, without long strings.

The text goes by in parts, cut anywhere. The outline is JSON if the text is, and agrees with it in everything that is
neither long nor deep.
"""

from __future__ import annotations

import re
from typing import Final

from oxllm.core.wire.nesting import Closing, ends_in_escape

OUTLINE_MAX: Final = 64 * 1024
"""Bytes of the outline."""
STRING_MAX: Final = 512
"""Bytes of a string that is kept as it is."""
LONG_STRING: Final = b"~"
"""What replaces a longer one."""
FIRST_STEP: Final = 256
"""Bytes first searched for the end of a container, doubled each time: most are either small or very large."""

BACKSLASH: Final = 0x5C
_IN_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_BETWEEN: Final = re.compile(rb'[^"\[\]{}]*+')


class Outline:
    """Builds the outline of one JSON text."""

    __slots__ = ("_began", "_deep", "_depth", "_escape", "_in_string", "_kept", "_level", "_step", "_string_max")

    def __init__(self, depth: int, string_max: int = STRING_MAX) -> None:
        """`depth`: how many levels of containers are kept; those below are empty in the outline. `string_max`: bytes of
        a string that is kept as it is."""
        self._depth = depth
        self._string_max = string_max
        self._level = 0
        self._deep: Closing | None = None
        """Finds the end of a container below `depth`, while that is skipped."""
        self._step = FIRST_STEP
        self._in_string = False
        self._began = 0
        """Where the current string begins in the outline; -1 if it is too long."""
        self._escape = False
        """The last byte was a backslash whose escape is incomplete."""
        self._kept = bytearray()

    @property
    def too_large(self) -> bool:
        """The outline has outgrown OUTLINE_MAX, and is incomplete."""
        return len(self._kept) > OUTLINE_MAX

    @property
    def pending(self) -> int:
        """Bytes kept."""
        return len(self._kept)

    @property
    def text(self) -> bytes:
        """The outline so far; a text that ends in half an escape keeps its backslash, and so is not JSON."""
        return bytes(self._kept) + b"\\" * self._escape

    def feed(self, part: bytes) -> None:
        """Take the next part of the text."""
        if self._escape:
            part = b"\\" + part
        self._escape = ends_in_escape(part)
        at, end = 0, len(part) - self._escape
        while at < end and not self.too_large:
            if self._deep is not None:
                at = self._pass_over(self._deep, part, at, end)
            elif self._in_string:
                at = self._go_through_string(part, at, end)
            else:
                at = self._go_on(part, at, end)

    def _pass_over(self, deep: Closing, part: bytes, at: int, end: int) -> int:
        stop = min(end, at + self._step)
        self._step *= 2
        found = deep.find(part[at:stop])
        if found is None:
            return stop
        self._deep = None
        self._kept += part[at + found : at + found + 1]
        return at + found + 1

    def _go_through_string(self, part: bytes, at: int, end: int) -> int:
        stop = _string_end(part, at, end)
        kept = self._kept
        if self._began >= 0:
            if len(kept) - self._began + stop - at <= self._string_max:
                kept += part[at:stop]
            else:
                kept[self._began :] = LONG_STRING
                self._began = -1
        if stop == end:
            return end
        self._in_string = False
        kept += b'"'
        return stop + 1

    def _go_on(self, part: bytes, at: int, end: int) -> int:
        """Go up to the next string and into it, or past the next bracket."""
        found = _BETWEEN.match(part, at, end)
        assert found is not None
        stop = found.end()
        kept, sign = self._kept, part[stop : stop + 1]
        kept += part[at : stop + 1]
        if stop == end:
            return end
        if sign == b'"':
            self._in_string = True
            self._began = len(kept)
        elif sign in b"]}":
            self._level -= 1
        elif self._level < self._depth:
            self._level += 1
        else:
            self._deep = Closing()
            self._step = FIRST_STEP
            return stop  # `Closing` must see the bracket, too
        return stop + 1


def _string_end(part: bytes, at: int, end: int) -> int:
    """The offset of the quote that ends the string which continues at `at`; `end` if there is none."""
    quote = part.find(b'"', at, end)
    if quote < 0:
        return end
    if quote == at or part[quote - 1] != BACKSLASH:
        return quote  # whatever other escapes there are
    found = _IN_STRING.match(part, part.find(b"\\", at, quote), end)
    assert found is not None
    return found.end()
