"""An event of a chat stream that is too large to be kept: passed on as it comes, and known by its outline.

What is needed of it is which choices it has, whether those are done, and what it cost; what makes it large is text,
sound or a picture inside a choice.
"""

from __future__ import annotations

import re
from typing import Final

from oxllm.core.wire.outline import Outline

LARGE: Final = 64 * 1024
"""Bytes of an event that are kept to be read whole, once its answer has content."""
DEPTH: Final = 3
"""The event, its list of choices, each choice."""

BEARS_CHOICES: Final = re.compile(rb'\s*\{(?:(?!"error").)*?"choices"\s*:\s*\[\s*\{', re.DOTALL)
"""How an event begins that has choices, and says of no error before them."""
_LINE_END: Final = re.compile(rb"[\r\n]")


class LargeEvent:
    """One such event, from where its first LARGE bytes have been passed on."""

    __slots__ = ("outline",)

    def __init__(self, start: bytes) -> None:
        self.outline = Outline(DEPTH)
        self.outline.feed(start)

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """What belongs to the event, to be passed on, and what stands behind it: None while it goes on."""
        end = _LINE_END.search(data)
        part = data if end is None else data[: end.start()]
        self.outline.feed(part)
        return part, None if end is None else data[end.start() :]
