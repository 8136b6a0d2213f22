"""The interface of a protocol. Each protocol is one file.

A protocol is an API that clients speak and providers serve. Bytes are passed on, never translated, so the gateway needs
to know little of it: how to read a request, when an answer has content, is whole or has failed, and what our own
errors, pings and end marks look like. The defaults here are the OpenAI API's.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from oxllm.core.known import Known
from oxllm.core.native import mypyc_attr
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.protocols.values import NOT_JSON
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import SUCCESS, Kind, Outcome, classify
from oxllm.core.shape import Value
from oxllm.core.wire.body import RequestBody
from oxllm.core.wire.errors import ApiError, api_error

JSON_HEAD: Final[list[tuple[bytes, bytes]]] = [(b"content-type", b"application/json")]
"""What SDKs need to parse a body as JSON: some compare it case-sensitively, and else hand their caller a string."""
REASONS_MAX: Final = 16
"""Stop reasons kept of an answer, which may have hundreds of choices: the records of past requests hold on to them."""
TOO_LARGE: Final = "an event too large to be read"
FAILED_REASONS: Final[tuple[str, ...]] = ("error", "network_error")
"""Stop reasons of an answer that has failed (OpenRouter, Z.AI)."""


class Usage(Value, frozen=True):
    """Tokens, as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompt that were cached."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Reader:
    """One response body being read: a stream or a plain answer.

    `feed` is called with each part and `eof` at the end of the response's framing. The attempt looks at the
    attributes after each call.
    """

    __slots__ = (
        "complete",
        "content",
        "dropped",
        "failure",
        "finished",
        "id",
        "model",
        "reasons",
        "result",
        "told",
        "usage",
        "working",
    )

    def __init__(self) -> None:
        self.content = 0
        """Pieces with content so far."""
        self.working = 0
        """Signs of work without content so far. From the first one on the limit is `answer` instead of `first_byte`,
        with at most `idle` between two of them."""
        self.complete = False
        """The answer is whole, whatever follows it."""
        self.finished = False
        """Nothing that follows is worth reading."""
        self.failure: Outcome | None = None
        """Why the answer broke or failed; only the exchange knows whether any of it was committed."""
        self.result = SUCCESS
        """What a response that came whole means."""
        self.told = False
        """The failure came in the provider's own words, which were passed on to the client."""
        self.usage: Usage | None = None
        self.id: str | None = None
        """The answer's id, if the provider can be asked for the answer again."""
        self.model: str | None = None
        """The model that made the answer, by what the provider says."""
        self.reasons: tuple[str, ...] = ()
        """Why the first REASONS_MAX choices to end did so, in the provider's words."""
        self.dropped = 0
        """Events without meaning that were not passed on."""

    @property
    def pending(self) -> int:
        """Bytes held of something incomplete."""
        return 0

    def feed(self, data: bytes) -> bytes:
        """Another part of the body. Returns what the client may have now, ready to send; nothing after a break."""
        raise NotImplementedError

    def eof(self) -> Outcome | None:
        """The response has ended: None if the answer is whole, else why it is not."""
        raise NotImplementedError

    def broke_off(self, otherwise: Outcome) -> Outcome:
        """The response broke off: what it means now. `otherwise`: what the break itself means."""
        return self.result if self.complete else otherwise

    def refusal(self) -> bytes | None:
        """The whole body of an error response, if it was kept. Call it once."""
        return None

    def release(self) -> bytes:
        """Memory is short: what may be sent before the answer is whole, if anything."""
        return b""

    def closing(self) -> bytes:
        """What is still to be sent at the end of a whole answer."""
        return b""

    def interruption(self, error: ApiError, request_id: str) -> bytes:
        """What tells a client that its answer broke off after content; nothing if the client would not understand any
        words, or already has the provider's."""
        return b""


NOTHING_READ: Final = Reader()
"""The reader of an attempt that has no response yet."""


_TYPES_FOR_PLAIN: Final = {
    b"text/event-stream": "a stream instead of an answer",
    b"text/html": "HTML instead of an answer",
}
_TYPES_FOR_STREAM: Final = {b"text/html": "HTML instead of a stream"}
"""Content types that settle it. Others are not trusted: the body decides."""


def check_coding(status: int, headers: Headers) -> Outcome | None:
    """Why a 2xx of any protocol cannot be an answer.

    We ask for `identity`, so a content coding is the provider's mistake. 204 and 205 (RFC 9110, 15.3.5 and 15.3.6) have
    no body, and nobody asked for a 206.
    """
    if status in (204, 205, 206):
        return Outcome(Kind.BAD_ANSWER, f"HTTP {status}", status)
    for name, value in headers:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return Outcome(Kind.BAD_ANSWER, "a content-encoding nobody asked for", status)
    return None


def content_type(headers: Headers) -> bytes:
    """The media type, in lower case, without parameters; empty if the head has none."""
    for name, value in headers:
        if name == b"content-type":
            return _types[value]
    return b""


def _type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()


_types: Final[dict[bytes, bytes]] = Known(_type)


@mypyc_attr(allow_interpreted_subclasses=True)
class Protocol:
    """One API. Each has one instance, `PROTOCOL` in its file."""

    __slots__ = ()

    name: ClassVar[str]
    """Used in the config, in metrics and in logs."""
    endpoints: ClassVar[tuple[Endpoint, ...]]
    ping: ClassVar[bytes] = b": ping\n"
    """Keeps a client waiting once a stream's head was sent. A comment of one line, without a blank line after it: some
    parsers would take that for an event."""
    break_is_clean: ClassVar[bool] = False
    """After `Reader.interruption` the chunked body is ended properly; else the connection is closed without the last
    chunk."""
    error_line: ClassVar[bytes] = b""
    """Precedes the data of an error event."""
    plain_head: ClassVar[Headers] = JSON_HEAD
    """Fields of an answer that is not a stream, which replace the provider's."""
    stream_options: ClassVar[bool] = False
    """A request may ask for usage in its stream (`usage_in_stream` of a provider)."""
    passes_query: ClassVar[bool] = False
    """The query of a request is passed on."""
    asks_around: ClassVar[bool] = True
    """An earlier answer whose maker is not remembered may be continued by whoever has it."""
    upstream_defaults: ClassVar[tuple[tuple[bytes, bytes], ...]] = ()
    """Headers for the provider that are used if neither the client nor the config sets them."""
    auth: ClassVar[str] = "bearer"
    """How the key is sent if the config does not say: `bearer` or `x-api-key`."""

    def asked(self, endpoint: Endpoint, body: RequestBody) -> Asked:
        """What a request asks for. Raises BadBody."""
        return Asked()

    def asked_about(self, query: bytes) -> Asked:
        """What a request about a kept answer asks for: it has no body."""
        return Asked()

    def check_head(self, status: int, headers: Headers, asked: Asked) -> Outcome | None:
        """Why a 2xx cannot be an answer by its head alone; None if the body is worth reading."""
        verdict = check_coding(status, headers)
        if verdict is not None:
            return verdict
        types = _TYPES_FOR_STREAM if asked.stream else _TYPES_FOR_PLAIN
        reason = types.get(content_type(headers))
        return None if reason is None else Outcome(Kind.BAD_ANSWER, reason, status)

    def classify(self, asked: Asked, status: int, headers: Headers, body: bytes, wall: float) -> Outcome:
        """What an error response means."""
        return classify(status, headers, body, wall)

    def stream_reader(self, asked: Asked, headers: Headers, strip_usage: bool, wall: float) -> Reader:
        """A reader for a stream. `headers`: the answer's. `strip_usage`: only we asked for usage, so the client must
        not get it. `wall`: seconds since the epoch, for dates in errors."""
        raise NotImplementedError

    def plain_reader(self, asked: Asked, headers: Headers, wall: float) -> Reader:
        """A reader for an answer that is not a stream. `headers`: the answer's."""
        raise NotImplementedError

    # Our own words.

    def answer_headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        """Extra fields in the head of each answer."""
        return []

    def refusal(self, error: ApiError) -> ApiError:
        """A refusal of ours as this protocol's clients understand it; they may read a status in their own way."""
        return error

    def uncontinued(self, error: ApiError) -> ApiError:
        """A refusal of ours to continue an earlier answer, which no other provider may be able to."""
        return error

    def error_body(self, error: ApiError, request_id: str) -> bytes:
        """The body of an error of ours."""
        return error.body()

    def error_headers(self, error: ApiError, request_id: str) -> list[tuple[bytes, bytes]]:
        """The headers of an error of ours."""
        return error.headers()

    def error_event(self, error: ApiError, request_id: str) -> bytes:
        """An error of ours in a stream whose head was sent, but no content."""
        return b"%bdata: %b\n\n" % (self.error_line, self.error_body(error, request_id))

    def received_event(self, status: int, body: bytes, request_id: str) -> bytes:
        """A provider's error body as an event of a stream whose head was sent.

        Anything but an error object (an HTML page, say) would crash the client's parser: it gets an error of ours.
        """
        try:
            parsed = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            if bytes(parsed["error"]).lstrip().startswith(b"{"):
                return b"%bdata: %b\n\n" % (self.error_line, msgspec.json.format(body, indent=0))
        except (*NOT_JSON, KeyError):
            pass
        return self.error_event(api_error(status, f"the provider answered HTTP {status}"), request_id)
