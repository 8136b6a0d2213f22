"""An event of a chat stream that is too large to be kept: passed on as it comes, known by its first and its last bytes.

What is needed of it is which choice it belongs to and whether that is done. Both stand at the ends of such an event:
what makes it large is one text, sound or picture between them.
"""

from __future__ import annotations

import re
from typing import Final

from oxllm.core.wire.nesting import Closing

LARGE: Final = 64 * 1024
"""Bytes of an event that are kept to be read whole, once its answer has content."""
TAIL: Final = 1024
"""Last bytes of it that are kept: a finish_reason, an index, usage."""

BEARS_CHOICES: Final = re.compile(rb'\s*\{(?:(?!"error").)*?"choices"\s*:\s*\[\s*\{', re.DOTALL)
"""How an event begins that has choices, and says of no error before them."""
_INDEX_FIRST: Final = re.compile(rb'"choices"\s*:\s*\[\s*\{\s*"index"\s*:\s*(\d{1,4})\b')
_INDEX: Final = re.compile(rb'"index"\s*:\s*(\d{1,4})\b')
_FINISH: Final = re.compile(rb'"finish_reason"\s*:\s*"(\w+)"')
_LINE_END: Final = re.compile(rb"[\r\n]")


class LargeEvent:
    """One such event, from where its first LARGE bytes have been passed on."""

    __slots__ = ("_closed", "_closing", "_start", "_tail")

    def __init__(self, start: bytes) -> None:
        self._start = start[:TAIL]
        self._tail = b""
        self._closing = Closing()
        self._closed = False
        """The bracket that closes its object has been seen."""
        self._look(start)

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """What belongs to the event, to be passed on, and what stands behind it: None while it goes on."""
        end = _LINE_END.search(data)
        part = data if end is None else data[: end.start()]
        self._look(part)
        return part, None if end is None else data[end.start() :]

    @property
    def whole(self) -> bool:
        """All of its JSON is there."""
        return self._closed

    @property
    def index(self) -> int:
        """Which choice it belongs to."""
        found = _INDEX_FIRST.search(self._start)
        last = found or next(reversed(list(_INDEX.finditer(self._tail))), None)
        return int(last[1]) if last is not None else 0

    @property
    def finish_reason(self) -> str | None:
        """Why its choice is done; None if it is not."""
        found = _FINISH.findall(self._start + b" " + self._tail)
        return found[-1].decode() if found else None

    def _look(self, part: bytes) -> None:
        self._tail = (self._tail + part)[-TAIL:]
        if not self._closed:
            self._closed = self._closing.find(part) is not None
