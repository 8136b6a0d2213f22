"""The client's response from nothing to its end, and how it is said to have ended."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import inf

import pytest

from oxllm.core.protocols import chat
from oxllm.core.protocols.asked import Asked
from oxllm.core.reading.outcome import BUG, GONE, STOPPING, SUCCESS, Cause, Kind, Outcome
from oxllm.core.request.books import Books
from oxllm.core.request.effects import END_OF_BODY, Action, Answer, Begin, Break, Write
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.reply import PING_S, TABLE, Reply, ReplyEvent, ReplyState
from oxllm.core.routing.router import Router
from oxllm.core.wire.errors import api_error
from tests.support.by_hand import EVENT_STREAM, JSON, Drive, make_plan
from tests.support.chat_bytes import token

BUSY = api_error(503, "too busy", "overloaded", retry_after=1)


class Replied:
    """A reply and what it wants done."""

    def __init__(self, stream: bool = True) -> None:
        facts = RequestFacts(chat.PROTOCOL, chat.PROTOCOL.endpoints[0], Asked(stream), "oxllm-1")
        self.effects: list[Action] = []
        self.books = Books(Router(make_plan("alpha"), random.Random(1)), 0.0)
        self.reply = Reply(facts, self.books, self.effects, 0.0)


@pytest.mark.parametrize("before", ReplyState)
@pytest.mark.parametrize("event", ReplyEvent)
def test_only_the_moves_of_the_table_are_possible(before: ReplyState, event: ReplyEvent) -> None:
    reply = Replied().reply
    reply.state = before
    acts: dict[ReplyEvent, Callable[[], None]] = {
        ReplyEvent.PING: lambda: reply.ping(0.0),
        ReplyEvent.CONTENT: lambda: reply.begin(Drive("alpha").start().stream("alpha")["alpha"]),
        ReplyEvent.END: lambda: reply.drop(GONE),
    }
    if (before, event) in TABLE.rows:
        acts[event]()
        assert reply.state is TABLE.rows[before, event]
    else:
        with pytest.raises(AssertionError):
            acts[event]()


def test_what_has_ended_stays_so() -> None:
    assert all(before is not ReplyState.ENDED for before, _ in TABLE.moves())


def test_a_streams_client_is_to_be_kept_waiting_each_ten_seconds_and_another_not() -> None:
    reply = Replied().reply
    assert reply.ping_at == PING_S
    reply.ping(11.0)
    assert reply.ping_at == 11.0 + PING_S
    assert Replied(stream=False).reply.ping_at == inf


def test_only_the_first_ping_has_a_head() -> None:
    replied = Replied()
    replied.reply.ping(10.0)
    replied.reply.ping(20.0)
    assert [type(effect) for effect in replied.effects] == [Begin, Write, Write]
    assert replied.reply.status == 200


@pytest.mark.parametrize("pinged", [False, True])
def test_a_refusal_is_a_response_or_behind_a_ping_an_event_and_a_break(pinged: bool) -> None:
    replied = Replied()
    if pinged:
        replied.reply.ping(10.0)
    replied.books.attempts = 3
    replied.reply.refuse(BUSY, Cause.GATEWAY)
    last = replied.effects[-1]
    if pinged:
        assert isinstance(last, Break)
        assert b'"code":"overloaded"' in last.tail
    else:
        assert isinstance(last, Answer)
        assert (last.status, replied.reply.status) == (503, 503)
        assert (b"x-oxllm-attempts", b"3") in last.headers
    assert (replied.reply.error, replied.reply.cause) == ("too busy", Cause.GATEWAY)


def test_an_answer_that_is_whole_is_nobodys_fault() -> None:
    replied = Replied(stream=False)
    attempt = Drive("alpha", stream=False).start().head("alpha", fields=JSON)["alpha"]
    replied.reply.answer(attempt, b"{}", SUCCESS)
    answer = replied.effects[-1]
    assert isinstance(answer, Answer)
    assert (b"x-oxllm-provider", b"alpha") in answer.headers
    assert (b"x-oxllm-model", b"big-1") in answer.headers
    assert (replied.reply.error, replied.reply.cause) == (None, None)
    assert replied.reply.state is ReplyState.ENDED


def test_a_body_ends_with_what_is_still_to_be_said() -> None:
    replied = Replied()
    replied.reply.begin(Drive("alpha").start().head("alpha", fields=EVENT_STREAM)["alpha"])
    replied.reply.write(token("a"))
    replied.reply.end(b"data: [DONE]\n\n", SUCCESS)
    written = [effect.data for effect in replied.effects if isinstance(effect, Write)]
    assert written == [token("a"), b"data: [DONE]\n\n"]
    assert replied.effects[-1] is END_OF_BODY


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        (Outcome(Kind.BROKEN, "connection reset"), b"upstream_error", b"broke: connection reset"),
        (BUG, b"upstream_error", b"broke: internal error"),
        (STOPPING, b"upstream_error", b"shutting down; ask again"),
    ],
)
def test_an_answer_that_broke_off_says_why_and_never_looks_whole(result: Outcome, code: bytes, words: bytes) -> None:
    replied = Replied()
    attempt = Drive("alpha").start().stream("alpha", token("a"))["alpha"]
    replied.reply.begin(attempt)
    replied.reply.interrupt(attempt.reader, result)
    last = replied.effects[-1]
    assert isinstance(last, Break)
    assert code in last.tail
    assert words in last.tail
    assert replied.reply.cause is (Cause.NETWORK if result.kind is Kind.BROKEN else Cause.GATEWAY)


def test_a_client_that_has_gone_gets_nothing_more() -> None:
    replied = Replied()
    replied.reply.drop(GONE)
    assert (replied.effects, replied.reply.status, replied.reply.cause) == ([], 0, Cause.CLIENT)
