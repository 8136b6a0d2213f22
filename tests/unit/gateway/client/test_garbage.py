"""A request that is over leaves no cycle: its memory, a body's above all, must not wait for the garbage collector."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from oxllm.core.request.exchange import Exchange
from oxllm.core.routing.router import Router
from oxllm.core.wire.body import RequestBody
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.request_reader import RequestReader
from oxllm.gateway.link import Link
from oxllm.gateway.relay import Relay
from oxllm.gateway.runtime import Generation
from tests.support.house import House, answer, plan_of, stream, token

KINDS = (Request, RequestReader, RequestBody, Relay, Link, Exchange)
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost:8080\r\n"


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(*kinds: type) -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, kinds))


def generations() -> Counter[str]:
    return alive(Generation, Router)


def whole(house: House) -> None:
    house.chat()
    house.advance(1)


def streamed(house: House) -> None:
    house.providers["alpha"].replies = [stream(token("a"), 0.5, token("b"))]
    house.chat(stream=True)
    house.advance(1)


def rescued(house: House) -> None:
    house.providers["alpha"].replies = [answer(b"{}", 429)]
    house.chat()
    house.advance(1)


def failed(house: House) -> None:
    for provider in house.providers.values():
        provider.replies = [["close"]]
    house.chat()
    house.advance(1)


def cut(house: House) -> None:
    house.providers["alpha"].replies = [[stream()[0], token("a"), "reset"]]
    house.chat(stream=True)
    house.advance(1)


def left(house: House) -> None:
    house.providers["alpha"].replies = [stream(token("a"), 60.0, token("b"))]
    client = house.chat(stream=True)
    house.advance(1)
    client.transport.abort()


def no_json(house: House) -> None:
    house.client().send(HEAD + b"content-length: 8\r\n\r\n{no json")


def no_http(house: House) -> None:
    house.client().send(b"what is this\r\n\r\n")


def broken_off(house: House) -> None:
    house.client().send(HEAD + b"content-length: 80\r\n\r\n{").transport.abort()


def broken_off_chunks(house: House) -> None:
    house.client().send(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nab").transport.abort()


def refused_early(house: House) -> None:
    house.client().send(HEAD + b"content-length: 800000000\r\n\r\n{")


@pytest.mark.parametrize(
    "traffic",
    [
        whole,
        streamed,
        rescued,
        failed,
        cut,
        left,
        no_json,
        no_http,
        broken_off,
        broken_off_chunks,
        refused_early,
    ],
)
@pytest.mark.slow
def test_nothing_of_a_request_waits_for_the_collector(traffic: Callable[[House], None]) -> None:
    before = alive(*KINDS)
    with House(plan_of("alpha", "beta")) as house:
        traffic(house)
        house.advance(3)
        for connection in tuple(house.server.open):
            connection.abort()
        house.settle()
        assert alive(*KINDS) - before == {}


@pytest.mark.slow
def test_a_config_that_was_replaced_goes_once_each_of_its_requests_has_content() -> None:
    with House(plan_of("alpha", "beta")) as house:
        before = generations()
        house.providers["alpha"].replies = [stream(30.0, token("a"), 60.0, token("b"))]
        house.chat(stream=True)
        house.advance(1)
        for _ in range(5):
            house.runtime.adopt(plan_of("alpha", "beta"))
        assert generations() - before == {"Generation": 1, "Router": 1}
        house.advance(30)
        assert generations() - before == {}
