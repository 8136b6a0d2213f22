"""Answers that providers keep: whoever made one is asked for it, and nobody else while that is known."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from oxllm import plan as plans
from tests.support.chat_bytes import chunk
from tests.support.house import EVENT_STREAM, House, Response, answer, plan_of
from tests.support.responses_api import ID, message, response, sse
from tests.support.responses_api import answer as events
from tests.support.scripted import Asked, Step

NAMES = ("alpha", "beta", "gamma")
MISSING = answer(b'{"error":{"message":"Response not found","type":"invalid_request_error"}}', 404)


def plan(*names: str, **changes: Any) -> plans.Plan:
    base = plan_of(*(names or NAMES))
    providers = tuple(msgspec.structs.replace(one, protocols=("responses",), **changes) for one in base.providers)
    return msgspec.structs.replace(base, providers=providers)


def plan_of_busy() -> plans.Plan:
    """Of a gateway that takes no request."""
    busy = plan()
    return msgspec.structs.replace(busy, server=msgspec.structs.replace(busy.server, max_in_flight=0))


def given(id: str, status: str = "completed") -> list[Step]:
    return answer(json.dumps(response(status, [message("Hi")], id=id)).encode())


def create(house: House, **members: Any) -> Response:
    return house.ask("POST", "/v1/responses", body=json.dumps({"model": "smart", "input": "Hi", **members}).encode())


def asked(house: House) -> dict[str, list[str]]:
    """The request lines that each provider got."""
    lines = {
        name: [one.partition(b" HTTP")[0].decode() for one in script.asked] for name, script in house.providers.items()
    }
    return {name: one for name, one in lines.items() if one}


def told_by(house: House, name: str, id: str = ID, **members: Any) -> None:
    """Have `name` make an answer, and forget that it was asked."""
    router = house.generation.router
    for other in set(house.providers) - {name}:
        router.offline(other)
    house.providers[name].replies = [given(id)]
    assert create(house, **members).json()["id"] == id
    for other in set(house.providers) - {name}:
        router.online(other)
    for script in house.providers.values():
        script.asked.clear()
        script.replies = [MISSING]


ROUTES = [
    ("GET", f"/v1/responses/{ID}"),
    ("GET", f"/responses/{ID}"),
    ("GET", f"/v1/responses/{ID}?include=a&starting_after=3"),
    ("DELETE", f"/v1/responses/{ID}"),
    ("POST", f"/v1/responses/{ID}/cancel"),
    ("GET", f"/v1/responses/{ID}/input_items?limit=2"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_an_answer_is_asked_for_at_who_made_it_and_nowhere_else(method: str, path: str) -> None:
    with House(plan()) as house:
        told_by(house, "beta")
        house.providers["beta"].replies = [given(ID)]
        got = house.ask(method, path)
        assert (got.status, got.json()["id"], got.headers["x-oxllm-provider"]) == (200, ID, "beta")
        assert asked(house) == {"beta": [f"{method} /v1{path.removeprefix('/v1')}"]}
        (sent,) = house.providers["beta"].asked
        assert b"authorization: Bearer sk-secret-beta\r\n" in sent
        assert (b"content-type" in sent) == (method == "POST")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_body_goes_along_only_where_the_method_has_one(method: str, path: str) -> None:
    """A server that does not read the body of a GET or DELETE takes it for the next request on a connection that all
    clients share, and that with the provider's key (RFC 9110 sections 9.3.1 and 9.3.5)."""
    hidden = b"POST /v1/files HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
    with House(plan()) as house:
        told_by(house, "beta")
        house.providers["beta"].replies = [given(ID)]
        assert house.ask(method, path, body=hidden).status == 200
        (sent,) = house.providers["beta"].asked
        assert Asked(sent).body == (hidden if method == "POST" else b"")


def test_an_answer_is_continued_by_who_made_it() -> None:
    with House(plan()) as house:
        told_by(house, "gamma")
        house.providers["gamma"].replies = [given("resp_2")]
        assert create(house, previous_response_id=ID).json()["id"] == "resp_2"
        assert asked(house) == {"gamma": ["POST /v1/responses"]}
        assert create(house, previous_response_id="resp_2").status == 200
        assert asked(house) == {"gamma": ["POST /v1/responses"] * 2}


def test_the_id_is_known_as_soon_as_a_stream_has_given_it() -> None:
    with House(plan()) as house:
        begun = [EVENT_STREAM, chunk(sse(*events("Hi", " there")[:5]))]
        house.providers["alpha"].replies = [answer(b"{}", 500)]
        house.providers["beta"].replies = [begun]
        client = house.client()
        body = json.dumps({"model": "smart", "stream": True}).encode()
        client.send(b"POST /v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        house.advance(1)
        assert b"response.created" in client.received
        house.providers["beta"].replies = [given(ID, "cancelled")]
        assert house.ask("POST", f"/v1/responses/{ID}/cancel").json()["status"] == "cancelled"
        assert asked(house)["beta"] == ["POST /v1/responses", f"POST /v1/responses/{ID}/cancel"]


def test_a_kept_answer_may_be_streamed_again() -> None:
    with House(plan()) as house:
        told_by(house, "beta", background=True)
        house.providers["beta"].replies = [[EVENT_STREAM, chunk(sse(*events("Hi"))), b"0\r\n\r\n"]]
        got = house.get(f"/v1/responses/{ID}?stream=true")
        assert (got.headers["content-type"], got.body) == ("text/event-stream; charset=utf-8", sse(*events("Hi")))


@pytest.mark.parametrize("status", ["queued", "failed", "cancelled", "incomplete", "in_progress"])
def test_a_kept_answer_is_given_as_it_is(status: str) -> None:
    with House(plan()) as house:
        told_by(house, "beta")
        body = json.dumps(response(status, error={"code": "server_error", "message": "x"})).encode()
        house.providers["beta"].replies = [answer(body)]
        assert house.get(f"/v1/responses/{ID}").body == body
        assert house.generation.router.providers["beta"].breaker.halves == 0


@pytest.mark.parametrize(
    ("body", "halves"), [(b'{"error":{"code":"server_error"}}', 1), (b"{}", 2), (b"<html>", 2), (b'{"id":"x"', 2)]
)
def test_what_is_no_answer_is_a_failure_of_the_owner_and_no_other_is_asked(body: bytes, halves: int) -> None:
    with House(plan()) as house:
        told_by(house, "beta")
        house.providers["beta"].replies = [answer(body)]
        assert house.get(f"/v1/responses/{ID}").status == 503
        assert house.generation.router.providers["beta"].breaker.halves == halves
        assert list(asked(house)) == ["beta"]


def test_an_owner_that_does_not_have_it_any_more_says_so_and_is_not_blamed() -> None:
    with House(plan()) as house:
        told_by(house, "beta")
        for _ in range(3):
            got = house.get(f"/v1/responses/{ID}")
            assert (got.status, got.json()["error"]["message"]) == (404, "Response not found")
        assert list(asked(house)) == ["beta"]
        assert house.untouched()


def test_an_answer_that_nobody_remembers_is_asked_for_in_order_and_then_remembered() -> None:
    with House(plan()) as house:
        for script in house.providers.values():
            script.replies = [MISSING]
        house.providers["gamma"].replies = [given(ID)]
        assert house.get(f"/v1/responses/{ID}").status == 200
        assert list(asked(house)) == list(NAMES)
        assert house.untouched()
        assert house.get(f"/v1/responses/{ID}").status == 200
        assert [len(script.asked) for script in house.providers.values()] == [1, 1, 2]


def test_an_answer_that_nobody_has_is_not_found_as_the_last_one_says_it() -> None:
    with House(plan()) as house:
        for name, script in house.providers.items():
            script.replies = [answer(f'{{"error":{{"message":"not at {name}"}}}}'.encode(), 404)]
        for _ in range(3):
            got = house.get(f"/v1/responses/{ID}")
            assert (got.status, got.json()["error"]["message"]) == (404, "not at gamma")
        assert [len(script.asked) for script in house.providers.values()] == [3, 3, 3]
        assert house.untouched()
        explained = house.get(f"/explain/{got.headers['x-request-id']}").text
        assert "not its answer" in explained


def test_a_request_for_an_answer_counts_for_the_model_that_it_was_made_for() -> None:
    def counted(house: House) -> dict[str, str]:
        lines = house.get("/metrics").text.splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if line.startswith("oxllm_requests_total"))

    with House(plan()) as house:
        smart, of_none = 'oxllm_requests_total{model="smart"}', 'oxllm_requests_total{model=""}'
        assert (counted(house)[smart], of_none in counted(house)) == ("0", False)
        told_by(house, "beta")
        house.providers["beta"].replies = [given(ID)]
        for _ in range(2):
            house.get(f"/v1/responses/{ID}")
        assert (counted(house)[smart], of_none in counted(house)) == ("3", False)
        for _ in range(2):
            house.get("/v1/responses/resp_of_nobody")
        assert (counted(house)[smart], counted(house)[of_none]) == ("3", "2")


def test_what_nobody_else_has_may_be_at_who_cannot_be_asked() -> None:
    with House(plan()) as house:
        for script in house.providers.values():
            script.replies = [MISSING]
        house.generation.router.offline("beta")
        got = house.get(f"/v1/responses/{ID}")
        assert (got.status, got.json()["error"]["code"]) == (503, "owner_unavailable")
        assert list(asked(house)) == ["alpha", "gamma"]


@pytest.mark.parametrize("how", ["open", "offline", "cooling"])
@pytest.mark.parametrize("path", [None, f"/v1/responses/{ID}"])
def test_an_owner_that_cannot_be_asked_is_waited_for(how: str, path: str | None) -> None:
    with House(plan()) as house:
        told_by(house, "beta")
        router = house.generation.router
        beta = router.providers["beta"]
        if how == "open":
            for _ in range(3):
                beta.breaker.failure(beta.breaker.generation, house.loop.time(), house.runtime.rng)
        elif how == "offline":
            router.offline("beta")
        else:
            beta.target("m").cooldown.rate_limited(7.0, house.loop.time(), house.loop.time())
        got = create(house, previous_response_id=ID) if path is None else house.get(path)
        assert (got.status, got.json()["error"]["code"]) == (503, "owner_unavailable")
        assert int(got.headers["retry-after"]) in {"open": range(4, 7), "offline": [60], "cooling": [7]}[how]
        assert got.headers.get("x-should-retry") == ("false" if how == "offline" else None)
        assert asked(house) == {}


def test_an_owner_that_fails_is_not_replaced() -> None:
    with House(plan()) as house:
        told_by(house, "beta")
        house.providers["beta"].replies = [answer(b"{}", 503)]
        got = create(house, previous_response_id=ID)
        assert (got.status, got.json()["error"]["code"]) == (503, "server_is_overloaded")
        assert list(asked(house)) == ["beta"]


def test_who_made_what_outlives_a_reload_but_another_server_under_the_name_has_made_nothing() -> None:
    with House(plan()) as house:
        told_by(house, "beta")
        house.gateway.adopt(plan())
        house.providers["beta"].replies = [given(ID)]
        assert house.get(f"/v1/responses/{ID}").status == 200
        moved = msgspec.structs.replace(
            plan(),
            providers=tuple(
                msgspec.structs.replace(one, port=one.port + 100) if one.name == "beta" else one
                for one in plan().providers
            ),
        )
        house.gateway.adopt(moved)
        for got in (house.get(f"/v1/responses/{ID}"), create(house, previous_response_id=ID)):
            assert (got.status, got.json()["error"]["code"]) == (503, "owner_unavailable")
            assert got.headers["x-should-retry"] == "false"
        assert list(asked(house)) == ["beta"]


def test_a_reload_while_a_request_about_an_answer_comes_in_does_not_change_what_it_is_about() -> None:
    with House(plan()) as house:
        told_by(house, "beta")
        client = house.client()
        client.send(f"POST /v1/responses/{ID}/cancel HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n".encode())
        house.gateway.adopt(plan_of(*NAMES))  # they do not speak it any more
        client.send(b"{}")
        assert client.response.status == 503
        assert client.response.json()["error"]["code"] == "owner_unavailable"


def test_an_answer_that_is_not_kept_is_not_remembered() -> None:
    with House(plan()) as house:
        told_by(house, "beta", store=False)
        assert len(house.runtime.owners) == 0
        assert house.get(f"/v1/responses/{ID}").status == 404
        assert list(asked(house)) == list(NAMES)


FOREIGN: list[dict[str, str | None]] = [
    {"code": "invalid_encrypted_content", "message": "The encrypted content could not be verified."},
    {"code": "previous_response_not_found", "message": f"Previous response with id '{ID}' not found."},
    {"code": None, "message": "Item with id 'rs_123' was not found.", "param": "input"},
]


@pytest.mark.parametrize("error", FOREIGN, ids=[str(one["code"]) for one in FOREIGN])
def test_what_another_provider_sealed_is_asked_of_the_next_and_nobody_is_blamed(error: dict[str, str | None]) -> None:
    refusal = answer(json.dumps({"error": {"type": "invalid_request_error", **error}}).encode(), 400)
    with House(plan()) as house:
        house.providers["alpha"].replies = [refusal]
        house.providers["beta"].replies = [given(ID)]
        got = create(house, previous_response_id="resp_of_another")
        assert (got.status, list(asked(house))) == (200, ["alpha", "beta"])
        assert "foreign state" in house.get(f"/explain/{got.headers['x-request-id']}").text
        assert house.untouched()
        for script in house.providers.values():
            script.replies = [refusal]
        got = create(house, previous_response_id="resp_of_another")
        assert (got.status, got.json()["error"]["message"]) == (400, error["message"])
        assert got.headers["x-oxllm-provider"] == "gamma"
        assert house.untouched()


@pytest.mark.parametrize("id", ["..", ".", "%2e%2e", "a%2fb", "a%00b", "%20", "x" * 513, "a%3Fb"])
def test_an_id_that_nobody_gives_goes_nowhere(id: str) -> None:
    with House(plan()) as house:
        for method, path in (("GET", f"/v1/responses/{id}"), ("POST", f"/v1/responses/{id}/cancel")):
            assert house.ask(method, path).status == 404
        assert asked(house) == {}


def test_other_paths_and_methods_are_none() -> None:
    with House(plan()) as house:
        for path in (f"/v1/responses/{ID}/", f"/v1/responses/{ID}/x", "/v1/responses/", "/v1/responses//cancel"):
            assert house.get(path).status == 404
        assert (house.get("/v1/responses").status, house.get("/v1/responses").headers["allow"]) == (405, "POST")
        got = house.ask("PUT", f"/v1/responses/{ID}")
        assert (got.status, got.headers["allow"]) == (405, "GET, DELETE")


def test_who_says_404_for_an_answer_that_is_continued_has_not_lost_its_model() -> None:
    """vLLM's servers do."""
    missing = json.dumps({"error": {"message": f"Response with id '{ID}' not found.", "type": "NotFoundError"}})
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(missing.encode(), 404)]
        house.providers["beta"].replies = [given("resp_2")]
        for _ in range(3):
            assert create(house, previous_response_id=ID).status == 200
        assert house.untouched()
        assert len(asked(house)["alpha"]) == 3


def test_a_refusal_before_any_target_is_in_the_words_of_the_api() -> None:
    with House(plan_of_busy()) as house:
        for method, path, body in (("GET", f"/v1/responses/{ID}", b""), ("POST", "/v1/responses", b"{}")):
            got = house.ask(method, path, body=body)
            assert (got.status, got.json()["error"]["code"]) == (503, "server_is_overloaded")
            assert got.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("body", "status", "param", "code"),
    [
        (b"{", 400, None, None),
        (b"[]", 400, None, None),
        (b'{"input":"Hi"}', 400, "model", None),
        (b'{"model":5}', 400, "model", None),
        (b'{"model":"smart","stream":"yes"}', 400, "stream", None),
        (b'{"model":"nobody"}', 404, "model", "model_not_found"),
    ],
)
def test_a_bad_request_is_told_in_the_words_of_the_api(
    body: bytes, status: int, param: str | None, code: str | None
) -> None:
    with House(plan()) as house:
        error = house.ask("POST", "/v1/responses", body=body)
        assert error.status == status
        assert (error.json()["error"]["param"], error.json()["error"]["code"]) == (param, code)
        assert asked(house) == {}


def test_a_gateway_whose_providers_do_not_speak_it_has_no_such_paths() -> None:
    with House(plan_of("alpha")) as house:
        assert house.get(f"/v1/responses/{ID}").status == 404
        assert create(house).status == 404


@pytest.mark.parametrize(
    ("how", "status"),
    [("open", 503), ("cooling", 503), ("cooling for long", 400), ("offline", 400), ("refused its key", 400)],
)
def test_who_may_have_sealed_it_and_can_be_asked_again_soon_is_waited_for(how: str, status: int) -> None:
    """An agent whose provider broke sends what that one sealed to the next one: its refusal would be the end of a
    session that has only to wait for a breaker."""
    sealed = b'{"error":{"code":"invalid_encrypted_content","message":"could not be verified"}}'
    with House(plan("alpha", "beta")) as house:
        house.providers["beta"].replies = [answer(sealed, 400)]
        router, now = house.generation.router, house.loop.time()
        alpha = router.providers["alpha"]
        if how == "open":
            for _ in range(3):
                alpha.breaker.failure(alpha.breaker.generation, now, house.runtime.rng)
        elif how == "offline":
            router.offline("alpha")
        elif how == "refused its key":
            house.providers["alpha"].replies = [answer(b"{}", 401)]
            create(house)
            house.providers["alpha"].asked.clear()
            house.providers["beta"].asked.clear()
        else:
            alpha.target("m").cooldown.rate_limited(300.0 if how == "cooling for long" else 7.0, now, now)
        got = create(house)
        assert (got.status, list(asked(house))) == (status, ["beta"])
        if status == 503:
            assert got.json()["error"]["code"] == "server_is_overloaded"
            assert int(got.headers["retry-after"]) <= 7
            assert "foreign state" in got.json()["error"]["message"]
            house.advance(8)
            house.providers["alpha"].replies = [given(ID)]
            assert create(house).status == 200
        else:
            assert got.json()["error"]["code"] == "invalid_encrypted_content"


# Beside answers.

BESIDE = {
    "input_tokens": b'{"object":"response.input_tokens","input_tokens":11}',
    "compact": b'{"id":"resp_9","object":"response.compaction","output":[{"type":"compaction"}],\
"usage":{"input_tokens":7}}',
}


@pytest.mark.parametrize("path", ["/v1/responses/", "/responses/"])
@pytest.mark.parametrize("what", list(BESIDE))
def test_tokens_are_counted_and_conversations_shortened_by_the_first_who_can(what: str, path: str) -> None:
    body = json.dumps({"model": "smart", "input": "Hi"}).encode()
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        house.providers["beta"].replies = [answer(BESIDE[what])]
        got = house.ask("POST", f"{path}{what}", body=body)
        assert (got.status, got.body, got.headers["x-oxllm-provider"]) == (200, BESIDE[what], "beta")
        assert asked(house)["beta"] == [f"POST /v1/responses/{what}"]
        assert len(house.runtime.owners) == 0
        tokens = house.generation.router.providers["beta"].totals.prompt_tokens
        assert tokens == (7 if what == "compact" else 0)


@pytest.mark.parametrize("what", list(BESIDE))
@pytest.mark.parametrize("status", [404, 405])
def test_who_cannot_do_that_is_not_blamed_and_the_last_says_so(what: str, status: int) -> None:
    body = json.dumps({"model": "smart", "input": "Hi"}).encode()
    with House(plan()) as house:
        for script in house.providers.values():
            script.replies = [answer(b'{"error":{"message":"no such path"}}', status)]
        for _ in range(3):
            got = house.ask("POST", f"/v1/responses/{what}", body=body)
            assert (got.status, got.json()["error"]["message"]) == (status, "no such path")
        assert [len(script.asked) for script in house.providers.values()] == [3, 3, 3]
        assert house.untouched()


@pytest.mark.parametrize("what", list(BESIDE))
@pytest.mark.parametrize("body", [b"{}", b"<html>", b'{"input_tokens":', b'{"error":{"code":"server_error"}}'])
def test_what_is_neither_a_number_nor_a_conversation_is_no_answer(what: str, body: bytes) -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(body)]
        house.providers["beta"].replies = [answer(BESIDE[what])]
        got = house.ask("POST", f"/v1/responses/{what}", body=b'{"model":"smart","input":"Hi"}')
        assert (got.status, got.headers["x-oxllm-provider"]) == (200, "beta")
        assert house.generation.router.providers["alpha"].breaker.halves == 2


@pytest.mark.parametrize("what", list(BESIDE))
def test_what_continues_an_answer_is_counted_and_shortened_by_who_made_it(what: str) -> None:
    with House(plan()) as house:
        told_by(house, "gamma")
        house.providers["gamma"].replies = [answer(BESIDE[what])]
        body = json.dumps({"model": "smart", "previous_response_id": ID}).encode()
        assert house.ask("POST", f"/v1/responses/{what}", body=body).status == 200
        assert asked(house) == {"gamma": [f"POST /v1/responses/{what}"]}
        foreign = b'{"error":{"code":"previous_response_not_found","message":"Previous response not found"}}'
        for script in house.providers.values():
            script.replies = [answer(foreign, 404)]
        body = body.replace(ID.encode(), b"resp_of_nobody")
        got = house.ask("POST", f"/v1/responses/{what}", body=body)
        assert (got.status, got.json()["error"]["code"]) == (404, "previous_response_not_found")
        assert "foreign state" in house.get(f"/explain/{got.headers['x-request-id']}").text
        assert house.untouched()


@pytest.mark.parametrize("what", list(BESIDE))
def test_they_are_asked_for_with_post_alone(what: str) -> None:
    with House(plan()) as house:
        got = house.get(f"/v1/responses/{what}")
        assert (got.status, got.headers["allow"]) == (405, "POST")
