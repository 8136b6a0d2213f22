"""What is read of a chat completion: of the events of a stream, of a plain answer, of its usage."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from oxllm.core.protocols.base import EMPTY, NOTHING, Count
from oxllm.core.shape import Shape


class PromptDetails(Shape, gc=False):
    cached_tokens: Count | None = None


class Counts(Shape, gc=False):
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: PromptDetails | None = None


class Delta(Shape, gc=False):
    """Every field here bears content when it is not empty; `role` and what else there is does not."""

    content: Raw = NOTHING
    reasoning: Raw = NOTHING  # OpenRouter, Groq, Ollama, vLLM
    reasoning_content: Raw = NOTHING  # DeepSeek, older vLLM, SGLang
    reasoning_details: Raw = NOTHING  # OpenRouter
    thinking_blocks: Raw = NOTHING  # LiteLLM
    refusal: Raw = NOTHING
    tool_calls: Raw = NOTHING
    function_call: Raw = NOTHING  # before tools
    audio: Raw = NOTHING
    images: Raw = NOTHING  # OpenRouter


class Choice(Shape, gc=False):
    """What is read of one, in each API that has them."""

    index: int | None = None
    finish_reason: str | None = None

    def bears(self) -> bool:
        """Whether there is content in it."""
        raise NotImplementedError

    def brings(self) -> Raw:
        """The JSON text of the text that is in it; nothing if there is none."""
        return NOTHING


class LargeChoice(Choice, gc=False):
    """Of an event too large to be looked into."""

    def bears(self) -> bool:
        """What else would be so large."""
        return True


class Event(Shape, gc=False):
    """An event of a stream, or a plain answer: what is read of both is the same."""

    choices: Sequence[Choice] | None = None
    error: Raw = NOTHING
    usage: Raw = NOTHING
    model: Raw = NOTHING


class ChatChoice(Choice, gc=False):
    delta: Delta | None = None

    def bears(self) -> bool:
        """Text, reasoning, a refusal, a tool, audio, images."""
        delta = self.delta
        return delta is not None and (
            delta.content not in EMPTY or any(raw not in EMPTY for raw in msgspec.structs.astuple(delta))
        )

    def brings(self) -> Raw:
        """Text, or what a model thinks first."""
        delta = self.delta
        if delta is None:
            return NOTHING
        texts = delta.content, delta.reasoning_content, delta.reasoning
        return next((raw for raw in texts if raw not in EMPTY), NOTHING)


class ChatEvent(Event, gc=False):
    choices: list[ChatChoice] | None = None


class LooseEvent(Shape, gc=False):
    """An event whose choices could not be read."""

    choices: Raw = NOTHING
    error: Raw = NOTHING


decode_event = msgspec.json.Decoder(ChatEvent).decode
decode_loose = msgspec.json.Decoder(LooseEvent).decode
decode_usage = msgspec.json.Decoder(Counts).decode
