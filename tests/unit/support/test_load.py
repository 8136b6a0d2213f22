"""The load driver must notice what a gateway does wrong, or a green soak test says nothing."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.load import Bench, Job, Response
from tests.support.wire import answer, chat_body, play, wanted_answer, wanted_stream, whole_stream

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Request-Id: a\r\n\r\n"
    b"5\r\nhello\r\n10\r\n, dear neighbour\r\n0\r\n\r\n"
)
SIZED = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\nContent-Length: 5\r\n\r\nlater"


@given(cuts=st.lists(st.integers(0, len(CHUNKED)), max_size=12))
def test_a_chunked_response_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    response = Response()
    edges = sorted({0, len(CHUNKED), *cuts})
    for start, stop in pairwise(edges):
        assert not response.complete
        response.feed(CHUNKED[start:stop])
    assert response.complete
    assert (response.status, bytes(response.body)) == (200, b"hello, dear neighbour")


def test_a_response_with_a_length_is_complete_at_its_last_byte() -> None:
    response = Response()
    for position in range(len(SIZED)):
        assert not response.complete
        response.feed(SIZED[position : position + 1])
    assert response.complete
    assert (response.status, response.header(b"retry-after")) == (503, b"2")


def test_what_is_not_http_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Response().feed(b"hello, this is ssh\r\n\r\n")


def test_the_prompt_survives_in_the_body_and_the_body_has_the_size_asked_for() -> None:
    body = chat_body(play(40, 0.5, 2.0), model="smart", stream=True, size=4096)
    assert len(body) == 4096
    assert wanted_stream(body) == (40, 0.5, 2.0)
    assert wanted_answer(chat_body(answer(300), model="smart", stream=False)) == 300


def verdict(body: bytes, *, exact: bool) -> bool:
    response = Response()
    response.body = bytearray(body)
    loop = asyncio.new_event_loop()
    try:
        return Bench(Job(kind="streams", port=1, events=5, exact=exact), loop).right(response)
    finally:
        loop.close()


@pytest.mark.parametrize("lost", range(0, len(whole_stream(5)), 97))
def test_a_stream_that_lacks_one_byte_is_not_right(lost: int) -> None:
    whole = whole_stream(5)
    assert verdict(whole, exact=True)
    assert not verdict(whole[:lost] + whole[lost + 1 :], exact=True)


def test_a_stream_that_was_written_anew_is_right_only_if_it_ends() -> None:
    whole = whole_stream(5).replace(b"lorem", b"ipsum")
    assert verdict(whole, exact=False)
    assert not verdict(whole.removesuffix(b"data: [DONE]\n\n"), exact=False)
