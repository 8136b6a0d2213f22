"""The Responses API of the openai SDK against a running gateway over simulated providers: answers, faults, and answers
that providers keep. The simulator's texts are a function of provider and input, so an answer has one provider."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from oxllm.sim.provider import text
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.testing import Sim
from tests.support.user import Gateway, config, gateway

SEED, WORDS = 7, 24
INSTANT, STEADY = f"ttft 0ms, itl 0ms, out {WORDS}", f"ttft 10ms, itl 10ms, out {WORDS}"
INPUT = "Grüße, wie geht's? 🙂"
PLAIN_FAULTS = (
    "429~30", "429-quota", "spend-cap", "500", "502-html", "503", "529", "401", "404", "refuse", "rst", "fin",
    "garbage", "bad-json", "short-body", "wrong-type", "empty", "html-200", "error-200", "foreign-state",
)  # fmt: skip
STREAM_FAULTS = (
    *(fault for fault in PLAIN_FAULTS if fault != "short-body"), "cut@token:0", "silent-cut@token:0",
    "error-event@token:0", "empty-error@token:0", "garble@token:0", "preamble-error", "role-only",
)  # fmt: skip
HARMLESS = (
    "no-done", "hold-open", "comments", "split-utf8", "trickle~0.1ms", "lying-headers", "no-event-lines",
    "sequence-gap", "big-event",
)  # fmt: skip
BREAKS = (*(f"{kind}@token:5" for kind in ("cut", "silent-cut", "stall", "garble")), "no-terminal")
KINDS = {"plain": PLAIN_FAULTS, "stream": STREAM_FAULTS, "odd": HARMLESS, "break": BREAKS, "held": BREAKS}
MODELS = ("smart", "background", "failed", "keys", *(f"{kind} {fault}" for kind in KINDS for fault in KINDS[kind]))


def provider(model: str, end: str) -> str:
    return re.sub(r"[^a-z0-9]", "-", model) + "-" + end


def said(name: str, given: str = INPUT) -> str:
    """What this provider answers."""
    return text.text(SEED, name, fingerprint(given), WORDS)


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with Sim(*(provider(model, end) for model in MODELS for end in "ab"), seed=SEED, pace=INSTANT) as running:
        for kind, faults in KINDS.items():
            for fault in faults:
                pace = STEADY if kind in ("break", "held") else INSTANT
                running.patch(provider(f"{kind} {fault}", "a"), [fault], pace_text=pace)
        for end in "ab":
            running.patch(f"failed-{end}", ["503"])
            running.patch(f"keys-{end}", ["401"])
        yield running


@pytest.fixture(scope="module")
def serving(sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    models = {model: [provider(model, end) for end in "ab"] for model in MODELS}
    urls = {name: sim.url(name) for names in models.values() for name in names}
    speaks = dict.fromkeys(urls, 'protocols = ["responses"]\n')
    for kind in ("break", "held"):
        speaks[provider(f"{kind} stall@token:5", "a")] += "timeouts = { idle = 0.3 }\n"
    held = {model: 'hold_back = "full"' for model in MODELS if model.startswith("held ")}
    with gateway(tmp_path_factory.mktemp("sdk"), config(urls, models, of_provider=speaks, of_model=held)) as running:
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving.url}/v1", api_key="none", max_retries=0) as connected:
        yield connected


def streamed(client: OpenAI, model: str) -> str:
    with client.responses.stream(model=model, input=INPUT) as stream:
        return stream.get_final_response().output_text


# Answers.


def test_an_answer_is_one_provider_s_and_says_whose(client: OpenAI) -> None:
    raw = client.responses.with_raw_response.create(model="smart", input=INPUT)
    answer = raw.parse()
    assert (answer.output_text, answer.status) == (said("smart-a"), "completed")
    assert answer.usage is not None
    assert raw.headers["x-oxllm-provider"] == "smart-a"


def test_a_stream_is_the_same_answer_in_its_events(client: OpenAI, serving: Gateway) -> None:
    before = serving.provider("smart-a")["completion_tokens"]
    events = list(client.responses.create(model="smart", input=INPUT, stream=True))
    assert "".join(one.delta for one in events if one.type == "response.output_text.delta") == said("smart-a")
    assert [one.sequence_number for one in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert streamed(client, "smart") == said("smart-a")
    assert serving.provider("smart-a")["completion_tokens"] > before


# Faults.


@pytest.mark.parametrize("fault", PLAIN_FAULTS)
def test_a_plain_answer_comes_from_the_next_provider(client: OpenAI, fault: str) -> None:
    answer = client.responses.create(model=f"plain {fault}", input=INPUT)
    assert answer.output_text == said(provider(f"plain {fault}", "b"))


@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_stream_that_fails_before_content_comes_from_the_next_provider(client: OpenAI, fault: str) -> None:
    assert streamed(client, f"stream {fault}") == said(provider(f"stream {fault}", "b"))


@pytest.mark.parametrize("fault", HARMLESS)
def test_what_is_odd_but_whole_is_the_answer(client: OpenAI, fault: str) -> None:
    assert streamed(client, f"odd {fault}") == said(provider(f"odd {fault}", "a"))


@pytest.mark.parametrize("fault", BREAKS)
def test_a_stream_that_breaks_raises_and_is_never_a_short_answer(client: OpenAI, sim: Sim, fault: str) -> None:
    with pytest.raises(openai.APIError, match="the provider's stream broke"):
        streamed(client, f"break {fault}")
    assert not sim.ledger(provider(f"break {fault}", "b"))


@pytest.mark.parametrize("fault", BREAKS)
def test_a_stream_that_breaks_while_it_is_held_back_comes_from_the_next_provider(client: OpenAI, fault: str) -> None:
    assert streamed(client, f"held {fault}") == said(provider(f"held {fault}", "b"))


def test_when_all_fail_it_is_an_overload_that_says_when_to_come_back(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        client.responses.create(model="failed", input=INPUT)
    assert (caught.value.status_code, caught.value.code) == (503, "server_is_overloaded")
    assert int(caught.value.response.headers["retry-after"]) >= 1


def test_when_no_key_is_good_nobody_asks_again(serving: Gateway, sim: Sim) -> None:
    with (
        OpenAI(base_url=f"{serving.url}/v1", api_key="none", max_retries=3) as patient,
        pytest.raises(openai.BadRequestError, match="keys-a/m: HTTP 401"),
    ):
        patient.responses.create(model="keys", input=INPUT)
    assert [len(sim.ledger(f"keys-{end}")) for end in "ab"] == [1, 1]


# Answers that are kept.


def test_a_kept_answer_is_fetched_continued_and_deleted(client: OpenAI) -> None:
    first = client.responses.create(model="smart", input=INPUT)
    assert client.responses.retrieve(first.id).output_text == first.output_text
    assert [item.type for item in client.responses.input_items.list(first.id).data] == ["message"]
    second = client.responses.create(model="smart", input="And you?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    client.responses.delete(first.id)
    for _ in range(3):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(first.id)
    assert client.responses.create(model="smart", input=INPUT).output_text == first.output_text


def test_an_answer_of_the_second_provider_is_continued_there(client: OpenAI, sim: Sim) -> None:
    sim.patch("smart-a", ["503 x1"])
    first = client.responses.with_raw_response.create(model="smart", input=INPUT)
    assert first.headers["x-oxllm-provider"] == "smart-b"
    more = client.responses.with_raw_response.create(model="smart", input="More", previous_response_id=first.parse().id)
    assert more.headers["x-oxllm-provider"] == "smart-b"
    other = client.responses.with_raw_response.create(model="smart", input=INPUT)
    assert other.headers["x-oxllm-provider"] == "smart-a"


def test_an_answer_in_the_background_is_promised_and_waited_for(client: OpenAI) -> None:
    promised = client.responses.create(model="background", input=INPUT, background=True)
    assert promised.status in ("queued", "in_progress", "completed")
    deadline = time.monotonic() + 5
    while (found := client.responses.retrieve(promised.id)).status != "completed":
        assert time.monotonic() < deadline
    assert found.output_text == said("background-a")


def test_an_answer_that_nobody_has_is_not_found_by_any_number_of_providers(sim: Sim, tmp_path: Path) -> None:
    names = [f"odd-{fault}-{end}" for fault in ("no-done", "hold-open", "comments", "split-utf8") for end in "ab"]
    urls = {name: sim.url(name) for name in names}
    written = config(urls, {"smart": names[:2]}, of_provider=dict.fromkeys(names, 'protocols = ["responses"]\n'))
    with gateway(tmp_path, written) as running, OpenAI(base_url=f"{running.url}/v1", api_key="none") as client:
        with pytest.raises(openai.NotFoundError) as missing:
            client.responses.retrieve("resp_of_nobody")
        with pytest.raises(openai.BadRequestError) as foreign:
            client.responses.create(model="smart", input=INPUT, previous_response_id="resp_of_nobody")
    assert missing.value.response.headers["x-oxllm-attempts"] == "8"
    assert foreign.value.code == "previous_response_not_found"


# Beside answers.


def test_tokens_are_counted_before_they_are_paid_for(client: OpenAI) -> None:
    assert client.responses.input_tokens.count(model="smart", input=INPUT).input_tokens > 0


def test_a_conversation_that_was_shortened_is_continued_by_who_can_read_it(client: OpenAI, sim: Sim) -> None:
    sim.patch("smart-a", ["503 x1"])
    short = client.responses.compact(model="smart", input=INPUT)
    more: Any = [*(item.model_dump(exclude_none=True) for item in short.output), {"role": "user", "content": "More"}]
    answer = client.responses.with_raw_response.create(model="smart", input=more)
    assert answer.headers["x-oxllm-provider"] == "smart-b"


def test_an_answer_that_is_kept_is_streamed_again(client: OpenAI) -> None:
    first = client.responses.create(model="smart", input=INPUT, background=True)
    events = list(client.responses.retrieve(first.id, stream=True))
    said_again = "".join(one.delta for one in events if one.type == "response.output_text.delta")
    assert (said_again, events[-1].type) == (said("smart-a"), "response.completed")
    rest = list(client.responses.retrieve(first.id, stream=True, starting_after=3))
    assert [one.sequence_number for one in rest] == [one.sequence_number for one in events][4:]
