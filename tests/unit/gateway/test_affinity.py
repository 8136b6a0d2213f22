"""A session stays at one target, however it is named; who names none is spread."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest

from oxllm import plan as plans
from tests.support.house import House, answer
from tests.unit.gateway.test_messages import MESSAGE, ask, plan

NAMES = ("alpha", "beta", "gamma")
SESSIONS = [f"session-{number}" for number in range(12)]


def one_tier(**changes: object) -> plans.Plan:
    made = plan(*NAMES)
    targets = tuple(msgspec.structs.replace(target, tier=1) for target in made.virtual_models[0].targets)
    model = msgspec.structs.replace(made.virtual_models[0], targets=targets, **changes)
    return msgspec.structs.replace(made, virtual_models=(model,))


def house_of(made: plans.Plan) -> House:
    house = House(made)
    for script in house.providers.values():
        script.replies = [answer(json.dumps(MESSAGE).encode())]
    return house


def asked(house: House, *fields: str, **members: object) -> str:
    body = json.dumps({"model": "smart", **members}).encode()
    return ask(house, *fields, body=body).response.headers["x-oxllm-provider"]


@pytest.mark.parametrize(
    "name", ["x-claude-code-session-id", "session_id", "session-id", "x-session-id", "x-session-affinity"]
)
def test_a_session_that_a_header_names_stays_where_it_is(name: str) -> None:
    with house_of(one_tier()) as house:
        at = {session: asked(house, f"{name}: {session}") for session in SESSIONS}
        assert set(at.values()) == set(NAMES)
        for session in reversed(SESSIONS):
            assert asked(house, f"{name}: {session}") == at[session]


BY_BODY = (
    lambda session: {"prompt_cache_key": session},
    lambda session: {"metadata": {"user_id": session}},
)


@pytest.mark.parametrize("members", BY_BODY, ids=["prompt_cache_key", "user_id"])
def test_a_session_that_the_body_names_stays_where_a_header_would_have_it(members: object) -> None:
    with house_of(one_tier()) as house:
        for session in SESSIONS:
            assert asked(house, **members(session)) == asked(house, f"session-id: {session}")  # type: ignore[operator]


def test_the_first_name_counts() -> None:
    with house_of(one_tier()) as house:
        for session in SESSIONS:
            at = asked(house, f"x-claude-code-session-id: {session}")
            others = ("x-session-id: other", "session_id: another")
            assert asked(house, *others, f"x-claude-code-session-id: {session}", prompt_cache_key="third") == at


def test_a_clients_sessions_are_its_own_however_its_key_comes() -> None:
    with house_of(one_tier()) as house:
        at = [asked(house, f"session-id: {session}", "Authorization: Bearer one") for session in SESSIONS]
        assert [asked(house, f"session-id: {session}", "x-api-key: one") for session in SESSIONS] == at
        assert [asked(house, f"session-id: {session}", "x-api-key: two") for session in SESSIONS] != at


@pytest.mark.parametrize("members", [{}, {"prompt_cache_key": 5, "metadata": []}, {"metadata": {"user_id": None}}])
def test_who_names_no_session_is_spread_evenly(members: dict[str, object]) -> None:
    with house_of(one_tier()) as house:
        assert Counter(asked(house, **members) for _ in range(9)) == dict.fromkeys(NAMES, 3)


def test_who_names_no_session_is_spread_evenly_however_much_a_session_asked_of_one_target() -> None:
    with house_of(one_tier()) as house:
        for _ in range(20):
            asked(house, "session-id: one")
        assert Counter(asked(house) for _ in range(9)) == dict.fromkeys(NAMES, 3)


def test_affinity_can_be_turned_off() -> None:
    with house_of(one_tier(affinity=False)) as house:
        assert Counter(asked(house, "session-id: one") for _ in range(9)) == dict.fromkeys(NAMES, 3)


def test_a_session_goes_on_elsewhere_while_its_target_cannot_be_asked_and_comes_back() -> None:
    with house_of(one_tier()) as house:
        home = asked(house, "session-id: one")
        house.generation.router.offline(home)
        away = {asked(house, "session-id: one") for _ in range(3)}
        assert len(away) == 1
        assert home not in away
        house.generation.router.online(home)
        assert asked(house, "session-id: one") == home


def test_explain_says_when_the_session_decided() -> None:
    with house_of(one_tier()) as house:
        asked(house, "session-id: one", "x-request-id: mine")
        asked(house, "x-request-id: nobodys")
        assert "where its session goes" in house.get("/explain/mine").text
        assert "session" not in house.get("/explain/nobodys").text


def test_a_target_that_takes_any_name_is_sent_the_clients() -> None:
    made = plan("alpha")
    target = msgspec.structs.replace(made.virtual_models[0].targets[0], model=plans.ANY)
    models = (plans.VirtualModel("claude-*", (target,)),)
    with house_of(msgspec.structs.replace(made, virtual_models=models)) as house:
        for name in ("claude-opus-9", "claude-\n"):
            reply = ask(house, "x-request-id: my-id", model=name).response
            assert reply.headers["x-oxllm-model"] == (name if name.isprintable() else "*")
            sent = json.loads(house.providers["alpha"].asked[-1].partition(b"\r\n\r\n")[2])
            assert sent["model"] == name
        assert "200 messages claude-* -> alpha/claude-opus-9 total" in house.log_text()
        assert 'oxllm_attempts_total{provider="alpha",model="*"} 2\n' in house.get("/metrics").text


def test_a_name_that_a_target_of_any_name_lacks_marks_nothing() -> None:
    made = plan("alpha")
    target = msgspec.structs.replace(made.virtual_models[0].targets[0], model=plans.ANY)
    with house_of(msgspec.structs.replace(made, virtual_models=(plans.VirtualModel("*", (target,)),))) as house:
        missing = b'{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}'
        house.providers["alpha"].replies = [answer(missing, 404), answer(json.dumps(MESSAGE).encode())]
        assert ask(house, model="claude-x").response.status != 200
        assert ask(house, model="claude-y").response.status == 200
