"""Is this answer whole? What a provider's 2xx must be before it counts (SPEC 5, second row; SPEC 8).

A stream may stop in the middle and still end its chunks correctly, so HTTP says nothing about it; only its events
do. What each means here:

    data                                       passed on    means
    ----                                       ---------    -----
    choices that bear content                  yes          content: the answer has begun
    choices with a role, empty deltas, none    yes          nothing yet (Azure's filter results, Ollama's lost errors)
    a finish_reason                            yes          that choice is done; all are: the answer is complete
    no choices but usage                       unless       counted; dropped if only we asked for it
    JSON without choices or error (a ping),    no           nothing; counted
      or nothing but white space
    error, or finish_reason "error"            no           a break
    what is no JSON, or choices of no          no           a break: it may have been content
      known shape, an event over 1 MiB
    [DONE]                                     no           a break, unless complete

A break after completion is none: the answer is there, and only reading stops.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Annotated

import msgspec
from msgspec import Raw

from oxllm.core import sse
from oxllm.core.body import invalid_utf8
from oxllm.core.hints import Headers
from oxllm.core.outcome import Kind, Outcome, error_word

HELD_MAX = 256 * 1024
"""Bytes of a plain answer that are held until it is whole (SPEC 9)."""
CHOICES_MAX = 1024
"""Choices of one answer; the OpenAI API allows 128."""


class Endpoint(Enum):
    """What is proxied; the value is the path under a provider's base URL."""

    CHAT = "/chat/completions"
    EMBEDDINGS = "/embeddings"


_Count = Annotated[int, msgspec.Meta(ge=0)]


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the provider counted them."""

    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


_NOTHING = Raw(b"")
_EMPTY = (_NOTHING, Raw(b"null"), Raw(b'""'), Raw(b"[]"), Raw(b"{}"), Raw(b"false"))
"""What says nothing, as content and as an error. Raw, so that no text is decoded."""


class _Delta(msgspec.Struct, gc=False):
    """Every field here bears content when it is not empty; `role` and what else there is does not."""

    content: Raw = _NOTHING
    reasoning: Raw = _NOTHING  # OpenRouter, Groq, Ollama, vLLM
    reasoning_content: Raw = _NOTHING  # DeepSeek, older vLLM, SGLang
    reasoning_details: Raw = _NOTHING  # OpenRouter
    thinking_blocks: Raw = _NOTHING  # LiteLLM
    refusal: Raw = _NOTHING
    tool_calls: Raw = _NOTHING
    function_call: Raw = _NOTHING  # before tools
    audio: Raw = _NOTHING
    images: Raw = _NOTHING  # OpenRouter


class _Choice(msgspec.Struct, gc=False):
    delta: _Delta | None = None
    index: int | None = None
    finish_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    """An event of a stream, or a plain chat answer: what is read of both is the same."""

    choices: list[_Choice] | None = None
    error: Raw = _NOTHING
    usage: Raw = _NOTHING


class _LooseEvent(msgspec.Struct, gc=False):
    """An event whose choices could not be read."""

    choices: Raw = _NOTHING
    error: Raw = _NOTHING


class _Vectors(msgspec.Struct, gc=False):
    """An answer with embeddings: base64 or lists of numbers, so nothing of them is decoded."""

    data: list[Raw] | None = None
    error: Raw = _NOTHING
    usage: Raw = _NOTHING


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_loose = msgspec.json.Decoder(_LooseEvent).decode
_decode_vectors = msgspec.json.Decoder(_Vectors).decode
_decode_usage = msgspec.json.Decoder(Usage).decode
_decode_raw = msgspec.json.Decoder(Raw).decode
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class StreamReader:
    """Reads one stream, passes on what a client may have, and says when the answer is whole or broken."""

    __slots__ = (
        "_decoder",
        "_done",
        "_n",
        "_seen",
        "_strip_usage",
        "complete",
        "content",
        "dropped",
        "failure",
        "finished",
        "usage",
    )

    def __init__(self, n: int, strip_usage: bool) -> None:
        self._decoder = sse.Decoder()
        self._n = n
        self._strip_usage = strip_usage
        self._seen = 0
        """Bit i: choice i has been seen."""
        self._done = 0
        """Bit i: choice i has its finish_reason."""
        self.content = 0
        """Events that bear content so far."""
        self.complete = False
        """Every choice seen, and at least `n`, has its finish_reason."""
        self.finished = False
        """The stream has ended itself: with [DONE], or with what cannot be read behind a complete answer."""
        self.failure: Outcome | None = None
        """Why the stream is broken: a BAD_ANSWER, as only the exchange knows whether any of it was committed to."""
        self.usage: Usage | None = None
        self.dropped = 0
        """Events of JSON that had neither choices nor an error."""

    @property
    def pending(self) -> int:
        """Bytes held of an event that is not whole."""
        return self._decoder.pending

    def feed(self, data: bytes) -> bytes:
        """What a client may have of the events that `data` completes, ready to be sent; nothing behind a break."""
        if self.finished or self.failure is not None:
            return b""
        try:
            events = self._decoder.feed(data)
            if len(events) == 1:
                return self._read(events[0])
            return b"".join(map(self._read, events))
        except sse.TooLarge as error:
            ready = b"".join(map(self._read, error.events))
        self._stop("an event over 1 MiB")
        return ready

    def eof(self) -> Outcome | None:
        """The response has ended: None if the answer is whole, else why it is not."""
        if self.complete:
            return None
        if self.failure is None:
            self._stop(self._missing())
        return self.failure

    def _missing(self) -> str:
        if self.pending:
            return "the stream was cut inside an event"
        if self.content:
            return "the stream ended without a finish_reason"
        return "the stream ended without content" if self._seen else "the stream was empty"

    def _read(self, payload: bytes) -> bytes:
        """One event: what the client gets of it."""
        if self.finished or self.failure is not None:
            return b""
        try:
            if not payload.isascii():
                payload.decode()
            event = _decode_event(payload)
        except _NOT_JSON:
            return self._read_odd(payload)
        if event.error not in _EMPTY:
            return self._stop("an error in the stream", error_word(payload))
        has_usage = event.usage not in _EMPTY
        if has_usage:
            self.usage = _usage(event.usage) or self.usage
        choices = event.choices
        if choices is None:
            self.dropped += 1
            return b""
        if choices:
            if not self._take(choices):
                return b""
        elif has_usage and self._strip_usage:
            return b""
        if b"\n" in payload:
            payload = payload.replace(b"\n", b"\ndata: ")
        return b"data: " + payload + b"\n\n"

    def _take(self, choices: list[_Choice]) -> bool:
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
                if reason == "error":
                    self._stop('finish_reason "error"')
                    return False
                self._done |= 1 << index
                bears = True
            elif not bears and choice.delta is not None:
                bears = _bears_content(choice.delta)
        self.content += bears
        self.complete = self._seen == self._done and self._done.bit_count() >= self._n
        return True

    def _read_odd(self, payload: bytes) -> bytes:
        """What is no event of ours: the end mark, JSON of another shape, or no JSON."""
        if payload == b"[DONE]":
            return self._stop("its end mark came before a finish_reason")
        if not payload.strip():
            self.dropped += 1
            return b""
        try:
            payload.decode()
            _decode_raw(payload)
            event = _decode_loose(payload)
        except msgspec.ValidationError:  # JSON, but no object
            self.dropped += 1
            return b""
        except _NOT_JSON:
            return self._stop("data that is not JSON")
        if event.error not in _EMPTY:
            return self._stop("an error in the stream", error_word(payload))
        return self._stop("choices of an unknown shape")

    def _stop(self, reason: str, code: str | None = None) -> bytes:
        """Pass nothing on any more. Behind a complete answer that is its end, else a break."""
        if self.complete:
            self.finished = True
        else:
            self.failure = Outcome(Kind.BAD_ANSWER, reason, code=code)
        return b""


def _bears_content(delta: _Delta) -> bool:
    return delta.content not in _EMPTY or any(raw not in _EMPTY for raw in msgspec.structs.astuple(delta))


def _usage(raw: Raw) -> Usage | None:
    if raw in _EMPTY:
        return None
    try:
        return _decode_usage(raw)
    except msgspec.ValidationError:
        return None


class PlainReader:
    """Holds and checks an answer that is no stream.

    Up to HELD_MAX it is held until its end and checked whole (`eof`). If it is longer (`overflow`), or must be sent
    before its end, `check_start` says whether its beginning will do, and `take` hands it out. From then on `feed`
    holds nothing; it may still be called, and then `eof` says whether the last byte was a closing brace.
    """

    __slots__ = ("_endpoint", "_held", "_last", "_taken", "usage")

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._held = bytearray()
        self._taken = False
        self._last = b""
        """The last byte that is no white space, of what was fed after `take`."""
        self.usage: Usage | None = None
        """Known only of an answer that was checked whole."""

    @property
    def pending(self) -> int:
        """Bytes held."""
        return len(self._held)

    @property
    def overflow(self) -> bool:
        """More than HELD_MAX bytes are held: time to `check_start` and `take`."""
        return len(self._held) > HELD_MAX

    def feed(self, data: bytes) -> None:
        """Another part of the body."""
        if self._taken:
            self._last = data.rstrip(_SPACE)[-1:] or self._last
        else:
            self._held += data

    def take(self) -> bytes:
        """What is held; the reader keeps nothing of it."""
        held, self._held = bytes(self._held), bytearray()
        self._taken = True
        return held

    def check_start(self) -> Outcome | None:
        """None if what is held begins an answer: JSON so far, and its first choice or vector has begun."""
        held = self._held
        if _START[self._endpoint].search(held) is None or invalid_utf8(held, final=False) is not None:
            return self._refuse()
        try:
            _decode_raw(held)
        except msgspec.DecodeError as error:
            return None if "truncated" in str(error) else self._refuse()
        except RecursionError:
            return self._refuse()
        return self._check()

    def eof(self) -> Outcome | None:
        """The response has ended: None if the answer is whole, else why it cannot be used."""
        if not self._taken:
            return self._check()
        return None if self._last in (b"", b"}") else Outcome(Kind.BAD_ANSWER, "cut JSON")

    def _check(self) -> Outcome | None:
        held = bytes(self._held)
        try:
            held.decode()
            return self._check_chat(held) if self._endpoint is Endpoint.CHAT else self._check_vectors(held)
        except _NOT_JSON:
            return self._refuse()

    def _check_chat(self, held: bytes) -> Outcome | None:
        answer = _decode_event(held)
        if answer.error not in _EMPTY:
            return _bad("an error instead of an answer", held)
        if not answer.choices:
            return _bad("no choices", held)
        if any(choice.finish_reason == "error" for choice in answer.choices):
            return _bad('finish_reason "error"', held)
        self.usage = _usage(answer.usage)
        return None

    def _check_vectors(self, held: bytes) -> Outcome | None:
        answer = _decode_vectors(held)
        if answer.error not in _EMPTY:
            return _bad("an error instead of an answer", held)
        if not answer.data:
            return _bad("no embeddings", held)
        self.usage = _usage(answer.usage)
        return None

    def _refuse(self) -> Outcome:
        """What the body is instead of an answer, by its first bytes."""
        held = bytes(self._held[:64]).lstrip(_SPACE)
        for start, reason in _INSTEAD:
            if held.startswith(start):
                return Outcome(Kind.BAD_ANSWER, reason)
        return Outcome(Kind.BAD_ANSWER, "invalid or cut JSON" if held else "an empty body")


_SPACE = b" \t\r\n"
_INSTEAD = (
    (b"<", "HTML instead of an answer"),
    (b"data:", "a stream instead of an answer"),
    (b"event:", "a stream instead of an answer"),
    (b":", "a stream instead of an answer"),
)
_START = {
    Endpoint.CHAT: re.compile(rb'"choices"\s*:\s*\[\s*\{'),
    Endpoint.EMBEDDINGS: re.compile(rb'"data"\s*:\s*\[\s*\{'),
}
_TYPES_FOR_PLAIN = {b"text/event-stream": "a stream instead of an answer", b"text/html": "HTML instead of an answer"}
_TYPES_FOR_STREAM = {b"application/json": "JSON instead of a stream", b"text/html": "HTML instead of a stream"}
"""Content types that say it all. Others are not trusted: the body decides."""


def _bad(reason: str, body: bytes) -> Outcome:
    return Outcome(Kind.BAD_ANSWER, reason, code=error_word(body))


def check_head(status: int, headers: Headers, stream: bool) -> Outcome | None:
    """What the head of a 2xx already says against it; None if the body is worth reading.

    We ask for `identity`, so a content coding is a provider's mistake; and 204, 205 (RFC 9110, 15.3.5 and 15.3.6)
    and 206, which nobody asked for, hold no answer.
    """
    if status in (204, 205, 206):
        return Outcome(Kind.BAD_ANSWER, f"HTTP {status}", status)
    types = _TYPES_FOR_STREAM if stream else _TYPES_FOR_PLAIN
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return Outcome(Kind.BAD_ANSWER, "a content-encoding nobody asked for", status)
        if name == b"content-type":
            reason = types.get(value.partition(b";")[0].strip().lower())
            if reason is not None:
                return Outcome(Kind.BAD_ANSWER, reason, status)
    return None
