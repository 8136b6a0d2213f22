"""The client's response as a state machine. It alone makes effects for the client.

    NOT_BEGUN   nothing has gone out: any response is still possible
    BEGUN       a stream's head and pings have: an error can only be an event in it, failing over stays possible
    ANSWERING   a part of the answer, or of a long error, has
    ENDED       the client has all that it gets

What the response is to be, the exchange decides; how that looks on the wire, the protocol.
"""

from __future__ import annotations

from typing import Final

from oxllm.core import headers, machine
from oxllm.core.attempt import Attempt, Facts
from oxllm.core.effects import END_OF_BODY, Action, Answer, Begin, Break, Write
from oxllm.core.errors import ApiError, api_error
from oxllm.core.hints import Headers
from oxllm.core.machine import Table, move
from oxllm.core.outcome import Outcome
from oxllm.core.protocols.base import Reader
from oxllm.core.refusal import describe
from oxllm.core.shape import Value


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

TABLE: Final[Table[ReplyState, ReplyEvent]] = {
    (NOT_BEGUN, PING): BEGUN,
    (NOT_BEGUN, CONTENT): ANSWERING,
    (NOT_BEGUN, END): ENDED,
    (BEGUN, PING): BEGUN,
    (BEGUN, CONTENT): ANSWERING,
    (BEGUN, END): ENDED,
    (ANSWERING, END): ENDED,
}
"""Every move there is."""


class Received(Value, frozen=True):
    """A provider's refusal that may go to the client as it is."""

    status: int
    fields: Headers
    body: bytes


class Reply:
    """What one client gets."""

    __slots__ = ("_effects", "_facts", "state", "status")

    def __init__(self, facts: Facts, effects: list[Action]) -> None:
        """`effects` is where those for the client are put, in the order in which they are to be done."""
        self._facts = facts
        self._effects = effects
        self.state = NOT_BEGUN
        self.status = 0
        """Of the response that the client got, 0 before."""

    def __repr__(self) -> str:
        return f"<Reply {self.state.name} {self.status or '-'}>"

    def ping(self) -> None:
        """Keep a stream's client waiting."""
        if self.state is NOT_BEGUN:
            self.status = 200
            own = self._facts.protocol.answer_headers(self._facts.request_id)
            self._effects.append(Begin(200, headers.STREAM_HEAD + own))
        self._move(PING)
        self._effects.append(Write(self._facts.protocol.ping))

    def begin(self, attempt: Attempt, attempts: int) -> None:
        """The answer of an attempt begins, `attempts` having been made."""
        stream = self._facts.asked.stream
        fields = headers.downstream(attempt.headers, stream) + self._served_by(attempt, attempts)
        self._begin(attempt, fields, None if stream else headers.content_length(attempt.headers))

    def begin_refusal(self, attempt: Attempt, attempts: int) -> None:
        """A provider's own refusal begins, too long to be kept."""
        self._begin(attempt, self._as_received(attempt, attempts), headers.content_length(attempt.headers))

    def _begin(self, attempt: Attempt, fields: Headers, length: int | None) -> None:
        if self.state is NOT_BEGUN:
            self.status = attempt.status
            self._effects.append(Begin(attempt.status, fields, length))
        self._move(CONTENT)

    def write(self, data: bytes) -> None:
        """A part of it."""
        self._effects.append(Write(data))

    def end(self, closing: bytes) -> None:
        """It is whole with `closing` behind it."""
        if closing:
            self._effects.append(Write(closing))
        self._effects.append(END_OF_BODY)
        self._move(END)

    def answer(self, attempt: Attempt, attempts: int, body: bytes) -> None:
        """The whole answer at once."""
        fields = headers.downstream(attempt.headers, stream=False) + self._served_by(attempt, attempts)
        self._answer(attempt.status, fields, body)
        self._move(END)

    def refuse(self, error: ApiError, fields: Headers) -> None:
        """An error of our own; an event if a head has gone out. `fields` go with it, if it has a head."""
        protocol, request_id = self._facts.protocol, self._facts.request_id
        error = protocol.refusal(error)
        if self.state is NOT_BEGUN:
            own = protocol.error_headers(error, request_id)
            self._answer(error.status, [*own, *fields], protocol.error_body(error, request_id))
        else:
            self._break(protocol.error_event(error, request_id), protocol.break_is_clean)
        self._move(END)

    def pass_on(self, words: Received | ApiError, attempt: Attempt, attempts: int) -> None:
        """A provider's refusal; an event if a head has gone out."""
        if isinstance(words, ApiError):
            self.refuse(words, self._served_by(attempt, attempts))
            return
        if self.state is NOT_BEGUN:
            self._answer(words.status, words.fields, words.body)
        else:
            protocol = self._facts.protocol
            event = protocol.received_event(words.status, words.body, self._facts.request_id)
            self._break(event, protocol.break_is_clean)
        self._move(END)

    def as_received(self, attempt: Attempt, result: Outcome, attempts: int) -> Received | ApiError:
        """What the client may get of a provider's refusal; if not all of it came, an error of ours with its status."""
        body = attempt.reader.refusal()
        status = result.status or attempt.status
        if body is None:
            return api_error(status, f"the provider answered {describe(result)}", result.code)
        if attempt.status == status:
            return Received(status, self._as_received(attempt, attempts), body)
        json = (b"content-type", b"application/json")  # it came inside a success
        return Received(status, [json, *self._served_by(attempt, attempts)], body)

    def interrupt(self, reader: Reader, error: ApiError) -> None:
        """The answer broke off. It must not look as if it were whole."""
        protocol = self._facts.protocol
        words = b"" if reader.told else reader.interruption(error, self._facts.request_id)
        self._break(words, protocol.break_is_clean and (reader.told or bool(words)))
        self._move(END)

    def drop(self) -> None:
        """The client has gone."""
        self._move(END)

    def _as_received(self, attempt: Attempt, attempts: int) -> Headers:
        fields = headers.downstream(attempt.headers, stream=False) + self._served_by(attempt, attempts)
        return fields + [field for field in attempt.headers if field[0] == b"content-encoding"]  # nobody decoded it

    def _served_by(self, attempt: Attempt, attempts: int) -> list[tuple[bytes, bytes]]:
        target = attempt.candidate.state
        model = attempt.model if attempt.model.isprintable() else target.model
        return [
            (b"x-oxllm-provider", target.provider.name.encode("utf-8")),
            (b"x-oxllm-model", model.encode("utf-8")),
            (b"x-oxllm-attempts", b"%d" % attempts),
            *self._facts.protocol.answer_headers(self._facts.request_id),
        ]

    def _answer(self, status: int, fields: Headers, body: bytes) -> None:
        self.status = status
        self._effects.append(Answer(status, fields, body))

    def _break(self, words: bytes, clean: bool) -> None:
        if not clean:
            self._effects.append(Break(words))
            return
        if words:
            self._effects.append(Write(words))
        self._effects.append(END_OF_BODY)

    def _move(self, event: ReplyEvent) -> None:
        self.state = move(TABLE, self.state, event)
