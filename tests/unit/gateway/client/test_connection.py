"""One client connection: answers in order, limits, back-pressure, and an end for every connection."""

from __future__ import annotations

import gc
import json
import re
import socket
from collections.abc import Callable

import pytest

from oxllm.core.budget.heads import HEADS_LIMIT
from oxllm.gateway.client.backlog import BACKLOG_MAX
from oxllm.gateway.client.pace import SLOW_BYTES
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.shared import BACKLOG_TOTAL, HEAD_READ_BYTES, NARROW_READ_BYTES
from oxllm.gateway.client.states import (
    BODY,
    CLOSED,
    HEAD,
    IDLE,
    LINGERING,
    SERVING,
    SKIPPING,
    TABLE,
    WAITING,
    ConnectionState,
)
from oxllm.gateway.client.turns import SKIP_BYTES_MAX
from oxllm.plan import Server as Limits
from tests.support.client_side import Bench, Client, chunked, get, post, server

KIB = 1024


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def client(bench: Bench) -> Client:
    return bench.client()


def statuses(output: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", output)]


def error_of(output: bytes) -> dict[str, object]:
    head, _, body = output.rpartition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    assert b"content-length: %d" % len(body) in head
    error = json.loads(body)["error"]
    assert isinstance(error, dict)
    return error


# The table.


def test_every_state_can_be_left_but_the_last_and_come_to_but_the_first() -> None:
    ways = TABLE.moves()
    assert {state for state, _ in ways} == set(ConnectionState) - {CLOSED}
    assert {state for _, state in ways} == set(ConnectionState) - {ConnectionState.NEW}
    assert {state for state, after in ways if after is CLOSED} == set(ConnectionState) - {CLOSED}


def test_a_goodbye_is_for_good() -> None:
    assert {after for state, after in TABLE.moves() if state is LINGERING} == {CLOSED}


def test_a_connection_says_in_a_line_what_it_does(bench: Bench, client: Client) -> None:
    assert repr(bench.server.protocol()) == "<ClientConnection NEW>"
    bench.service.keep_waiting()
    client.send(get("/slow", "X-Request-Id: mine"))
    assert repr(client.connection) == "<ClientConnection SERVING GET /slow mine>"
    bench.service.served[0].respond(200, [], b"")
    assert repr(client.connection) == "<ClientConnection IDLE>"
    assert repr(bench.server) == "<Server 1 connections, 1 silent, 0 B unparsed>"


# Requests and responses.


def test_a_request_is_served_and_the_connection_stays(bench: Bench, client: Client) -> None:
    client.send(get("/v1/models?all=1", "X-A: b"))
    request = bench.service.served[0]
    assert (request.method, request.path, request.query) == ("GET", b"/v1/models", b"all=1")
    assert request.get(b"x-a") == b"b"
    assert request.get(b"x-b") is None
    assert (request.peer, request.local) == ("", "")
    assert request.started == bench.clock.now
    assert client.state is IDLE
    assert client.output.endswith(b"content-length: 2\r\n\r\nok")


def test_a_request_knows_both_ends_while_the_client_is_there(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(get())
    assert (bench.service.served[0].peer, bench.service.served[0].local) == ("192.0.2.7", "127.0.0.1")


def test_an_ipv4_client_of_a_socket_for_both_families_has_its_own_address(bench: Bench) -> None:
    """As a log, a list of networks and an operator have it."""
    for peer, known in (("::ffff:10.77.0.2", "10.77.0.2"), ("::1", "::1"), ("fe80::1%eth0", "fe80::1%eth0")):
        bench.service.keep_waiting()
        Client(bench, peer, "::ffff:10.77.0.1").send(get())
        assert (bench.service.served[-1].peer, bench.service.served[-1].local) == (known, "10.77.0.1")


@pytest.mark.parametrize("piece", [1, 3, 100, 1 << 20])
@pytest.mark.parametrize("data", [post(b"hello" * 30), chunked(b"hello" * 29, b"hello")])
def test_a_body_is_whole_when_it_is_served(bench: Bench, client: Client, data: bytes, piece: int) -> None:
    seen: list[bytes] = []
    bench.service.on_head = lambda request: seen.append(bytes(request.body))
    bench.service.on_serve = lambda request: [seen.append(bytes(request.body)), request.respond(200, [], b"")]  # type: ignore[func-returns-value]
    client.send(data, piece)
    assert seen == [b"", b"hello" * 30]
    assert statuses(client.output) == [200]


@pytest.mark.parametrize("data", [post(b"hello" * 30), chunked(b"hello" * 29, b"hello")])
def test_the_body_belongs_to_the_request_alone_once_it_is_whole(bench: Bench, client: Client, data: bytes) -> None:
    """Whoever serves it lets go of it when it is sent, and of 64 bodies of 1 MiB none may stay behind."""
    bench.service.keep_waiting()
    client.send(data, 100)
    (request,) = bench.service.served
    holders = [type(holder).__name__ for holder in gc.get_referrers(request.body)]
    assert holders == ["Request"]


def test_pipelined_requests_are_served_one_at_a_time_and_answered_in_order(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(get("/1") + post(b"two") + get("/3"))
    for number in range(3):
        assert len(bench.service.served) == number + 1
        bench.service.served[number].respond(200, [], b"answer %d" % number)
        bench.clock.settle()
    assert re.findall(rb"answer \d", client.output) == [b"answer 0", b"answer 1", b"answer 2"]
    assert bytes(bench.service.served[1].body) == b"two"


def test_what_comes_before_the_backlog_has_had_its_turn_goes_behind_it(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(get("/1") + get("/2")[:7])
    bench.service.served[0].respond(200, [], b"")
    client.send(get("/2")[7:])
    assert [request.path for request in bench.service.served] == [b"/1", b"/2"]


def test_who_pipelines_hundreds_that_are_answered_at_once_does_not_keep_others_waiting(bench: Bench) -> None:
    many, other = bench.client(), bench.client()
    bench.service.on_head = lambda request: (
        bench.clock.call_soon(other.send, get("/other")) if len(bench.service.heads) == 1 else None
    )
    many.send(get("/many") * 300)
    assert statuses(many.output) == [200] * 300
    assert statuses(other.output) == [200]
    assert [request.path for request in bench.service.served].index(b"/other") == 1
    many.send(get("/many") * 3)
    assert statuses(many.output) == [200] * 3


def test_many_pipelined_requests_answered_at_once_do_not_recurse(bench: Bench, client: Client) -> None:
    client.send(get() * 5000)
    assert statuses(client.output) == [200] * 5000


def test_a_response_has_the_clients_own_request_id_if_that_is_printable(client: Client) -> None:
    for own, kept in [
        ("a b~", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("\xe9", False),
        ("a\tb", False),
    ]:
        client.send(get("/", f"X-Request-Id: {own}").decode().encode("latin-1"))
        found = re.search(rb"x-request-id: (.*)\r\n", client.output)
        assert found is not None
        if kept:
            assert found[1] == own.encode()
        else:
            assert re.fullmatch(rb"oxllm-[0-9a-f]{16}", found[1])


def test_head_gets_the_length_and_no_body(bench: Bench, client: Client) -> None:
    client.send(get().replace(b"GET", b"HEAD"))
    assert client.output.endswith(b"content-length: 2\r\n\r\n")
    bench.service.on_serve = stream(b"abc")
    client.send(get().replace(b"GET", b"HEAD") + get())
    assert client.output.count(b"abc") == 1
    assert client.state is IDLE


def test_204_has_neither_length_nor_body(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.respond(204, [(b"vary", b"origin")], b"")
    client.send(get())
    assert b"content-length" not in client.output
    assert client.state is IDLE


def stream(*parts: bytes, length: int | None = None) -> Callable[[Request], object]:
    def serve(request: Request) -> None:
        request.begin(200, [(b"content-type", b"text/event-stream")], length)
        for part in parts:
            request.write(part)
        request.end()

    return serve


def test_a_stream_goes_in_chunks_and_ends_with_the_last_one(bench: Bench, client: Client) -> None:
    bench.service.on_serve = stream(b"one", b"", b"two")
    client.send(get())
    head, _, body = client.output.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    assert client.state is IDLE


def test_a_stream_of_known_length_goes_as_it_is(bench: Bench, client: Client) -> None:
    bench.service.on_serve = stream(b"one", b"two", length=6)
    client.send(get())
    assert client.output.endswith(b"content-length: 6\r\n\r\nonetwo")


def test_a_head_goes_out_by_the_end_of_the_turn_without_a_body(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.begin(200, [], None)
    client.send(get())
    assert statuses(client.output) == [200]


def test_http_10_is_answered_without_chunks_and_closed(bench: Bench, client: Client) -> None:
    bench.service.on_serve = stream(b"one", b"two")
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.output.endswith(b"connection: close\r\n\r\nonetwo")
    assert client.transport.closing


def test_http_10_stays_if_it_asks_and_the_length_is_known(bench: Bench, client: Client) -> None:
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"connection: keep-alive\r\n" in client.output
    assert client.state is IDLE
    bench.service.on_serve = stream(b"one")
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"connection: close\r\n" in client.output
    assert client.ended


def test_connection_close_is_heeded_and_said(client: Client) -> None:
    client.send(get("/", "Connection: close") + get())
    output = client.output
    assert statuses(output) == [200]
    assert b"connection: close\r\n" in output
    assert client.transport.closing


def test_a_large_answer_is_the_same_bytes_as_a_small_one(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.respond(200, [], b"x" * 300_000)
    client.send(get())
    assert client.output.endswith(b"content-length: 300000\r\n\r\n" + b"x" * 300_000)


def begun(bench: Bench, client: Client, data: bytes = get()) -> Request:
    """The request that `data` is, whose response of unknown length has begun."""
    bench.service.keep_waiting()
    client.send(data)
    request = bench.service.served[0]
    request.begin(200, [], None)
    return request


def test_an_aborted_stream_has_its_tail_but_no_last_chunk(bench: Bench, client: Client) -> None:
    request = begun(bench, client)
    request.write(b"one")
    request.abort(b"tail")
    assert client.output.endswith(b"3\r\none\r\n4\r\ntail\r\n")
    bench.advance(0.05)
    early = client.ended
    bench.advance(0.1)
    assert (early, client.ended) == (False, True), "it reads the tail first"
    assert bench.service.gone == 0
    request.write(b"more")
    request.end()
    assert client.output == b""


@pytest.mark.parametrize(
    ("data", "tail", "body"),
    [(get(), b"", b"3\r\none\r\n"), (b"GET / HTTP/1.0\r\n\r\n", b"tail", b"onetail")],
    ids=["chunked", "HTTP/1.0"],
)
def test_a_client_that_can_tell_that_an_aborted_stream_is_not_whole_gets_all_that_was_sent(
    bench: Bench, client: Client, data: bytes, tail: bytes, body: bytes
) -> None:
    request = begun(bench, client, data)
    request.write(b"one")
    request.abort(tail)
    bench.advance(0.2)
    assert client.output.endswith(b"\r\n\r\n" + body)
    assert (client.ended, client.transport.aborted) == (True, False)


def test_a_client_that_leaves_once_it_is_told_of_a_break_leaves_nothing(bench: Bench, client: Client) -> None:
    request = begun(bench, client)
    request.abort(b"tail")
    client.half_close()
    assert client.ended
    bench.advance(0.2)
    assert (client.state, bench.service.gone, bench.server.open) == (CLOSED, 0, set())


def test_an_aborted_http_10_stream_without_a_tail_is_reset(bench: Bench, client: Client) -> None:
    begun(bench, client, b"GET / HTTP/1.0\r\n\r\n").abort()
    assert client.transport.aborted
    assert bench.service.gone == 0


def test_a_date_is_made_once_a_second(bench: Bench) -> None:
    asked: list[float] = []

    def wall() -> float:
        asked.append(bench.clock.now)
        return 784111777.0

    bench.server = server(bench.server.loop, bench.service, bench.limits, bench.wheel, wall)
    client = bench.client()
    client.send(get() * 3)
    assert client.output.count(b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == 3
    assert len(asked) == 1
    bench.advance(1)
    client.send(get())
    assert len(asked) == 2


# Answers that come before the body has.


def early(request: Request) -> None:
    request.respond(401, [], b"no")


def test_a_short_rest_of_an_unwanted_body_is_skipped_and_the_connection_stays(bench: Bench, client: Client) -> None:
    bench.service.on_head = early
    data = post(b"x" * SKIP_BYTES_MAX)
    head = len(data) - SKIP_BYTES_MAX
    client.send(data[:head])
    output = client.output
    assert statuses(output) == [401]
    assert b"connection: close" not in output
    assert client.state is SKIPPING
    client.send(data[head:] + get())
    assert statuses(client.output) == [401]
    assert client.state is IDLE
    assert bench.service.served == []


def test_a_long_rest_is_read_and_dropped_for_two_seconds(bench: Bench, client: Client) -> None:
    bench.service.on_head = early
    client.send(post(b"x" * (SKIP_BYTES_MAX + 1))[: -SKIP_BYTES_MAX - 1])
    assert b"connection: close\r\n" in client.output
    assert (client.state, client.transport.eof_written, client.transport.closing) == (LINGERING, True, False)
    client.send(b"x" * 200_000)
    bench.advance(1.8)
    assert not client.transport.closing
    bench.advance(0.4)
    assert client.transport.closing


def test_the_rest_of_a_chunked_body_is_not_waited_for(bench: Bench, client: Client) -> None:
    bench.service.on_head = early
    client.send(chunked(b"x" * 100)[:-10])
    assert client.state is LINGERING
    client.half_close()
    assert client.transport.closing


def test_a_skipped_body_that_does_not_come_ends_the_connection(bench: Bench, client: Client) -> None:
    bench.service.on_head = early
    client.send(post(b"x" * 100)[:-50])
    bench.advance(20.2)
    assert statuses(client.output) == [401]
    assert client.transport.closing


def test_a_body_may_still_come_while_an_early_answer_is_streamed(bench: Bench, client: Client) -> None:
    bench.service.on_head = lambda request: request.begin(200, [], None)
    data = post(b"x" * 100)
    client.send(data[:-50])
    bench.advance(100)
    client.send(data[-50:])
    assert client.state is SERVING
    bench.service.heads[0].end()
    assert client.state is IDLE


def test_what_has_come_of_a_body_is_let_go_when_an_early_answer_begins(bench: Bench, client: Client) -> None:
    client.send(post(b"x" * 100)[:-50])
    assert bench.bodies.total > 0
    bench.service.heads[0].begin(200, [], None)
    assert bench.bodies.total == 0


def test_a_body_that_is_missing_when_a_long_early_answer_ends_gets_20_seconds_more(
    bench: Bench, client: Client
) -> None:
    bench.service.on_head = lambda request: request.begin(200, [], None)
    client.send(post(b"x" * 100)[:-50])
    bench.advance(100)
    bench.service.heads[0].end()
    bench.advance(19.8)
    assert not client.closed()
    bench.advance(0.4)
    assert client.closed()


def test_a_body_of_another_length_than_allowed_is_refused_at_once(bench: Bench) -> None:
    bench.server.limits = Limits(max_body_bytes=1000)
    client = bench.client()
    client.send(post(b"x" * 1000) + post(b"x" * 1001)[:-1001])
    output = client.output
    assert statuses(output) == [200, 413]
    assert error_of(output)["type"] == "invalid_request_error"


def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(bench: Bench) -> None:
    bench.server.limits = Limits(max_body_bytes=1000)
    client = bench.client()
    client.send(chunked(b"x" * 1000))
    client.send(chunked(b"x" * 1000, b"y")[:-5], 100)
    assert statuses(client.output) == [200, 413]
    assert client.state is LINGERING


def test_a_chunked_body_whose_end_comes_with_the_byte_too_many_is_refused_and_the_connection_stays(
    bench: Bench,
) -> None:
    bench.server.limits = Limits(max_body_bytes=1000)
    client = bench.client()
    client.send(chunked(b"x" * 1000, b"y") + get())
    assert statuses(client.output) == [413, 200]
    data = chunked(b"x" * 1000, b"y")
    client.send(data[:-11])
    client.send(data[-11:])
    client.send(data[:-15])
    assert statuses(client.output) == [413]
    bench.advance(21)
    assert statuses(client.output) == [408], "the next body has its own time"


# Expect.


def test_a_chunked_body_may_be_as_large_as_the_limit_though_that_is_all_the_memory_there_is() -> None:
    size = 2 * 1024 * 1024
    bench = Bench(Limits(max_body_bytes=size, max_buffered_bytes=size))
    client = bench.client()
    client.send(chunked(*[b"x" * 2**16] * 32))
    assert client.output.startswith(b"HTTP/1.1 200 ")
    client.send(chunked(*[b"x" * 2**16] * 32, b"x"))
    assert client.output.startswith(b"HTTP/1.1 413 ")
    assert bench.bodies.total == 0


def test_100_continue_is_said_once_the_head_is_accepted(bench: Bench, client: Client) -> None:
    data = post(b"hello", "Expect: 100-Continue")
    client.send(data[:-5])
    assert client.output == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(data[-5:])
    assert statuses(client.output) == [200]


def test_100_continue_is_not_said_to_who_did_not_wait(client: Client) -> None:
    client.send(post(b"hello", "Expect: 100-continue"))
    assert statuses(client.output) == [200]


def test_a_refusal_takes_the_place_of_100_continue_and_closes(bench: Bench, client: Client) -> None:
    bench.service.on_head = early
    client.send(post(b"hello", "Expect: 100-continue")[:-5])
    output = client.output
    assert statuses(output) == [401]
    assert b"connection: close" in output
    assert client.state is LINGERING


def test_another_expectation_cannot_be_met(bench: Bench, client: Client) -> None:
    client.send(get("/", "Expect: a-miracle"))
    assert statuses(client.output) == [417]
    assert bench.service.heads == []


def test_http_10_expects_nothing(client: Client) -> None:
    client.send(b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.output == b""
    client.send(b"hi")
    assert statuses(client.output) == [200]


# Errors of the connection's own.


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"GET / HTTP/1.1\r\n\r\n", 400), (get("/", "X: " + "y" * 33_000), 431), (chunked(b"x")[:-7] + b"boom\r\n", 400)],
)
def test_what_cannot_be_read_is_answered_in_json_and_closed(
    bench: Bench, client: Client, data: bytes, status: int
) -> None:
    client.send(data + get())
    output = client.output
    assert statuses(output) == [status]
    assert error_of(output)["type"] == "invalid_request_error"
    assert b"x-request-id: oxllm-" in output
    assert b"connection: close" in output
    assert client.state is LINGERING
    assert [error.status for error in bench.service.errors] == [status]


@pytest.mark.parametrize("piece", [1, 7, 40_000])
@pytest.mark.parametrize("rest", [b"\r\n", b"Host: a\r\nContent-Length: x\r\n\r\n", b"X: " + b"y" * 33_000])
def test_a_head_request_that_cannot_be_read_gets_no_body_either(
    bench: Bench, client: Client, rest: bytes, piece: int
) -> None:
    """RFC 9110 section 9.3.2."""
    data = b"HEAD / HTTP/1.1\r\n" + rest
    for at in range(0, len(data), piece):
        client.send(data[at : at + piece])
    output = client.output
    assert statuses(output) in ([400], [431])
    assert output.endswith(b"\r\n\r\n")


def test_a_head_request_that_does_not_come_whole_gets_no_body_either(bench: Bench, client: Client) -> None:
    client.send(b"HEAD / HTTP/1.1\r\nHo")
    bench.advance(20.2)
    output = client.output
    assert statuses(output) == [408]
    assert output.endswith(b"\r\n\r\n")


def test_garbage_behind_a_request_does_not_touch_its_answer(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(get() + b"\x00garbage")
    assert client.output == b""
    bench.service.served[0].respond(200, [], b"fine")
    bench.clock.settle()
    assert statuses(client.output) == [200, 400]


@pytest.mark.parametrize("callback", ["on_head", "on_serve"])
def test_a_service_that_breaks_ends_its_request_with_a_500_and_is_heard_of(
    bench: Bench, client: Client, callback: str
) -> None:
    setattr(bench.service, callback, lambda request: 1 / 0)
    client.send(post(b"body"))
    output = client.output
    assert statuses(output) == [500]
    assert error_of(output)["type"] == "server_error"
    assert client.ended
    assert [type(error) for error in bench.service.crashes] == [ZeroDivisionError]
    assert bench.service.ended_requests == 1
    assert bench.bodies.total == 0


def test_a_service_that_breaks_within_its_answer_ends_the_connection(bench: Bench, client: Client) -> None:
    def serve(request: Request) -> None:
        request.begin(200, [], None)
        request.write(b"a part")
        raise ZeroDivisionError

    bench.service.on_serve = serve
    client.send(get())
    assert not client.output.endswith(b"0\r\n\r\n")
    assert client.closed()
    assert bench.service.gone == 1


# Time.


@pytest.mark.parametrize(("sent", "limit"), [(b"", 20), (get(), 75)])
def test_a_connection_without_a_request_closes_silently(
    bench: Bench, client: Client, sent: bytes, limit: float
) -> None:
    client.send(sent)
    assert client.output.count(b"HTTP") == (1 if sent else 0)
    bench.advance(limit - 0.2)
    assert not client.closed()
    bench.advance(0.4)
    assert client.closed()
    assert client.output == b""


def test_a_head_has_20_seconds_from_its_first_byte_however_busily_it_comes(bench: Bench, client: Client) -> None:
    for second in range(20):
        client.send(get("/", "X: y" * 30)[second : second + 1])
        assert client.state is HEAD
        bench.advance(1 if second < 19 else 0.9)
    assert client.output == b""
    bench.advance(0.3)
    output = client.output
    assert statuses(output) == [408]
    error_of(output)


def test_the_head_of_a_next_request_has_20_seconds_too_not_75(bench: Bench, client: Client) -> None:
    client.send(get())
    assert statuses(client.output) == [200]
    client.send(b"GET / HTTP/1.1\r\n")
    bench.advance(20.2)
    assert statuses(client.output) == [408]


@pytest.mark.parametrize("empty", [b"\r\n", b"\r\n\r\n\r\n", b"\r"])
def test_an_empty_line_behind_a_request_does_not_begin_another(bench: Bench, client: Client, empty: bytes) -> None:
    """RFC 9112 section 2.2: old clients send one behind a body. Nobody waits for an answer to it."""
    client.send(get())
    assert statuses(client.output) == [200]
    client.send(empty)
    assert client.state is IDLE
    bench.advance(74.8)
    client.send(b"\n" + get() if empty == b"\r" else get())
    assert statuses(client.output) == [200]
    client.send(empty)
    bench.advance(75.2)
    assert client.closed()
    assert client.output == b""


def test_empty_lines_are_not_read_for_ever(bench: Bench, client: Client) -> None:
    for _ in range(17):
        client.send(b"\r\n" * 1000)
    assert statuses(client.output) == [431]


def test_a_body_may_take_its_time_but_not_be_silent_for_20_seconds(bench: Bench, client: Client) -> None:
    client.send(post(b"x" * 100)[:-100])
    for _ in range(10):
        bench.advance(19.8)
        client.send(b"x")
    assert client.output == b""
    bench.advance(19.8)
    assert client.output == b""
    bench.advance(0.4)
    assert statuses(client.output) == [408]
    assert client.state is LINGERING
    assert bench.bodies.total == 0


def test_a_served_request_has_no_limit_here(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(get())
    bench.advance(3600)
    bench.service.served[0].respond(200, [], b"at last")
    assert client.output.endswith(b"at last")
    bench.advance(74)
    assert client.state is IDLE


def test_a_client_that_takes_nothing_for_60_seconds_is_gone(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.begin(200, [], None)
    client.send(get())
    client.transport.room = 0
    bench.service.served[0].write(b"x" * 1000)
    bench.advance(59)
    assert bench.service.gone == 0
    bench.advance(7)
    assert bench.service.gone == 1
    assert client.transport.aborted


def test_a_client_that_takes_a_little_is_not_gone(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.begin(200, [], None)
    client.send(get())
    client.transport.room = 0
    for _ in range(20):
        bench.service.served[0].write(b"x" * 100)
        client.transport.take(1)
        bench.advance(50)
    assert bench.service.gone == 0
    client.transport.take(1 << 20)
    bench.advance(3600)
    assert bench.service.gone == 0


def test_a_finished_answer_that_nobody_takes_does_not_hold_the_connection(bench: Bench, client: Client) -> None:
    client.transport.room = 0
    client.send(get("/", "Connection: close"))
    assert bench.server.connections == 1
    bench.advance(66)
    assert client.transport.lost
    assert bench.server.connections == 0


# The client leaves.


@pytest.mark.parametrize("finish", [Client.half_close, lambda client: client.transport.abort()])
def test_a_client_that_leaves_is_gone_at_once(bench: Bench, client: Client, finish: Callable[[Client], object]) -> None:
    bench.service.keep_waiting()
    client.send(get() + get())
    finish(client)
    bench.clock.settle()
    assert bench.service.gone == 1
    assert bench.server.connections == 0
    assert len(bench.wheel) == 0
    bench.service.served[0].respond(200, [], b"late")
    bench.service.served[0].release()
    assert client.output == b""


def test_output_that_waits_does_not_delay_the_news_that_the_client_left(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.begin(200, [], None)
    client.send(get())
    client.transport.room = 0
    bench.service.served[0].write(b"x")
    client.half_close()
    assert bench.service.gone == 1


def test_a_client_that_leaves_in_the_middle_of_a_body_gives_its_room_back(bench: Bench, client: Client) -> None:
    client.send(post(b"x" * 300_000)[:-100])
    assert bench.bodies.total > 200_000
    client.half_close()
    assert bench.bodies.total == 0


def test_an_answer_made_at_once_reaches_a_client_that_has_shut_its_side(client: Client) -> None:
    client.send(get())
    client.half_close()
    assert statuses(client.output) == [200]
    assert client.transport.closing
    assert not client.transport.aborted


# Back-pressure.


def test_the_handler_hears_of_a_full_client_and_of_room(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.begin(200, [], 1 << 20)
    client.send(get())
    client.transport.room = 0
    bench.service.served[0].write(b"x" * 64 * KIB)
    assert bench.service.pressure == []
    bench.service.served[0].write(b"x")
    assert bench.service.pressure == ["paused"]
    assert bench.service.served[0].unsent == 64 * KIB + 1
    client.transport.take(60 * KIB)
    assert bench.service.pressure == ["paused", "resumed"]


def test_there_may_be_nobody_yet_to_hear_of_it(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.respond(200, [], b"x" * 50 * KIB)
    client.transport.room = 0
    data = get() + post(b"x" * 100)
    client.send(data[:-50])
    client.transport.set_write_buffer_limits(KIB)  # as when memory becomes short
    client.transport.take(60 * KIB)
    client.send(data[-50:])
    assert len(bench.service.served) == 2


def test_what_waits_for_a_client_is_counted_until_it_is_taken_or_the_client_gone(bench: Bench) -> None:
    bench.service.on_serve = lambda request: request.respond(200, [], b"x" * 200 * KIB)
    takes, leaves = bench.client(), bench.client()
    for client in (takes, leaves):
        client.transport.room = 0
        client.send(get())
    assert bench.server.held.total >= 400 * KIB
    takes.transport.take(190 * KIB)
    assert 200 * KIB < bench.server.held.total < 220 * KIB
    takes.transport.take(20 * KIB)
    leaves.connection.abort()
    bench.advance(5.1)
    assert bench.server.held.total == 0


def test_while_memory_for_answers_is_full_a_writer_is_held_back_from_a_kib_on(bench: Bench, client: Client) -> None:
    full = bench.client()
    full.transport.room = client.transport.room = 0
    bench.service.on_serve = lambda request: request.respond(200, [], b"x" * 1024 * KIB)
    full.send(get())
    assert bench.server.held.full
    bench.service.on_serve = lambda request: request.begin(200, [], None)
    client.send(get())
    request = bench.service.served[-1]
    for _ in range(20):
        request.write(b"y" * 100)
    assert bench.service.pressure == ["paused", "paused"]
    full.connection.abort()
    bench.clock.settle()
    client.transport.take(3000)
    assert bench.service.pressure[-1] == "resumed"
    bench.service.pressure.clear()
    request.write(b"y" * 60 * KIB)
    assert bench.service.pressure == []


def test_a_client_that_does_not_read_gets_no_next_answer(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.respond(200, [], b"x" * 50_000)
    client.transport.room = 0
    client.send(get() * 100)
    assert len(bench.service.served) == 2
    bench.advance(50)
    for _ in range(100):
        client.transport.take(50_000)
        bench.clock.settle()
    client.transport.take(1 << 30)
    assert len(bench.service.served) == 100


def test_requests_behind_an_answer_that_is_not_taken_outlive_the_idle_limit_and_a_drain(
    bench: Bench, client: Client
) -> None:
    bench.service.on_serve = lambda request: request.respond(200, [], b"x" * 70_000)
    client.transport.room = 0
    client.send(get() * 2)
    for _ in range(10):
        bench.advance(20)
        client.transport.take(10)
    bench.drain()
    assert not client.closed()
    client.transport.take(1 << 20)
    bench.clock.settle()
    client.transport.take(1 << 20)
    assert len(bench.service.served) == 2
    assert client.ended


def test_what_is_kept_behind_a_last_answer_is_dropped_and_more_is_read(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(get() + b"x" * BACKLOG_MAX)
    assert client.paused()
    bench.drain()
    bench.service.served[0].respond(200, [], b"")
    assert (client.state, client.paused(), bench.server.backlog) == (LINGERING, False, 0)


def test_what_is_kept_behind_a_request_is_bounded(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(get() + b"x" * (BACKLOG_MAX - 1))
    assert not client.paused()
    client.send(b"x")
    assert client.paused()
    bench.service.served[0].respond(200, [], b"")
    bench.clock.settle()
    assert statuses(client.output) == [200, 400]
    assert not client.paused()
    assert bench.server.backlog == 0


def test_what_all_connections_keep_is_bounded_together(bench: Bench) -> None:
    bench.service.keep_waiting()
    clients = [bench.client() for _ in range(BACKLOG_TOTAL // 60_000 + 2)]
    for client in clients:
        client.send(get() + get() * (60_000 // len(get())))
    assert bench.server.backlog < BACKLOG_TOTAL + BACKLOG_MAX
    assert clients[-1].transport.paused
    for client in clients:
        client.half_close()
    assert bench.server.backlog == 0


def test_when_too_much_is_kept_a_read_brings_little(bench: Bench) -> None:
    bench.service.keep_waiting()
    clients = [bench.client() for _ in range(300)]
    for client in clients:
        client.send(get())
    for client in clients:
        client.send(b"x" * 20_000)
    assert bench.server.backlog < BACKLOG_TOTAL + BACKLOG_MAX + 300 * NARROW_READ_BYTES
    for client in clients:
        client.connection.abort()
    bench.clock.settle()
    assert (bench.server.backlog, len(bench.server.head_view)) == (0, HEAD_READ_BYTES)


# Heads that are not whole.


def dribble(bench: Bench, size: int) -> Client:
    client = bench.client()
    client.send(get("/", f"X-Long: {'x' * size}")[:-4])
    return client


def test_heads_that_come_in_part_share_a_bound(bench: Bench) -> None:
    clients = [dribble(bench, 30_000) for _ in range(100)]
    assert bench.server.heads.total <= HEADS_LIMIT
    assert {status for client in clients for status in statuses(client.output)} == {503}
    left = [client for client in clients if not client.ended]
    assert 30 < len(left) < 40
    for client in left:
        client.send(b"\r\n\r\n")
        assert statuses(client.output) == [200]
    assert bench.server.heads.total == 0


def test_a_head_request_that_has_to_go_gets_no_body(bench: Bench) -> None:
    clients = [bench.client() for _ in range(40)]
    for client in clients:
        client.send(get("/", f"X-Long: {'x' * 30_000}")[:-4].replace(b"GET", b"HEAD"))
    outputs = [client.output for client in clients if client.ended]
    assert outputs
    assert all(output.endswith(b"\r\n\r\n") for output in outputs)


def test_who_has_held_most_for_longest_has_to_go_first(bench: Bench) -> None:
    small = dribble(bench, 500)
    bench.advance(5)
    large = [dribble(bench, 30_000) for _ in range(34)]
    bench.advance(5)
    fresh = dribble(bench, 30_000)
    assert not small.ended
    assert not fresh.ended
    assert sum(client.ended for client in large) == 1


@pytest.mark.parametrize("end", ["whole", "refused", "gone", "late"])
def test_a_head_counts_until_its_end(bench: Bench, end: str) -> None:
    client = dribble(bench, 20_000)
    assert bench.server.heads.total > 20_000
    if end == "gone":
        client.half_close()
    elif end == "late":
        bench.advance(21)
    else:
        client.send(b"\r\n\r\n" if end == "whole" else b"\r\nno header\r\n\r\n")
    assert bench.server.heads.total == 0


def test_a_head_whose_client_has_just_left_is_not_asked_to_go(bench: Bench) -> None:
    """Both may happen in one turn of the loop, before the connection hears of its end."""
    gone = dribble(bench, 30_000)
    bench.advance(5)
    for _ in range(33):
        dribble(bench, 30_000)
    dribble(bench, 12_000)
    fresh = bench.client()
    gone.connection.eof_received()
    fresh.send(get("/", f"X-Long: {'x' * 30_000}")[:-4])
    assert not bench.service.crashes
    assert (statuses(fresh.output), fresh.ended) == ([], False)


# The budget for bodies.


def small_budget() -> Bench:
    """Room for three steps of 64 KiB."""
    bench = Bench()
    bench.bodies.limit = 192 * KIB
    bench.service.keep_waiting()
    return bench


def test_a_body_without_room_waits_and_goes_on_when_there_is_some() -> None:
    bench = small_budget()
    first, second = bench.client(), bench.client()
    first.send(post(b"x" * 64 * KIB))
    other = bench.client()
    other.send(post(b"z" * 64 * KIB))
    third = bench.client()
    third.send(post(b"z" * 64 * KIB))
    data = post(b"y" * 50 * KIB)
    second.send(data)
    assert (second.state, second.transport.paused) == (WAITING, True)
    bench.service.served[0].release()
    bench.clock.settle()
    second.pump()
    assert bytes(bench.service.served[-1].body) == b"y" * 50 * KIB
    assert not second.transport.paused


def test_a_body_that_waits_for_room_gets_503_after_five_seconds() -> None:
    bench = small_budget()
    for _ in range(3):
        bench.client().send(post(b"x" * 64 * KIB))
    client = bench.client()
    client.send(post(b"y" * 50 * KIB, "Expect: 100-continue")[: -50 * KIB])
    bench.advance(4.9)
    assert client.output == b""
    bench.advance(0.3)
    output = client.output
    assert statuses(output) == [503]
    assert b"retry-after: 1\r\n" in output
    assert error_of(output)["code"] == "overloaded"
    assert bench.bodies.waiting == 0


def test_the_connection_stays_after_a_503_if_the_body_is_short() -> None:
    bench = small_budget()
    for _ in range(3):
        bench.client().send(post(b"x" * 64 * KIB))
    client = bench.client()
    client.send(post(b"y" * 50 * KIB))
    bench.advance(5.2)
    client.pump()
    assert statuses(client.output) == [503]
    assert client.state is IDLE


def test_bodies_that_wait_for_each_other_are_untied_at_once() -> None:
    """Of unknown length: of those whose length is known, only so many begin as can all be finished."""
    bench = Bench(Limits(max_buffered_bytes=4 * 1024 * KIB))
    clients = [bench.client() for _ in range(3)]
    data = chunked(b"x" * 2000 * KIB)
    for start in range(0, len(data), 50 * KIB):
        for client in clients:
            client.send(data[start : start + 50 * KIB])
    assert [statuses(client.output) for client in clients] == [[200], [503], [503]]


def test_a_slow_body_has_to_go_while_others_wait() -> None:
    bench = small_budget()
    slow = bench.client()
    slow.send(post(b"x" * 64 * KIB)[: -64 * KIB])
    slow.send(b"x" * 100)
    for _ in range(2):
        bench.client().send(post(b"x" * 64 * KIB))
    bench.advance(4)
    slow.send(b"x" * 1000)
    waiting = bench.client()
    waiting.send(post(b"y" * 50 * KIB))
    assert waiting.state is WAITING
    bench.advance(1.2)
    assert statuses(slow.output) == [408]
    waiting.pump()
    assert waiting.state is SERVING


def test_a_slow_upload_of_a_large_body_keeps_nobody_out() -> None:
    bench = Bench(Limits())
    bench.service.keep_waiting()
    slow = bench.client()
    slow.send(post(b"x" * 7000 * KIB)[: 100 * KIB])
    other = bench.client()
    other.send(post(b"y" * 1000 * KIB))
    assert other.state is WAITING
    bench.advance(0.7)
    other.pump()
    assert other.state is SERVING
    assert slow.state is BODY


def test_the_time_that_a_body_waited_for_room_does_not_make_it_slow() -> None:
    bench = small_budget()
    client = bench.client()
    client.send(post(b"y" * 130 * KIB)[: 10 * KIB])
    bench.client().send(post(b"x" * 64 * KIB))
    client.send(b"y" * 60 * KIB)
    assert client.state is WAITING
    bench.advance(4.8)
    bench.service.served[0].release()
    bench.clock.settle()
    bench.bodies.waiting = 1
    bench.advance(4.8)
    assert client.output == b""
    bench.advance(0.4)
    assert statuses(client.output) == [408]


def test_a_body_of_16_kib_a_second_is_fast_enough() -> None:
    bench = Bench()
    bench.service.keep_waiting()
    client = bench.client()
    client.send(post(b"x" * 500_000)[:-500_000])
    client.send(b"x")
    for missing in (0, 0, 0, 1):
        assert client.output == b""
        client.send(b"x" * (SLOW_BYTES - missing))
        bench.bodies.waiting = 1
        bench.advance(5.02)
    assert statuses(client.output) == [408]


def test_a_body_counts_until_it_is_released_or_its_request_ends(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(post(b"x" * 100))
    assert bench.bodies.total > 0
    bench.service.served[0].release()
    assert bench.bodies.total == 0
    assert bench.service.served[0].body == b""
    bench.service.served[0].respond(200, [], b"")
    client.send(post(b"x" * 100))
    assert bench.bodies.total > 0
    bench.service.served[1].respond(200, [], b"")
    assert bench.bodies.total == 0


# Too many.


def busy(bench: Bench, count: int) -> list[Client]:
    """So many clients whose requests are under way."""
    bench.service.keep_waiting()
    clients = [bench.client() for _ in range(count)]
    for client in clients:
        client.send(get())
    bench.service.on_serve = lambda request: request.respond(200, [], b"ok")
    return clients


def test_where_all_are_busy_only_operators_are_served_beyond_max_connections() -> None:
    bench = Bench(Limits(max_connections=2))
    working = busy(bench, 2)
    stranger = bench.client()
    stranger.send(get("/v1/models"))
    output = stranger.output
    assert statuses(output) == [503]
    assert b"retry-after: 1\r\n" in output
    assert error_of(output)["code"] == "overloaded"
    assert stranger.ended
    operator = bench.client()
    operator.send(get("/status"))
    assert statuses(operator.output) == [200]
    assert operator.ended
    for request in bench.service.served[:2]:
        request.respond(200, [], b"fine")
    assert [statuses(client.output) for client in working] == [[200], [200]]
    assert [client.state for client in working] == [IDLE, IDLE]


@pytest.mark.parametrize("sent", [b"", get(), b"GET /a HTTP/1.1\r\n"])
def test_the_longest_idle_or_silent_connection_is_closed_for_a_newcomer(sent: bytes) -> None:
    bench = Bench(Limits(max_connections=3))
    (working,) = busy(bench, 1)
    older, younger = bench.client(), bench.client()
    for client in (younger, older, younger) if sent else ():
        client.send(sent if client is not younger or sent.endswith(b"\r\n\r\n") else b"")
        bench.advance(1)
    if sent and not sent.endswith(b"\r\n\r\n"):
        younger.send(sent)
    bench.advance(0.2)
    newcomer = bench.client()
    assert older.closed()
    assert not younger.closed()
    assert not working.closed()
    newcomer.send(get("/v1/models"))
    assert statuses(newcomer.output) == [200]
    assert newcomer.state is IDLE
    assert bench.server.connections == 3


def test_silent_sockets_shut_nobody_out() -> None:
    bench = Bench(Limits(max_connections=4))
    busy(bench, 4)
    for _ in range(500):
        bench.client()
    assert bench.server.connections <= 4 + 64
    operator = bench.client()
    operator.send(get("/status"))
    assert statuses(operator.output) == [200]


def test_those_that_come_in_a_crowd_do_not_throw_each_other_out_before_they_can_ask() -> None:
    """Their requests are a round trip behind their handshakes: each is served, or told to come again."""
    bench = Bench(Limits(max_connections=4))
    crowd = [bench.client() for _ in range(4 + 64)]
    bench.advance(0.1)
    for client in crowd:
        client.send(get("/v1/models"))
    told = [statuses(client.output) for client in crowd]
    assert (told.count([200]), told.count([503])) == (4, 64)


def test_those_of_a_crowd_that_ask_take_the_place_of_those_that_do_not() -> None:
    bench = Bench(Limits(max_connections=4))
    crowd = [bench.client() for _ in range(4 + 64)]
    bench.advance(0.2)
    for client in crowd[-4:]:
        client.send(get("/v1/models"))
    assert [statuses(client.output) for client in crowd[-4:]] == [[200]] * 4
    assert [client.closed() for client in crowd[:-4]] == [True] * 64


def test_what_waits_in_a_socket_shows_that_its_client_is_not_silent() -> None:
    """Of many that come at once, most have not been read when the last is accepted."""
    bench = Bench(Limits(max_connections=1))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client = Client(bench, sock=ours)
        theirs.send(get())
        bench.advance(1)
        for needed in (False, True):
            bench.server.make_room(needed)
            assert not client.closed()
        ours.recv(100)
        bench.server.make_room(needed=False)
        assert client.closed()


def test_of_busy_ones_there_may_be_64_too_many() -> None:
    bench = Bench(Limits(max_connections=4))
    busy(bench, 4)
    bench.service.keep_waiting()
    for _ in range(64):
        operator = bench.client()
        operator.send(get("/status"))
        assert operator.state is SERVING
    assert bench.client().transport.aborted


def test_those_that_were_told_to_go_make_room_before_their_two_seconds_are_over() -> None:
    bench = Bench(Limits(max_connections=1))
    busy(bench, 1)
    for _ in range(200):
        stranger = bench.client()
        stranger.send(get("/v1/models"))
        assert statuses(stranger.output) == [503]
    operator = bench.client()
    operator.send(get("/status"))
    assert statuses(operator.output) == [200]


def test_a_silent_client_with_output_that_waits_keeps_its_place() -> None:
    bench = Bench(Limits(max_connections=2))
    reading, slow = bench.client(), bench.client()
    slow.transport.room = 0
    slow.send(get())
    bench.advance(1)
    reading.send(get())
    bench.advance(0.2)
    bench.client()
    assert not slow.closed()
    assert reading.closed()


def test_a_client_whose_next_request_is_there_already_is_not_idle() -> None:
    bench = Bench(Limits(max_connections=1))
    bench.service.keep_waiting()
    client = bench.client()
    client.send(get() + get("/second"))
    bench.service.served[0].respond(200, [], b"first")
    assert client.state is IDLE, "for the rest of this turn of the loop"
    bench.server.make_room(needed=True)
    bench.clock.settle()
    assert bench.service.served[1].path == b"/second"


def test_a_connection_too_many_is_served_if_others_have_left_meanwhile() -> None:
    bench = Bench(Limits(max_connections=1))
    (first,) = busy(bench, 1)
    second = bench.client()
    first.half_close()
    second.send(get("/v1/models"))
    assert statuses(second.output) == [200]


# Memory for whole requests.


def taking(bench: Bench, limit: int) -> None:
    """Requests count from their head on, and stay under way."""

    def take(request: Request) -> None:
        request.in_flight = True

    bench.service.on_head = take
    bench.service.keep_waiting()
    bench.bodies.limit = limit


LONG = "x-needed-and-long: " + "h" * 30_000


@pytest.mark.parametrize("body", [b"", b"x"])
@pytest.mark.parametrize("at_once", [True, False])
def test_whole_heads_count_as_long_as_anything_of_them_is_kept(at_once: bool, body: bytes) -> None:
    bench = Bench()
    taking(bench, 100 * KIB)
    clients = [bench.client() for _ in range(10)]
    data = post(body, LONG)
    for client in clients:
        client.send(data, piece=1 << 30 if at_once else 1000)
    assert len(bench.service.served) == 3
    assert bench.bodies.total + bench.bodies.heads <= 100 * KIB
    outputs = [client.output for client in clients]
    assert [statuses(output) for output in outputs] == [[]] * 3 + [[503]] * 7, "a head cannot wait: it is there"
    assert all(b"retry-after: 1\r\n" in output for output in outputs[3:])
    bench.service.served[0].release()
    late = bench.client()
    late.send(data)
    assert len(bench.service.served) == 4
    for request in bench.service.served:
        request.respond(200, [], b"")
    bench.clock.settle()
    assert (bench.bodies.total, bench.bodies.heads, bench.bodies.waiting) == (0, 0, 0)
    assert bench.service.served[-1].body == body
    assert bench.service.ended_requests == 11


def test_of_a_large_head_only_what_is_needed_stays_and_counts() -> None:
    bench = Bench()
    taking(bench, 100 * KIB)
    for _ in range(10):
        bench.client().send(post(b"x", "x-long: " + "h" * 30_000, "x-needed: yes"))
    assert [request.fields.all for request in bench.service.served] == [[(b"x-needed", b"yes")]] * 10
    assert bench.bodies.heads < 10 * KIB


def test_the_largest_body_is_served_whatever_its_head() -> None:
    bench = Bench(Limits(max_body_bytes=256 * KIB, max_buffered_bytes=256 * KIB))
    taking(bench, 256 * KIB)
    client = bench.client()
    client.send(post(b"x" * 256 * KIB, LONG))
    assert len(bench.service.served) == 1


def test_a_whole_request_waits_for_room_and_is_served_or_told_503() -> None:
    bench = Bench()
    taking(bench, 30 * KIB)
    clients = [bench.client() for _ in range(3)]
    for client in clients:
        client.send(post(b"x" * 14 * KIB))
    assert len(bench.service.served) == 2
    assert clients[2].state is WAITING
    bench.service.served[0].release()
    bench.clock.settle()
    assert len(bench.service.served) == 3
    late = bench.client()
    late.send(post(b"y" * 14 * KIB))
    bench.advance(5.2)
    late.pump()
    assert statuses(late.output) == [503]
    assert late.state is IDLE


def test_a_crowd_of_small_requests_waits_for_room_within_an_eighth_of_the_bound_more() -> None:
    bench = Bench()
    taking(bench, 96 * KIB)
    clients = [bench.client() for _ in range(40)]
    for client in clients:
        client.send(post(b"x" * 6 * KIB))
    waiting = [client for client in clients if client.state is WAITING]
    refused = [output for client in clients if (output := client.output)]
    assert (len(bench.service.served), len(waiting) + len(refused)) == (16, 24)
    assert [statuses(output) for output in refused] == [[503]] * len(refused)
    assert waiting
    assert refused
    assert bench.server.backlog < 40 * NARROW_READ_BYTES, "while one waits, not much more than the next heads is read"
    assert bench.bodies.total + bench.bodies.heads <= 108 * KIB
    assert len(bench.server.head_view) == NARROW_READ_BYTES
    for request in bench.service.served:  # grows: each that is done makes room for the next
        assert request.body == b"x" * 6 * KIB
        request.respond(200, [], b"")
        bench.clock.settle()
        for client in waiting:
            client.pump()
    assert len(bench.service.served) == 16 + len(waiting)
    assert len(bench.server.head_view) == HEAD_READ_BYTES
    assert (bench.bodies.total, bench.bodies.heads, bench.bodies.waiting) == (0, 0, 0)


def test_reads_are_as_large_as_ever_once_the_last_that_waited_has_left() -> None:
    bench = Bench()
    taking(bench, 20 * KIB)
    first, second = bench.client(), bench.client()
    for client in (first, second):
        client.send(post(b"x" * 14 * KIB))
    assert len(bench.server.head_view) == NARROW_READ_BYTES
    second.half_close()
    assert len(bench.server.head_view) == HEAD_READ_BYTES


def test_a_client_that_leaves_while_its_whole_request_waits_is_forgotten() -> None:
    bench = Bench()
    taking(bench, 20 * KIB)
    first, second = bench.client(), bench.client()
    for client in (first, second):
        client.send(post(b"x" * 14 * KIB))
    assert second.state is WAITING
    second.half_close()
    first.half_close()
    bench.clock.settle()
    assert len(bench.service.served) == 1
    assert (bench.bodies.total, bench.bodies.heads, bench.bodies.waiting) == (0, 0, 0)
    assert bench.service.ended_requests == 2


# The end.


def test_a_drain_closes_the_idle_and_lets_the_others_finish(bench: Bench) -> None:
    idle, busy, half = bench.client(), bench.client(), bench.client()
    idle.send(get())
    bench.advance(1.0)
    bench.service.keep_waiting()
    busy.send(get())
    half.send(get()[:10])
    bench.drain()
    bench.clock.settle()
    assert idle.transport.closing
    assert bench.server.connections == 2
    bench.service.served[1].respond(200, [], b"done")
    assert b"connection: close\r\n" in busy.output
    assert busy.ended
    half.send(get()[10:])
    bench.service.served[2].respond(200, [], b"done")
    assert half.output.endswith(b"done")
    assert half.ended
    bench.advance(2.2)
    assert bench.server.connections == 0


def test_a_client_that_did_not_ask_for_the_end_gets_time_to_notice_it(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()
    client.send(get())
    bench.drain()
    bench.service.served[0].respond(200, [], b"")
    assert (client.transport.eof_written, client.closed()) == (True, False)
    client.send(get())
    client.half_close()
    assert client.closed()
    assert len(bench.service.served) == 1


def test_a_connection_that_was_accepted_but_not_heard_gets_a_moment_in_a_drain(bench: Bench) -> None:
    before = bench.client()
    bench.drain()
    after = bench.client()
    before.send(get())
    assert statuses(before.output) == [200]
    bench.advance(1.2)
    assert after.transport.closing


def test_a_connection_that_was_in_use_a_moment_ago_may_have_its_next_request_on_the_way_in_a_drain(
    bench: Bench,
) -> None:
    """What balancers send over a connection that is being closed is lost, and they do not send a POST again."""
    busy, quiet = bench.client(), bench.client()
    busy.send(get())
    quiet.send(get())
    bench.advance(0.5)
    bench.drain()
    bench.advance(0.3)
    assert (busy.transport.closing, quiet.transport.closing) == (False, False)
    assert b"connection: close\r\n" not in busy.output
    busy.send(get())
    assert b"connection: close\r\n" in busy.output
    assert busy.ended
    bench.advance(0.4)
    assert quiet.transport.closing


def test_a_stream_whose_head_was_sent_before_a_drain_closes_a_second_behind_its_end(
    bench: Bench, client: Client
) -> None:
    bench.service.on_serve = lambda request: request.begin(200, [], None)
    client.send(get())
    bench.drain()
    bench.service.served[0].write(b"x")
    bench.service.served[0].end()
    assert client.output.endswith(b"0\r\n\r\n")
    assert not client.ended
    bench.advance(1.2)
    assert client.transport.closing


def test_a_client_that_no_head_has_told_of_a_drain_may_ask_once_more(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.begin(200, [], None)
    client.send(get())
    bench.drain()
    bench.service.served[0].end()
    assert b"connection: close\r\n" not in client.output
    client.send(get())
    bench.service.served[1].end()
    assert b"connection: close\r\n" in client.output
    assert client.ended
    client.send(get())
    assert len(bench.service.served) == 2


def test_so_is_one_that_has_come_before_the_end_of_that_answer(bench: Bench, client: Client) -> None:
    bench.service.on_serve = lambda request: request.begin(200, [], None)
    client.send(get() * 3)
    bench.drain()
    bench.service.served[0].end()
    assert b"connection: close\r\n" not in client.output
    bench.clock.settle()
    bench.service.served[1].end()
    assert b"connection: close\r\n" in client.output
    assert client.ended
    assert len(bench.service.served) == 2


def test_close_all_closes_all_and_tells_the_handlers(bench: Bench) -> None:
    clients = [bench.client() for _ in range(3)]
    bench.service.keep_waiting()
    clients[0].send(get())
    clients[1].send(post(b"xx")[:-1])
    bench.server.close_all()
    bench.clock.settle()
    assert bench.server.connections == 0
    assert bench.service.gone == 1
    assert len(bench.wheel) == 0
