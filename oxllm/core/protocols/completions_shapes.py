"""The parts that we read of a completion: stream events, a plain answer."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from oxllm.core.protocols.chat_shapes import Choice, Event
from oxllm.core.protocols.values import EMPTY, NOTHING


class TextChoice(Choice, gc=False):
    text: Raw = NOTHING

    def bears(self) -> bool:
        """Text."""
        return self.text not in EMPTY

    def brings(self) -> Raw:
        """Text."""
        return self.text


class TextEvent(Event, gc=False):
    choices: list[TextChoice] | None = None


decode_event = msgspec.json.Decoder(TextEvent).decode
