"""The operator's routes: health, explain, overrides."""

from __future__ import annotations

from typing import Any

import pytest

from oxllm.gateway.life import SIGNAL
from tests.support.chat_bytes import chunk
from tests.support.house import House, answer, plan_of, stream, token


def test_health_says_draining_with_503() -> None:
    with House() as house:
        assert (house.get("/health").status, house.get("/health").text) == (200, "ok\n")
        house.gateway.life.move(SIGNAL)
        assert (house.get("/health").status, house.get("/health").text) == (503, "draining\n")


# explain


def explained(house: House, **more: Any) -> list[str]:
    reply = house.get("/explain/my-id", **more)
    assert reply.status == 200, reply.text
    return reply.text.splitlines()


def test_a_request_that_was_rescued_is_told_in_five_lines() -> None:
    with House(plan_of("alpha", "beta", "gamma")) as house:
        house.generation.router.offline("alpha")
        house.providers["beta"].replies = [[1.5, *answer(b"{}", 503)]]
        house.providers["gamma"].replies = [stream(0.25, token("a"), 2.0)]
        house.chat("x-request-id: my-id", stream=True)
        house.advance(5)
        assert explained(house) == [
            "my-id: chat smart, stream, 200, served by gamma/m, attempt 2",
            "1. beta/m   at 0 ms, took 1.5 s: HTTP 503",
            "2. gamma/m  at 1.5 s, took 2.2 s: complete, content after 250 ms",
            "skipped: alpha/m (offline)",
            "first content after 1.8 s, ended after 3.8 s",
        ]


def test_a_plain_answer_is_told_with_its_tokens() -> None:
    with House() as house:
        house.chat("x-request-id: my-id")
        house.advance(1)
        assert explained(house) == [
            "my-id: chat smart, 200, served by alpha/m, attempt 1",
            "1. alpha/m  at 0 ms, took 0 ms: complete, content after 0 ms",
            "first content after 0 ms, ended after 0 ms, 7+3 tokens",
        ]


def test_a_request_that_failed_says_so_and_why() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        house.chat("x-request-id: my-id")
        house.advance(1)
        first, *_, last = explained(house)
        assert first == "my-id: chat smart, 502, failed"
        assert last == "all targets of 'smart' failed: alpha/m: HTTP 503; ended after 0 ms"


def test_a_broken_stream_is_not_called_served() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [[stream()[0], token("a"), 1.0, "reset"]]
        house.chat("x-request-id: my-id", stream=True)
        house.advance(3)
        assert explained(house)[0] == "my-id: chat smart, stream, 200, alpha/m began it on attempt 1, then it broke"


def test_a_client_that_left_is_said_to_have_left() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [[]]
        client = house.chat("x-request-id: my-id")
        house.advance(1)
        client.transport.close()
        house.settle()
        assert explained(house)[0] == "my-id: chat smart, no response, failed"
        assert explained(house)[-1] == "client went away; ended after 1.0 s"


def test_json_has_the_same_for_programs() -> None:
    with House(plan_of("alpha", "beta")) as house:
        house.generation.router.offline("alpha")
        house.chat("x-request-id: my-id")
        house.advance(1)
        told = house.get("/explain/my-id?format=json").json()
        assert told == house.get("/explain/my-id", "Accept: application/json").json()
        assert (told["id"], told["model"], told["status"], told["attempts"]) == ("my-id", "smart", 200, 1)
        assert told["skips"] == {"alpha/m": "offline"}
        assert told["steps"][0]["target"] == "beta/m"
        assert told["steps"][0]["result"] == "complete"


def test_of_two_requests_with_one_id_the_later_is_told() -> None:
    with House() as house:
        for model in ("alpha/m", "beta/m"):
            house.chat("x-request-id: my-id", model=model)
            house.advance(1)
        assert explained(house)[0].startswith("my-id: chat beta/m")


def test_an_id_is_unescaped() -> None:
    with House() as house:
        house.chat("x-request-id: a/b c")
        house.advance(1)
        assert house.get("/explain/a%2Fb%20c").status == house.get("/explain/a/b%20c").status == 200


def test_an_unknown_request_is_404_with_what_is_known() -> None:
    with House() as house:
        reply = house.get("/explain/none")
        said = "no request 'none' among the last 256; `oxllm requests` lists them"
        assert (reply.status, reply.json()["error"]["message"]) == (404, said)
        assert house.get("/explain/").status == 404


def test_a_request_under_way_is_said_to_be() -> None:
    with House() as house:
        house.providers["alpha"].replies = [[]]
        house.chat("x-request-id: my-id")
        reply = house.get("/explain/my-id")
        assert (reply.status, reply.json()["error"]["message"]) == (404, "request 'my-id' is still under way")


def test_the_ring_forgets_the_oldest() -> None:
    with House() as house:
        for i in range(257):
            house.chat(f"x-request-id: r{i}")
            house.advance(0.01)
        assert house.get("/explain/r0").status == 404
        assert house.get("/explain/r1").status == 200


def test_explain_tells_no_prompt_answer_or_key() -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b'{"error":{"message":"secret"}}', 500)]
        house.providers["beta"].replies = [[stream()[0], chunk(b"data: secret garbage\n\n")]]
        house.chat("x-request-id: my-id", "Authorization: Bearer secret", stream=True)
        house.advance(1)
        told = house.get("/explain/my-id").text + house.get("/explain/my-id?format=json").text
        assert "secret" not in told


# overrides


def state(house: House, name: str) -> str:
    providers = house.get("/status?format=json").json()["providers"]
    return str(next(p["state"] for p in providers if p["name"] == name))


def test_a_provider_is_taken_out_and_put_back() -> None:
    with House() as house:
        reply = house.ask("POST", "/admin/providers/alpha/offline")
        assert (reply.status, reply.json()) == (200, {"name": "alpha", "state": "offline"})
        client = house.chat()
        house.advance(1)
        assert client.response.headers["x-oxllm-provider"] == "beta"
        assert house.ask("POST", "/admin/providers/alpha/online").json() == {"name": "alpha", "state": "closed"}
        assert "operator: alpha offline" in house.log_text()


def test_a_provider_comes_back_when_its_time_is_over() -> None:
    with House() as house:
        assert house.ask("POST", "/admin/providers/alpha/offline?for=600").status == 200
        house.advance(400)
        assert house.get("/status").text.startswith(
            "1 model served; alpha is offline, 4 min: oxllm provider online alpha\n"
        )
        told = house.get("/status?format=json").json()
        assert [round(provider["seconds_left"]) for provider in told["providers"]] == [200, 0]
        assert [
            target["seconds_left"] and round(target["seconds_left"]) for target in told["models"][0]["targets"]
        ] == [
            200,
            None,
        ]
        house.advance(199)
        assert state(house, "alpha") == "offline"
        house.advance(2)
        assert state(house, "alpha") == "closed"
        assert "operator: alpha offline for 600 s" in house.log_text()
        assert "operator: alpha online" in house.log_text()


def test_the_last_word_about_a_provider_counts() -> None:
    with House() as house:
        house.ask("POST", "/admin/providers/alpha/offline?for=10")
        house.ask("POST", "/admin/providers/alpha/offline")
        assert house.get("/status?format=json").json()["providers"][0]["seconds_left"] == 0, "nobody knows"
        house.advance(20)
        assert state(house, "alpha") == "offline", "for good"
        house.ask("POST", "/admin/providers/alpha/offline?for=10")
        house.ask("POST", "/admin/providers/alpha/online")
        house.ask("POST", "/admin/providers/alpha/offline")
        house.advance(20)
        assert state(house, "alpha") == "offline"


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "x", "", "1e99"])
def test_a_time_that_is_none_changes_nothing(given: str) -> None:
    with House() as house:
        reply = house.ask("POST", f"/admin/providers/alpha/offline?for={given}")
        assert (reply.status, reply.json()["error"]["param"]) == (400, "for")
        assert state(house, "alpha") == "closed"


def test_who_takes_the_last_target_of_a_model_is_warned() -> None:
    with House() as house:
        assert "warnings" not in house.ask("POST", "/admin/providers/alpha/offline").json()
        assert house.ask("POST", "/admin/providers/beta/offline").json()["warnings"] == [
            "no target of smart is left: alpha/m offline, beta/m offline"
        ]


def test_the_last_requests_are_listed_the_newest_last() -> None:
    with House() as house:
        ids = []
        healthy = house.providers["alpha"].replies
        for number in range(3):
            house.providers["alpha"].replies = [answer(b"{}", 400)] if number == 1 else healthy
            client = house.chat()
            house.advance(1)
            ids.append(client.response.headers["x-request-id"])

        def listed(query: str) -> list[str]:
            return [record["id"] for record in house.get(f"/requests?{query}").json()["requests"]]

        assert listed("") == ids
        assert listed("limit=1") == ids[-1:]
        assert listed("limit=0") == []
        assert listed(f"after={ids[0]}") == ids[1:]
        assert listed("failed=1") == ids[1:2]
        assert listed("model=other") == []
        assert listed("limit=x") == ids
        assert listed(f"limit={'9' * 5000}") == ids


def test_the_requests_after_one_are_told_whatever_their_clients_call_them() -> None:
    with House() as house:
        for name in ("mine", "other", "mine", "mine"):
            house.chat(f"x-request-id: {name}")
            house.advance(1)
        told = house.get("/requests").json()["requests"]
        assert [record["id"] for record in told] == ["mine", "other", "mine", "mine"]
        for place, record in enumerate(told):
            after = house.get(f"/requests?after={record['id']}&at={record['time']!r}").json()["requests"]
            assert after == told[place + 1 :]
        assert house.get("/requests?after=mine&at=nonsense").json()["requests"] == told


def test_reset_forgets_failures_and_marks() -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b"{}", 401)]
        house.chat()
        house.advance(1)
        assert "key refused" in house.get("/status").text
        assert house.ask("POST", "/admin/providers/alpha/reset").status == 200
        assert "key refused" not in house.get("/status").text


@pytest.mark.parametrize(
    ("given", "hint"), [("alpah", "did you mean 'alpha'?"), ("zzz", "`oxllm provider list` names them")]
)
def test_an_unknown_provider_names_what_may_have_been_meant(given: str, hint: str) -> None:
    with House() as house:
        reply = house.ask("POST", f"/admin/providers/{given}/reset")
        assert (reply.status, reply.json()["error"]["message"]) == (404, f"there is no provider {given!r}; {hint}")


@pytest.mark.parametrize("path", ["/admin/providers/alpha/explode", "/admin/providers/alpha", "/admin/providers/"])
def test_an_unknown_action_is_404(path: str) -> None:
    with House() as house:
        assert house.ask("POST", path).status == 404
        assert state(house, "alpha") == "closed"


def test_a_provider_name_is_unescaped() -> None:
    with House(plan_of("a 'b' ü")) as house:
        assert house.ask("POST", "/admin/providers/a%20%27b%27%20%C3%BC/offline").status == 200
        assert state(house, "a 'b' ü") == "offline"


def test_overrides_are_posted_and_local() -> None:
    with House() as house:
        assert house.get("/admin/providers/alpha/offline").status == 405
        assert house.ask("POST", "/admin/providers/alpha/offline", peer="192.0.2.7").status == 403
        assert house.ask("POST", "/admin/providers/alpha/offline", "Origin: http://evil.example").status == 403
        assert house.get("/explain/x", peer="192.0.2.7").status == 403
        assert state(house, "alpha") == "closed"
