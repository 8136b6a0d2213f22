"""The parts that we read of a message: stream events, a plain answer, usage."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from oxllm.core.protocols.values import NOTHING, Count
from oxllm.core.shape import Shape


class Counts(Shape, gc=False):
    """Totals so far; a missing or null one has not changed."""

    input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens: Count | None = None


class Message(Shape, gc=False):
    """A message: in the first event of a stream, or as a plain answer."""

    type: str = ""
    id: Raw = NOTHING
    stop_reason: str | None = None
    model: Raw = NOTHING
    usage: Raw = NOTHING
    error: Raw = NOTHING


class Delta(Shape, gc=False):
    """Each Raw field is content if it is not empty."""

    text: Raw = NOTHING
    partial_json: Raw = NOTHING
    thinking: Raw = NOTHING
    signature: Raw = NOTHING
    citation: Raw = NOTHING
    content: Raw = NOTHING  # of a compaction
    encrypted_content: Raw = NOTHING
    stop_reason: str | None = None


class MessageEvent(Shape, gc=False):
    type: str = ""
    index: Count | None = None
    delta: Delta | None = None
    content_block: dict[str, Raw] | None = None
    message: Message | None = None
    usage: Raw = NOTHING
    error: Raw = NOTHING


class LooseEvent(Shape, gc=False):
    """An event whose parts could not be read."""

    type: Raw = NOTHING
    error: Raw = NOTHING


class Thread(Shape, gc=False):
    """The conversation that a request begins or, by the id of its last message, continues."""

    type: Raw = NOTHING
    previous_message_id: Raw = NOTHING


class TokenCount(Shape, gc=False):
    input_tokens: Count | None = None
    error: Raw = NOTHING


decode_event = msgspec.json.Decoder(MessageEvent).decode
decode_loose = msgspec.json.Decoder(LooseEvent).decode
decode_counts = msgspec.json.Decoder(Counts).decode
decode_message = msgspec.json.Decoder(Message).decode
decode_token_count = msgspec.json.Decoder(TokenCount).decode
decode_thread = msgspec.json.Decoder(Thread).decode
