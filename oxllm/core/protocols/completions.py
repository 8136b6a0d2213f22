"""Completions: the continuation of a text, as one JSON answer or as a stream.

A stream is whole by the rules of the table on top of `chat`, with a choice's `text` as its content.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Protocol, Reader
from oxllm.core.protocols.chat import ChatReader, StreamReader
from oxllm.core.protocols.completions_shapes import decode_event
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.protocols.plain import SPACE
from oxllm.core.reading.hints import Headers
from oxllm.core.wire.body import RequestBody
from oxllm.core.wire.nesting import count_outside


class TextStreamReader(StreamReader):
    """Reads a stream."""

    __slots__ = ()
    _decode = staticmethod(decode_event)


class TextReader(ChatReader):
    """Reads an answer that is not a stream."""

    __slots__ = ()
    _decode = staticmethod(decode_event)


class Completions(Protocol):
    """`POST /completions` (https://platform.openai.com/docs/api-reference/completions)."""

    __slots__ = ()
    name = "completions"
    endpoints = (Endpoint("POST", "/completions"),)
    stream_options = True

    def asked(self, endpoint: Endpoint, body: RequestBody) -> Asked:
        """Reads `stream`, `n` (which is per prompt) and `stream_options`."""
        return Asked(body.flag("stream"), body.count("n") * _prompts(body.member("prompt")), body.wants_usage())

    def stream_reader(self, asked: Asked, headers: Headers, strip_usage: bool, wall: float) -> Reader:
        """Reads completion chunks."""
        return TextStreamReader(asked.choices, strip_usage, wall)

    def plain_reader(self, asked: Asked, headers: Headers, wall: float) -> Reader:
        """Reads one completion."""
        return TextReader(wall, asked.choices)


def _prompts(raw: Raw | None) -> int:
    """How many prompts there are: as many as members, if it is a list of texts or of lists of tokens; else one."""
    start = bytes(memoryview(raw or b"")[:256]).translate(None, SPACE)
    if raw is None or not start.startswith((b'["', b"[[")):
        return 1
    return count_outside(raw, b",") + 1 if start.startswith(b'["') else count_outside(raw, b"[") - 1


PROTOCOL: Final = Completions()
