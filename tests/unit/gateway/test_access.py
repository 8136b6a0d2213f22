"""Who may call what: through the real server, from chosen addresses."""

from __future__ import annotations

import pytest

from tests.support.effort import passes
from tests.support.house import House, plan_of

OK, NO = 200, 403


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", OK),
        ("127.9.9.9", OK),
        ("::1", OK),
        ("::ffff:127.0.0.1", OK),
        ("192.0.2.7", NO),
        ("::ffff:192.0.2.7", NO),
        ("fe80::1%eth0", NO),
        ("", NO),
    ],
)
def test_an_operator_route_is_for_local_peers_only(peer: str, status: int) -> None:
    with House() as house:
        assert house.get("/status", peer=peer).status == status


@pytest.mark.parametrize(
    "field",
    [
        "Forwarded: for=1.2.3.4",
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "Via: 1.1 nghttpx",  # which adds no address unless told to, and passes on the client's Host
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: gateway.example",
        "X-Forwarded-Port: 443",
        "X-Client-IP: 127.0.0.1",
        "True-Client-IP: 127.0.0.1",
        "CF-Connecting-IP: 127.0.0.1",
    ],
)
def test_what_came_through_a_proxy_is_not_local(field: str) -> None:
    with House() as house:
        refused = house.get("/status", field)
        assert (refused.status, refused.json()["error"]["type"]) == (NO, "permission_error")


@pytest.mark.parametrize(
    ("host", "local", "status"),
    [
        ("localhost", "127.0.0.1", OK),
        ("LocalHost:8080", "127.0.0.1", OK),
        ("127.0.0.1:8080", "127.0.0.1", OK),
        ("127.0.0.2", "127.0.0.1", OK),
        ("[::1]:8080", "::1", OK),
        ("127.0.0.1", "::ffff:127.0.0.1", OK),
        ("10.0.0.5:8080", "10.0.0.5", OK),
        ("10.0.0.5", "::ffff:10.0.0.5", OK),
        ("gate.corp:8080", "127.0.0.1", OK),
        ("GATE.corp", "10.0.0.5", OK),
        ("127.0.0.1", "10.0.0.5", NO),  # a loopback literal, but not on loopback
        ("10.0.0.6", "10.0.0.5", NO),
        ("evil.example", "127.0.0.1", NO),  # a rebound DNS name
        ("evil.example", "", NO),  # nor is our own address known
        ("localhost.evil.example", "127.0.0.1", NO),
        ("127.0.0.1.evil.example", "127.0.0.1", NO),
        ("[::1]evil.example", "127.0.0.1", 400),  # can be nobody's name
        ("[::11", "127.0.0.1", 400),
        ("127.0.0.1:80:evil", "127.0.0.1", 400),
        ("", "127.0.0.1", NO),
        (None, "127.0.0.1", OK),  # HTTP/1.0, which no browser speaks
    ],
)
def test_the_host_must_be_ours(host: str | None, local: str, status: int) -> None:
    with House(plan_of("alpha", admin_hosts=("gate.corp",), admin_allow=("127.0.0.0/8", "::1/128"))) as house:
        assert house.get("/status", host=host, local=local).status == status


def test_the_host_that_an_http_10_request_names_in_its_target_must_be_ours() -> None:
    with House(plan_of("alpha")) as house:
        assert house.get("http://evil.example/status", host=None).status == NO
        assert house.get("http://localhost/status", host=None).status == OK


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8080", OK),
        ("http://localhost:9090", NO),
        ("https://localhost:8080", NO),
        ("https://evil.example", NO),
        ("null", NO),
    ],
)
def test_a_web_page_of_another_origin_is_not_local(origin: str, status: int) -> None:
    with House(plan_of("alpha", cors_origins=("https://evil.example",))) as house:
        reply = house.get("/status", f"Origin: {origin}")
        assert reply.status == status
        assert "access-control-allow-origin" not in reply.headers  # never on operator routes


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((), 401),
        (("Authorization: Bearer wrong",), 401),
        (("Authorization: Basic token",), 401),
        (("Authorization: Bearer token",), OK),
        (("authorization: bearer  token ",), OK),
    ],
)
def test_with_an_admin_token_being_local_is_not_enough(fields: tuple[str, ...], status: int) -> None:
    with House(plan_of("alpha", admin_token="token")) as house:
        reply = house.get("/status", *fields)
        assert reply.status == status
        assert reply.headers.get("www-authenticate") == ('Bearer realm="oxllm"' if status == 401 else None)


def test_health_needs_no_token() -> None:
    with House(plan_of("alpha", admin_token="token")) as house:
        assert house.get("/health").text == "ok\n"


def test_the_token_does_not_stand_in_for_being_local() -> None:
    with House(plan_of("alpha", admin_token="token")) as house:
        assert house.get("/status", "Authorization: Bearer token", peer="192.0.2.7").status == NO


def test_health_allow_lets_in_to_health_and_nothing_else() -> None:
    with House(plan_of("alpha", health_allow=("192.0.2.0/24",))) as house:
        assert house.get("/health", peer="192.0.2.7", host="10.1.1.1:8080").status == OK
        assert house.get("/status", peer="192.0.2.7").status == NO
        assert house.get("/health", peer="198.51.100.1").status == NO
        assert house.ask("POST", "/health", peer="192.0.2.7").status == 405


def test_a_probe_that_is_turned_away_is_told_where_to_list_it() -> None:
    with House(plan_of("alpha")) as house:
        for path, settings in (("/health", "health_allow nor in admin_allow"), ("/status", "admin_allow")):
            said = house.get(path, peer="192.0.2.7").json()["error"]["message"]
            verb = "neither in" if path == "/health" else "not in"
            assert said == f"operator routes are local only: 192.0.2.7 is {verb} {settings}"


def test_admin_allow_replaces_loopback() -> None:
    with House(plan_of("alpha", admin_allow=("10.0.0.0/8",))) as house:
        assert house.get("/status", peer="10.1.2.3", local="10.0.0.5", host="10.0.0.5").status == OK
        assert house.get("/status").status == NO


def test_a_stranger_is_logged_once_a_minute() -> None:
    with House() as house:
        for _ in range(3):
            house.get("/status", peer="192.0.2.7")
        assert house.log_text().count("refused /status to 192.0.2.7") == 1
        house.advance(61)
        house.get("/status", peer="192.0.2.7")
        assert house.log_text().count("refused /status to 192.0.2.7") == 2


@pytest.mark.parametrize("host", ["a b", "a/b", "user@a", "a:b", "a:80:b", "[::1", "[::1]a", '"a"', "a\\b"])
def test_a_host_that_can_be_none_is_a_bad_request(host: str) -> None:
    with House() as house:
        assert house.get("/v1/models", host=host).status == 400
        assert house.get("/v1/nothing", host=host).status == 400
        assert house.get("/status", host=host).status == 400
        assert house.get("/", host=host).status == 400


@pytest.mark.parametrize("host", ["a", "a:80", "a:", "my_pod-1.svc.:80", "[fe80::1%25eth0]:8080", "192.0.2.1", ""])
def test_v1_is_served_under_any_possible_host(host: str) -> None:
    with House() as house:
        assert house.get("/v1/models", host=host).status == OK


def test_without_keys_a_web_page_cannot_spend_them() -> None:
    with House() as house:
        assert house.get("/v1/models", "Origin: https://evil.example").status == NO
        assert house.get("/v1/models", "Origin: http://localhost:8080").status == OK
        assert house.get("/v1/models").status == OK


def test_a_rebound_name_is_not_our_own_origin() -> None:
    with House() as house:
        reply = house.get("/v1/models", "Origin: http://evil.example:8080", host="evil.example:8080")
        assert reply.status == NO


def test_a_listed_origin_may_call_and_read() -> None:
    with House(plan_of("alpha", cors_origins=("https://app.example",))) as house:
        reply = house.get("/v1/models", "Origin: https://app.example")
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (OK, "https://app.example")
        assert house.get("/v1/models", "Origin: https://other.example").status == NO


def test_any_origin_may_call_when_a_star_is_listed() -> None:
    with House(plan_of("alpha", cors_origins=("*",))) as house:
        reply = house.get("/v1/models", "Origin: https://x.example")
        assert reply.headers["access-control-allow-origin"] == "https://x.example"


def test_where_there_are_keys_a_request_needs_one_whatever_its_origin() -> None:
    with House(plan_of("alpha", api_keys=("one", "two"))) as house:
        assert house.get("/v1/models").status == 401
        assert house.get("/v1/models", "Authorization: Bearer two").status == OK
        assert house.get("/v1/models", "Authorization: Bearer two", "Origin: https://any.example").status == OK
        refused = house.get("/v1/models", "Authorization: Bearer three")
        assert refused.json()["error"]["code"] == "invalid_api_key"


def test_a_request_takes_no_longer_for_a_hundred_thousand_keys_than_for_one() -> None:
    def effort(count: int) -> float:
        keys = tuple(f"sk-{number}" for number in range(count))
        with House(plan_of("alpha", api_keys=keys)) as house:
            assert house.get("/v1/models", f"x-api-key: {keys[-1]}").status == OK
            return passes(lambda: [house.get("/v1/models", f"x-api-key: {keys[-1]}") for _ in range(20)])

    assert effort(100_000) < 3 * effort(1)
