"""The Messages API through the whole gateway: heads both ways, our errors in its shape, failing over."""

from __future__ import annotations

import json

import msgspec
import pytest

from oxllm import plan as plans
from tests.support.chat_bytes import chunk
from tests.support.house import EVENT_STREAM, Client, House, Response, answer, plan_of
from tests.support.scripted import Step
from tests.support.told import HELLO, OVERLOADED, PING, block, named, start, text

MESSAGE = {
    "type": "message",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5},
}


def plan(*names: str, **server: object) -> plans.Plan:
    """Providers that speak messages."""
    made = plan_of(*(names or ("alpha", "beta")), **server)
    spoken = tuple(msgspec.structs.replace(one, protocols=("messages",)) for one in made.providers)
    return msgspec.structs.replace(made, providers=spoken)


def ask(
    house: House,
    *fields: str,
    path: str = "/v1/messages",
    stream: bool = False,
    model: str = "smart",
    body: bytes | None = None,
) -> Client:
    """A request that has been sent."""
    if body is None:
        body = json.dumps({"model": model, "max_tokens": 9, "messages": [], "stream": stream}).encode()
    lines = [f"POST {path} HTTP/1.1", "host: localhost:8080", f"content-length: {len(body)}", *fields, "", ""]
    client = house.client().send("\r\n".join(lines).encode() + body)
    house.advance(0.3)
    return client


def told(*events: object) -> list[Step]:
    """A stream of these events, and its proper end."""
    return [EVENT_STREAM, chunk(named(*events)), b"0\r\n\r\n"]


def error_of(reply: Response) -> tuple[int, str]:
    body = reply.json()
    assert (body["type"], reply.headers["content-type"]) == ("error", "application/json")
    assert body["request_id"] == reply.headers["request-id"] == reply.headers["x-request-id"]
    return reply.status, body["error"]["type"]


@pytest.mark.parametrize("path", ["/v1/messages", "/messages", "/v1/messages?beta=true"])
def test_a_message_comes_back_byte_for_byte_and_its_query_goes_along(path: str) -> None:
    with House(plan()) as house:
        body = json.dumps(MESSAGE, indent=1).encode()
        house.providers["alpha"].replies = [answer(body, 200, "request-id: req_up", "anthropic-organization-id: org")]
        reply = ask(
            house, "anthropic-version: 2023-06-01", "anthropic-beta: x", "x-request-id: mine", path=path
        ).response
        assert (reply.status, reply.body) == (200, body)
        assert (reply.headers["request-id"], reply.headers["x-upstream-request-id"]) == ("mine", "req_up")
        assert reply.headers["anthropic-organization-id"] == "org"
        asked = house.providers["alpha"].asked[0]
        assert asked.startswith(b"POST /v1" + path.removeprefix("/v1").encode() + b" HTTP/1.1\r\n")
        assert asked.count(b"anthropic-version: 2023-06-01\r\n") == asked.count(b"anthropic-beta: x\r\n") == 1
        assert b"x-api-key: sk-secret-alpha\r\n" in asked


def test_a_query_does_not_go_along_with_other_apis() -> None:
    with House() as house:
        body = b'{"model":"smart","messages":[]}'
        ask(house, path="/v1/chat/completions?beta=true", body=body)
        assert house.providers["alpha"].asked[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")


@pytest.mark.parametrize("field", ["Authorization: Bearer team-key", "x-api-key: team-key"])
def test_the_clients_key_comes_either_way_and_is_not_passed_on(field: str) -> None:
    with House(plan("alpha", api_keys=("team-key",))) as house:
        house.providers["alpha"].replies = [answer(json.dumps(MESSAGE).encode())]
        assert ask(house, field).response.status == 200
        assert house.get("/v1/models", field).status == 200
        assert b"team-key" not in house.providers["alpha"].asked[0]
        assert error_of(ask(house, "x-api-key: another").response) == (401, "authentication_error")


def test_a_stream_is_passed_on_with_its_names() -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [told(*HELLO)]
        reply = ask(house, stream=True).response
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["request-id"] == reply.headers["x-request-id"]
        assert (reply.body, reply.whole) == (named(*(event for event in HELLO if event is not PING)), True)


def test_no_usage_is_asked_for_as_chat_asks_for_it() -> None:
    made = plan("alpha")
    provider = msgspec.structs.replace(made.providers[0], usage_in_stream=True)
    with House(msgspec.structs.replace(made, providers=(provider,))) as house:
        house.providers["alpha"].replies = [told(*HELLO)]
        ask(house, stream=True)
        assert b"stream_options" not in house.providers["alpha"].asked[0]


@pytest.mark.parametrize(
    "reply",
    [
        told(start(), OVERLOADED),
        told(start(), block()),
        told(start(), block(), b"data: garbage\n\n"),
        answer(json.dumps(OVERLOADED).encode(), 529),
        answer(json.dumps(MESSAGE).encode()),
        [EVENT_STREAM, chunk(named(start(), block())), 0.1, "reset"],
    ],
    ids=["error event", "cut", "garbage", "529", "no stream", "reset"],
)
def test_what_fails_before_content_is_another_providers_to_answer(reply: list[Step]) -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [reply]
        house.providers["beta"].replies = [told(*HELLO)]
        found = ask(house, stream=True).response
        assert (found.headers["x-oxllm-provider"], found.whole) == ("beta", True)
        assert found.body.count(b"message_start") == 2  # its name and its type: one message


def test_a_break_behind_content_is_an_error_event_and_no_last_chunk() -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [[EVENT_STREAM, chunk(named(start(), block(), text("Hi"))), 0.1, "reset"]]
        client = ask(house, stream=True)
        found = client.response
        assert (found.whole, client.closed) == (False, True)
        name, _, data = found.body.removeprefix(named(start(), block(), text("Hi"))).partition(b"\ndata: ")
        assert name == b"event: error"
        assert json.loads(data)["error"]["type"] == "api_error"
        assert json.loads(data)["request_id"] == found.headers["request-id"]


def test_a_failure_behind_content_is_the_providers_own_event_and_no_other() -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [told(start(), block(), text("Hi"), OVERLOADED)]
        client = ask(house, stream=True)
        assert client.response.body == named(start(), block(), text("Hi"), OVERLOADED)
        assert (client.response.whole, client.closed) == (False, True)


def test_a_message_stop_that_is_missing_is_added() -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [told(*HELLO[:-1])]
        found = ask(house, stream=True).response
        assert found.body.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        assert found.whole


def test_who_waits_is_sent_pings() -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [[EVENT_STREAM, chunk(named(start(), block())), 25.0, *told(*HELLO[2:])[1:]]]
        client = ask(house, stream=True)
        house.advance(30.0)
        pings = b'event: ping\ndata: {"type": "ping"}\n\n'
        assert client.response.body.startswith(2 * pings + named(start(), block()))
        assert client.response.headers["request-id"]


def test_all_that_fail_behind_a_ping_are_an_error_event() -> None:
    with House(plan()) as house:
        for script in house.providers.values():
            script.replies = [[11.0, *answer(b"{}", 500)]]
        client = ask(house, stream=True)
        house.advance(60.0)
        assert client.response.body.count(b"event: error\n") == 1
        assert b'"api_error"' in client.response.body
        assert not client.response.whole


# Our own errors.


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        (b"{", "/v1/messages", (400, "invalid_request_error")),
        (b"{}", "/v1/messages", (400, "invalid_request_error")),
        (b'{"model":"other"}', "/v1/messages", (404, "not_found_error")),
        (b'{"model":"other"}', "/v1/messages/count_tokens", (404, "not_found_error")),
        (b"x" * 3000, "/v1/messages", (413, "request_too_large")),
    ],
    ids=["no JSON", "no model", "another model", "another model to count for", "too large"],
)
def test_what_a_client_gets_wrong_is_told_in_anthropics_shape(
    body: bytes, path: str, expected: tuple[int, str]
) -> None:
    with House(plan(max_body_bytes=2048)) as house:
        assert error_of(ask(house, body=body, path=path).response) == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"host: a\r\nhost: b\r\n\r\n", (400, "invalid_request_error")),
        (b"host: a\r\ncontent-length: x\r\n\r\n", (400, "invalid_request_error")),
        (b"host: a\r\nx: %b\r\n\r\n" % (b"y" * 33_000), (431, "invalid_request_error")),
        (b"host: a\r\n", (408, "invalid_request_error")),
    ],
    ids=["two hosts", "no length", "too long", "too slow"],
)
@pytest.mark.parametrize("piece", [7, 40_000])
def test_a_head_that_cannot_be_read_is_told_in_anthropics_shape(
    head: bytes, piece: int, expected: tuple[int, str]
) -> None:
    data = b"POST /v1/messages?beta=true HTTP/1.1\r\n" + head
    with House(plan()) as house:
        client = house.client()
        for at in range(0, len(data), piece):
            client.send(data[at : at + piece])
        house.advance(21.0)
        assert error_of(client.response) == expected


def test_the_wrong_method_is_told_in_anthropics_shape() -> None:
    with House(plan()) as house:
        reply = house.get("/v1/messages")
        assert (error_of(reply), reply.headers["allow"]) == ((405, "invalid_request_error"), "POST")


@pytest.mark.parametrize(
    ("status", "expected"),
    [(429, (429, "rate_limit_error")), (500, (502, "api_error")), (401, (502, "api_error"))],
)
def test_what_all_providers_refuse_is_told_in_anthropics_shape(status: int, expected: tuple[int, str]) -> None:
    with House(plan()) as house:
        for script in house.providers.values():
            script.replies = [answer(b"{}", status)]
        assert error_of(ask(house).response) == expected


def test_too_much_at_once_is_an_overload() -> None:
    with House(plan("alpha", max_in_flight=1)) as house:
        house.providers["alpha"].replies = [[]]
        ask(house)
        reply = ask(house).response
        assert error_of(reply) == (529, "overloaded_error")
        assert reply.headers["retry-after"] == "1"


def test_nobody_to_ask_for_long_is_not_worth_asking_again() -> None:
    with House(plan("alpha")) as house:
        house.generation.router.offline("alpha")
        reply = ask(house).response
        assert error_of(reply) == (529, "api_error")
        assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("60", "false")


def test_too_little_time_is_a_timeout() -> None:
    with House(plan("alpha")) as house:
        house.providers["alpha"].replies = [[]]
        client = ask(house, "x-stainless-timeout: 2")
        house.advance(2.0)
        assert error_of(client.response) == (504, "timeout_error")


def test_a_timeout_that_was_not_given_is_none() -> None:
    with House(plan("alpha")) as house:
        house.providers["alpha"].replies = [[9.0, *answer(json.dumps(MESSAGE).encode())]]
        client = ask(house, "x-stainless-timeout: NOT_GIVEN")
        house.advance(10.0)
        assert client.response.status == 200


def test_a_providers_4xx_is_passed_on_byte_for_byte() -> None:
    with House(plan()) as house:
        body = b'{"type":"error",  "error":{"type":"invalid_request_error","message":"max_tokens: required"}}'
        house.providers["alpha"].replies = [answer(body, 400, "request-id: req_up")]
        reply = ask(house).response
        assert (reply.status, reply.body, reply.headers["x-upstream-request-id"]) == (400, body, "req_up")
        assert house.providers["beta"].asked == []


# Counting tokens.


def count(house: House) -> Response:
    body = b'{"model":"smart","messages":[],"stream":true}'
    return ask(house, path="/v1/messages/count_tokens?beta=true", body=body).response


def test_tokens_are_counted() -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(b'{"input_tokens": 14}')]
        reply = count(house)
        assert (reply.status, reply.body) == (200, b'{"input_tokens": 14}')
        asked = house.providers["alpha"].asked[0]
        assert asked.startswith(b"POST /v1/messages/count_tokens?beta=true HTTP/1.1\r\n")
        assert b'"stream":true' in asked
        assert house.generation.router.providers["alpha"].targets["m"].counters.prompt_tokens == 0


def test_an_error_in_place_of_a_number_of_tokens_is_what_it_says() -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(b'{"type":"error","error":{"type":"rate_limit_error"}}')]
        house.providers["beta"].replies = [answer(b'{"input_tokens": 14}')]
        assert count(house).headers["x-oxllm-provider"] == "beta"
        alpha = house.get("/status?format=json").json()["models"][0]["targets"][0]
        assert alpha["state"] == "rate-limited"


@pytest.mark.parametrize("status", [404, 405])
def test_a_provider_that_cannot_count_is_not_blamed(status: int) -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(b'{"error":{"message":"no such path"}}', status)]
        house.providers["beta"].replies = [answer(b'{"input_tokens": 14}')]
        for _ in range(5):
            assert count(house).headers["x-oxllm-provider"] == "beta"
        assert len(house.providers["alpha"].asked) == 5


# What is told of it.


def test_what_the_provider_still_knew_of_a_prompt_is_counted_apart() -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(json.dumps(MESSAGE).encode())]
        ask(house, "x-request-id: my-id")
        ask(house)
        status = house.get("/status?format=json").json()
        assert status["protocols"] == {"messages": 2}
        alpha = status["providers"][0]
        assert (alpha["prompt_tokens"], alpha["cached_tokens"], alpha["protocols"]) == (14, 8, ["messages"])
        target = status["models"][0]["targets"][0]
        assert (target["target"], target["prompt_tokens"], target["cached_tokens"]) == ("alpha/m", 14, 8)
        metrics = house.get("/metrics").text
        assert 'oxllm_cached_tokens_total{provider="alpha",model="m"} 8\n' in metrics
        assert 'oxllm_protocol_requests_total{protocol="messages"} 2\n' in metrics
        assert "200 messages smart -> alpha/m total 0 ms (7+5 tokens, 4 cached) my-id\n" in house.log_text()
        told = house.get("/explain/my-id").text
        assert told.startswith("my-id: messages smart, 200, served by alpha/m")
        assert "7+5 tokens, 4 of them cached" in told


def test_an_error_inside_a_plain_200_is_told_as_its_status() -> None:
    with House(plan()) as house:
        body = b'{"type":"error",  "error":{"type":"invalid_request_error","message":"prompt is too short"}}'
        house.providers["alpha"].replies = [answer(body)]
        reply = ask(house).response
        assert (reply.status, reply.body) == (400, body)
        assert house.providers["beta"].asked == []


def test_where_nobody_can_count_the_last_answer_is_the_answer() -> None:
    with House(plan()) as house:
        for name, script in house.providers.items():
            script.replies = [answer(b'{"error":{"message":"no %b"}}' % name.encode(), 404)]
        reply = count(house)
        assert (reply.status, reply.body) == (404, b'{"error":{"message":"no beta"}}')


# Foreign state.


def test_what_another_provider_sealed_is_asked_of_the_next_and_blames_nobody() -> None:
    message = "messages.1.content.0: Invalid `signature` in `thinking` block"
    sealed = json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": message}}).encode()
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(sealed, 400)]
        house.providers["beta"].replies = [answer(json.dumps(MESSAGE).encode())]
        for _ in range(5):
            assert ask(house, "x-request-id: my-id").response.headers["x-oxllm-provider"] == "beta"
        assert len(house.providers["alpha"].asked) == 5
        status = house.get("/status?format=json").json()["providers"][0]
        assert (status["state"], status["marks"]) == ("closed", {})
        assert "foreign state" in house.get("/explain/my-id").text
        house.providers["beta"].replies = [answer(sealed, 400)]
        reply = ask(house).response
        assert (reply.status, reply.body) == (400, sealed)


def test_who_is_refused_is_logged_and_counted_with_the_status_that_it_got() -> None:
    with House(plan(max_in_flight=0)) as house:
        assert ask(house).response.status == 529
        assert " 529 " in house.log_text()
        page = house.get("/metrics").text
        assert 'oxllm_refusals_total{status="529"} 1' in page
        assert 'oxllm_refusals_total{status="503"} 0' in page


def test_who_is_cut_off_is_logged_with_the_status_that_it_got() -> None:
    with House(plan()) as house:
        client = house.client().send(b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{")
        house.gateway.drain.signal()
        house.gateway.drain.signal()
        house.settle()
        assert client.response.status == 529
        assert " 529 " in house.log_text()
