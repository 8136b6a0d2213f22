"""What each upstream result does (docs/failures.md), a row a test: to the client, to the provider, and afterwards.

Each row has two providers of its own behind a virtual model of its own: the first gives the reply of the row, the
second is healthy. One gateway runs for all; a single failure opens a breaker in it, so that one request shows
whether it counted.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from typing import Any

import httpx
import pytest

from tests.e2e.rows import (
    ALL,
    AS_IS,
    BREAKS,
    CASES,
    CHAT,
    EMBEDDINGS,
    GARBAGE,
    NOTHING,
    NOTHING_LEFT,
    ODD_STREAMS,
    OPEN_S,
    OPENED,
    PLAIN,
    RATE,
    STREAM,
    Effect,
    Row,
    cooled,
    error,
)
from tests.support import scripted
from tests.support.chat_bytes import DONE, FINISH, ROLE, token
from tests.support.scripted import GATE, HANG, KEEP, Reply, Scripted, answer, healthy, stream
from tests.support.user import Gateway, config, eventually, gateway

SETTINGS = f"""\
[breaker]
failures = 1
cooldown = {OPEN_S}
cooldown_max = {OPEN_S}
[retry]
budget = 1.0
[timeouts]
request = 30
"""
RESCUE = "from the second"

OTHERS = ("commit", "reused", "forbidden", "forbidden-reset", "later", "gone", "gone-waiting", "context-last", "slow")


def after_gate(reply: Reply) -> Reply:
    def gated(asked: scripted.Asked) -> Sequence[scripted.Step]:
        return [GATE, *(reply(asked) if callable(reply) else reply)]

    return gated


def pairs() -> Iterator[tuple[str, Sequence[Reply], Row | None]]:
    """Every virtual model of this module: its name, the replies of its providers, and the row it belongs to."""
    for row, mode in CASES:
        yield f"{row.key}-{mode}", [row.reply, healthy(RESCUE)], row
    for key, (status, body) in AS_IS.items():
        for mode in ALL:
            yield f"as-is-{key}-{mode}", [answer(status, body, "x-request-id: theirs"), healthy(RESCUE)], None
    for key, steps in BREAKS.items():
        yield f"break-{key}", [[*stream(ROLE, token("to be"), end=False), GATE, *steps], healthy(RESCUE)], None
    for key, (reply, _) in ODD_STREAMS.items():
        yield f"odd-{key}", [reply, healthy(RESCUE)], None
    for key, left in NOTHING_LEFT.items():
        yield f"left-{key}", left.replies, None
    for key, (later, _) in PINGED.items():
        yield key, [after_gate(later), healthy(RESCUE)], None
    for key in OTHERS:
        yield key, [healthy("from the first"), healthy(RESCUE)], None


PING_AFTER_S = 10
HELD_OPEN_S = 1.8
"""A connection that is held open behind its end is left a little later than that."""
TRIES = 8
PINGED: dict[str, tuple[Reply, bytes]] = {
    "ping-then-content": (healthy("late"), ROLE + token("late") + FINISH + DONE),
    "ping-then-failover": ([GARBAGE], ROLE + token(RESCUE) + FINISH + DONE),
    "ping-then-400": (answer(400, error("your fault", "invalid_request_error")), b""),
}
"""What the first provider does after it has been silent for longer than a ping, and what the client gets behind it."""


class Stage:
    """The gateway, its providers, and a client."""

    def __init__(self, running: Gateway, cast: Scripted, waiting: ThreadPoolExecutor) -> None:
        self.gateway = running
        self.client = running.http
        self.cast = cast
        self.pinged = {key: waiting.submit(self._stream_of, key) for key in PINGED}
        """Streams that are silent for 10 s at first: they wait while the other tests run."""

    def _stream_of(self, model: str) -> tuple[httpx.Headers, bytes, float]:
        """Headers, body, and when the first byte came; the gate is opened then."""
        start = time.monotonic()
        data = b""
        with (
            httpx.Client(base_url=self.gateway.url, timeout=40, trust_env=False) as client,
            client.stream("POST", path(STREAM), json=body(model, STREAM)) as response,
            contextlib.suppress(httpx.RemoteProtocolError),
        ):
            parts = response.iter_raw()
            data += next(parts)
            waited = time.monotonic() - start
            self.first(model).open_gate()
            for part in parts:
                data += part
        return response.headers, data, waited

    def asked(self, model: str) -> list[int]:
        """How often each provider of a virtual model was asked."""
        return [len(self.cast.providers[f"{model}-{end}"].asked) for end in "ab"]

    def first(self, model: str) -> scripted.Provider:
        return self.cast.providers[f"{model}-a"]

    def ask(self, model: str, mode: str = PLAIN, **more: object) -> httpx.Response:
        return self.client.post(path(mode), json=body(model, mode, **more))


def path(mode: str) -> str:
    return "/v1/embeddings" if mode == EMBEDDINGS else "/v1/chat/completions"


def body(model: str, mode: str = PLAIN, **more: object) -> dict[str, Any]:
    if mode == EMBEDDINGS:
        return {"model": model, "input": "hi", **more}
    flag = {"stream": True} if mode == STREAM else {}
    return {"model": model, **flag, "messages": [{"role": "user", "content": "hi"}], **more}


def prepare(provider: scripted.Provider, port: str) -> str:
    """Make the port what a row says. Its URL."""
    if port == "swallows":
        provider.swallow()
    if port == "garbage":
        provider.greeting = GARBAGE
        return provider.url.replace("http", "https", 1)
    return provider.url


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    urls: dict[str, str] = {}
    settings: dict[str, str] = {"break-stall-a": "timeouts = { idle = 0.3 }", "slow-a": "timeouts = { answer = 100 }"}
    models: dict[str, list[str]] = {}
    with Scripted() as cast:
        for key, replies, row in pairs():
            for end, reply in zip("ab", replies, strict=True):
                port = row.port if row is not None and end == "a" else "listens"
                provider = cast.add(f"{key}-{end}", listens=port in ("listens", "garbage"))
                provider.replies = [reply]
                urls[provider.name] = prepare(provider, port)
            if row is not None:
                settings[f"{key}-a"] = row.provider
            models[key] = [f"{key}-{end}" for end in "ab"]
        assert len(models) == len(list(pairs())), "two rows of one name"
        text = config(urls, models, settings=SETTINGS, of_provider=settings)
        with gateway(tmp_path_factory.mktemp("table"), text) as running, ThreadPoolExecutor(len(PINGED)) as waiting:
            yield Stage(running, cast, waiting)


def content(response: httpx.Response, mode: str) -> str:
    """The text of a whole answer."""
    if mode == STREAM:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.text.endswith("data: [DONE]\n\n")
        return "".join(event["choices"][0]["delta"].get("content") or "" for event in events(response.content))
    found = response.json()
    text: str = found["data"][0]["embedding"] if mode == EMBEDDINGS else found["choices"][0]["message"]["content"]
    return text


def events(data: bytes) -> list[dict[str, Any]]:
    """The JSON of each event of a stream."""
    lines = [line.removeprefix(b"data: ") for line in data.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def effect_on(stage: Stage, name: str) -> Effect:
    """What /status says of a provider after a row."""
    provider = stage.gateway.provider(name)
    marks: dict[str, dict[str, Any]] = provider["marks"]
    if "m" not in marks:
        return Effect("breaker open", provider["seconds_left"], True) if provider["state"] == "open" else NOTHING
    mark, other = marks["m"], marks.get("m2", {})
    return Effect(mark["state"], mark["seconds_left"], other.get("state") == mark["state"])


def assert_about(found: Effect, expected: Effect) -> None:
    """The same, but for the time that the test took, rounding, and a breaker's jitter of 10 %."""
    assert found._replace(seconds=0) == expected._replace(seconds=0)
    slack = expected.seconds / 10 if expected is OPENED else 1.0
    assert expected.seconds - slack - 1.5 <= found.seconds <= expected.seconds + slack + 0.001


@pytest.mark.parametrize(("row", "mode"), CASES, ids=[f"{row.key}-{mode}" for row, mode in CASES])
def test_a_failure_before_commit_costs_the_client_nothing(stage: Stage, row: Row, mode: str) -> None:
    model = f"{row.key}-{mode}"
    response = stage.ask(model, mode)
    assert response.status_code == 200
    assert content(response, mode) == RESCUE
    assert response.headers["x-oxllm-provider"] == f"{model}-b"
    assert response.headers["x-oxllm-model"] == "m"
    assert response.headers["x-oxllm-attempts"] == str(max(row.asked, 1) + 1)
    assert stage.asked(model) == [row.asked, 1]
    assert_about(effect_on(stage, f"{model}-a"), row.effect)
    assert effect_on(stage, f"{model}-b") == NOTHING


@pytest.mark.parametrize("mode", ALL)
@pytest.mark.parametrize("key", AS_IS)
def test_the_clients_own_mistake_comes_back_as_the_provider_said_it(stage: Stage, key: str, mode: str) -> None:
    model = f"as-is-{key}-{mode}"
    response = stage.ask(model, mode)
    status, said = AS_IS[key]
    assert (response.status_code, response.content) == (status, said)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-oxllm-provider"] == f"{model}-a"
    assert response.headers["x-upstream-request-id"] == "theirs"
    assert stage.asked(model) == [1, 0]
    assert effect_on(stage, f"{model}-a") == NOTHING


@pytest.mark.parametrize("key", BREAKS)
def test_a_break_after_commit_is_an_error_event_and_no_end(stage: Stage, key: str) -> None:
    model, data = f"break-{key}", b""
    with stage.client.stream("POST", path(STREAM), json=body(model, STREAM)) as response:
        assert response.status_code == 200
        assert response.headers["x-oxllm-provider"] == f"{model}-a"
        parts = response.iter_raw()
        while token("to be") not in data:
            data += next(parts)
        stage.first(model).open_gate()
        rest: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            rest.extend(parts)  # keeps what came before the break
    data += b"".join(rest)
    assert data.startswith(ROLE + token("to be"))
    assert b"data: [DONE]" not in data
    assert b'finish_reason":"stop' not in data
    last = events(data)[-1]["error"]
    assert (last["type"], last["code"], last["param"]) == ("upstream_error", "stream_interrupted", None)
    assert stage.asked(model) == [1, 0]
    assert_about(effect_on(stage, f"{model}-a"), OPENED)


@pytest.mark.parametrize("key", ODD_STREAMS)
def test_an_odd_stream_that_is_whole_arrives_whole(stage: Stage, key: str) -> None:
    model = f"odd-{key}"
    held_open, took = key == "no-done-held-open", 0.0
    for count in range(1, TRIES):  # a busy machine is late, but not each time
        start = time.monotonic()
        response = stage.ask(model, STREAM)
        took = time.monotonic() - start
        assert response.content == ODD_STREAMS[key][1]
        assert stage.asked(model) == [count, 0]
        if held_open or took < HELD_OPEN_S:
            break
    assert (took >= HELD_OPEN_S) == held_open
    assert effect_on(stage, f"{model}-a") == NOTHING


@pytest.mark.parametrize("key", NOTHING_LEFT)
def test_when_nothing_is_left_the_error_says_whose_move_it_is(stage: Stage, key: str) -> None:
    left, model = NOTHING_LEFT[key], f"left-{key}"
    response = stage.ask(model)
    said = response.json()["error"]
    assert (response.status_code, said["type"], said["code"], said["param"]) == (left.status, *left.error, None)
    assert left.retry_after * 0.8 <= int(response.headers["retry-after"]) <= left.retry_after * 1.15
    assert response.headers.get("x-should-retry") == left.should_retry
    for end, words in zip("ab", left.says, strict=True):
        assert f"{model}-{end}/m: " in said["message"]
        assert words in said["message"]
    assert "sk-" not in response.text
    assert "x-oxllm-provider" not in response.headers


@pytest.mark.parametrize("mode", CHAT)
def test_with_every_target_marked_the_answer_comes_at_once_and_asks_nobody(stage: Stage, mode: str) -> None:
    before = stage.asked("left-all-failed")
    if not sum(before):
        stage.ask("left-all-failed")
        before = stage.asked("left-all-failed")
    response = stage.ask("left-all-failed", mode)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "no_target_available"
    assert 15 <= int(response.headers["retry-after"]) <= 22
    assert response.headers["x-oxllm-attempts"] == "0"
    assert stage.asked("left-all-failed") == before
    if not sum(stage.asked("left-all-limited")):
        stage.ask("left-all-limited")
    assert stage.ask("left-all-limited", mode).status_code == 429


@pytest.mark.parametrize("mode", ALL)
def test_a_context_too_long_for_every_target_comes_back_as_received(stage: Stage, mode: str) -> None:
    said = error("This model's maximum context length is 8 tokens.", "invalid_request_error", "context_length_exceeded")
    for end in "ab":
        stage.cast.providers[f"context-last-{end}"].replies = [answer(400, said)]
    before = stage.asked("context-last")
    response = stage.ask("context-last", mode)
    assert (response.status_code, response.content) == (400, said)
    assert stage.asked("context-last") == [count + 1 for count in before]


def test_the_clients_deadline_ends_in_504_and_is_kept(stage: Stage) -> None:
    for end in "ab":
        stage.cast.providers[f"slow-{end}"].replies = [[HANG]]
    took = inf
    for count in range(1, TRIES):  # a busy machine is late, but not each time
        start = time.monotonic()
        response = stage.client.post(path(PLAIN), json=body("slow"), headers={"x-stainless-read-timeout": "1.0"})
        took = time.monotonic() - start
        said = response.json()["error"]
        assert (response.status_code, said["type"], said["code"]) == (504, "timeout_error", "deadline_exceeded")
        assert stage.asked("slow") == [count, count]
        if took < 1.0:
            break
    assert 0.8 < took < 1.0
    assert all(stage.cast.providers[f"slow-{end}"].left.wait(60) for end in "ab")
    assert effect_on(stage, "slow-a") == NOTHING, "half a second says nothing about a provider"


def test_the_second_403_in_a_row_marks_the_target_and_no_other(stage: Stage) -> None:
    stage.first("forbidden").replies = [answer(403, error("no"))]
    for _ in range(2):
        assert stage.ask("forbidden").headers["x-oxllm-provider"] == "forbidden-b"
    assert_about(effect_on(stage, "forbidden-a"), Effect("key refused", 60))
    stage.ask("forbidden")
    assert stage.asked("forbidden") == [2, 3]


def test_a_403_after_a_success_is_a_first_one_again(stage: Stage) -> None:
    refusal = answer(403, error("no"))
    stage.first("forbidden-reset").replies = [refusal, healthy("hi"), refusal]
    for _ in range(3):
        assert stage.ask("forbidden-reset").status_code == 200
    assert effect_on(stage, "forbidden-reset-a") == NOTHING


def test_a_later_429_doubles_the_wait_and_a_hint_never_shortens_it(stage: Stage) -> None:
    first = stage.first("later")
    first.replies = [answer(429, RATE, "retry-after-ms: 50"), answer(429, RATE)]
    stage.ask("later")
    assert eventually(lambda: effect_on(stage, "later-a") == NOTHING)
    stage.ask("later")
    assert_about(effect_on(stage, "later-a"), cooled(10))


@pytest.mark.parametrize("mode", ALL)
def test_a_dead_reused_connection_costs_nothing_and_counts_nothing(stage: Stage, mode: str) -> None:
    first = stage.first("reused")
    good = healthy("again")

    def kept(asked: scripted.Asked) -> Sequence[scripted.Step]:
        return [*good(asked), KEEP]

    asked = len(first.asked)
    first.replies = [*[first.replies[0]] * asked, kept, [], kept]
    before = first.connected
    for _ in range(2):
        response = stage.ask("reused", mode)
        assert (response.headers["x-oxllm-provider"], response.headers["x-oxllm-attempts"]) == ("reused-a", "1")
        assert content(response, mode) == "again"
    assert len(first.asked) == asked + 3, "the second was asked twice: on the dead connection, and on a new one"
    assert first.connected <= before + 2
    assert effect_on(stage, "reused-a") == NOTHING
    assert stage.asked("reused")[1] == 0


@pytest.mark.parametrize("when", ["waiting", "streaming"])
def test_a_client_that_leaves_is_gone_at_the_provider_too(stage: Stage, when: str) -> None:
    model = "gone" if when == "streaming" else "gone-waiting"
    first = stage.first(model)
    first.replies = [[*stream(ROLE, token("to be"), end=False), HANG] if when == "streaming" else [HANG]]
    patience = 30.0 if when == "streaming" else 1.0
    with httpx.Client(base_url=stage.gateway.url, trust_env=False, timeout=patience) as client:
        if when == "streaming":
            with client.stream("POST", path(STREAM), json=body(model, STREAM)) as response:
                assert next(response.iter_raw())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(path(PLAIN), json=body(model))
    assert first.left.wait(60)
    assert stage.asked(model) == [1, 0]
    assert effect_on(stage, f"{model}-a") == NOTHING


@pytest.mark.parametrize("key", PINGED)
def test_after_ten_seconds_a_ping_keeps_the_client_and_gives_nothing_up(stage: Stage, key: str) -> None:
    fields, data, waited = stage.pinged[key].result(timeout=60)
    assert waited > PING_AFTER_S - 0.1
    assert fields["content-type"].startswith("text/event-stream")
    assert "x-oxllm-provider" not in fields
    assert data.startswith(b": ping\n")
    rest = data.removeprefix(b": ping\n")
    if key == "ping-then-400":
        assert events(rest) == [
            {"error": {"message": "your fault", "type": "invalid_request_error", "param": None, "code": None}}
        ]
        assert b"data: [DONE]" not in rest
    else:
        assert rest == PINGED[key][1]


def test_nothing_that_was_said_has_a_key_in_it(stage: Stage) -> None:
    log = stage.gateway.log().split("ready:", 1)[1]
    assert "sk-" not in log
    assert "sk-" not in json.dumps(stage.gateway.status())
