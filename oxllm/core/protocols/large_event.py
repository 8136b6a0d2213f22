"""An event of a chat stream that is too large to keep: passed on as it comes, while an outline of it is kept.

All we need to know is which choices it has, whether they are done, and its usage; what makes it large is text, audio or
an image inside a choice.
"""

from __future__ import annotations

import re
from typing import Final

from oxllm.core.wire.outline import Outline

LARGE: Final = 64 * 1024
"""Bytes up to which an event is kept and read as a whole, once its answer has content."""
DEPTH: Final = 3
"""The event, its list of choices, each choice."""

BEARS_CHOICES: Final = re.compile(rb'\s*\{(?:(?!"error").)*?"choices"\s*:\s*\[\s*\{', re.DOTALL)
"""The start of an event that has choices, and no error before them."""
_LINE_END: Final = re.compile(rb"[\r\n]")


class LargeEvent:
    """One such event, from the moment when its first bytes have been passed on."""

    __slots__ = ("outline",)

    def __init__(self, start: bytes) -> None:
        self.outline = Outline(DEPTH)
        self.outline.feed(start)

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """The part of `data` that belongs to the event, to be passed on, and what follows it: None if it goes on."""
        end = _LINE_END.search(data)
        part = data if end is None else data[: end.start()]
        self.outline.feed(part)
        return part, None if end is None else data[end.start() :]
