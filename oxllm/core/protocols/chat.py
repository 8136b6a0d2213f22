"""Chat completions: what a request asks for, and what makes an answer whole.

A stream may stop in the middle and still end its chunked body correctly, so only its events tell whether it is whole.
What each means here:

    data                                       passed on    means
    ----                                       ---------    -----
    choices with content                       yes          content: the answer has begun
    choices with a role or empty deltas,       yes          nothing yet (Azure's filter results, Ollama's lost errors)
      an empty list of choices
    a finish_reason, or the time until which   yes          that choice is done; once all are, the answer is complete
      its audio is kept
    usage and no choices                       unless only  counted
                                               we asked
    JSON without choices or error (a ping),    no           nothing; counted (an error, if the stream has nothing else)
      or only white space
    error                                      no           the HTTP error that it names, else a break
    finish_reason "error", "network_error"     no           a break
    not JSON, choices of an unknown shape,     no           a break: it may have been content
      an event over 1 MiB
    [DONE]                                     no           a break, unless complete

After completion nothing is a break any more: the answer is there, and only reading stops.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec
from msgspec import Raw

from oxllm.core.native import mypyc_attr
from oxllm.core.protocols.alike import Alike
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import FAILED_REASONS, REASONS_MAX, TOO_LARGE, Protocol, Reader, Usage
from oxllm.core.protocols.chat_shapes import (
    Choice,
    Event,
    LargeChoice,
    decode_event,
    decode_loose,
    decode_usage,
)
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.protocols.large_event import BEARS_CHOICES, LARGE, LargeEvent
from oxllm.core.protocols.plain import PlainReader
from oxllm.core.protocols.values import EMPTY, NAME_MAX, NOT_JSON, decode_raw, is_empty, name_in, read_json
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Kind, Outcome, in_band
from oxllm.core.wire import sse
from oxllm.core.wire.body import RequestBody
from oxllm.core.wire.errors import ApiError
from oxllm.core.wire.nesting import is_crowded

CHOICES_MAX: Final = 1024
"""Choices of one answer; the OpenAI API allows 128."""
ASIDE_MAX: Final = 1024
"""Bytes kept of an event without choices."""
DONE_EVENT: Final = b"data: [DONE]\n\n"


@mypyc_attr(allow_interpreted_subclasses=True)
class StreamReader(Reader):
    """Reads one stream, passes on what the client may have, and says when the answer is whole or broken."""

    __slots__ = (
        "_alike",
        "_aside",
        "_choices",
        "_decoder",
        "_done",
        "_large",
        "_seen",
        "_strip_usage",
        "_usual",
        "_wall",
    )
    _decode: ClassVar[staticmethod[[bytes], Event]] = staticmethod(decode_event)

    def __init__(self, choices: int, strip_usage: bool, wall: float = 0.0) -> None:
        super().__init__()
        self._wall = wall
        self._aside = b""
        """The last event without choices, until content comes: some vendors report a failure in such an event."""
        self._decoder = sse.Decoder()
        self._large: LargeEvent | None = None
        """The event that is being passed on as it comes."""
        self._choices = choices
        self._strip_usage = strip_usage
        self._seen = 0
        """Bit i: choice i has begun."""
        self._done = 0
        """Bit i: choice i has its finish_reason."""
        self._alike = Alike()
        self._usual = False
        """No event is incomplete and the answer goes on, so `_alike` may judge the next read."""

    @property
    def pending(self) -> int:
        """Bytes held of an incomplete event."""
        return self._decoder.pending if self._large is None else self._large.outline.pending

    def feed(self, data: bytes) -> bytes:
        """What the client may have of the events that `data` completes, ready to send; nothing after a break."""
        if self._usual and self._alike.holds(data):
            self.content += 1
            return data
        self._usual = False
        if self.finished or self.failure is not None:
            return b""
        if self._large is not None:
            return self._go_on(self._large, data)
        try:
            events = self._decoder.feed(data)
            if len(events) == 1:
                ready = self._read(events[0])
                self._usual = ready == data and not self.complete
                return ready
            ready = b"".join(map(self._read, events))
            return ready + self._begin_large() if self.content and self.pending > LARGE else ready
        except sse.TooLarge as error:
            ready = b"".join(map(self._read, error.events))
        self._stop("an event over 1 MiB")
        return ready

    def _begin_large(self) -> bytes:
        """An event after content is too large to keep: pass on what has come of it, if it has choices."""
        start = self._decoder.take_line(BEARS_CHOICES)
        if not start:
            return b""
        self._large = LargeEvent(start)
        self.complete = False
        return b"data: " + start

    def _go_on(self, large: LargeEvent, data: bytes) -> bytes:
        """More of the large event."""
        part, behind = large.feed(data)
        if large.outline.too_large:
            self._stop(TOO_LARGE)
        if behind is None or not self._end_large(large.outline.text):
            return part
        self._large = None
        return part + b"\n\n" + self.feed(behind)

    def _end_large(self, outline: bytes) -> bool:
        """Account for a large event that was passed on whole; False if it breaks the stream."""
        event = self._parse(outline)
        if event is None:
            return False
        if not event.choices:
            self._stop("choices of an unknown shape")
            return False
        return self._take([LargeChoice(choice.index, choice.finish_reason) for choice in event.choices])

    def eof(self) -> Outcome | None:
        """The response has ended: None if the answer is whole, else why it is not."""
        if self.complete:
            return None
        if self.failure is None:
            self._stop_at_end(self._missing())
        return self.failure

    def closing(self) -> bytes:
        """The end mark. The provider's own is never passed on."""
        return DONE_EVENT

    def interruption(self, error: ApiError, request_id: str) -> bytes:
        """An error event: SDKs raise it with its code."""
        end = b"" if self._large is None else b"\n\n"
        return end + b"data: " + error.body() + b"\n\n"

    def _missing(self) -> str:
        if self.pending:
            return "the stream was cut inside an event"
        if self.content:
            return "the stream ended without a finish_reason"
        return "the stream ended without content" if self._seen else "the stream was empty"

    def _read(self, payload: bytes) -> bytes:
        """What the client gets of one event."""
        event = self._parse(payload)
        if event is None:
            return b""
        choices = event.choices
        if choices is None:
            self.dropped += 1
            if not self.content:
                self._aside = payload[:ASIDE_MAX]
            return b""
        if choices:
            if not self._seen:
                self.model = name_in(event.model)
            if not self._take(choices):
                return b""
            self._remember(payload, event)
        elif self._strip_usage and event.usage not in EMPTY:
            return b""
        if b"\n" in payload:
            payload = payload.replace(b"\n", b"\ndata: ")
        return b"data: " + payload + b"\n\n"

    def _parse(self, payload: bytes) -> Event | None:
        """The event, its usage already read. None if there is nothing more to do: it has no known shape, reports an
        error, or comes after the end."""
        if self.finished or self.failure is not None:
            return None
        if len(payload) > LARGE and is_crowded(payload):
            self._stop(TOO_LARGE)
            return None
        try:
            event = read_json(self._decode, payload)
        except NOT_JSON:
            self._read_odd(payload)
            return None
        if event.error not in EMPTY:
            self._fail(in_band(payload, self._wall, "an error in the stream"))
            return None
        if event.usage not in EMPTY:
            self.usage = read_usage(event.usage) or self.usage
        return event

    def _remember(self, payload: bytes, event: Event) -> None:
        """Let `_alike` remember an event that does nothing but bring a text."""
        choices = event.choices or ()
        if self._alike.tries and len(choices) == 1 and event.usage in EMPTY and not choices[0].finish_reason:
            self._alike.remember(b"data: %b\n\n" % payload, bytes(choices[0].brings()))

    def _take(self, choices: Sequence[Choice]) -> bool:
        """Account for the choices of one event; False if they break the stream."""
        bears = False
        for choice in choices:
            index = choice.index or 0
            if not 0 <= index < CHOICES_MAX:
                self._stop("a choice with an impossible index")
                return False
            if not self._seen >> index & 1:
                self._seen |= 1 << index
                self.complete = False
            reason = choice.finish_reason
            if reason:
                if reason in FAILED_REASONS:
                    self._stop(f'finish_reason "{reason}"')
                    return False
                if not self._done >> index & 1:
                    self._done |= 1 << index
                    if len(self.reasons) < REASONS_MAX:
                        self.reasons += (reason[:NAME_MAX],)
                bears = True
            elif choice.is_kept():
                self._done |= 1 << index
                bears = True
            elif not bears:
                bears = choice.bears()
        self.content += bears
        self.complete = self._seen == self._done and self._done.bit_count() >= self._choices
        return True

    def _read_odd(self, payload: bytes) -> bytes:
        """An event that could not be parsed: the end mark, JSON of another shape, or not JSON."""
        if payload == b"[DONE]":
            return self._stop_at_end("its end mark came before a finish_reason")
        if not payload.strip():
            self.dropped += 1
            return b""
        try:
            read_json(decode_raw, payload)
            event = read_json(decode_loose, payload)
        except msgspec.ValidationError:  # JSON, but not an object
            self.dropped += 1
            return b""
        except NOT_JSON:
            return self._stop("data that is not JSON")
        if event.error not in EMPTY:
            return self._fail(in_band(payload, self._wall, "an error in the stream"))
        return self._stop("choices of an unknown shape")

    def _stop_at_end(self, reason: str) -> bytes:
        """The stream has ended. A server that gives fewer choices than asked for is not counted as failing for it."""
        if not self.complete and self._seen and self._seen == self._done and not self.pending:
            few = f"{self._done.bit_count()} of {self._choices} choices"
            self.failure = Outcome(Kind.BAD_ANSWER, few, counts=False)
            return b""
        if self._aside and not self.content:
            return self._fail(in_band(self._aside, self._wall, reason))
        return self._stop(reason)

    def _stop(self, reason: str) -> bytes:
        return self._fail(Outcome(Kind.BAD_ANSWER, reason))

    def _fail(self, why: Outcome) -> bytes:
        """Pass nothing more on. After a complete answer this is its end, else a break."""
        if self.complete:
            self.finished = True
        else:
            self.failure = why
        return b""


def read_usage(raw: Raw) -> Usage | None:
    """The `usage` of an answer; None if there is none, or it cannot be read."""
    if is_empty(raw):
        return None
    try:
        usage = decode_usage(raw)
    except msgspec.ValidationError:
        return None
    prompt = usage.prompt_tokens_details
    return Usage(usage.prompt_tokens, usage.completion_tokens, (prompt and prompt.cached_tokens) or 0)


@mypyc_attr(allow_interpreted_subclasses=True)
class ChatReader(PlainReader):
    """Reads an answer that is not a stream."""

    __slots__ = ("_choices",)
    START = re.compile(rb'"choices"\s*:\s*\[\s*\{')
    _decode: ClassVar[staticmethod[[bytes], Event]] = staticmethod(decode_event)

    def __init__(self, wall: float = 0.0, choices: int = 1) -> None:
        super().__init__(wall)
        self._choices = choices

    def check(self, body: bytes) -> Outcome | None:
        """Choices without an error."""
        answer = self._decode(body)
        if answer.error not in EMPTY:
            return in_band(body, self._wall, "an error instead of an answer")
        choices = answer.choices
        if not choices:
            return in_band(body, self._wall, "no choices")
        reasons: tuple[str, ...] = ()
        for choice in choices:
            reason = choice.finish_reason
            if reason in FAILED_REASONS:
                return Outcome(Kind.BAD_ANSWER, f'finish_reason "{reason}"')
            if reason and len(reasons) < REASONS_MAX:
                reasons += (reason[:NAME_MAX],)
        few = len(choices)
        if few < self._choices:  # the server ignores how many were asked for, and is not counted as failing for it
            return Outcome(Kind.BAD_ANSWER, f"{few} of {self._choices} choices", counts=False)
        self.usage = read_usage(answer.usage)
        self.model, self.reasons = name_in(answer.model), reasons
        return None


class Chat(Protocol):
    """`POST /chat/completions` (https://platform.openai.com/docs/api-reference/chat)."""

    __slots__ = ()
    name = "chat"
    endpoints = (Endpoint("POST", "/chat/completions"),)
    stream_options = True

    def asked(self, endpoint: Endpoint, body: RequestBody) -> Asked:
        """Reads `stream`, `n` and `stream_options`."""
        return Asked(body.flag("stream"), body.count("n"), body.wants_usage())

    def stream_reader(self, asked: Asked, headers: Headers, strip_usage: bool, wall: float) -> Reader:
        """Reads chat completion chunks."""
        return StreamReader(asked.choices, strip_usage, wall)

    def plain_reader(self, asked: Asked, headers: Headers, wall: float) -> Reader:
        """Reads one chat completion."""
        return ChatReader(wall, asked.choices)


PROTOCOL: Final = Chat()
