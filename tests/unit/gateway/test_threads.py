"""Message threads: a conversation that a provider holds is continued there. Elsewhere it would be refused or, by a
server that does not know threads, answered without what was said before."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from oxllm import plan as plans
from tests.support.house import House, Response, answer
from tests.support.scripted import Asked, Step
from tests.support.told import block, reason, start, stop, text
from tests.unit.gateway.test_messages import MESSAGE, ask, plan, told

LOST = json.dumps(
    {
        "type": "error",
        "error": {"type": "not_found_error", "message": "gone", "details": {"error_code": "thread_not_found"}},
        "request_id": "req_1",
    }
).encode()
CREATE = {"type": "create"}


REAL = "anthropic-organization-id: org"
"""Only Anthropic itself says so (https://platform.claude.com/docs/en/api/overview)."""


def given(id: str, *fields: str) -> list[Step]:
    return answer(json.dumps({"id": id, **MESSAGE}).encode(), 200, *(fields or (REAL,)))


def streamed(id: str) -> list[Step]:
    begun: dict[str, Any] = start()
    begun["message"]["id"] = id
    head, *events = told(begun, block(), text("Hi"), stop(), reason())
    assert isinstance(head, bytes)
    return [head.replace(b"\r\n\r\n", f"\r\n{REAL}\r\n\r\n".encode()), *events]


def say(house: House, thread: Any, stream: bool = False, path: str = "/v1/messages") -> Response:
    body = {"model": "smart", "max_tokens": 9, "messages": [], "thread": thread, "stream": stream}
    return ask(house, path=path, body=json.dumps(body).encode()).response


def after(id: object) -> dict[str, object]:
    return {"type": "continue", "previous_message_id": id}


def held_by(house: House, name: str, id: str = "msg_1", stream: bool = False) -> None:
    """Have `name` hold a thread whose last message is `id`, and each provider give another answer."""
    router = house.generation.router
    others = set(house.providers) - {name}
    for other in others:
        router.offline(other)
    house.providers[name].replies = [streamed(id) if stream else given(id)]
    assert say(house, CREATE, stream).status == 200
    for other in others:
        router.online(other)
    for script in house.providers.values():
        script.asked.clear()
        script.replies = [given("msg_2")]


def asked(house: House) -> list[str]:
    return [name for name, script in house.providers.items() for _ in script.asked]


@pytest.mark.parametrize("stream", [False, True])
def test_a_thread_is_continued_where_it_is_held(stream: bool) -> None:
    with House(plan()) as house:
        held_by(house, "beta", stream=stream)
        assert say(house, after("msg_1")).headers["x-oxllm-provider"] == "beta"
        assert json.loads(Asked(house.providers["beta"].asked[0]).body)["thread"] == after("msg_1")
        assert say(house, after("msg_2")).status == 200
        assert asked(house) == ["beta", "beta"]


@pytest.mark.parametrize("reply", [answer(b"{}", 500), answer(b"{}", 529), answer(b"{}", 429), answer(b"<html>")])
def test_where_its_holder_fails_its_client_is_asked_for_the_whole_conversation(reply: list[Step]) -> None:
    """As if it had expired: the SDKs then send it all again as a new thread, which any target can answer."""
    with House(plan()) as house:
        held_by(house, "beta")
        house.providers["beta"].replies = [reply]
        got = say(house, after("msg_1"))
        assert (got.status, got.json()["error"]["type"]) == (404, "not_found_error")
        assert got.json()["error"]["details"] == {"error_code": "thread_not_found"}
        assert "beta/m" in got.json()["error"]["message"]
        assert "retry-after" not in got.headers
        assert set(asked(house)) == {"beta"}


@pytest.mark.parametrize("how", ["open", "offline", "cooling", "gone"])
def test_where_its_holder_cannot_be_asked_its_client_is_asked_for_the_whole_conversation(how: str) -> None:
    with House(plan()) as house:
        held_by(house, "beta")
        beta = house.generation.router.providers["beta"]
        if how == "open":
            for _ in range(3):
                beta.breaker.failure(beta.breaker.generation, house.loop.time(), house.runtime.rng)
        elif how == "offline":
            house.generation.router.offline("beta")
        elif how == "gone":
            house.gateway.adopt(plan("alpha"))
        else:
            beta.target("m").cooldown.rate_limited(7.0, house.loop.time(), house.loop.time())
        got = say(house, after("msg_1"))
        assert (got.status, got.json()["error"]["details"]) == (404, {"error_code": "thread_not_found"})
        assert asked(house) == []
        assert say(house, CREATE).headers["x-oxllm-provider"] == "alpha"


def test_a_thread_whose_holder_is_not_known_is_continued_by_nobody() -> None:
    with House(plan()) as house:
        got = say(house, after("msg_1"))
        assert (got.status, got.json()["error"]["details"]) == (404, {"error_code": "thread_not_found"})
        assert got.headers["request-id"]
        assert asked(house) == []


def test_who_only_imitates_the_api_holds_no_thread() -> None:
    """It would ignore `thread`, and answer to the last words alone."""
    with House(plan()) as house:
        house.providers["alpha"].replies = [given("msg_1", "request-id: gen-1")]
        for thread, status in ((CREATE, 200), (after("msg_1"), 404), (CREATE, 200)):
            assert say(house, thread).status == status
        assert asked(house) == ["alpha", "alpha"]


def test_what_its_holder_says_about_it_is_passed_on_as_received() -> None:
    with House(plan()) as house:
        held_by(house, "beta")
        wrong = LOST.replace(b"thread_not_found", b"thread_already_continued")
        for status, body in [(404, LOST)] * 3 + [(400, wrong)]:  # a second 404 in a row marks a target elsewhere
            house.providers["beta"].replies = [answer(body, status)]
            got = say(house, after("msg_1"))
            assert (got.status, got.body) == (status, body)
        assert asked(house) == ["beta"] * 4


def test_where_another_model_of_its_holder_would_have_to_continue_it_its_client_is_asked_for_it_all_too() -> None:
    """A thread goes with its model: the smaller one that is to step in cannot read it."""
    made = plan("alpha")
    targets = tuple(plans.Target("alpha", model, tier) for tier, model in enumerate(("large", "small"), 1))
    both = msgspec.structs.replace(made, virtual_models=(plans.VirtualModel("smart", targets),))
    other = LOST.replace(b"thread_not_found", b"thread_fingerprint_mismatch")

    def limited(sent: Asked) -> list[Step]:
        body = json.loads(sent.body)
        if body["model"] == "large":
            return answer(b"{}", 429)
        return given("msg_2") if body["thread"] == CREATE else answer(other, 400)

    with House(both) as house:
        house.providers["alpha"].replies = [given("msg_1"), limited]
        assert say(house, CREATE).status == 200
        for _ in range(2):  # the second one finds the larger model cooling
            got = say(house, after("msg_1"))
            assert (got.status, got.json()["error"]["details"]) == (404, {"error_code": "thread_not_found"})
            got = say(house, CREATE)
            assert (got.status, got.headers["x-oxllm-model"]) == (200, "small")


@pytest.mark.parametrize(
    ("thread", "id", "remembered"), [(CREATE, "m" * 512, 1), (CREATE, "m" * 513, 0), (None, "m", 0)]
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_message_is_remembered_if_it_is_of_a_thread_and_its_id_is_short(
    thread: Any, id: str, remembered: int, stream: bool
) -> None:
    """Thousands of ids are kept, and no budget counts them."""
    with House(plan()) as house:
        house.providers["alpha"].replies = [streamed(id) if stream else given(id)]
        assert say(house, thread, stream).status == 200
        assert len(house.runtime.owners) == remembered


@pytest.mark.parametrize("thread", ["x", 7, [], {}, after(7), after(""), after("m" * 513), {"type": 7}])
def test_an_odd_thread_is_for_the_provider_to_judge(thread: Any) -> None:
    with House(plan()) as house:
        house.providers["alpha"].replies = [answer(b'{"error":{"message":"no"}}', 400)]
        got = say(house, thread)
        assert (got.status, asked(house)) == (400, ["alpha"])


def test_tokens_are_counted_by_whoever_can() -> None:
    with House(plan()) as house:
        held_by(house, "beta")
        house.providers["alpha"].replies = [answer(b'{"input_tokens":3}')]
        assert say(house, after("msg_1"), path="/v1/messages/count_tokens").status == 200
        assert asked(house) == ["alpha"]
