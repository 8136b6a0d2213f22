"""The client's response as a state machine. It alone makes effects for the client.

    NOT_BEGUN   nothing was sent: any response is still possible
    BEGUN       a stream's head and pings were sent: an error can only be an event, failing over stays possible
    ANSWERING   a part of the answer, or of a long error, was sent
    ENDED       the client has all that it gets

The exchange decides what the response is, the protocol how it looks on the wire.
"""

from __future__ import annotations

from math import inf
from typing import Final

from oxllm.core import machine
from oxllm.core.machine import Table
from oxllm.core.protocols.base import JSON_HEAD, Reader
from oxllm.core.protocols.plain import PlainReader
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import RULES, STOPPING, SUCCESS, Cause, Outcome
from oxllm.core.request import headers
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.belief import reveals
from oxllm.core.request.books import Books
from oxllm.core.request.effects import END_OF_BODY, Action, Answer, Begin, Break, Write
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.last_answer import Received, Refusal, in_our_words, is_futile
from oxllm.core.request.refusal import describe
from oxllm.core.wire.errors import ApiError

PING_S: Final = 10.0
"""A stream's client gets a ping every so many seconds until content comes: less than the shortest read timeout that is
common in front of a gateway (20 s in some load balancers)."""


class ReplyState(machine.State):
    """How much of its response the client has."""

    NOT_BEGUN = "not begun"
    BEGUN = "begun"
    ANSWERING = "answering"
    ENDED = "ended"


NOT_BEGUN: Final[ReplyState] = ReplyState.NOT_BEGUN
BEGUN: Final[ReplyState] = ReplyState.BEGUN
ANSWERING: Final[ReplyState] = ReplyState.ANSWERING
ENDED: Final[ReplyState] = ReplyState.ENDED


class ReplyEvent(machine.Event):
    """What can happen to a response."""

    PING = "the client is told to wait on"
    CONTENT = "the answer begins"
    END = "it ends, well or not"


PING: Final[ReplyEvent] = ReplyEvent.PING
CONTENT: Final[ReplyEvent] = ReplyEvent.CONTENT
END: Final[ReplyEvent] = ReplyEvent.END

TABLE: Final = Table(
    {
        (NOT_BEGUN, PING): BEGUN,
        (NOT_BEGUN, CONTENT): ANSWERING,
        (NOT_BEGUN, END): ENDED,
        (BEGUN, PING): BEGUN,
        (BEGUN, CONTENT): ANSWERING,
        (BEGUN, END): ENDED,
        (ANSWERING, END): ENDED,
    }
)
"""All transitions."""


class Reply:
    """The response to one client, and how it ended."""

    __slots__ = ("_books", "_effects", "_facts", "cause", "error", "ping_at", "state", "status")

    def __init__(self, facts: RequestFacts, books: Books, effects: list[Action], now: float) -> None:
        """Effects for the client are appended to `effects`."""
        self._facts = facts
        self._books = books
        self._effects = effects
        self.state = NOT_BEGUN
        self.ping_at = now + PING_S if facts.stream else inf
        """When the next ping is due, in loop time."""
        self.status = 0
        """The status that the client got; 0 before."""
        self.error: str | None = None
        """Why it ended badly, in our own words; None if it has not."""
        self.cause: Cause | None = None
        """Whom to blame for that."""

    def __repr__(self) -> str:
        return f"<Reply {self.state.name} {self.status or '-'}>"

    def ping(self, now: float) -> None:
        """Keep a stream's client waiting: send a ping, and the head before the first."""
        self.ping_at = now + PING_S
        if self.state is NOT_BEGUN:
            self.status = 200
            own = self._facts.protocol.answer_headers(self._facts.request_id)
            self._effects.append(Begin(200, headers.STREAM_HEAD + own))
        self.state = TABLE.move(self.state, PING)
        self._effects.append(Write(self._facts.protocol.ping))

    # An answer.

    def begin(self, attempt: Attempt) -> None:
        """The answer of an attempt begins. One that is checked to its end gets no Content-Length: with it, an answer
        that the provider cut short, but framed as whole, would look whole."""
        checked = self._facts.stream or isinstance(attempt.reader, PlainReader)
        length = None if checked else headers.content_length(attempt.headers)
        self._begin(attempt, self._answer_fields(attempt), length)

    def begin_refusal(self, attempt: Attempt) -> None:
        """A provider's own refusal begins, one too long to be kept."""
        fields = self._fields(attempt) + _coding(attempt.headers)
        self._begin(attempt, fields, headers.content_length(attempt.headers))

    def _begin(self, attempt: Attempt, fields: Headers, length: int | None) -> None:
        if self.state is NOT_BEGUN:
            self.status = attempt.status
            self._effects.append(Begin(attempt.status, fields, length))
        self.state = TABLE.move(self.state, CONTENT)

    def write(self, data: bytes) -> None:
        """A part of the body."""
        self._effects.append(Write(data))

    def end(self, closing: bytes, result: Outcome) -> None:
        """The body is whole once `closing` is sent. `result`: what it means."""
        if closing:
            self._effects.append(Write(closing))
        self._effects.append(END_OF_BODY)
        if result is not SUCCESS:
            self._blame(result)
        self.state = TABLE.move(self.state, END)

    def answer(self, attempt: Attempt, body: bytes, result: Outcome) -> None:
        """The whole answer at once."""
        self.status = attempt.status
        self._effects.append(Answer(attempt.status, self._answer_fields(attempt), body))
        if result is not SUCCESS:
            self._blame(result)
        self.state = TABLE.move(self.state, END)

    # An error.

    def refuse(self, error: ApiError, cause: Cause | None) -> None:
        """An error of our own; sent as an event if a head was sent."""
        self.error, self.cause = error.message, cause
        self._refuse(error, [(b"x-oxllm-attempts", b"%d" % self._books.sent)])

    def pass_on(self, refusal: Refusal) -> None:
        """A provider's refusal; sent as an event if a head was sent."""
        self._blame(refusal.result)
        words, protocol = refusal.words, self._facts.protocol
        if isinstance(words, ApiError):
            self._refuse(words, self._served_by(refusal.attempt))
            return
        if self.state is NOT_BEGUN:
            self._answer(words.status, words.fields, words.body)
        else:
            event = protocol.received_event(words.status, words.body, self._facts.request_id)
            self._effects += _breaking(event, protocol.break_is_clean)
        self.state = TABLE.move(self.state, END)

    def as_received(self, attempt: Attempt, result: Outcome) -> Refusal:
        """A provider's refusal as the client may get it: if it is incomplete or contains our key, as an error of ours
        with its status."""
        status = result.status or attempt.status
        body = attempt.reader.refusal()
        words: Received | ApiError
        final = [(b"x-should-retry", b"false")] if is_futile(result, status) else []
        if body is None or reveals(body, attempt.candidate.plan.api_key):
            words = in_our_words(attempt, result)
        elif attempt.status == status:
            words = Received(status, [*self._fields(attempt), *_coding(attempt.headers), *final], body)
        else:
            words = Received(status, [*JSON_HEAD, *self._served_by(attempt), *final], body)  # it came inside a success
        return Refusal(attempt, result, words)

    def interrupt(self, reader: Reader, result: Outcome) -> None:
        """The answer broke off, for the reason in `result`. It must not look whole."""
        self._blame(result, Cause.GATEWAY)
        words = f"{STOPPING.reason}; ask again" if result is STOPPING else f"the provider's stream broke: {self.error}"
        error = ApiError(502, "upstream_error", "stream_interrupted", words)
        protocol = self._facts.protocol
        told = reader.interruption(error, self._facts.request_id)
        self._effects += _breaking(told, protocol.break_is_clean and (reader.told or bool(told)))
        self.state = TABLE.move(self.state, END)

    def drop(self, result: Outcome) -> None:
        """The client has gone."""
        self._blame(result, Cause.GATEWAY)
        self.state = TABLE.move(self.state, END)

    def _refuse(self, error: ApiError, fields: Headers) -> None:
        """`fields` are added to its head, if that was not sent yet."""
        protocol, request_id = self._facts.protocol, self._facts.request_id
        error = protocol.refusal(error)
        if self.state is NOT_BEGUN:
            own = protocol.error_headers(error, request_id)
            self._answer(error.status, [*own, *fields], protocol.error_body(error, request_id))
        else:
            self._effects += _breaking(protocol.error_event(error, request_id), protocol.break_is_clean)
        self.state = TABLE.move(self.state, END)

    def _blame(self, result: Outcome, otherwise: Cause | None = None) -> None:
        """The response ended badly, because of `result`."""
        self.error, self.cause = describe(result), RULES[result.kind].cause or otherwise

    # How it looks.

    def _answer_fields(self, attempt: Attempt) -> list[tuple[bytes, bytes]]:
        """The fields of an answer. It was read and is what was asked for, whatever its provider's Content-Type says."""
        if self._facts.stream:
            return self._fields(attempt, headers.STREAM_HEAD)
        return self._fields(attempt, () if headers.is_json(attempt.headers) else self._facts.protocol.plain_head)

    def _fields(self, attempt: Attempt, own: Headers = ()) -> list[tuple[bytes, bytes]]:
        return headers.downstream(attempt.headers, own) + self._served_by(attempt)

    def _served_by(self, attempt: Attempt) -> list[tuple[bytes, bytes]]:
        """Fields that say which target answered, and after how many attempts."""
        facts, model, target = self._facts, attempt.model, attempt.candidate.state
        provider, named = target.fields
        if model is not target.model and model.isprintable():
            named = named[0], model.encode()
        attempts = b"x-oxllm-attempts", b"%d" % self._books.sent
        return [provider, named, attempts, *facts.protocol.answer_headers(facts.request_id)]

    def _answer(self, status: int, fields: Headers, body: bytes) -> None:
        self.status = status
        self._effects.append(Answer(status, fields, body))


def _coding(fields: Headers) -> list[tuple[bytes, bytes]]:
    """The provider's Content-Encoding, which still applies: nobody has decoded the body."""
    return [field for field in fields if field[0] == b"content-encoding"]


def _breaking(words: bytes, clean: bool) -> list[Action]:
    """The end of a body that is not whole. `clean`: end its framing properly, since `words` say that it is not."""
    if not clean:
        return [Break(words)]
    return [Write(words), END_OF_BODY] if words else [END_OF_BODY]
