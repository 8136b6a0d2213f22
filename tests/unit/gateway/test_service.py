"""Which path is what, and what is refused before a body is read."""

from __future__ import annotations

import msgspec
import pytest

from oxllm.gateway.client.paths import unescape
from tests.support.chat_bytes import chunk
from tests.support.house import House, Response, answer, chat_request, plan_of, stream, token
from tests.support.scripted import Step

ORIGIN = "Origin: https://app.example"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
def test_chat_is_served_with_and_without_v1(path: str) -> None:
    with House() as house:
        body = b'{"model":"smart","messages":[]}'
        client = house.client()
        client.send(b"POST %b HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(body)) + body)
        house.advance(0.1)
        assert (client.response.status, client.response.headers["x-oxllm-provider"]) == (200, "alpha")


def test_models_are_listed_sorted_with_what_openai_clients_read() -> None:
    with House() as house:
        listed = house.get("/v1/models").json()
        assert listed["object"] == "list"
        assert [entry["id"] for entry in listed["data"]] == ["alpha/m", "beta/m", "smart"]
        assert listed["data"][0] == {"id": "alpha/m", "object": "model", "created": 1_700_000_000, "owned_by": "oxllm"}


def test_models_that_nobody_can_serve_are_listed_only_when_all_are_asked_for() -> None:
    with House() as house:
        house.generation.router.offline("alpha")
        assert [entry["id"] for entry in house.get("/models").json()["data"]] == ["beta/m", "smart"]
        everything = house.get("/v1/models?x=1&all=1").json()["data"]
        assert [entry["id"] for entry in everything] == ["alpha/m", "beta/m", "smart"]


@pytest.mark.parametrize("path", ["/v1/models/alpha/m", "/v1/models/alpha%2Fm", "/models/%61lpha%2fm"])
def test_a_model_id_may_be_escaped_or_not(path: str) -> None:
    with House() as house:
        assert house.get(path).json()["id"] == "alpha/m"


def test_an_unknown_model_names_what_may_have_been_meant() -> None:
    with House() as house:
        for reply in (house.get("/v1/models/alpha/n"), house.chat(model="alpha/n").response):
            error = reply.json()["error"]
            assert (reply.status, error["code"], error["param"]) == (404, "model_not_found", "model")
            assert "did you mean 'alpha/m'" in error["message"]


def test_of_a_model_that_its_provider_does_not_list_it_is_said_what_would_list_it() -> None:
    """Where other gateways take any name behind a provider's, here `models` says which there are."""
    with House() as house:
        for name, further in (("big/llama-4-maverick", ""), ("n", "; did you mean 'alpha/m'?")):
            told = house.chat(model=f"alpha/{name}").response.json()["error"]["message"]
            why = f"'alpha' does not list '{name}' in `models`"
            assert told == f"the model 'alpha/{name}' does not exist here: {why}{further}"
        told = house.chat(model="nobody/m").response.json()["error"]["message"]
        assert "does not list" not in told


def test_a_model_whose_targets_do_not_speak_what_is_asked_says_who_speaks_what() -> None:
    plan = plan_of("alpha", "beta")
    alpha, beta = plan.providers
    alpha = msgspec.structs.replace(alpha, protocols=("embeddings",))
    with House(plan=msgspec.structs.replace(plan, providers=(alpha, beta))) as house:
        reply = house.chat(model="alpha/m").response
        error = reply.json()["error"]
        assert (reply.status, error["code"], error["param"]) == (404, "model_not_found", "model")
        assert "alpha speaks embeddings" in error["message"]
        assert 'add "chat"' in error["message"]
        assert house.chat(model="smart").response.headers["x-oxllm-provider"] == "beta"


@pytest.mark.parametrize(
    ("path", "protocol"),
    [
        ("/v1/messages", "messages"),
        ("/messages/count_tokens", "messages"),
        ("/v1/responses/resp_1/cancel", "responses"),
    ],
)
def test_a_path_of_an_api_that_no_provider_speaks_says_who_speaks_what(path: str, protocol: str) -> None:
    with House(plan_of("alpha")) as house:
        reply = house.ask("POST", path, body=b'{"model":"smart"}')
        error = reply.json()["error"]
        assert (reply.status, error["code"]) == (404, "model_not_found")
        assert (
            f"no provider here speaks {protocol}: alpha speaks chat, completions, embeddings, json" in error["message"]
        )
        assert f'add "{protocol}"' in error["message"]


def test_what_a_reload_has_changed_is_what_a_path_of_an_api_is_told_of() -> None:
    chat = plan_of("alpha")
    both = msgspec.structs.replace(chat.providers[0], protocols=("chat", "messages"))
    with House(msgspec.structs.replace(chat, providers=(both,))) as house:
        house.gateway.adopt(chat)
        error = house.ask("POST", "/v1/messages", body=b'{"model":"smart"}').json()["error"]
        assert error["message"].startswith("no provider here speaks messages: alpha speaks chat")


@pytest.mark.parametrize(
    "path", ["/v1/messages/batches", "/v1/chat/completions/chatcmpl-1", "/v1/files", "/v1/audio/transcriptions"]
)
@pytest.mark.parametrize("anthropic", [False, True])
def test_what_no_api_has_here_is_to_be_asked_of_a_provider(path: str, anthropic: bool) -> None:
    """The SDKs have it; that some provider speaks the rest of its API is no help."""
    base = plan_of("alpha")
    speaks = tuple(msgspec.structs.replace(one, protocols=("chat", "messages")) for one in base.providers)
    with House(msgspec.structs.replace(base, providers=speaks)) as house:
        version = ["anthropic-version: 2023-06-01"] if anthropic else []
        reply = house.ask("POST", path, *version, body=b"{}")
        told = reply.json()
        assert (reply.status, told.get("type")) == (404, "error" if anthropic else None)
        assert told["error"]["message"].startswith(f"there is no '{path}' here; ")
        assert "ask a provider itself" in told["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("HEAD", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/smart", "GET, HEAD"),
        ("OPTIONS", "/v1/chat/completions", "POST"),
        ("POST", "/status", "GET, HEAD"),
        ("PUT", "/health", "GET, HEAD"),
    ],
)
def test_the_wrong_method_is_told_the_right_ones(method: str, path: str, allow: str) -> None:
    with House() as house:
        reply = house.ask(method, path)
        assert (reply.status, reply.headers["allow"]) == (405, allow)
        if method != "HEAD":
            assert reply.json()["error"]["code"] == "method_not_allowed"


WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: bm9uY2U=")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/embeddings"])
def test_who_wants_a_websocket_is_told_that_there_is_only_http(path: str) -> None:
    """RFC 9110 section 15.5.22. Codex takes this status for an answer, a 404, 405 or 501 for a reason to try again."""
    with House() as house:
        reply = house.ask("GET", path, *WEBSOCKET)
        assert (reply.status, reply.headers["upgrade"], reply.headers["connection"]) == (426, "HTTP/1.1", "upgrade")
        assert reply.json()["error"]["code"] == "upgrade_required"


def test_what_can_be_served_is_served_whatever_it_is_to_be_upgraded_to() -> None:
    with House() as house:
        assert house.ask("GET", "/v1/models", *WEBSOCKET).status == 200
        assert house.ask("GET", "/v1/realtime", *WEBSOCKET).status == 404
        assert house.ask("DELETE", "/v1/embeddings", *WEBSOCKET).status == 405
        assert house.ask("GET", "/v1/embeddings", "Connection: Upgrade", "Upgrade: h2c").status == 405


def test_options_for_all_paths_says_what_there_is_and_asks_for_no_key() -> None:
    """RFC 9110 section 9.3.7. Load balancers ask so whether a server is there."""
    with House(plan_of("alpha", api_keys=("k",))) as house:
        reply = house.ask("OPTIONS", "*")
        assert (reply.status, reply.headers["allow"]) == (200, "GET, HEAD, POST, DELETE, OPTIONS")


@pytest.mark.parametrize("path", ["/v2/models", "/v1", "/v1/models/", "/v1/health", "/statusx", "/v1/edits"])
def test_a_path_that_is_not_there_is_404_in_json(path: str) -> None:
    with House() as house:
        error = house.get(path).json()["error"]
        assert (error["code"], error["type"]) == ("not_found", "invalid_request_error")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/v1/messages", "/v1/messages"),
        ("/v1//v1/messages", "/v1/messages"),
        ("//v1/messages", "/v1/messages"),
        ("/v1//chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
        ("/api/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/deployments/smart/chat/completions", "/v1/chat/completions"),
        ("/engines/smart/completions", "/v1/completions"),
        ("/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/openai/v1/models", "/v1/models"),
        ("/v1/models/", "/v1/models"),
    ],
)
def test_a_path_that_a_base_url_has_spoiled_is_told_from_others(path: str, meant: str) -> None:
    """The Anthropic SDKs put `/v1` behind the base URL by themselves, those of OpenAI do not. Of other gateways' base
    URLs some end in `/openai`, `/anthropic` or `/api/v1`; Azure's SDK has the model in the path."""
    with House() as house:
        said = house.ask("POST", path).json()["error"]["message"]
        assert said == f"there is no '{path}' here, but '{meant}': look at the client's base URL"


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        ("/api/chat", "Ollama"),
        ("/api/tags", "Ollama"),
        ("/v1/api/show", "Ollama"),
        ("/v1beta/models/smart:generateContent", "Google"),
    ],
)
def test_who_speaks_another_api_is_told_which_one_and_what_to_choose_instead(path: str, whose: str) -> None:
    """Many clients have Ollama and Gemini as kinds of providers of their own, beside one that is OpenAI-compatible."""
    with House() as house:
        said = house.ask("POST", path).json()["error"]["message"]
        choose = "have the client take this for an OpenAI-compatible server, with a base URL that ends in /v1"
        assert said == f"there is no '{path}' here, which is {whose}'s API: {choose}"


@pytest.mark.parametrize("path", ["/health/liveliness", "/health/readiness", "/healthz", "/livez", "/readyz", "/ping"])
def test_who_probes_where_other_servers_are_probed_is_told_where_this_one_is(path: str) -> None:
    with House() as house:
        assert house.get(path).json()["error"]["message"] == f"there is no '{path}' here, but '/health'"


def test_head_has_the_head_of_get_and_no_body() -> None:
    with House() as house:
        for path in ("/v1/models", "/health", "/status"):
            client = house.client()
            client.send(f"HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            assert bytes(client.received).endswith(b"\r\n\r\n")
            assert int(client.response.headers["content-length"]) > 2


def test_a_preflight_of_a_listed_origin_is_answered_before_any_key_is_asked_for() -> None:
    with House(plan_of("alpha", cors_origins=("https://app.example",), api_keys=("k",))) as house:
        asked = "Access-Control-Request-Headers: authorization, x-team"
        reply = house.ask("OPTIONS", "/v1/chat/completions", ORIGIN, "Access-Control-Request-Method: POST", asked)
        assert reply.status == 204
        assert reply.headers["access-control-allow-origin"] == "https://app.example"
        assert reply.headers["access-control-allow-methods"] == "POST"
        assert reply.headers["access-control-allow-headers"] == "authorization, x-team"
        assert house.ask("OPTIONS", "/v1/models", "Origin: https://x.example").status == 405


def test_a_preflight_lets_a_page_read_why_a_path_is_not_served() -> None:
    """A browser shows nothing of an answer whose preflight has failed."""
    with House(plan_of("alpha", cors_origins=("https://app.example",), api_keys=("k",))) as house:
        for path, method in (("/v1/responses", "POST"), ("/v1/responses/resp_1", "DELETE"), ("/v1/files", "POST")):
            reply = house.ask("OPTIONS", path, ORIGIN, f"Access-Control-Request-Method: {method}")
            assert (reply.status, reply.headers["access-control-allow-methods"]) == (204, method)
            reply = house.ask(method, path, ORIGIN, "Authorization: Bearer k")
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (404, "https://app.example")


def test_a_preflight_of_another_origin_says_what_to_set() -> None:
    """Pages cannot read it, but who wonders at the browser's words looks at the answer."""
    for keys in ((), ("k",)):
        with House(plan_of("alpha", api_keys=keys)) as house:
            reply = house.ask("OPTIONS", "/v1/chat/completions", ORIGIN, "Access-Control-Request-Method: POST")
            assert (reply.status, reply.headers.get("access-control-allow-origin")) == (403, None)
            assert "cors_origins" in reply.json()["error"]["message"]


def test_a_body_that_is_too_large_is_told_by_which_setting() -> None:
    with House(plan_of("alpha", max_body_bytes=1000)) as house:
        reply = house.ask("POST", "/v1/chat/completions", body=b"x" * 1001)
        assert reply.status == 413
        assert reply.json()["error"]["message"] == "the body is over 1000 bytes, the most that max_body_bytes allows"


def test_errors_and_streams_can_be_read_by_a_listed_origin_too() -> None:
    with House(plan_of("alpha", cors_origins=("https://app.example",))) as house:
        house.providers["alpha"].replies = [stream(token("a"))]
        assert house.get("/v1/none", ORIGIN).headers["access-control-allow-origin"] == "https://app.example"
        client = house.chat(ORIGIN, stream=True)
        house.advance(1)
        assert client.response.headers["access-control-allow-origin"] == "https://app.example"
        assert "x-oxllm-provider" in readable(client.response)


def test_a_page_sees_what_an_sdk_goes_by() -> None:
    """In a browser, too, they ask again unless `x-should-retry` says no."""
    with House(plan_of("alpha", cors_origins=("https://app.example",))) as house:
        house.providers["alpha"].replies = [answer(b'{"error":{"code":"insufficient_quota"}}', 429)]
        refused = house.chat(ORIGIN).response
        assert refused.headers["x-should-retry"] == "false"
        assert {"x-should-retry", "x-oxllm-attempts"} <= readable(refused)


def readable(response: Response) -> set[str]:
    """What a page of another origin sees of a response's head if it sends no cookies, which are not allowed here
    (https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name)."""
    assert "access-control-allow-credentials" not in response.headers
    exposed = response.headers["access-control-expose-headers"].split(", ")
    return set(response.headers) if exposed == ["*"] else set(response.headers).intersection(exposed)


def test_over_max_in_flight_chat_is_shed_and_the_operator_is_not() -> None:
    with House(plan_of("alpha", max_in_flight=1)) as house:
        house.providers["alpha"].replies = [[]]
        waiting = house.chat()
        shed = house.chat().response
        assert (shed.status, shed.headers["retry-after"]) == (503, "1")
        assert shed.json()["error"]["code"] == "overloaded"
        assert house.get("/v1/models").status == 200
        assert "all that max_in_flight allows" in house.get("/status").text.splitlines()[0]
        waiting.transport.close()
        house.settle()
        assert not house.runtime.relays


def test_invalid_json_and_a_missing_model_are_400() -> None:
    with House() as house:
        bad = house.ask("POST", "/v1/chat/completions", body=b'{"model":"smart",}')
        assert (bad.status, bad.json()["error"]["type"]) == (400, "invalid_request_error")
        missing = house.ask("POST", "/v1/chat/completions", body=b'{"messages":[]}')
        assert (missing.status, missing.json()["error"]["param"]) == (400, "model")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/rerank"])
@pytest.mark.parametrize("padding", ["y", "y" * 8000])
def test_a_body_in_a_coding_is_415_and_says_which_there_is(path: str, padding: str) -> None:
    """RFC 9110 section 15.5.16."""
    provider = msgspec.structs.replace(plan_of("alpha").providers[0], protocols=("chat", "messages", "json"))
    with House(msgspec.structs.replace(plan_of("alpha"), providers=(provider,))) as house:
        for body in (b"\x1f\x8b\x08\x00", b"{}"):
            reply = house.ask("POST", path, "Content-Encoding: gzip", f"X: {padding}", body=body)
            assert (reply.status, reply.headers["accept-encoding"]) == (415, "identity")
            assert "gzip" in reply.json()["error"]["message"]
        assert house.ask("POST", path, "Content-Encoding: Identity", body=b"\x1f").status == 400


@pytest.mark.parametrize(
    ("escaped", "text"), [(b"a%2Fb", "a/b"), (b"%C3%BC", "ü"), (b"%ff", "�"), (b"%zz%4", "%zz%4"), (b"", "")]
)
def test_percent_escapes(escaped: bytes, text: str) -> None:
    assert unescape(escaped) == text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
def test_a_client_error_too_long_to_hold_arrives_whole_in_each_framing(stream: bool, framing: str) -> None:
    body = b'{"detail":"%b"}' % (b"x" * 600_000)
    head = b"HTTP/1.1 422 X\r\ncontent-type: application/json\r\n"
    with House() as house:
        replies: dict[str, list[Step]] = {
            "length": answer(body, 422),
            "chunks": [head + b"transfer-encoding: chunked\r\n\r\n" + chunk(body) + b"0\r\n\r\n"],
            "close": [head + b"\r\n" + body, "close"],
        }
        house.providers["alpha"].replies = [replies[framing]]
        client = house.chat(stream=stream)
        house.advance(1)
        assert (client.response.status, client.response.body == body, client.response.whole) == (422, True, True)
        assert client.response.headers["x-oxllm-provider"] == "alpha"
        assert "422" in house.log_text()
        assert house.runtime.relays == {}


def test_max_in_flight_counts_from_the_head_on() -> None:
    with House(plan_of("alpha", max_in_flight=2)) as house:
        whole = chat_request()
        clients = [house.client() for _ in range(10)]
        for client in clients:
            client.send(whole[:-10])
        refused = [client for client in clients if client.received]
        assert len(refused) == 8
        assert {client.response.status for client in refused} == {503}
        assert all("retry-after" in client.response.headers for client in refused)
        for client in clients:
            if client not in refused:
                client.send(whole[-10:])
        house.advance(0.1)
        assert [client.response.status for client in clients if client not in refused] == [200, 200]
        assert house.chat().response.status == 200, "those have ended"


def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_longer_in_flight() -> None:
    with House(plan_of("alpha", max_in_flight=1)) as house:
        client = house.client().send(chat_request()[:-10])
        client.transport.close()
        house.settle()
        late = house.chat()
        house.advance(0.1)
        assert late.response.status == 200
