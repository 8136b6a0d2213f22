"""Recognizes stream events that differ from an earlier one only in their text.

Nearly all events of a stream are the same JSON with another text (and, from OpenAI, a random padding string). Such an
event means what the earlier one meant, so it is not parsed. Every byte outside the text is compared, and only a JSON
string without escapes is accepted as text.
"""

from __future__ import annotations

from typing import Final

PADDING: Final = b'"obfuscation":"'
"""What precedes the padding string, which means nothing."""
FRAME_MAX: Final = 2048
"""Bytes around the text of an event that is remembered: each stream keeps them, and no budget counts them. Most events
have 300."""
TRIES_MAX: Final = 8
"""Events remembered in a row without a match before we give up: the stream is of another kind."""


class Alike:
    """The pattern of one stream's events."""

    __slots__ = ("_end", "_middle", "_start", "tries")

    def __init__(self) -> None:
        self._start = b""
        """Everything before the text; empty while no event is remembered."""
        self._middle = b""
        """From the end of the text to the padding; empty if there is no padding."""
        self._end = b""
        """Everything after that."""
        self.tries = TRIES_MAX
        """Tries left; a match restores them."""

    def holds(self, event: bytes) -> bool:
        """Whether an event is the remembered one with another, non-empty text."""
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
        """Remember an event that brings `text`, and whose effects are those of any other like it."""
        if not self.tries or (self._start and event.startswith(self._start) and event.endswith(self._end)):
            return
        self.tries -= 1
        self._start = b""
        if len(event) - len(text) > FRAME_MAX or text[:1] != b'"' or not _plain(text[1:-1]) or event.count(text) != 1:
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
    """Whether this is at least one character, and each stands for itself in a JSON string. Some that do are refused."""
    try:
        shown = text.decode()
    except UnicodeDecodeError:
        return False
    return text != b"" and shown.isprintable() and '"' not in shown and "\\" not in shown
