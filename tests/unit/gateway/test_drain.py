"""Stopping, in each phase that a request can be in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from oxllm import plan as plans
from oxllm.gateway.observe import metrics
from tests.support.chat_bytes import DONE, chunk
from tests.support.house import EVENT_STREAM, Client, House, answer, chat_request, plan_of, stream, token
from tests.support.responses_api import answer as events
from tests.support.responses_api import sse

MB = 2**20
BROKEN = b'"code":"stream_interrupted"'


class Listener:
    sockets = ()

    def __init__(self) -> None:
        self.closed: bool = False

    def close(self) -> None:
        self.closed = True


class Scene:
    """A house with a way out. Seconds until it was done are in `took`."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.listener = Listener()
        self.drain = house.gateway.drain
        self.drain.listeners = [self.listener]
        self.told: list[tuple[int, int]] = []
        self.drain.report = lambda seconds, requests: self.told.append((round(seconds), requests))

    def signal(self) -> None:
        self.drain.signal()
        self.house.settle()

    def is_closed(self) -> bool:
        return self.listener.closed

    def done_within(self, seconds: float) -> bool:
        """Let time pass until it is done, at most so long."""
        for _ in range(int(seconds * 20)):
            if self.drain.done.done():
                return True
            self.house.advance(0.05)
        return self.drain.done.done()


def scene(*names: str, **server: Any) -> tuple[House, Scene]:
    house = House(plan_of(*(names or ("alpha",)), **server))
    return house, Scene(house)


def test_how_many_requests_are_left_is_told_as_it_changes() -> None:
    house, it = scene(drain_timeout=12.0)
    with house:
        house.providers["alpha"].replies = [stream(token("a"), 4.0, token("b")), stream(token("a"), 8.0, token("b"))]
        house.chat(stream=True)
        house.chat(stream=True)
        it.signal()
        assert it.done_within(10)
    assert it.told == [(12, 2), (8, 1), (4, 0)]


def test_an_idle_gateway_stops_at_once() -> None:
    house, it = scene()
    with house:
        idle = house.client()
        idle.send(chat_request())
        house.advance(1)
        it.signal()
        assert it.done_within(0.2)
        assert it.listener.closed
        assert idle.closed
        assert "drain: stopping, 0 requests under way" in house.log_text()


def test_health_turns_first_and_the_listener_stays_for_drain_delay() -> None:
    house, it = scene(drain_delay=5.0)
    with house:
        it.signal()
        assert it.told == [(35, 0)]
        house.advance(4)
        assert not it.is_closed()
        assert house.get("/health").text == "draining\n"
        client = house.chat()
        house.advance(0.1)
        assert client.response.status == 200, "still serving"
        house.advance(1)
        assert it.is_closed()
        assert it.done_within(1)


def test_a_stream_under_way_is_finished() -> None:
    house, it = scene()
    with house:
        house.providers["alpha"].replies = [stream(token("a"), 5.0, token("b"))]
        client = house.chat(stream=True)
        house.advance(1)
        it.signal()
        assert not it.done_within(3)
        assert house.get("/status?format=json").json()["drain_left"] == pytest.approx(27)
        assert it.done_within(6)
        assert client.response.whole
        assert DONE in client.response.body
        assert client.closed


def test_an_answer_that_begins_after_the_signal_says_that_the_connection_closes() -> None:
    house, it = scene()
    with house:
        house.providers["alpha"].replies = [[2.0, *answer(b'{"choices":[{"message":{},"finish_reason":"stop"}]}')]]
        client = house.chat()
        it.signal()
        assert it.done_within(5)
        assert (client.response.status, client.response.headers["connection"]) == (200, "close")


def test_a_retry_in_its_wait_is_still_made() -> None:
    house, it = scene()
    with house:
        house.providers["alpha"].replies = [answer(b"{}", 500), answer(b'{"choices":[{"finish_reason":"stop"}]}')]
        client = house.chat()
        it.signal()
        assert it.done_within(5)
        assert (client.response.status, len(house.providers["alpha"].asked)) == (200, 2)


def test_a_failover_is_still_made() -> None:
    house, it = scene("alpha", "beta")
    with house:
        house.providers["alpha"].replies = [[1.0, *answer(b"{}", 503)]]
        client = house.chat()
        it.signal()
        assert it.done_within(5)
        assert client.response.headers["x-oxllm-provider"] == "beta"


def test_a_request_that_was_connected_but_not_read_is_served() -> None:
    house, it = scene()
    with house:
        client = house.client()
        it.signal()
        house.advance(0.3)
        client.send(chat_request())
        assert it.done_within(5)
        assert client.response.status == 200


def test_a_connection_without_a_request_is_not_waited_for_long() -> None:
    house, it = scene()
    with house:
        house.client()
        it.signal()
        assert it.done_within(2)


# The time is over: by drain_timeout, or by a second signal.


def waiting(house: House) -> Client:
    house.providers["alpha"].replies = [[]]
    return house.chat()


def waiting_for_a_token(house: House) -> Client:
    house.providers["alpha"].replies = [[EVENT_STREAM]]
    return house.chat(stream=True)


def pinged(house: House) -> Client:
    client = waiting_for_a_token(house)
    house.advance(12)
    return client


def mid_stream(house: House) -> Client:
    house.providers["alpha"].replies = [[EVENT_STREAM, token("a")]]
    return house.chat(stream=True)


def slow_reader(house: House) -> Client:
    house.providers["alpha"].replies = [[EVENT_STREAM, *[token("a" * 1000)] * 300]]
    client = house.chat(stream=True)
    client.transport.pause_reading()
    house.advance(1)
    return client


@pytest.mark.parametrize("twice", [True, False])
def test_the_log_says_how_many_requests_were_cut_off(twice: bool) -> None:
    house, it = scene(drain_timeout=12.0)
    with house:
        mid_stream(house)
        waiting(house)
        it.signal()
        house.advance(11)
        assert "cutting" not in house.log_text()
        house.advance(0 if twice else 2)
        it.signal()
        assert it.done_within(3)
        assert house.log_text().count("drain: cutting off 2 requests") == 1


def test_the_log_of_a_drain_that_cuts_nothing_does_not_say_so() -> None:
    house, it = scene()
    with house:
        it.signal()
        it.signal()
        assert it.done_within(3)
        assert "cutting" not in house.log_text()


def retry_wait(house: House) -> Client:
    house.providers["alpha"].replies = [answer(b"{}", 500)]
    return house.chat()


def probe(house: House) -> Client:
    house.providers["alpha"].replies = [*[answer(b"{}", 503)] * 6, []]
    for _ in range(6):
        house.chat()
        house.advance(0.5)
    house.advance(8)
    client = house.chat()
    assert house.get("/status?format=json").json()["providers"][0]["state"] == "probing"
    return client


def half_sent(house: House) -> Client:
    return house.client().send(chat_request()[:-10])


def waiting_for_room(house: House) -> Client:
    for _ in range(2):
        house.client().send(upload(4 * MB)[: 3 * MB])
    client = house.client().send(upload(4 * MB))
    assert house.runtime.bodies.waiting
    return client


def not_yet_told_to_go_on(house: House) -> Client:
    client = house.client().send(upload(1000, "expect: 100-continue")[:-1000])
    assert bytes(client.received) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.received.clear()
    return client


def upload(size: int, *fields: str) -> bytes:
    head = ["POST /v1/chat/completions HTTP/1.1", "host: localhost:8080", f"content-length: {size}", *fields, "", ""]
    return "\r\n".join(head).encode() + b"x" * size


def half_a_head(house: House) -> Client:
    return house.client().send(b"POST /v1/chat/completions HT")


ANSWERED: list[Callable[[House], Client]] = [
    *(waiting, waiting_for_a_token, retry_wait, probe, half_sent, waiting_for_room, not_yet_told_to_go_on),
]
BROKEN_OFF: list[Callable[[House], Client]] = [pinged, mid_stream, slow_reader]


@pytest.mark.parametrize("second_signal", [True, False])
@pytest.mark.parametrize("phase", ANSWERED)
def test_who_has_no_answer_yet_gets_a_503(phase: Callable[[House], Client], second_signal: bool) -> None:
    house, it = scene(drain_timeout=0.04 if phase is retry_wait else 3.0)
    with house:
        client = phase(house)
        it.signal()
        if second_signal:
            it.signal()
        assert it.done_within(0.6 if second_signal else 4)
        assert (client.response.status, client.response.whole) == (503, True)
        assert client.response.json()["error"]["code"] == "overloaded"
        house.settle()
        assert client.closed
        assert_clean(house)


@pytest.mark.parametrize("phase", [waiting, half_sent, waiting_for_room])
def test_a_second_signal_ends_the_delay_too_and_says_so_to_who_is_cut_off(phase: Callable[[House], Client]) -> None:
    house, it = scene(drain_delay=5.0, drain_timeout=3.0)
    with house:
        client = phase(house)
        it.signal()
        it.signal()
        assert (client.response.status, client.response.headers["connection"]) == (503, "close")
        assert it.done_within(0.6)


@pytest.mark.parametrize("delay", [0.0, 5.0])
def test_after_the_cut_nothing_more_is_served(delay: float) -> None:
    """Nor what comes over a connection that its protocol's break leaves usable: nobody would be there to end it."""
    house = House(msgspec.structs.replace(speaking_responses(), server=plan_of("alpha", drain_delay=delay).server))
    it = Scene(house)
    with house:
        house.providers["alpha"].replies = [[EVENT_STREAM, chunk(sse(*events("Hi")[:5])), 99.0]]
        busy, eager = (house.client().send(create()) for _ in range(2))
        house.advance(0.1)
        eager.send(create())
        it.signal()
        it.signal()
        for client in (busy, eager):
            assert client.response.whole
            assert b"response.failed" in client.response.body
            assert bytes(client.received).count(b"HTTP/1.1 ") == 1
        if not busy.closed:
            busy.send(create())
        house.settle()
        assert len(house.providers["alpha"].asked) == 2
        assert it.done_within(0.6)
        assert_clean(house)


def speaking_responses() -> plans.Plan:
    made = plan_of("alpha")
    spoken = tuple(msgspec.structs.replace(one, protocols=("responses",)) for one in made.providers)
    return msgspec.structs.replace(made, providers=spoken)


def create() -> bytes:
    body = b'{"model":"smart","stream":true,"input":"Hi"}'
    return b"POST /v1/responses HTTP/1.1\r\nhost: localhost:8080\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def test_a_stream_that_the_gateway_cuts_blames_the_gateway() -> None:
    house, it = scene()
    with house:
        client = mid_stream(house)
        it.signal()
        it.signal()
        assert it.done_within(0.6)
        assert b"the gateway is shutting down" in client.response.body
        assert b"provider" not in client.response.body
        assert b'"type":"upstream_error"' in client.response.body, "the event of any break, which clients know"


@pytest.mark.parametrize("second_signal", [True, False])
@pytest.mark.parametrize("phase", BROKEN_OFF)
def test_a_stream_that_has_begun_gets_the_error_event_and_no_end(
    phase: Callable[[House], Client], second_signal: bool
) -> None:
    house, it = scene(drain_timeout=3.0)
    with house:
        client = phase(house)
        it.signal()
        if second_signal:
            it.signal()
        assert it.done_within(0.6 if second_signal else 4)
        client.transport.resume_reading()
        house.settle()
        assert not client.response.whole
        assert DONE not in client.response.body
        assert b'"error"' in client.response.body
        assert (BROKEN in client.response.body) == (phase is not pinged)
        assert_clean(house)


def assert_clean(house: House) -> None:
    house.settle()
    assert house.runtime.pool.open == 0
    assert house.server.connections == 0
    assert not house.runtime.relays
    provider = house.generation.router.providers["alpha"]
    assert provider.in_flight == 0


def test_a_broken_off_probe_blames_nobody() -> None:
    house, it = scene(drain_timeout=1.0)
    with house:
        probe(house)
        it.signal()
        assert it.done_within(2)
        assert house.generation.router.providers["alpha"].breaker.state(house.loop.time()).value == "half-open"


def test_what_the_end_cuts_off_is_a_failure_of_the_gateways_own_and_no_attempt_that_lost() -> None:
    house, it = scene(drain_timeout=1.0)
    with house:
        house.providers["alpha"].replies = [stream(token("a"), 99.0)]
        house.chat(stream=True)
        house.advance(0.1)
        it.signal()
        assert it.done_within(3)
        page = b"".join(metrics.render(house.gateway.vitals)).decode()
    assert 'oxllm_attempt_failures_total{provider="alpha",model="m",cause="gateway"} 1' in page
    assert 'oxllm_attempt_lost_total{provider="alpha",model="m"} 0' in page


def test_half_a_head_is_just_closed() -> None:
    house, it = scene(drain_timeout=1.0)
    with house:
        client = half_a_head(house)
        it.signal()
        assert it.done_within(2)
        house.settle()
        assert (bytes(client.received), client.closed) == (b"", True)


def test_a_provider_that_is_slow_to_end_is_not_waited_for() -> None:
    house, it = scene()
    with house:
        house.providers["alpha"].replies = [stream(token("a"))[:-1]]  # [DONE], but no end of the body
        client = house.chat(stream=True)
        house.advance(0.1)
        it.signal()
        assert it.done_within(1.2), "its client may have another request on the way for a second"
        assert client.response.whole


def test_a_reload_that_is_waited_for_gets_a_503() -> None:
    house, it = scene(drain_timeout=1.0)
    with house:

        class Never:
            def start(self, dry_run: bool, done: Any) -> None:
                pass

        house.admin.reloader = Never()  # type: ignore[assignment]
        client = house.client().send(b"POST /reload HTTP/1.1\r\nhost: localhost\r\n\r\n")
        it.signal()
        assert it.done_within(2)
        assert client.response.status == 503
