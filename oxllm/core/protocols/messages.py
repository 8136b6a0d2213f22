"""Anthropic's Messages API: what a request asks for, and what makes an answer whole.

A stream is one message in pieces (https://docs.anthropic.com/en/api/messages-streaming): it starts, its blocks start,
grow and stop one after another, it gets a `stop_reason` and stops. SDKs dispatch on the `event:` line, then on
`data.type`, and do not check that all came: to them a cut message is a message. What each event means here:

    event                                          passed on   means
    -----                                          ---------   -----
    message_start                                  yes         nothing yet; its usage is counted
    message_start again, with the same id          no          nothing; it is counted
    content_block_start with a text, a tool's      yes         content: the answer has begun
      name, a server tool's result, a seal
    content_block_start of a thinking block        yes         work: the model is busy, though it shows nothing
    content_block_start with nothing in it         yes         nothing yet
    content_block_delta with something in it       yes         content
    content_block_delta with nothing in it         yes         nothing yet; work, if it is about thinking
    content_block_stop                             yes         that block is done
    message_delta with a stop_reason               yes         content; if each block that began is done, the message
                                                               is complete. "error" is a break
    message_delta without one                      yes         its usage is counted
    message_stop                                   yes         the end; a break, unless complete, or a limit
                                                               is the stop_reason
    ping                                           after       nothing; one that is not passed on is counted
                                                   content, until complete
    unknown types                                  yes         nothing yet
    error, under any name                          after       the failure that it names
                                                   content
    not a JSON object, or of an unknown shape;     no          a break: it may have been content
      an event of a block that never began; a
      second message, or none at the start;
      [DONE]; an event over 1 MiB
    a large content_block_start or _delta          as it       content
      after content                                comes

An event without an `event:` line gets it from `data.type`; a missing message_stop is added. After completion nothing is
a break any more: the answer is there, and only reading stops.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from oxllm.core.protocols.alike import Alike
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import FAILED_REASONS, TOO_LARGE, Protocol, Reader, Usage
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.protocols.messages_shapes import (
    Delta,
    MessageEvent,
    decode_counts,
    decode_event,
    decode_loose,
    decode_message,
    decode_thread,
    decode_token_count,
)
from oxllm.core.protocols.named_reader import NamedReader
from oxllm.core.protocols.plain import PlainReader
from oxllm.core.protocols.values import EMPTY, NAME_MAX, NOT_JSON, id_in, name_in, read_json
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Kind, Outcome, in_band
from oxllm.core.wire.body import RequestBody
from oxllm.core.wire.errors import ApiError, api_error
from oxllm.core.wire.named_events import END, LARGE, Event
from oxllm.core.wire.nesting import is_crowded
from oxllm.core.wire.outline import Outline

BLOCKS_MAX: Final = 4096
"""Blocks of one message. Agents that use server tools get a few hundred; each costs one bit."""
MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
MESSAGES: Final = Endpoint("POST", "/messages")
COUNT_TOKENS: Final = Endpoint("POST", "/messages/count_tokens")

_NAMELESS: Final = frozenset({"type", "id", "caller"})
"""Members of a block that are not content."""
_WORK: Final[tuple[Raw, ...]] = (Raw(b'"thinking"'), Raw(b'"compaction"'))
"""Types of blocks on which a model may spend minutes without showing anything."""
_CUT_OFF: Final[tuple[tuple[str, ...], ...]] = (("max_tokens",), ("model_context_window_exceeded",))
"""Reasons at which the model was inside a block: where the input of a tool is streamed as it is generated, no
content_block_stop comes between it and the message_stop (the SDKs' fixture incomplete_partial_json_response.txt)."""
_LARGE_KINDS: Final[tuple[bytes, ...]] = (b"content_block_delta", b"content_block_start")
_KIND: Final = re.compile(rb'\s*\{\s*(?:"index"\s*:\s*\d{1,4}\s*,\s*)?"type"\s*:\s*"(content_block_(?:delta|start))"')
_DEPTH: Final = 2
"""How deep we look into a large event: the event, and its block or delta."""
_NAME: Final = re.compile(r"[\w.-]{1,128}", re.ASCII)


class _Counting(Asked, frozen=True):
    """A token count is asked for, not a message."""


class _Threaded(Asked, frozen=True):
    """The provider is to hold the conversation, so that the next request need not repeat it."""


COUNTING: Final = _Counting()
THREAD_NOT_FOUND: Final = "thread_not_found"
"""The code at which clients send the whole conversation again, as a new thread."""

_decode_string: Final = msgspec.json.Decoder(str).decode
_encode: Final = msgspec.json.Encoder().encode


def _continued(thread: Raw) -> str | None:
    """The id of the message that a request's thread continues; None if it continues none."""
    try:
        found = decode_thread(thread)
    except NOT_JSON:
        return None
    return id_in(found.previous_message_id) if id_in(found.type) == "continue" else None


def _holds(asked: Asked, headers: Headers) -> bool:
    """Whether the provider that answers holds the thread. Nothing in an answer says so, but who only imitates the API
    does not know threads, and does not name the organization that it answers for either
    (https://platform.claude.com/docs/en/api/overview)."""
    return isinstance(asked, _Threaded) and any(name == b"anthropic-organization-id" for name, _ in headers)


class _Tally:
    """The usage of a message, which comes in parts: at its start, and with each message_delta."""

    __slots__ = ("_created", "_input", "_output", "_read")

    def __init__(self) -> None:
        self._input = self._created = self._read = self._output = 0

    def add(self, raw: Raw) -> Usage | None:
        """The usage so far; None if `raw` is not a usage."""
        if raw in EMPTY:
            return None
        try:
            counts = decode_counts(raw)
        except msgspec.ValidationError:
            return None
        self._input = _latest(counts.input_tokens, self._input)
        self._created = _latest(counts.cache_creation_input_tokens, self._created)
        self._read = _latest(counts.cache_read_input_tokens, self._read)
        self._output = _latest(counts.output_tokens, self._output)
        return Usage(self._input + self._created + self._read, self._output, self._read)


def _latest(count: int | None, before: int) -> int:
    return before if count is None else count


class StreamReader(NamedReader):
    """Reads one stream, passes it on, and says when it is whole. One class, since each event has a method here."""

    __slots__ = (
        "_alike",
        "_begun",
        "_done",
        "_kind",
        "_message",
        "_outline",
        "_reason",
        "_started",
        "_stopped",
        "_tally",
        "_threaded",
        "_usual",
    )

    def __init__(self, wall: float, threaded: bool = False) -> None:
        super().__init__(wall)
        self._threaded = threaded
        """Whether the message can be continued by its id."""
        self._alike = Alike()
        self._usual = False
        """No event is incomplete and the message goes on, so `_alike` may judge the next read."""
        self._tally = _Tally()
        self._started = self._reason = self._stopped = False
        """Whether the message_start, a stop_reason and the message_stop have come."""
        self._message: str | None = None
        """The id of the message."""
        self._begun = 0
        """Bit i: block i has begun."""
        self._done = 0
        """Bit i: block i has stopped."""
        self._kind = b""
        """The type of the large event, by its start."""
        self._outline: Outline | None = None
        """The large event without its long strings."""

    def feed(self, data: bytes) -> bytes:
        """What the client may have of the events that `data` completes, ready to send; nothing after a break."""
        if self._usual and self.failure is None and self._alike.holds(data):
            self.content += 1
            return data
        ready = super().feed(data)
        self._usual = ready == data != b"" and not (self._decoder.open or self._over)
        return ready

    @property
    def pending(self) -> int:
        """Bytes held: of an incomplete event, and of the outline of a large one."""
        return self._decoder.pending + (self._outline.pending if self._outline is not None else 0)

    @property
    def _over(self) -> bool:
        return self.complete or self.finished or self.failure is not None

    def closing(self) -> bytes:
        """The message_stop, if the provider left it out."""
        return b"" if self._stopped else MESSAGE_STOP

    def interruption(self, error: ApiError, request_id: str) -> bytes:
        """An error event: SDKs raise it. A large event that was passed on in part is first turned into a ping: of two
        `event:` lines the last counts, and nobody parses a ping."""
        if self.told:
            return b""
        return (b"\nevent: ping\n\n" if self._large else b"") + PROTOCOL.error_event(error, request_id)

    def _missing(self) -> str:
        if self.pending or self._large:
            return "the stream was cut inside an event"
        if self._reason:
            return "the stream ended inside a block"
        if self.content:
            return "the stream ended without a stop_reason"
        return "the stream ended without content" if self._started else "the stream was empty"

    def _read(self, named: Event) -> bytes:
        name, payload = named
        if self.finished or self.failure is not None:
            return b""
        if name is None:
            return self._read_piece(payload)
        if len(payload) > LARGE and is_crowded(payload):
            return self._break(TOO_LARGE)
        try:
            event = read_json(decode_event, payload)
        except NOT_JSON:
            return self._read_odd(name, payload)
        kind = event.type or name.decode("latin-1")
        if kind == "error" or name == b"error" or (event.error and event.error not in EMPTY):
            return self._fail(payload)
        passed = self._grow(event) if kind == "content_block_delta" else self._take(kind, event)
        if not passed:
            return b""
        ready = _render(kind, name, payload)
        if kind == "content_block_delta" and event.delta is not None and event.delta.text not in EMPTY:
            self._alike.remember(ready, bytes(event.delta.text))  # it does nothing but bring a text
        return ready

    def _take(self, kind: str, event: MessageEvent) -> bool:
        """Account for an event that is not a delta of a block; False if the client does not get it."""
        match kind:
            case "content_block_start":
                return self._begin(event)
            case "content_block_stop":
                return self._end(event)
            case "message_start":
                return self._start(event)
            case "message_delta":
                return self._conclude(event)
            case "message_stop":
                return self._close()
            case "ping" if self.complete or not self.content:  # after the answer pings would only hold the client
                self.dropped += 1
                return False
        return True

    def _start(self, event: MessageEvent) -> bool:
        name = id_in(event.message.id) if event.message is not None else None
        if self._started:
            return self._stop_unless_told_again(name)
        self._started, self._message = True, name
        if event.message is not None:
            self.usage = self._tally.add(event.message.usage) or self.usage
            self.model = name_in(event.message.model)
            if self._threaded:
                self.id = name
        return True

    def _stop_unless_told_again(self, name: str | None) -> bool:
        """Gateways that translate (LiteLLM, Bifrost) and Kimi have sent the start of one message twice, at which the
        Node SDK gives up. Another message would be an answer spliced onto this one."""
        if name is None or name != self._message:
            return self._stop("a second message in the stream")
        self.dropped += 1
        return False

    def _begin(self, event: MessageEvent) -> bool:
        block = event.content_block
        if block is None:
            return self._stop("a block of an unknown shape")
        if not self._open(event.index):
            return False
        if any(raw not in EMPTY for name, raw in block.items() if name not in _NAMELESS):
            self.content += 1
        elif block.get("type") in _WORK:
            self.working += 1
        return True

    def _open(self, index: int | None) -> bool:
        """A block begins; False if it breaks the stream."""
        if not self._started:
            return self._stop("a block before the message's start")
        if index is None or index >= BLOCKS_MAX or self._begun >> index & 1:
            return self._stop("a block with an impossible index")
        self._begun |= 1 << index
        self.complete = False
        return True

    def _grow(self, event: MessageEvent) -> bool:
        delta = event.delta
        if delta is None or event.index is None or not self._begun >> event.index & 1:
            return self._stop("a delta of no block" if delta is not None else "a delta of an unknown shape")
        if _bears_content(delta):
            self.content += 1
        elif delta.thinking:
            self.working += 1
        return True

    def _end(self, event: MessageEvent) -> bool:
        if event.index is None or not self._begun >> event.index & 1:
            return self._stop("the end of no block")
        self._done |= 1 << event.index
        return self._settle()

    def _conclude(self, event: MessageEvent) -> bool:
        self.usage = self._tally.add(event.usage) or self.usage
        reason = event.delta.stop_reason if event.delta is not None else None
        if not reason:
            return True
        if not self._started:
            return self._stop("a stop_reason before the message's start")
        if reason in FAILED_REASONS:
            return self._stop(f'stop_reason "{reason}"')
        self._reason = True
        self.reasons = (reason[:NAME_MAX],)
        self.content += 1
        return self._settle()

    def _settle(self) -> bool:
        self.complete = self._reason and self._begun == self._done
        return True

    def _close(self) -> bool:
        if not self.complete and self.reasons not in _CUT_OFF:
            return self._stop("its end came before a stop_reason or inside a block")
        self.complete = self._stopped = self.finished = True
        return True

    def _read_odd(self, name: bytes, payload: bytes) -> bytes:
        """An event that could not be parsed: an error in any form, JSON of another shape, or not JSON."""
        if name == b"error":
            return self._fail(payload)
        if not payload.strip():
            self.dropped += 1
            return b""
        try:
            event = read_json(decode_loose, payload)
            kind = _decode_string(event.type) if event.type else name.decode("latin-1")
        except NOT_JSON:
            return self._break("data that is not JSON" if payload != b"[DONE]" else "its end mark came too early")
        if event.error not in EMPTY or kind == "error":
            return self._fail(payload)
        if kind in _KNOWN:
            return self._break(f"a {kind} of an unknown shape")
        return _render(kind, name, payload)

    def _begin_large(self) -> bytes:
        if self._over:
            return b""
        name, head = self._decoder.head()
        match = _KIND.match(head)
        kind = match[1] if match is not None else name
        if kind not in _LARGE_KINDS or name == b"error":
            return b""
        self._kind, self._outline = kind, Outline(_DEPTH)
        return self._take_large(kind)

    def _see(self, piece: bytes) -> None:
        outline = self._outline
        assert outline is not None
        outline.feed(piece.replace(b"\ndata: ", b"\n"))
        if outline.too_large:
            self._stop(TOO_LARGE)

    def _end_large(self) -> bool:
        outline, kind = self._outline, self._kind.decode()
        assert outline is not None
        try:
            event = decode_event(outline.text)
        except msgspec.ValidationError:
            return self._stop(f"a {kind} of an unknown shape")
        except NOT_JSON:
            return self._stop("data that is not JSON")
        if event.error not in EMPTY:
            return self._stop("an error in a large event")
        if event.type not in ("", kind):
            return self._stop("a large event that is another than it began as")
        content = self.content
        if not (self._grow(event) if kind == "content_block_delta" else self._begin(event)):
            return False
        self.content = content + 1  # nothing else would be so large
        self._outline = None
        return True

    def _fail(self, payload: bytes) -> bytes:
        """The provider reports a failure. After content, its own words go to the client."""
        if self.complete:
            self.finished = True
            return b""
        self.failure = in_band(payload, self._wall)
        if not self.content:
            self._error = payload
            return b""
        self.told = True
        return _render("error", b"error", payload)


_KNOWN: Final = frozenset(
    {
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "ping",
    }
)


_LINES: Final = {kind: b"event: " + kind.encode() + b"\ndata: " for kind in _KNOWN}
"""The lines before the data of known events."""


def _bears_content(delta: Delta) -> bool:
    return delta.text not in EMPTY or any(
        raw not in EMPTY
        for raw in (
            delta.partial_json,
            delta.thinking,
            delta.signature,
            delta.citation,
            delta.content,
            delta.encrypted_content,
        )
    )


def _render(kind: str, name: bytes, payload: bytes) -> bytes:
    """An event as it is sent: named by the type in its data, or by the name that it came with."""
    if b"\n" in payload:
        payload = payload.replace(b"\n", b"\ndata: ")
    line = _LINES.get(kind)
    if line is None:
        line = b"event: " + (kind.encode() if _NAME.fullmatch(kind) else name) + b"\ndata: "
    return line + payload + END


class MessageReader(PlainReader):
    """Reads a message that is not a stream."""

    __slots__ = ("_threaded",)
    START = re.compile(rb'"content"\s*:\s*\[|"type"\s*:\s*"message"')

    def __init__(self, wall: float = 0.0, threaded: bool = False) -> None:
        super().__init__(wall)
        self._threaded = threaded
        """Whether the message can be continued by its id."""

    def check(self, body: bytes) -> Outcome | None:
        """A message with a stop_reason."""
        message = decode_message(body)
        if message.error not in EMPTY or message.type == "error":
            return in_band(body, self._wall)
        if message.type != "message":
            return Outcome(Kind.BAD_ANSWER, "no message")
        if not message.stop_reason:
            return Outcome(Kind.BAD_ANSWER, "a message without a stop_reason")
        if message.stop_reason in FAILED_REASONS:
            return Outcome(Kind.BAD_ANSWER, f'stop_reason "{message.stop_reason}"')
        self.usage = _Tally().add(message.usage)
        self.model, self.reasons = name_in(message.model), (message.stop_reason[:NAME_MAX],)
        if self._threaded:
            self.id = id_in(message.id)
        return None


class TokenCountReader(PlainReader):
    """Reads the answer of count_tokens. It costs nothing, so it has no usage."""

    __slots__ = ()
    START = re.compile(rb'"input_tokens"\s*:')

    def check(self, body: bytes) -> Outcome | None:
        """A token count."""
        answer = decode_token_count(body)
        if answer.error not in EMPTY:
            return in_band(body, self._wall)
        return None if answer.input_tokens is not None else Outcome(Kind.BAD_ANSWER, "no number of tokens")


class Messages(Protocol):
    """`POST /messages` (https://docs.anthropic.com/en/api/messages) and `/messages/count_tokens`."""

    __slots__ = ()
    name = "messages"
    endpoints = (MESSAGES, COUNT_TOKENS)
    error_line = b"event: error\n"
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    passes_query = True
    asks_around = False  # a server that does not know threads would answer without what was said before
    upstream_defaults = ((b"anthropic-version", b"2023-06-01"),)
    auth = "x-api-key"

    def asked(self, endpoint: Endpoint, body: RequestBody) -> Asked:
        """Reads `stream` and `thread`. In count_tokens they are for the provider to judge, as is an odd thread."""
        if endpoint is COUNT_TOKENS:
            return COUNTING
        thread = body.member("thread")
        if thread is None:
            return Asked(stream=body.flag("stream"))
        return _Threaded(stream=body.flag("stream"), previous=_continued(thread))

    def classify(self, asked: Asked, status: int, headers: Headers, body: bytes, wall: float) -> Outcome:
        """A provider without count_tokens says nothing about the model."""
        if asked is COUNTING and status in (404, 405):
            return Outcome(Kind.UNSUPPORTED, f"it counts no tokens: HTTP {status}", status)
        return super().classify(asked, status, headers, body, wall)

    def stream_reader(self, asked: Asked, headers: Headers, strip_usage: bool, wall: float) -> Reader:
        """Reads the events of a message."""
        return StreamReader(wall, _holds(asked, headers))

    def plain_reader(self, asked: Asked, headers: Headers, wall: float) -> Reader:
        """Reads a message, or a token count."""
        return TokenCountReader(wall) if asked is COUNTING else MessageReader(wall, _holds(asked, headers))

    # Our own words (https://docs.anthropic.com/en/api/errors).

    def uncontinued(self, error: ApiError) -> ApiError:
        """As if the thread had expired: then the SDKs send the whole conversation, which any target can answer
        (https://platform.claude.com/docs/en/build-with-claude/message-threads)."""
        return api_error(404, f"the thread cannot be continued now: {error.message}", THREAD_NOT_FOUND)

    def refusal(self, error: ApiError) -> ApiError:
        """503 becomes 529, and each error gets the type that goes with its status here. One that will last is not an
        `overloaded_error`: Claude Code retries on that whatever `x-should-retry` says."""
        status = 529 if error.status == 503 else error.status
        kind = _TYPE_BY_STATUS.get(status) or ("invalid_request_error" if status < 500 else "api_error")
        if status == 529 and error.should_retry is False:
            kind = "api_error"
        return msgspec.structs.replace(error, status=status, type=kind)

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        """The error object, in the shape that agents read."""
        error = self.refusal(error)
        detail: dict[str, object] = {"type": error.type, "message": error.message}
        if error.code == THREAD_NOT_FOUND:
            detail["details"] = {"error_code": error.code}
        return _encode({"type": "error", "error": detail, "request_id": request_id})

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """The request id, under the name that these SDKs look for, in addition to ours."""
        return [(b"request-id", request_id.encode("latin-1"))]

    def error_headers(self, error: ApiError, request_id: str) -> list[tuple[bytes, bytes]]:
        """The error's headers, and the request id as with an answer."""
        return [*error.headers(), *self.answer_headers(request_id)]


_TYPE_BY_STATUS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Any other status below 500 is an `invalid_request_error`, any other 5xx an `api_error`."""

PROTOCOL: Final = Messages()
