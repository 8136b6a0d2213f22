"""The anthropic Python SDK against a running gateway over simulated providers.

Each test has two providers and a virtual model of its own. The simulator's texts are a function of provider and
request, so an answer is compared with what exactly one provider would have said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, beta_tool
from anthropic.types import Message

from oxllm.sim.provider import pace, text
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.testing import Sim
from tests.support.user import Gateway, config, gateway

SEED = 7
WORDS = 24
INSTANT = f"ttft 0ms, itl 0ms, out {WORDS}"
STEADY = f"ttft 10ms, itl 10ms, out {WORDS}"
PLAIN_FAULTS = (
    "429~30", "429-quota", "500", "502-html", "503", "529", "401", "404", "refuse", "rst", "fin", "garbage",
    "cut@headers", "cut@token:5", "bad-json", "short-body", "empty", "html-200", "error-200", "spend-cap",
    "foreign-state",
)  # fmt: skip
STREAM_FAULTS = (
    *(fault for fault in PLAIN_FAULTS if fault not in ("cut@token:5", "short-body")), "cut@token:0",
    "silent-cut@token:0", "error-event@token:0", "garble@token:0", "preamble-error",
)  # fmt: skip
HARMLESS = ("no-done", "hold-open", "comments", "split-utf8", "no-event-lines", "trickle~0.1ms", "big-event")
BREAKS = tuple(f"{kind}@token:5" for kind in ("cut", "silent-cut", "stall", "error-event", "garble"))
MODELS = (
    "plain", "stream", "tools", "thread", "told thread", "thinks", "counts", "uncounted", "limited", "failed", "slow",
    "invalid", "sealed",
    *(f"plain {fault}" for fault in PLAIN_FAULTS), *(f"stream {fault}" for fault in STREAM_FAULTS),
    *(f"odd {fault}" for fault in HARMLESS), *(f"break {fault}" for fault in BREAKS),
    *(f"held {fault}" for fault in BREAKS),
)  # fmt: skip
MESSAGES: Any = [{"role": "user", "content": "Grüße, wie geht's? 🙂"}]
TOOL: Any = {"name": "look", "description": "Look.", "input_schema": {"type": "object", "properties": {}}}
SPEAKS = 'protocols = ["messages"]\n'


@beta_tool
def look(q: str) -> str:
    """Look.

    Args:
        q: at what
    """
    return "seen"


def provider(model: str, end: str) -> str:
    return re.sub(r"[^a-z0-9]", "-", model) + "-" + end


def said(name: str, count: int = WORDS) -> str:
    """What this provider answers."""
    return text.text(SEED, name, fingerprint(MESSAGES), count)


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    names = [provider(model, end) for model in MODELS for end in "ab"]
    upstreams = [Upstream(name, "anthropic-messages", pace=pace.parse(INSTANT)) for name in names]
    with Sim(*upstreams, seed=SEED) as running:
        yield running


@pytest.fixture(scope="module")
def serving(sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    models = {model: [provider(model, end) for end in "ab"] for model in MODELS}
    urls = {name: sim.url(name) for names in models.values() for name in names}
    settings = dict.fromkeys(urls, SPEAKS)
    for kind in ("break", "held"):
        settings[provider(f"{kind} stall@token:5", "a")] += "timeouts = { idle = 0.3 }"
    held = {model: 'hold_back = "full"' for model in MODELS if model.startswith("held ")}
    written = config(
        urls, models, settings='[server]\nport = 0\napi_keys = ["team"]\n', of_provider=settings, of_model=held
    )
    with gateway(tmp_path_factory.mktemp("sdk"), written) as running:
        yield running


@pytest.fixture
def client(serving: Gateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=serving.url, api_key="team", max_retries=0) as connected:
        yield connected


def ask(client: Anthropic, model: str, **more: Any) -> Message:
    found: Message = client.messages.create(model=model, max_tokens=1000, messages=MESSAGES, **more)
    return found


def told(client: Anthropic, model: str, **more: Any) -> Message:
    """The same as a stream."""
    with client.messages.stream(model=model, max_tokens=1000, messages=MESSAGES, **more) as stream:
        return stream.get_final_message()


def words(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def asked(sim: Sim, model: str) -> list[int]:
    return [len(sim.ledger(provider(model, end))) for end in "ab"]


@pytest.mark.parametrize("how", [ask, told])
def test_a_message_and_who_served_it(client: Anthropic, how: Any) -> None:
    model = "plain" if how is ask else "stream"
    message = how(client, model)
    assert words(message) == said(provider(model, "a"))
    assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", WORDS)


def test_a_request_has_an_id_by_the_name_that_the_sdk_knows(client: Anthropic) -> None:
    answer = client.messages.with_raw_response.create(model="plain", max_tokens=9, messages=MESSAGES)
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert answer.headers["x-upstream-request-id"].startswith("req_")
    assert answer.headers["x-oxllm-provider"] == "plain-a"


@pytest.mark.parametrize("how", [ask, told])
def test_a_tool(client: Anthropic, how: Any) -> None:
    message = how(client, "tools", tools=[TOOL])
    block = message.content[-1]
    assert (message.stop_reason, block.type, block.name) == ("tool_use", "tool_use", "look")
    assert block.input["text"]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_run_to_the_end_even_if_the_holder_of_the_thread_fails(
    client: Anthropic, sim: Sim, stream: bool
) -> None:
    """The SDK continues its thread and, as that is not found, sends it all again, to whoever answers."""
    model = "told thread" if stream else "thread"
    runner: Any = client.beta.messages.tool_runner(
        model=model, max_tokens=1000, messages=MESSAGES, tools=[look], stream=stream
    )
    for turn in runner:
        message = turn.get_final_message() if stream else turn
        sim.patch(provider(model, "a"), ["503"])
    assert [block.type for block in message.content] == ["text"]
    one, other = sim.ledger(provider(model, "a")), sim.ledger(provider(model, "b"))
    assert (one[0].end, other[-1].end, len(other)) == ("complete", "complete", 1)


@pytest.mark.parametrize("how", [ask, told])
def test_thinking_and_its_seal(client: Anthropic, how: Any) -> None:
    message = how(client, "thinks", thinking={"type": "enabled", "budget_tokens": 1024})
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].signature


def test_what_another_provider_sealed_goes_to_the_one_that_did(client: Anthropic, sim: Sim) -> None:
    sim.patch("sealed-a", ["503"])
    thought = ask(client, "sealed", thinking={"type": "enabled", "budget_tokens": 1024}).content[0]
    sim.patch("sealed-a", [])
    more = [*MESSAGES, {"role": "assistant", "content": [thought.model_dump()]}, {"role": "user", "content": "And?"}]
    for _ in range(2):
        answer = client.messages.with_raw_response.create(model="sealed", max_tokens=9, messages=more)
        assert answer.headers["x-oxllm-provider"] == "sealed-b"


def test_tokens_are_counted(client: Anthropic) -> None:
    assert client.messages.count_tokens(model="counts", messages=MESSAGES).input_tokens > 0


def test_models_by_pages(client: Anthropic) -> None:
    listed = [model.id for model in client.models.list(limit=7)]
    assert listed == sorted(listed)
    assert set(MODELS) <= set(listed)
    assert client.models.retrieve("plain-a/m").display_name == "plain-a/m"


@pytest.mark.parametrize("fault", PLAIN_FAULTS)
def test_failover_of_a_message_is_invisible(client: Anthropic, sim: Sim, fault: str) -> None:
    model = f"plain {fault}"
    sim.patch(provider(model, "a"), [fault])
    assert words(ask(client, model)) == said(provider(model, "b"))


@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_failover_of_a_stream_is_invisible(client: Anthropic, sim: Sim, fault: str) -> None:
    model = f"stream {fault}"
    sim.patch(provider(model, "a"), [fault])
    message = told(client, model)
    assert (words(message), message.stop_reason) == (said(provider(model, "b")), "end_turn")


@pytest.mark.parametrize("fault", HARMLESS)
def test_an_odd_stream_is_a_whole_message(client: Anthropic, sim: Sim, fault: str) -> None:
    model = f"odd {fault}"
    sim.patch(provider(model, "a"), [fault])
    message = told(client, model)
    assert message.stop_reason == "end_turn"
    if fault != "big-event":
        assert words(message) == said(provider(model, "a"))
    assert asked(sim, model) == [1, 0]


@pytest.mark.parametrize("fault", BREAKS)
def test_a_break_behind_content_is_raised_and_never_a_short_message(client: Anthropic, sim: Sim, fault: str) -> None:
    model = f"break {fault}"
    sim.patch(provider(model, "a"), [fault], pace_text=STEADY)
    with client.messages.stream(model=model, max_tokens=1000, messages=MESSAGES) as stream:
        with pytest.raises(anthropic.APIError):
            stream.get_final_message()
        assert said(provider(model, "a")).startswith(words(stream.current_message_snapshot))
        assert words(stream.current_message_snapshot)
    assert asked(sim, model) == [1, 0]


@pytest.mark.parametrize("fault", BREAKS)
def test_a_break_inside_what_is_held_back_is_rescued(client: Anthropic, sim: Sim, fault: str) -> None:
    model = f"held {fault}"
    sim.patch(provider(model, "a"), [fault])
    assert words(told(client, model)) == said(provider(model, "b"))


# Errors.


def test_a_wrong_key_is_an_authentication_error(serving: Gateway) -> None:
    with Anthropic(base_url=serving.url, api_key="other", max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            ask(stranger, "plain")
        assert caught.value.request_id


def test_a_key_may_come_as_a_bearer_token(serving: Gateway) -> None:
    with Anthropic(base_url=serving.url, auth_token="team", api_key=None, max_retries=0) as bearer:
        assert words(ask(bearer, "plain")) == said("plain-a")


def test_an_unknown_model_is_a_not_found_error(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="did you mean 'plain'"):
        ask(client, "plian")


def test_what_a_client_gets_wrong_is_in_the_providers_words(client: Anthropic, sim: Sim) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
        ask(client, "invalid", extra_body={"max_tokens": None})
    assert asked(sim, "invalid") == [1, 0]


def test_a_limit_says_when_to_come_back(client: Anthropic, sim: Sim) -> None:
    for end in "ab":
        sim.patch(f"limited-{end}", ["429~30"])
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(client, "limited")
    assert 25 <= int(caught.value.response.headers["retry-after"]) <= 30
    assert caught.value.type == "rate_limit_error"


@pytest.mark.parametrize("how", [ask, told])
def test_targets_that_all_fail_are_an_internal_server_error(client: Anthropic, sim: Sim, how: Any) -> None:
    for end in "ab":
        sim.patch(f"failed-{end}", ["503"])
    with pytest.raises(anthropic.InternalServerError) as caught:
        how(client, "failed")
    assert caught.value.type in ("api_error", "overloaded_error")
    assert "failed-a/m" in str(caught.value)


def test_too_little_time_is_a_timeout_error(client: Anthropic, sim: Sim) -> None:
    for end in "ab":
        sim.patch(f"slow-{end}", [], pace_text="ttft 60s, itl 0ms, out 5")
    caught: anthropic.APIError | None = None
    for _ in range(5):  # a busy machine is late, but not each time
        with pytest.raises(anthropic.APIError) as raised:
            ask(client.with_options(timeout=4.0), "slow")
        caught = raised.value
        if isinstance(caught, anthropic.APIStatusError):
            break
    assert isinstance(caught, anthropic.APIStatusError)
    assert (caught.status_code, caught.type) == (504, "timeout_error")
