"""The parts that we read of a response: stream events and their items, a plain answer, a refusal."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from oxllm.core.protocols.chat_shapes import PromptDetails
from oxllm.core.protocols.values import NOTHING, Count
from oxllm.core.shape import Shape


class ResponseEvent(Shape, gc=False):
    """Any event. Raw, since for most only the type matters, and an odd member must not make it unreadable."""

    type: Raw = NOTHING
    sequence_number: Raw = NOTHING
    delta: Raw = NOTHING
    item: Raw = NOTHING
    response: Raw = NOTHING
    error: Raw = NOTHING
    code: Raw = NOTHING
    message: Raw = NOTHING


class Item(Shape, gc=False):
    """An item of an answer. Each field but the type is content if it is not empty. `encrypted_content` is left out: a
    reasoning item may have it when it is added, but its final value comes when the item is done."""

    type: Raw = NOTHING
    content: Raw = NOTHING  # message, reasoning: parts
    summary: Raw = NOTHING  # reasoning: parts
    arguments: Raw = NOTHING  # function_call, mcp_call
    input: Raw = NOTHING  # custom_tool_call
    code: Raw = NOTHING  # code_interpreter_call
    action: Raw = NOTHING  # web_search_call, computer_call, local_shell_call
    queries: Raw = NOTHING  # file_search_call
    results: Raw = NOTHING
    result: Raw = NOTHING  # image_generation_call
    output: Raw = NOTHING  # mcp_call
    outputs: Raw = NOTHING


class Part(Shape, gc=False):
    """A part of a message or of a reasoning item."""

    text: Raw = NOTHING
    refusal: Raw = NOTHING


class Counts(Shape, gc=False):
    input_tokens: Count = 0
    output_tokens: Count = 0
    input_tokens_details: PromptDetails | None = None


class Response(Shape, gc=False):
    """A response object, plain or inside an event."""

    id: Raw = NOTHING
    status: Raw = NOTHING
    created_at: Raw = NOTHING
    model: Raw = NOTHING
    error: Raw = NOTHING
    usage: Raw = NOTHING
    incomplete_details: Raw = NOTHING


class Incomplete(Shape, gc=False):
    """Why a response was cut short."""

    reason: Raw = NOTHING


class Kept(Shape, gc=False):
    """What a provider says about an answer that it keeps."""

    id: Raw = NOTHING
    object: Raw = NOTHING
    data: Raw = NOTHING
    error: Raw = NOTHING


class Beside(Shape, gc=False):
    """A token count, or a compacted conversation."""

    input_tokens: Raw = NOTHING
    output: Raw = NOTHING
    usage: Raw = NOTHING
    error: Raw = NOTHING


class TheirError(Shape, gc=False):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    param: str | None = None


class ErrorBody(Shape, gc=False):
    error: TheirError


decode_event = msgspec.json.Decoder(ResponseEvent).decode
decode_item = msgspec.json.Decoder(Item).decode
decode_parts = msgspec.json.Decoder(list[Part]).decode
decode_usage = msgspec.json.Decoder(Counts).decode
decode_incomplete = msgspec.json.Decoder(Incomplete).decode
decode_kept = msgspec.json.Decoder(Kept).decode
decode_beside = msgspec.json.Decoder(Beside).decode
decode_response = msgspec.json.Decoder(Response).decode
decode_error = msgspec.json.Decoder(ErrorBody).decode
