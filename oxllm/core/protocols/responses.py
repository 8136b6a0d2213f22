"""Responses: what a request asks for, and what makes an answer whole.

Each event of a stream has an `event:` line and the same `type` in its data; both are passed on. What each means here:

    type                                       means
    ----                                       -----
    response.created, .queued, .in_progress    nothing yet; the id of the answer
    response.output_item.added                 content if its item has some; work if it is a reasoning item or a
                                               compaction; else nothing yet
    response.content_part.added and the like   nothing yet; like all of the above, work once such an item was added
    response.*.delta                           content if its delta is not empty, else as the row above
    response.*.done                            content
    response.web_search_call.* and the like    content: a hosted tool runs, and a second run would repeat its effects
    response.completed, .incomplete            the answer is whole
    response.failed, error                     it failed: before content read as the HTTP error that its code names,
                                               after content passed on as it is; for most clients `error` alone does
                                               not end a response, so a `response.failed` of ours follows it
    any other type                             nothing yet
    JSON without a type or not an object,      nothing; not passed on, and counted
      white space
    not JSON, an event over 1 MiB              a break: it may have been content
    [DONE]                                     a break, unless after the whole answer, where nobody needs it

After content an event may have any size: its first bytes tell its type, and it is passed on as it comes.

A break after content is reported as a `response.failed` of ours, and the chunked body ends properly: agents take a torn
connection for a network failure, and this event for a reason to retry. It has its error twice: in its response, where
agents look for it, and beside it, where the SDKs raise it (without that, the Node SDK's helper returns the failed
response as if it were fine). Which error codes agents take for final is in docs/agents.md.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Protocol, Reader, Usage
from oxllm.core.protocols.endpoint import ANSWER_ID, Endpoint
from oxllm.core.protocols.named_reader import NamedReader
from oxllm.core.protocols.plain import PlainReader
from oxllm.core.protocols.responses_shapes import (
    Item,
    Response,
    ResponseEvent,
    decode_beside,
    decode_error,
    decode_event,
    decode_incomplete,
    decode_item,
    decode_kept,
    decode_parts,
    decode_response,
    decode_usage,
)
from oxllm.core.protocols.values import EMPTY, NOT_JSON, decode_raw, id_in, name_in, read_json
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Kind, Outcome, in_band
from oxllm.core.wire.body import RequestBody
from oxllm.core.wire.errors import OWNER_UNAVAILABLE, ApiError, api_error
from oxllm.core.wire.named_events import END, LARGE, Event

USAGE_MAX: Final = 1024
"""Bytes kept of the usage in an event that is passed on as it comes."""
OVERLOADED: Final = "server_is_overloaded"
"""The code on which agents retry a few times instead of dozens."""
RETRY_AFTER_S: Final = 1
"""Retry-After of refusals that have none."""


class Meaning(Enum):
    """What an event says."""

    NOTHING = "nothing yet"
    PREAMBLE = "the answer's id"
    ADDED = "an item"
    PART = "a part of an item"
    DELTA = "more of a part"
    CONTENT = "content"
    WHOLE = "the answer is whole"
    FAILURE = "it failed"


NOTHING_YET: Final[Meaning] = Meaning.NOTHING  # on 3.11 each look at an Enum's member takes 0.1 µs
PREAMBLE: Final[Meaning] = Meaning.PREAMBLE
ADDED: Final[Meaning] = Meaning.ADDED
PART: Final[Meaning] = Meaning.PART
DELTA: Final[Meaning] = Meaning.DELTA
CONTENT: Final[Meaning] = Meaning.CONTENT
WHOLE: Final[Meaning] = Meaning.WHOLE
FAILURE: Final[Meaning] = Meaning.FAILURE

TABLE: Final = {
    b"response.created": PREAMBLE,
    b"response.queued": PREAMBLE,
    b"response.in_progress": PREAMBLE,
    b"response.output_item.added": ADDED,
    b"response.content_part.added": PART,
    b"response.reasoning_summary_part.added": PART,
    b"response.compaction.compacting": PART,
    b"response.completed": WHOLE,
    b"response.incomplete": WHOLE,
    b"response.failed": FAILURE,
    b"error": FAILURE,
    b"response.output_text.delta": DELTA,
    b"response.function_call_arguments.delta": DELTA,
    b"response.reasoning_text.delta": DELTA,
    b"response.reasoning_summary_text.delta": DELTA,
    b"response.custom_tool_call_input.delta": DELTA,
}
"""The types that are looked up by name: those with a meaning of their own, and the most frequent ones."""
TOOLS: Final[tuple[bytes, ...]] = tuple(
    b"response.%b_call." % tool
    for tool in (b"web_search", b"file_search", b"code_interpreter", b"mcp", b"image_generation")
)
"""Prefixes of the event types of hosted tools."""


def meaning(kind: bytes) -> Meaning:
    """What an event of this type means."""
    found = TABLE.get(kind)
    if found is not None:
        return found
    if kind.startswith(TOOLS) or kind.endswith(b".done"):
        return CONTENT
    return DELTA if kind.endswith(b".delta") else NOTHING_YET


class _Identity(NamedTuple):
    """What our own `response.failed` repeats from the answer that broke off."""

    id: str
    created_at: int = 0
    model: str = ""


_decode_time: Final = msgspec.json.Decoder(float).decode
_encode: Final = msgspec.json.Encoder().encode
_TYPE_FIRST: Final = re.compile(rb'\s*\{\s*"type"\s*:\s*"([a-z_.]{1,64})"')
_ID_FIRST: Final = re.compile(rb'\s*\{\s*"id"\s*:\s*"([!-~]{1,512}?)"')
_SEQUENCE: Final = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})\b')
_USAGE: Final = re.compile(rb'"usage"\s*:\s*(\{(?:[^{}]|\{[^{}]*\})*\})')
_USAGE_KEY: Final = b'"usage"'
_WORK: Final[tuple[Raw, ...]] = (Raw(b'"reasoning"'), Raw(b'"compaction"'))
"""Types of items on which a model may spend minutes without showing anything."""


def _bears_content(item: Item) -> bool:
    """Whether an item that was added has any content yet."""
    return (
        _has_text(item.content)
        or _has_text(item.summary)
        or any(value not in EMPTY for value in msgspec.structs.astuple(item)[3:])
    )


def _has_text(parts: Raw) -> bool:
    """Whether one of these parts has text; True if they cannot be read, or are too many, since they may have."""
    if parts in EMPTY:
        return False
    if len(parts) > LARGE:
        return True
    try:
        return any(part.text not in EMPTY or part.refusal not in EMPTY for part in decode_parts(parts))
    except msgspec.DecodeError:
        return True


def read_usage(raw: Raw | bytes) -> Usage | None:
    """The `usage` of a response; None if there is none, or it cannot be read."""
    if raw in EMPTY:
        return None
    try:
        usage = decode_usage(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    given = usage.input_tokens_details
    return Usage(usage.input_tokens, usage.output_tokens, (given and given.cached_tokens) or 0)


def read_identity(raw: Raw | bytes) -> _Identity | None:
    """The identity of a response; None if it has no id."""
    response = _response(raw)
    name = id_in(response.id)
    return None if name is None else _Identity(name, _time(response.created_at), name_in(response.model) or "")


def _response(raw: Raw | bytes) -> Response:
    """The parts that we read of a response object; an empty one if it cannot be read."""
    try:
        return decode_response(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Response()


def _reasons(response: Response) -> tuple[str, ...]:
    """Why a response ended: what cut it short, or else its status."""
    try:
        cut = name_in(decode_incomplete(response.incomplete_details).reason)
    except NOT_JSON:
        cut = None
    reason = cut or name_in(response.status)
    return () if reason is None else (reason,)


def _error_of(event: ResponseEvent) -> bytes | None:
    """The error of a failure event, in the form of an error body. It may be in the event, in its response, or flat."""
    error: Raw | bytes = event.error if event.error not in EMPTY else _response(event.response).error
    if error in EMPTY:
        flat = {"code": event.code, "message": event.message}
        error = _encode({name: value for name, value in flat.items() if value not in EMPTY})
    return None if error in EMPTY else b'{"error":%b}' % bytes(error)


def failed_event(identity: _Identity, sequence: int, code: str, error: ApiError) -> bytes:
    """A `response.failed`: what the SDKs raise and agents read."""
    response = {
        "id": identity.id,
        "object": "response",
        "created_at": identity.created_at,
        "status": "failed",
        "error": {"code": code, "message": error.message},
        "incomplete_details": None,
        "model": identity.model,
        "output": [],
        "usage": None,
    }
    beside = {"type": error.type, "code": code, "message": error.message, "param": error.param}
    event = {"type": "response.failed", "sequence_number": sequence, "response": response, "error": beside}
    return b"event: response.failed\ndata: " + _encode(event) + END


class StreamReader(NamedReader):
    """Reads one stream, passes on what the client may have, and says when the answer is whole or broken."""

    __slots__ = ("_failed", "_identity", "_kind", "_number", "_says", "_stored", "_tail")

    def __init__(self, wall: float, stored: bool = True) -> None:
        super().__init__(wall)
        self._stored = stored
        """Whether the provider keeps the answer, so that it can be asked for again."""
        self._failed = False
        """Whether the provider itself sent a `response.failed`."""
        self._identity: _Identity | None = None
        self._number = b""
        """The last sequence number seen."""
        self._says: Meaning | None = None
        """The meaning of the event that is being passed on as it comes."""
        self._kind = b""
        """The type of that event."""
        self._tail = b""
        """The usage in that event, as far as it has come."""

    def interruption(self, error: ApiError, request_id: str) -> bytes:
        """A `response.failed`. An event that was being passed on is first made invalid, since it is incomplete."""
        if self.told and self._failed:
            return b""
        spoilt = b"!" + END if self._large is not None else b""
        identity = self._identity or _Identity(f"resp_{request_id}")
        return spoilt + failed_event(identity, self._next(), "server_error", error)

    def _next(self) -> int:
        return int(self._number) + 1 if self._number else 0

    def _missing(self) -> str:
        if self.pending or self._large is not None:
            return "the stream was cut inside an event"
        if self.content:
            return "the stream ended before the answer was whole"
        return "the stream ended without content" if self._identity is not None else "the stream was empty"

    def _read(self, named: Event) -> bytes:
        name, payload = named
        if self.finished or self.failure is not None:
            return b""
        if name is None:
            return self._read_piece(payload)
        if self.complete:
            return self._read_behind(payload)
        try:
            event = read_json(decode_event, payload)
        except NOT_JSON:
            return self._read_odd(payload)
        kind = bytes(event.type)
        kind = kind[1:-1] if kind.startswith(b'"') and kind != b'""' else name
        if not self._understand(kind, event):
            return b""
        if b"\n" in payload:
            payload = payload.replace(b"\n", b"\ndata: ")
        return b"event: %b\ndata: %b\n\n" % (name or kind or b"error", payload)

    def _understand(self, kind: bytes, event: ResponseEvent) -> bool:
        """Account for an event. Returns whether it is passed on."""
        says = FAILURE if event.error not in EMPTY else meaning(kind)
        if not kind and says is not FAILURE:
            self.dropped += 1
            return False
        number = bytes(event.sequence_number)
        if number.isdigit() and len(number) < 16:
            self._number = number
        if says is FAILURE:
            self._failed = kind == b"response.failed"
            self._fail(event)
            return self.told
        self._take(says, event)
        return True

    def _take(self, says: Meaning, event: ResponseEvent) -> None:
        """Account for an event that is not a failure."""
        before, worked = self.content, self.working
        if says is DELTA:
            self.content += event.delta not in EMPTY
        elif says is CONTENT:
            self.content += 1
        elif says is ADDED:
            self._add(event.item)
        elif says is PREAMBLE:
            self._identify(event.response)
        elif says is WHOLE:
            self._identify(event.response)
            response = _response(event.response)
            self.model, self.reasons = name_in(response.model) or self.model, _reasons(response)
            self._end(read_usage(response.usage))
        if worked and self.content == before and says is not NOTHING_YET:
            self.working += 1

    def _identify(self, response: Raw) -> None:
        if self._identity is None:
            self._identity = read_identity(response)
            self.model = self._identity.model or None if self._identity is not None else None
            self.id = self._identity.id if self._identity is not None and self._stored else None

    def _add(self, raw: Raw) -> None:
        try:
            item = decode_item(raw)
        except msgspec.DecodeError:
            return
        if _bears_content(item):
            self.content += 1
        elif item.type in _WORK:
            self.working += 1

    def _end(self, usage: Usage | None) -> None:
        self.content += 1
        self.complete = True
        self.usage = usage or self.usage

    def _fail(self, event: ResponseEvent) -> None:
        """The provider reports a failure."""
        self._error = error = _error_of(event)
        silent = Outcome(Kind.BAD_ANSWER, "the provider says that it failed")
        self.failure = silent if error is None else in_band(error, self._wall)
        self.told = self.content > 0
        self.usage = read_usage(_response(event.response).usage)

    def _read_behind(self, payload: bytes) -> bytes:
        """What follows the whole answer: an end mark, or nothing worth reading."""
        self.finished = True
        return b"data: [DONE]\n\n" if payload == b"[DONE]" else b""

    def _read_odd(self, payload: bytes) -> bytes:
        """An event that could not be parsed: the end mark, JSON that is not an object, or not JSON."""
        if payload == b"[DONE]":
            return self._break("its end mark came too early")
        try:
            if payload.strip():
                read_json(decode_raw, payload)
        except NOT_JSON:
            return self._break("data that is not JSON")
        self.dropped += 1
        return b""

    # An event that is passed on as it comes.

    def _begin_large(self) -> bytes:
        if self.complete:
            self.finished = True
            return b""
        name, start = self._decoder.head()
        found = _TYPE_FIRST.match(start)
        kind = found[1] if found is not None else name
        says = meaning(kind)
        if not kind or says is FAILURE:
            return b""
        number = _SEQUENCE.search(start)
        self._number = number[1] if number is not None else b"%d" % self._next()
        self._says, self._kind, self._tail = says, kind, b""
        self.content += says is DELTA or says is CONTENT or says is ADDED
        return self._take_large(name or kind)

    def _see(self, piece: bytes) -> None:
        if self._says is WHOLE:  # the usage is needed at its end
            seen = self._tail + piece
            at = seen.rfind(_USAGE_KEY)
            self._tail = seen[at : at + USAGE_MAX] if at >= 0 else seen[-len(_USAGE_KEY) :]

    def _end_large(self) -> bool:
        if self._says is WHOLE:
            found = _USAGE.search(self._tail)
            self.reasons = (self._kind.rpartition(b".")[2].decode(),)
            self._end(None if found is None else read_usage(found[1]))
        self._says, self._tail = None, b""
        return True


class ResponseReader(PlainReader):
    """Reads an answer that is not a stream: a response object."""

    __slots__ = ("_background", "_stored")
    START = re.compile(rb'"status"\s*:\s*"(?:completed|incomplete|queued|in_progress)"|"output"\s*:\s*\[\s*\{')

    def __init__(self, background: bool, wall: float, stored: bool = True) -> None:
        super().__init__(wall)
        self._background = background
        """It may still be queued or in progress."""
        self._stored = stored
        """The provider keeps it, so it can be asked for again."""

    def check(self, body: bytes) -> Outcome | None:
        """A completed or incomplete response; in the background, also a pending one."""
        response = decode_response(body)
        status = bytes(response.status).strip(b'"')
        if status in WHOLE_STATUSES or (self._background and status in PENDING_STATUSES):
            self.usage = read_usage(response.usage)
            self.model, self.reasons = name_in(response.model), _reasons(response)
            identity = read_identity(body) if self._stored else None
            self.id = None if identity is None else identity.id
            return None
        if response.error not in EMPTY:
            return in_band(b'{"error":%b}' % bytes(response.error), self._wall)
        return Outcome(Kind.BAD_ANSWER, "no response that is completed")

    def _begin(self) -> bytes:
        found = _ID_FIRST.match(self._held) if self._stored else None
        self.id = None if found is None else found[1].decode()
        return super()._begin()


class KeptReader(PlainReader):
    """Reads what a provider says about an answer that it keeps: the answer, in whatever status, a list, or that it was
    deleted."""

    __slots__ = ()
    START = re.compile(rb'"(?:id|object|data)"\s*:')

    def check(self, body: bytes) -> Outcome | None:
        """Anything but an error."""
        kept = decode_kept(body)
        if any(value not in EMPTY for value in (kept.id, kept.object, kept.data)):
            return None
        if kept.error not in EMPTY:
            return in_band(body, self._wall)
        return Outcome(Kind.BAD_ANSWER, "neither an answer nor a list")


class BesideReader(PlainReader):
    """Reads an answer of the side endpoints: a token count, or a compacted conversation."""

    __slots__ = ()
    START = re.compile(rb'"(?:output|input_tokens)"\s*:')

    def check(self, body: bytes) -> Outcome | None:
        """A token count, or the items of a conversation."""
        told = decode_beside(body)
        if told.error not in EMPTY:
            return in_band(body, self._wall)
        if told.input_tokens in EMPTY and told.output in EMPTY:
            return Outcome(Kind.BAD_ANSWER, "neither a number of tokens nor a conversation")
        self.usage = read_usage(told.usage)
        return None


class ResponsesAsked(Asked, frozen=True):
    """The parts that we read of a request."""

    background: bool = False
    """The answer may come back still pending."""
    stored: bool = True
    """The provider keeps the answer."""
    about: bool = False
    """The request is about an earlier answer."""
    beside: bool = False
    """No answer is asked for, but a token count or a compacted conversation."""


BESIDE: Final[tuple[Endpoint, ...]] = (
    Endpoint("POST", "/responses/compact"),
    Endpoint("POST", "/responses/input_tokens"),
)


class Responses(Protocol):
    """`POST /responses` (https://platform.openai.com/docs/api-reference/responses)."""

    __slots__ = ()
    name = "responses"
    endpoints = (
        Endpoint("POST", "/responses"),
        Endpoint("GET", f"/responses/{ANSWER_ID}"),
        Endpoint("DELETE", f"/responses/{ANSWER_ID}"),
        Endpoint("POST", f"/responses/{ANSWER_ID}/cancel"),
        Endpoint("GET", f"/responses/{ANSWER_ID}/input_items"),
        *BESIDE,
    )
    break_is_clean = True
    passes_query = True

    def asked(self, endpoint: Endpoint, body: RequestBody) -> Asked:
        """Reads `stream`, `background`, `store` and `previous_response_id`. The provider judges odd values."""
        if endpoint in BESIDE:
            return ResponsesAsked(previous=id_in(body.member("previous_response_id")), stored=False, beside=True)
        return ResponsesAsked(
            body.flag("stream"),
            previous=id_in(body.member("previous_response_id")),
            background=body.member("background") == _TRUE,
            stored=body.member("store") != _FALSE,
        )

    def asked_about(self, query: bytes) -> Asked:
        """A kept answer may be streamed again."""
        return ResponsesAsked(b"stream=true" in query.split(b"&"), about=True)

    def classify(self, asked: Asked, status: int, headers: Headers, body: bytes, wall: float) -> Outcome:
        """A provider that does not have an answer or a side endpoint says nothing about the model."""
        if status in (404, 405) and isinstance(asked, ResponsesAsked) and asked.about:
            return Outcome(Kind.FOREIGN_STATE, f"HTTP {status}: not its answer", status)
        found = super().classify(asked, status, headers, body, wall)
        beside = isinstance(asked, ResponsesAsked) and asked.beside
        if beside and status in (404, 405) and found.kind is not Kind.FOREIGN_STATE:
            return Outcome(Kind.UNSUPPORTED, f"it has no such path: HTTP {status}", status)
        return found

    def stream_reader(self, asked: Asked, headers: Headers, strip_usage: bool, wall: float) -> Reader:
        """Reads the events of a response."""
        return StreamReader(wall, not isinstance(asked, ResponsesAsked) or asked.stored)

    def plain_reader(self, asked: Asked, headers: Headers, wall: float) -> Reader:
        """Reads one response, what is said about a kept one, or an answer of a side endpoint."""
        if not isinstance(asked, ResponsesAsked):
            return ResponseReader(background=False, wall=wall)
        if asked.beside:
            return BesideReader(wall)
        return KeptReader(wall) if asked.about else ResponseReader(asked.background, wall, asked.stored)

    def refusal(self, error: ApiError) -> ApiError:
        """Agents retry dozens of times on a 503 whose code they do not know, and on any status but 400 even if nothing
        can have changed; without a Retry-After some give up when a second would do."""
        if error.status != 429 and error.status < 500:
            return error
        changes: dict[str, object] = {"retry_after": error.retry_after or RETRY_AFTER_S}
        if error.status in (502, 503) and error.code != OWNER_UNAVAILABLE:
            if error.should_retry is False:
                changes |= {"status": 400}
            else:
                changes |= {"status": 503, "type": "server_error", "code": OVERLOADED}
        return msgspec.structs.replace(error, **changes)

    def error_event(self, error: ApiError, request_id: str) -> bytes:
        """A `response.failed` before any content. A transient fault never gets a code on which agents give up."""
        code = "server_error" if error.status >= 500 else error.code or "invalid_prompt"
        if code == "rate_limit_exceeded" and error.retry_after:  # agents read the time from the words
            error = msgspec.structs.replace(
                error, message=f"{error.message}. Please try again in {error.retry_after}s."
            )
        return failed_event(_Identity(f"resp_{request_id}"), 0, code, error)

    def received_event(self, status: int, body: bytes, request_id: str) -> bytes:
        """A provider's error body as a `response.failed`."""
        return self.error_event(_received(status, body), request_id)


WHOLE_STATUSES: Final[tuple[bytes, ...]] = (b"completed", b"incomplete")
PENDING_STATUSES: Final[tuple[bytes, ...]] = (b"queued", b"in_progress")
_TRUE: Final = Raw(b"true")
_FALSE: Final = Raw(b"false")


def _received(status: int, body: bytes) -> ApiError:
    """A provider's refusal as an error of ours, in its own words if they can be read."""
    error = api_error(status, f"the provider answered HTTP {status}")
    try:
        theirs = decode_error(body).error
    except NOT_JSON:
        return error
    return ApiError(
        status,
        theirs.type or error.type,
        None if theirs.code is None else str(theirs.code),
        theirs.message or error.message,
        theirs.param,
    )


def _time(raw: Raw) -> int:
    """A member that is a time in seconds; 0 if it is not."""
    try:
        return int(_decode_time(raw))
    except NOT_JSON:
        return 0


PROTOCOL: Final = Responses()
