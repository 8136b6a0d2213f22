"""The parts that we read of a chat completion: stream events, a plain answer, usage."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Raw

from oxllm.core.protocols.values import EMPTY, NOTHING, Count
from oxllm.core.shape import Shape


class PromptDetails(Shape, gc=False):
    cached_tokens: Count | None = None


class Counts(Shape, gc=False):
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    prompt_tokens_details: PromptDetails | None = None


class Delta(Shape, gc=False):
    """Each of these fields is content if it is not empty; `role` and any others are not."""

    content: Raw = NOTHING
    reasoning: Raw = NOTHING  # OpenRouter, Groq, Ollama, vLLM
    reasoning_content: Raw = NOTHING  # DeepSeek, older vLLM, SGLang
    reasoning_details: Raw = NOTHING  # OpenRouter
    thinking_blocks: Raw = NOTHING  # LiteLLM
    refusal: Raw = NOTHING
    tool_calls: Raw = NOTHING
    function_call: Raw = NOTHING  # the predecessor of tool_calls
    audio: Raw = NOTHING
    images: Raw = NOTHING  # OpenRouter


class Audio(Shape, gc=False):
    expires_at: int | float | None = None


class Choice(Shape, gc=False):
    """The parts that we read of a choice, in each API that has them."""

    index: int | None = None
    finish_reason: str | None = None

    def bears(self) -> bool:
        """Whether it has content."""
        raise NotImplementedError

    def is_kept(self) -> bool:
        """Whether it ends without a `finish_reason`."""
        return False

    def brings(self) -> Raw:
        """Its text, as a raw JSON string; nothing if there is none."""
        return NOTHING


class LargeChoice(Choice, gc=False):
    """A choice of an event that is too large to be parsed."""

    def bears(self) -> bool:
        """Always: nothing else would be so large."""
        return True


class Event(Shape, gc=False):
    """A stream event or a plain answer: we read the same parts of both."""

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

    def is_kept(self) -> bool:
        """OpenAI's models that speak (gpt-audio-1.5 at last) end with the time until which the audio is kept, and give
        no reason: openai-dotnet has recorded it, tests/SessionRecords/ChatTests/ChatWithAudio.json."""
        delta = self.delta
        if delta is None or delta.audio is NOTHING or b'"expires_at"' not in bytes(delta.audio):
            return False
        try:
            return bool(decode_audio(delta.audio).expires_at)
        except msgspec.ValidationError:
            return False

    def brings(self) -> Raw:
        """Text, or reasoning."""
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
decode_audio = msgspec.json.Decoder(Audio).decode
decode_usage = msgspec.json.Decoder(Counts).decode
