"""What is an answer and what is none, as the suites of other clients see it: passed on, or asked of the next provider,
and no byte of it is taken for the answer to another request."""

from __future__ import annotations

import pytest

from oxllm.gateway.upstream.response import Response
from tests.support.chat_bytes import DONE, FINISH, LAST_CHUNK, ROLE, chunk, token
from tests.support.house import EVENT_STREAM, House, chat_request
from tests.support.odd_answers import BODY, CUT, LAST, NO_END, NO_SIZE, SOUND, UNSOUND, UNTIL_EOF
from tests.support.scripted import CLOSE, Steps, healthy


def read(data: bytes, piece: int, eof: bool = False) -> Response:
    response = Response()
    for at in range(0, len(data), piece):
        response.feed(data[at : at + piece])
    if eof:
        response.eof()
    return response


PIECES = (1, 7, 1 << 20)


@pytest.mark.parametrize(("families", "reusable"), [(SOUND, True), (LAST, False)], ids=["sound", "last"])
def test_what_is_odd_but_sound_is_whole_however_it_is_cut(families: dict[str, list[bytes]], reusable: bool) -> None:
    for data in (answer for family in families.values() for answer in family):
        for piece in PIECES:
            response = read(data, piece)
            assert (response.error, response.complete, response.reusable) == (None, True, reusable), data
            assert response.pop_body() == BODY, data


@pytest.mark.parametrize("family", UNSOUND)
def test_what_is_not_sound_is_an_error_however_it_is_cut(family: str) -> None:
    for data in UNSOUND[family]:
        errors = {read(data, piece).error for piece in PIECES}
        assert len(errors) == 1, data
        assert errors != {None}, data


def test_what_is_cut_off_is_not_whole() -> None:
    for piece in PIECES:
        assert not any(read(data, piece, eof=True).complete for data in CUT)
        assert all(read(data, piece, eof=True).complete for data in UNTIL_EOF)


def served(reply: Steps) -> tuple[str, str]:
    """Who serves a request whose first provider gives this reply, and what the next one over its connection gets."""
    with House() as house:
        alpha = house.providers["alpha"]
        alpha.replies = [reply, healthy("next")]
        house.providers["beta"].replies = [healthy("beta")]
        client = house.client().send(chat_request())
        house.advance(2.0)
        first = client.response
        assert (first.status, first.whole) == (200, True), first
        assert not set(bytes(client.received).partition(b"\r\n\r\n")[0]) & {*range(9), 11, 12, *range(14, 32), 127}
        failed = house.generation.router.providers["alpha"].breaker.halves
        assert failed == (0 if first.headers["x-oxllm-provider"] == "alpha" else 2)
        client.received.clear()
        client.send(chat_request())
        house.advance(2.0)
        second = client.response
        assert second.headers["x-oxllm-provider"] == "alpha"
        return first.headers["x-oxllm-provider"], second.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("family", [*SOUND, *LAST])
def test_what_is_sound_is_passed_on(family: str) -> None:
    for data in {**SOUND, **LAST}[family]:
        assert served([data]) == ("alpha", "next"), data


@pytest.mark.parametrize("family", UNSOUND)
def test_what_is_not_sound_fails_over_and_is_nobodys_answer(family: str) -> None:
    for data in UNSOUND[family]:
        assert served([data]) == ("beta", "next"), data


def test_what_ends_with_its_connection_is_passed_on_only_whole() -> None:
    for data in UNTIL_EOF:
        assert served([data, CLOSE]) == ("alpha", "next"), data
    for data in CUT[1:]:
        assert served([data, CLOSE]) == ("beta", "next"), data


EVENTS = (ROLE, token("odd"), FINISH, DONE)


def streamed(broken: int, form: bytes) -> str:
    """What becomes of a stream whose chunk number `broken` has this form: `failed over`, `interrupted` or `whole`."""
    chunks = [chunk(event) for event in EVENTS]
    chunks[broken] = form % (len(EVENTS[broken]), EVENTS[broken])
    with House() as house:
        house.providers["alpha"].replies = [[EVENT_STREAM + b"".join(chunks) + LAST_CHUNK]]
        house.providers["beta"].replies = [healthy("beta")]
        response = house.client().send(chat_request(stream=True)).response
        interrupted = b"stream_interrupted" in response.body
        assert response.whole is not interrupted
        assert response.body.count(DONE) == (0 if interrupted else 1)
        assert (b'"odd"' in response.body) is not (b'"beta"' in response.body)
        if interrupted:
            return "interrupted"
        return "whole" if response.headers["x-oxllm-provider"] == "alpha" else "failed over"


@pytest.mark.parametrize("form", [*NO_SIZE, *NO_END])
def test_a_chunk_that_is_none_is_a_break_where_it_stands(form: bytes) -> None:
    """Before content another provider is asked, behind it the client is told, and behind the end it is no matter."""
    lost = ("failed over", "failed over", "interrupted", "whole", "whole")
    for broken in range(len(EVENTS)):
        assert streamed(broken, form) == lost[broken + (form in NO_END)]
