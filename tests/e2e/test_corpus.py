"""What real providers say (tests/data/errors/corpus.jsonl), over real sockets, with a healthy target behind each.

Each case has a provider of its own that gives its answer, behind a virtual model of its own. A single failure opens
a breaker, so that one request shows whether a target may still be asked. Where a mark should be the target's alone,
another model of the same provider is asked, too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from tests.support import scripted
from tests.support.corpus import Case, cases, filled
from tests.support.scripted import HANG, Steps, answer, healthy
from tests.support.user import Gateway, config, gateway

SETTINGS = """\
[breaker]
failures = 1
cooldown = 20
cooldown_max = 20
[retry]
same_target = 0
budget = 1.0
[timeouts]
request = 30
first_byte = 2
"""
RESCUE = "from the second"
PHRASES = {
    "credit": "Your credit balance is too low",
    "key": "Incorrect API key provided",
    "model": "The model does not exist",
    "quota": "You exceeded your current quota",
    "wait": "Rate limit reached, please try again in 59m",
}
CASES = cases("corpus")
NOT_AGAIN = (408, 409, 425, 429)


def reply(case: Case) -> scripted.Reply:
    """The case's answer, with its moments counted from when it is sent."""

    def steps(asked: scripted.Asked) -> Steps:
        now = time.time()
        headers = {"content-type": "application/json"} | case.headers
        lines = [f"HTTP/1.1 {case.status} Said", *(f"{name}: {filled(value, now)}" for name, value in headers.items())]
        if case.events is None and case.then == "end":
            body = filled(case.body or "", now).encode()
            lines.append(f"content-length: {len(body)}")
            return ["\r\n".join([*lines, "", ""]).encode() + body]
        head = "\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode()
        parts = [filled(event, now).encode() for event in case.events or [case.body or ""]]
        chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
        ends: dict[str, Steps] = {"end": [b"0\r\n\r\n"], "cut": [], "stall": [HANG]}
        return [head, *chunks, *ends[case.then]]

    return steps


def answer_or(case: Case) -> scripted.Reply:
    """The case for the model that it is about; the provider's other model is well."""
    bad, good = reply(case), healthy("from another model")

    def steps(asked: scripted.Asked) -> Sequence[scripted.Step]:
        chosen = good if b'"m2"' in asked.body else bad
        return chosen(asked) if callable(chosen) else chosen

    return steps


def parrot(asked: scripted.Asked) -> Steps:
    """It repeats what it is asked, as if it said that itself, and is well if nothing is asked of it but "hello"."""
    said = json.loads(asked.body)["messages"][0]["content"]
    if said == "hello":
        return answer(200, scripted.completion("hello yourself"))
    return answer(400, json.dumps({"error": {"message": said, "type": "invalid_request_error"}}).encode())


class Stage:
    def __init__(self, running: Gateway, cast: scripted.Scripted) -> None:
        self.gateway = running
        self.cast = cast

    def ask(self, case: Case, model: str) -> tuple[httpx.Response, bytes, bool]:
        """The response, what came of its body, and whether that was all of it."""
        path = "/v1/embeddings" if case.endpoint == "embeddings" else "/v1/chat/completions"
        asked: dict[str, Any] = {"model": model}
        if case.endpoint == "embeddings":
            asked["input"] = "hello"
        else:
            asked["messages"] = [{"role": "user", "content": "hello"}]
        if case.endpoint == "stream":
            asked["stream"] = True
        data, whole = b"", True
        with self.gateway.http.stream("POST", path, json=asked | case.request) as response:
            try:
                for part in response.iter_raw():
                    data += part
            except httpx.RemoteProtocolError:
                whole = False
        return response, data, whole


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    urls: dict[str, str] = {}
    models: dict[str, list[str]] = {}
    with scripted.Scripted() as cast:
        for case in CASES:
            provider = cast.add(case.id)
            provider.replies = [answer_or(case)]
            lonely = cast.add(f"{case.id}-alone")
            lonely.replies = [reply(case)]
            urls |= {case.id: provider.url, lonely.name: lonely.url}
            models |= {case.id: [case.id, "healthy"], lonely.name: [lonely.name]}
        for name in PHRASES:
            provider = cast.add(f"parrot-{name}")
            provider.replies = [parrot]
            urls[provider.name] = provider.url
            models[provider.name] = [provider.name, "healthy"]
        well = cast.add("healthy")
        well.replies = [healthy(RESCUE)]
        urls["healthy"] = well.url
        with gateway(tmp_path_factory.mktemp("corpus"), config(urls, models, settings=SETTINGS)) as running:
            yield Stage(running, cast)


def text_of(case: Case, data: bytes) -> str:
    """The content of an answer, as far as it came."""
    if case.endpoint == "stream":
        lines = [line.removeprefix(b"data: ") for line in data.split(b"\n") if line.startswith(b"data: {")]
        choices = [choice for line in lines for choice in json.loads(line).get("choices") or []]
        return "".join((choice.get("delta") or {}).get("content") or "" for choice in choices)
    found = json.loads(data)
    if case.endpoint == "embeddings":
        return str(found["data"][0]["embedding"])
    return str(found["choices"][0]["message"]["content"] or "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_a_provider_says_is_taken_for_what_it_means(stage: Stage, case: Case) -> None:
    for _ in range(case.times):
        response, data, whole = stage.ask(case, case.id)
        assert_seen(case, response, data, whole)
    asked = len(stage.cast.providers[case.id].asked)
    assert_marks(stage, case, asked)


def assert_seen(case: Case, response: httpx.Response, data: bytes, whole: bool) -> None:
    expect = case.expect
    if expect.failover:
        assert response.status_code == 200, data
        assert whole
        assert text_of(case, data) == RESCUE
        assert response.headers["x-oxllm-provider"] == "healthy"
    elif expect.outcome == "ok":
        assert (response.status_code, whole) == (200, True)
        assert text_of(case, data) == expect.text
    elif expect.outcome == "broken":
        assert not whole
        assert text_of(case, data) == expect.text
        assert b'"code":"stream_interrupted"' in data
    elif case.status >= 400:
        assert (response.status_code, data) == (case.status, (case.body or "").encode())
    else:
        assert 400 <= response.status_code < 500, "said under 200, so there is no status of its own"


def assert_marks(stage: Stage, case: Case, asked: int) -> None:
    """Whether the next, innocent request goes to the same target."""
    if case.expect.marks == "any":
        return
    stage.ask(case, case.id)
    again = len(stage.cast.providers[case.id].asked) > asked
    assert again == (case.expect.marks == "nothing")
    hint = case.expect.retry_after_s
    provider = stage.gateway.provider(case.id)
    if hint is not None and not again:
        left = provider["marks"]["m"]["seconds_left"]
        assert min(hint, 3600) - 5 <= left <= min(hint, 3600) + 1
    if case.expect.scope == "target":
        response, data, _ = stage.ask(case, f"{case.id}/m2")
        assert (response.status_code, text_of(case, data)) == (200, "from another model")


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.expect.outcome not in ("ok", "broken")], ids=lambda case: case.id
)
def test_who_has_no_other_target_is_told_what_is_worth_a_retry(stage: Stage, case: Case) -> None:
    response, data, _ = stage.ask(case, f"{case.id}-alone")
    stops = response.headers.get("x-should-retry") == "false"
    match case.expect.alone:
        case "as received" if case.status >= 400:
            assert (response.status_code, data) == (case.status, (case.body or "").encode())
        case "final" | "as received":
            assert stops or (400 <= response.status_code < 500 and response.status_code not in NOT_AGAIN)
        case "later":
            assert response.status_code in (429, 502, 503)
            hint = case.expect.retry_after_s or 0
            assert stops == (hint > 60)
            assert int(response.headers["retry-after"]) >= min(hint, 60) - 2


@pytest.mark.parametrize("name", PHRASES)
def test_a_client_takes_a_provider_from_nobody_by_quoting_a_phrase(stage: Stage, name: str) -> None:
    model = f"parrot-{name}"
    for content in (PHRASES[name], PHRASES[name].upper(), "hello"):
        asked = {"model": model, "messages": [{"role": "user", "content": content}]}
        response = stage.gateway.http.post("/v1/chat/completions", json=asked)
        assert response.headers["x-oxllm-provider"] == model
    assert response.json()["choices"][0]["message"]["content"] == "hello yourself"
