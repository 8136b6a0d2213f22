"""A long page that is sent in pieces: as fast as the client takes it, and whole or visibly cut."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest

from oxllm.gateway.client.request import Request
from oxllm.gateway.operator.in_pieces import send
from tests.support.client_side import Bench, get

PIECE = b"x" * 64 * 1024


class Page:
    """A bench whose service answers with a page of `count` pieces."""

    def __init__(self, count: int, fails: bool = False) -> None:
        self.bench = Bench()
        self.made = 0
        self._count = count
        self._fails = fails
        self.bench.service.on_serve = self.serve

    def serve(self, request: Request) -> None:
        send(cast(asyncio.AbstractEventLoop, self.bench.clock), request, [], self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        for _ in range(self._count):
            self.made += 1
            yield PIECE
        if self._fails:
            raise RuntimeError("a bug")


def test_a_page_of_one_piece_is_sent_at_once_with_its_length() -> None:
    page = Page(1)
    client = page.bench.client()
    client.send(get())
    output = client.output
    assert b"content-length: 65536\r\n" in output
    assert output.endswith(PIECE)


def test_a_longer_page_is_chunked_and_the_connection_stays() -> None:
    page = Page(5)
    client = page.bench.client()
    client.send(get())
    output = client.output
    assert b"transfer-encoding: chunked\r\n" in output
    assert output.count(b"10000\r\n" + PIECE + b"\r\n") == 5
    assert output.endswith(b"\r\n0\r\n\r\n")
    client.send(get())
    assert client.output.endswith(b"\r\n0\r\n\r\n")


def test_no_piece_is_made_while_the_client_takes_none() -> None:
    page = Page(50)
    client = page.bench.client()
    page.bench.service.on_head = lambda request: page.bench.clock.call_soon(client.connection.pause_writing)
    client.send(get())
    assert page.made == 2
    client.connection.resume_writing()
    page.bench.clock.settle()
    assert page.made == 50
    assert client.output.endswith(b"\r\n0\r\n\r\n")


def test_no_piece_is_made_for_a_client_that_has_gone() -> None:
    page = Page(50)
    client = page.bench.client()
    page.bench.service.on_head = lambda request: page.bench.clock.call_soon(client.half_close)
    client.send(get())
    assert page.made < 5


def test_a_page_that_cannot_be_made_to_its_end_does_not_look_whole() -> None:
    page = Page(5, fails=True)
    client = page.bench.client()
    with pytest.raises(RuntimeError, match="a bug"):
        client.send(get())
    assert client.ended
    assert not client.output.endswith(b"0\r\n\r\n")
