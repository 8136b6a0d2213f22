"""Events of a stream that differ from one before in nothing but text.

Nearly all events of a stream are the same JSON but for the text that they bring (and, of OpenAI's, a string of random
length behind it). What such an event means is known from the one that was read, so it is not read again. Every byte is
compared that is no text; and text is taken for such only if it is a JSON string without escapes.
"""

from __future__ import annotations

from typing import Final

PADDING: Final = b'"obfuscation":"'
"""What stands in front of a string that means nothing."""
TRIES_MAX: Final = 8
"""Events that are remembered in vain, one after another: then it is a stream of another kind."""


class Alike:
    """What one stream's events are like."""

    __slots__ = ("_end", "_middle", "_start", "tries")

    def __init__(self) -> None:
        self._start = b""
        """All in front of the text; empty while no event is remembered."""
        self._middle = b""
        """From the text's end to the padding; empty if there is none."""
        self._end = b""
        """All behind that."""
        self.tries = TRIES_MAX
        """Left, until an event is like the one remembered."""

    def holds(self, event: bytes) -> bool:
        """Whether an event is the remembered one but for its text, of which it has some."""
        start, end = self._start, self._end
        first, last = len(start), len(end)
        if not start or event[:first] != start or event[-last:] != end:  # on 3.11 `startswith` takes longer
            return False
        text = event[first:-last]
        if self._middle:
            text, _, padding = text.partition(self._middle)
            if not _plain(padding):
                return False
        if not _plain(text):
            return False
        self.tries = TRIES_MAX
        return True

    def remember(self, event: bytes, text: bytes) -> None:
        """An event was read that brings `text`, and does nothing else that another like it would not do again."""
        if not self.tries or (self._start and event.startswith(self._start) and event.endswith(self._end)):
            return
        self.tries -= 1
        self._start = b""
        if text[:1] != b'"' or not _plain(text[1:-1]) or event.count(text) != 1:
            return
        start, _, end = event.partition(text)
        middle, found, behind = end.partition(PADDING)
        if found:
            padding, _, behind = behind.partition(b'"')
            if not _plain(padding):
                return
            self._middle, end = b'"' + middle + found, behind
        else:
            self._middle = b""
        self._start, self._end = start + b'"', b'"' + end


def _plain(text: bytes) -> bool:
    """Characters that stand for themselves in a JSON string, at least one. Of those that do, some are left out."""
    try:
        shown = text.decode()
    except UnicodeDecodeError:
        return False
    return text != b"" and shown.isprintable() and '"' not in shown and "\\" not in shown
