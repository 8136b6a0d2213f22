"""What /status shows."""

from __future__ import annotations

import pytest

from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.route import HEALTHY
from oxllm.status import ModelStatus, TargetStatus
from tests.support.by_hand import WHOLE, error_body, make_plan
from tests.support.house import House, answer, plan_of, stream, token


def test_the_table_fits_a_terminal_and_names_everything() -> None:
    with House(plan_of("alpha", "beta", "gamma")) as house:
        house.providers["beta"].replies = [answer(b"{}", 401)]
        house.chat(model="beta/m")
        house.chat()
        house.advance(0.1)
        house.generation.router.offline("gamma")
        table = house.get("/status").text
        lines = table.splitlines()
        assert max(map(len, lines)) <= 100
        assert lines[0] == "1 model served; beta refuses its key, 60 s; gamma is offline"
        assert lines[1].startswith("oxllm ")
        assert lines[1].endswith(" on http://127.0.0.1:8080")
        states = {line.split()[0]: line for line in lines if line.split()[:1] and line.split()[0] in house.providers}
        assert " ok " in states["alpha"]
        assert "100.0 %" in states["alpha"]
        assert "key refused" in states["beta"]
        assert " offline " in states["gamma"]
        assert "smart     1  alpha/m  ready " in table


def test_json_is_for_programs() -> None:
    with House() as house:
        house.chat()
        house.advance(0.1)
        for reply in (house.get("/status?format=json"), house.get("/status", "Accept: application/json")):
            status = reply.json()
            assert (status["in_flight"], status["requests"]) == (0, 1)
            assert status["memory_bytes"] > 1_000_000
            assert status["listen"] == ["http://127.0.0.1:8080"]
            assert (status["draining"], status["config"]) == (False, None)
            alpha = status["providers"][0]
            assert (alpha["name"], alpha["state"], alpha["attempts"], alpha["successes"]) == ("alpha", "closed", 1, 1)
            assert (alpha["prompt_tokens"], alpha["completion_tokens"]) == (7, 3)
            assert status["models"][0]["targets"][0] == {
                "target": "alpha/m",
                "tier": 1,
                "weight": 1,
                "state": "ready",
                "seconds_left": None,
                "prompt_tokens": 7,
                "cached_tokens": 0,
            }


def test_a_model_has_failed_nobody_who_asked_for_what_no_one_gives_or_who_left() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [answer(error_body("bad_request"), 400), [60.0, *answer(WHOLE)]]
        assert house.chat().response.status == 400
        house.chat().transport.abort()
        house.settle()
        house.generation.router.offline("alpha")
        assert house.chat().response.status == 503
        model = house.get("/status?format=json").json()["models"][0]
        assert (model["requests"], model.get("in_flight", 0), model["failed"]) == (3, 0, 1)


def test_a_marked_target_says_why_and_for_how_long() -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b"{}", 429, "retry-after: 30")]
        house.chat()
        house.advance(0.5)
        status = house.get("/status?format=json").json()
        target = status["models"][0]["targets"][0]
        assert target["state"] == "rate-limited"
        assert 29 < target["seconds_left"] <= 30
        assert status["models"][0]["rescued"] == 1
        assert status["providers"][0]["failures"] == {"capacity": 1}
        assert "rate-limited, 30 s left" in house.get("/status").text


def test_a_provider_that_fails_says_how() -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b"{}", 503), answer(b"{}", 502), *[answer(b"<html>")] * 2]
        for _ in range(4):
            house.chat()
            house.advance(0.2)
        alpha, beta = house.get("/status?format=json").json()["providers"]
        assert (alpha["state"], alpha["last_failure"]) == ("open", "HTML instead of an answer")
        assert 4 < alpha["seconds_left"] < 5.5, "5 s ± 10 %"
        assert (beta["state"], beta["seconds_left"]) == ("closed", 0.0)
        assert "alpha fails (HTML instead of an answer), " in house.get("/status").text


def test_a_target_that_a_reload_dropped_is_shown_no_more_but_its_provider_keeps_what_it_has_done() -> None:
    with House(make_plan("alpha/m", "alpha/old")) as house:
        for reply in (answer(WHOLE), answer(error_body("model_not_found"), 404)):
            house.providers["alpha"].replies = [reply]
            house.chat(model="alpha/old")
            house.advance(0.5)
        alpha = house.get("/status?format=json").json()["providers"][0]
        assert (alpha["targets"], list(alpha["marks"]), alpha["attempts"]) == (2, ["old"], 2)
        house.gateway.adopt(make_plan("alpha/m"))
        alpha = house.get("/status?format=json").json()["providers"][0]
        assert (alpha["targets"], alpha["marks"], alpha["attempts"]) == (1, {}, 2)


def test_what_is_under_way_is_counted() -> None:
    with House() as house:
        house.providers["alpha"].replies = [stream(token("a"), 60.0)]
        house.chat(stream=True)
        house.advance(1)
        status = house.get("/status?format=json").json()
        assert (status["in_flight"], status["models"][0]["in_flight"], status["providers"][0]["in_flight"]) == (1, 1, 1)
        assert status["upstream_connections"] == 1


def test_nothing_secret_is_shown() -> None:
    with House(plan_of("alpha", admin_token="admin-secret", api_keys=("client-secret",))) as house:
        bearer = "Authorization: Bearer admin-secret"
        shown = house.get("/status", bearer).text + house.get("/status?format=json", bearer).text
        assert "secret" not in shown


@pytest.mark.parametrize("skip", [None, *Skip])
def test_the_command_line_takes_for_served_what_the_gateway_does(skip: Skip | None) -> None:
    """All that says so: the verdict and its exit code, the table, what `--watch` tells, /v1/models, the warning of
    `provider offline`."""
    target = TargetStatus("alpha/m", state="ready" if skip is None else skip.value)
    assert ModelStatus("smart", targets=(TargetStatus("beta/m", state="offline"), target)).served is (skip in HEALTHY)
    assert not ModelStatus("smart").served
