"""The official SDKs are happy with a healthy simulator in every protocol, and meet its faults as real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel, Field

from oxllm.sim.provider import pace, text
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.testing import Sim

MODEL = "sim-1"
HELLO = [{"role": "user", "content": "Say something."}]
LENGTH = 20
MESSAGES_ANSWER = text.text(7, "alpha", fingerprint(HELLO), LENGTH)
INPUT_ANSWER = text.text(7, "alpha", fingerprint("Say something."), LENGTH)
TOOL = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}

FUNCTION: Any = {"type": "function", "name": "look", "parameters": TOOL, "strict": True}


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    speed = pace.parse(f"ttft 0ms, itl 0ms, out {LENGTH}")
    with Sim(Upstream("alpha", pace=speed), Upstream("beta", pace=speed)) as sim:
        yield sim


def of_openai(sim: Sim, name: str = "alpha", fault: str | None = None) -> openai.OpenAI:
    headers = {"x-oxllm-sim": fault} if fault else {}
    return openai.OpenAI(base_url=sim.url(name), api_key="sim", max_retries=0, default_headers=headers)


def of_anthropic(sim: Sim, name: str = "alpha", fault: str | None = None) -> anthropic.Anthropic:
    headers = {"x-oxllm-sim": fault} if fault else {}
    base = sim.url(name).removesuffix("/v1")
    return anthropic.Anthropic(base_url=base, api_key="sim", max_retries=0, default_headers=headers)


def test_completions_plain_and_streamed(sim: Sim) -> None:
    with of_openai(sim) as client:
        whole = client.completions.create(model=MODEL, prompt="Once", max_tokens=5)
        assert (whole.choices[0].finish_reason, whole.usage and whole.usage.completion_tokens) == ("length", 5)
        stream = client.completions.create(model=MODEL, prompt="Once", max_tokens=5, stream=True)
        assert "".join(event.choices[0].text for event in stream) == whole.choices[0].text
        two = client.completions.create(model=MODEL, prompt=["Once", "Twice"], n=2)
        assert len({choice.text for choice in two.choices}) == 4


def test_responses_plain_and_streamed_say_the_same(sim: Sim) -> None:
    with of_openai(sim) as client:
        whole = client.responses.create(model=MODEL, input="Say something.")
        assert (whole.status, whole.output_text) == ("completed", INPUT_ANSWER)
        assert whole.usage is not None
        assert whole.usage.output_tokens == LENGTH
        events = list(client.responses.create(model=MODEL, input="Say something.", stream=True))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
        deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        assert deltas == INPUT_ANSWER
        with client.responses.stream(model=MODEL, input="Say something.") as stream:
            assert stream.get_final_response().output_text == INPUT_ANSWER


def test_a_response_that_its_limit_ends_is_incomplete(sim: Sim) -> None:
    with of_openai(sim) as client:
        whole = client.responses.create(model=MODEL, input="Say something.", max_output_tokens=3)
        assert whole.status == "incomplete"
        events = list(client.responses.create(model=MODEL, input="Hi", max_output_tokens=3, stream=True))
        assert events[-1].type == "response.incomplete"


def test_a_response_calls_the_only_function_that_it_is_offered(sim: Sim) -> None:
    tools = [{"type": "function", "name": "look_up", "parameters": TOOL, "strict": True}]
    with of_openai(sim) as client:
        with client.responses.stream(model=MODEL, input="Look it up.", tools=tools) as stream:  # type: ignore[arg-type]
            call = stream.get_final_response().output[0]
        assert (call.type, call.name) == ("function_call", "look_up")  # type: ignore[union-attr]
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}  # type: ignore[union-attr]
        asked = [{"role": "user", "content": "Look it up."}, call.model_dump(exclude_none=True), result]
        after = client.responses.create(model=MODEL, input=asked, tools=tools)  # type: ignore[arg-type]
        assert after.output_text


def test_responses_live_as_long_as_the_run(sim: Sim) -> None:
    with of_openai(sim) as client:
        first = client.responses.create(model=MODEL, input="Say something.")
        assert client.responses.retrieve(first.id) == first
        items = client.responses.input_items.list(first.id)
        assert items.data[0].type == "message"
        second = client.responses.create(model=MODEL, input="And then?", previous_response_id=first.id)
        assert second.previous_response_id == first.id
        client.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(first.id)
        with pytest.raises(openai.BadRequestError) as error:
            client.responses.create(model=MODEL, input="And then?", previous_response_id=first.id)
        assert error.value.code == "previous_response_not_found"
        unstored = client.responses.create(model=MODEL, input="Say something.", store=False)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(unstored.id)


def test_a_response_in_the_background_is_queued_and_can_be_cancelled() -> None:
    with Sim(Upstream("alpha", pace=pace.parse("ttft 60s, itl 0ms, out 5"))) as slow, of_openai(slow) as client:
        queued = client.responses.create(model=MODEL, input="Think hard.", background=True)
        assert queued.status == "queued"
        assert client.responses.retrieve(queued.id).status == "in_progress"
        assert client.responses.cancel(queued.id).status == "cancelled"
        assert client.responses.retrieve(queued.id).status == "cancelled"


def test_a_response_in_the_background_is_there_when_it_is_ready(sim: Sim) -> None:
    with of_openai(sim) as client:
        queued = client.responses.create(model=MODEL, input="Say something.", background=True)
        assert client.responses.retrieve(queued.id).output_text == INPUT_ANSWER


@pytest.mark.parametrize("more", [{}, {"reasoning": {"effort": "low"}}, {"tools": [FUNCTION]}], ids=len)
def test_a_stream_in_the_background_goes_on_behind_any_of_its_events(sim: Sim, more: dict[str, Any]) -> None:
    with of_openai(sim) as client:
        asked = client.responses.create(model=MODEL, input="Say.", background=True, stream=True, **more)
        events: list[Any] = list(asked)
        for last in (0, 5, len(events) - 2):
            rest = client.responses.retrieve(events[0].response.id, stream=True, starting_after=last)
            assert list(rest) == events[last + 1 :]


def test_reasoning_is_sealed_and_only_who_sealed_it_opens_it(sim: Sim) -> None:
    asked = {"model": MODEL, "store": False, "include": ["reasoning.encrypted_content"]}
    with of_openai(sim) as alpha, of_openai(sim, "beta") as beta:
        first = alpha.responses.create(input="Think.", **asked)  # type: ignore[call-overload]
        reasoning = first.output[0].model_dump(exclude_none=True)
        assert reasoning["type"] == "reasoning"
        again = [{"role": "user", "content": "Think."}, reasoning, {"role": "user", "content": "More."}]
        assert alpha.responses.create(input=again, **asked).output_text  # type: ignore[call-overload]
        with pytest.raises(openai.BadRequestError) as error:
            beta.responses.create(input=again, **asked)  # type: ignore[call-overload]
        assert error.value.code == "invalid_encrypted_content"


def test_messages_plain_and_streamed_say_the_same(sim: Sim) -> None:
    with of_anthropic(sim) as client:
        whole = client.messages.create(model=MODEL, max_tokens=1000, messages=HELLO)  # type: ignore[arg-type]
        assert (whole.stop_reason, whole.content[0].text) == ("end_turn", MESSAGES_ANSWER)  # type: ignore[union-attr]
        assert whole._request_id
        assert whole._request_id.startswith("req_")
        with client.messages.stream(model=MODEL, max_tokens=1000, messages=HELLO) as stream:  # type: ignore[arg-type]
            assert "".join(stream.text_stream) == MESSAGES_ANSWER
            final = stream.get_final_message()
        assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", LENGTH)
        short = client.messages.create(model=MODEL, max_tokens=3, messages=HELLO)  # type: ignore[arg-type]
        assert short.stop_reason == "max_tokens"


def test_messages_call_tools_until_their_result_is_there(sim: Sim) -> None:
    tools = [{"name": "look_up", "input_schema": TOOL}]
    with of_anthropic(sim) as client:
        asked = {"model": MODEL, "max_tokens": 1000, "tools": tools}
        with client.messages.stream(messages=HELLO, **asked) as stream:  # type: ignore[arg-type]
            said = stream.get_final_message()
        call = said.content[0]
        assert (said.stop_reason, call.type) == ("tool_use", "tool_use")
        assert call.input["text"]  # type: ignore[union-attr]
        plain = client.messages.create(messages=HELLO, **asked)  # type: ignore[call-overload]
        assert plain.content[0].input == call.input  # type: ignore[union-attr]
        result = [{"type": "tool_result", "tool_use_id": call.id, "content": "42"}]  # type: ignore[union-attr]
        turns = [*HELLO, {"role": "assistant", "content": said.content}, {"role": "user", "content": result}]
        after = client.messages.create(messages=turns, **asked)  # type: ignore[call-overload]
        assert after.stop_reason == "end_turn"


def test_thinking_is_signed_and_only_who_signed_it_takes_it(sim: Sim) -> None:
    asked = {"model": MODEL, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    with of_anthropic(sim) as alpha, of_anthropic(sim, "beta") as beta:
        with alpha.messages.stream(messages=HELLO, **asked) as stream:  # type: ignore[arg-type]
            said = stream.get_final_message()
        assert [block.type for block in said.content] == ["thinking", "text"]
        plain = alpha.messages.create(messages=HELLO, **asked)  # type: ignore[call-overload]
        assert [block.model_dump() for block in plain.content] == [block.model_dump() for block in said.content]
        turns = [*HELLO, {"role": "assistant", "content": said.content}, *HELLO]
        assert alpha.messages.create(messages=turns, **asked).stop_reason == "end_turn"  # type: ignore[call-overload]
        with pytest.raises(anthropic.BadRequestError, match="Invalid `signature` in `thinking` block"):
            beta.messages.create(messages=turns, **asked)  # type: ignore[call-overload]


def test_a_thread_is_continued_by_who_holds_it_and_not_found_elsewhere(sim: Sim) -> None:
    asked: dict[str, Any] = {"model": MODEL, "max_tokens": 5, "messages": HELLO}
    with of_anthropic(sim) as client, of_anthropic(sim, "beta") as other:
        begun = client.messages.create(**asked, extra_body={"thread": {"type": "create"}})
        for last in (begun, client.messages.create(**asked)):
            thread = {"thread": {"type": "continue", "previous_message_id": last.id}}
            for one in (client, other):
                if one is client and last is begun:
                    assert one.messages.create(**asked, extra_body=thread).content
                    continue
                with pytest.raises(anthropic.NotFoundError) as caught:
                    one.messages.create(**asked, extra_body=thread)
                assert caught.value.type == "not_found_error"
                assert caught.value.body["error"]["details"] == {"error_code": "thread_not_found"}  # type: ignore[index]


def test_tokens_are_counted_and_models_listed_in_anthropics_shape(sim: Sim) -> None:
    with of_anthropic(sim) as client:
        assert client.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 0  # type: ignore[arg-type]
        assert [model.id for model in client.models.list()] == [MODEL]
        assert client.models.retrieve(MODEL).display_name == MODEL
    with of_openai(sim) as client:
        assert client.models.retrieve(MODEL).owned_by == "alpha"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-9")


class City(BaseModel):
    name: str
    inhabitants: int = Field(ge=1, le=10_000_000)
    twins: list[str]


def test_structured_outputs_are_of_their_schema(sim: Sim) -> None:
    ask: Any = {"model": MODEL, "messages": HELLO}
    with of_openai(sim) as client:
        chat = client.chat.completions.parse(**ask, response_format=City)
        assert chat.choices[0].message.parsed is not None
        said = client.responses.parse(model=MODEL, input="Which city?", text_format=City)
        assert said.output_parsed is not None
        with client.responses.stream(model=MODEL, input="Which city?", text_format=City) as stream:
            assert stream.get_final_response().output_parsed == said.output_parsed
        loose = client.chat.completions.create(**ask, response_format={"type": "json_object"})
        assert isinstance(json.loads(loose.choices[0].message.content or ""), dict)
    tool: Any = {"name": "keep", "input_schema": City.model_json_schema()}
    with of_anthropic(sim) as claude:
        kept: Any = claude.messages.create(**ask, max_tokens=1000, tools=[tool]).content[0]
        City.model_validate(kept.input)


def test_what_else_there_is_in_json(sim: Sim) -> None:
    with of_openai(sim) as client:
        assert not client.moderations.create(model=MODEL, input="hello").results[0].flagged
        assert client.images.generate(model=MODEL, prompt="a dot").data[0].b64_json  # type: ignore[index]
        sound = client.audio.speech.create(model=MODEL, voice="alloy", input="hello").read()
        assert sound.startswith(b"\xff\xfb")
        ranked = client.post("/rerank", body={"model": MODEL, "query": "q", "documents": ["a", "b"]}, cast_to=object)
        assert sorted(result["index"] for result in ranked["results"]) == [0, 1]  # type: ignore[index]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", anthropic.RateLimitError),
        ("401", anthropic.AuthenticationError),
        ("404", anthropic.NotFoundError),
        ("spend-cap", anthropic.BadRequestError),
        ("foreign-state", anthropic.BadRequestError),
        ("500", anthropic.InternalServerError),
        ("529", anthropic.InternalServerError),
    ],
)
def test_a_refusal_of_messages_is_the_error_that_the_sdk_has_for_it(
    sim: Sim, fault: str, error: type[anthropic.APIStatusError]
) -> None:
    with of_anthropic(sim, fault=fault) as client, pytest.raises(error) as raised:
        client.messages.create(model=MODEL, max_tokens=5, messages=HELLO)  # type: ignore[arg-type]
    body = raised.value.body
    assert isinstance(body, dict)
    assert body["request_id"] == raised.value.request_id


def test_an_error_in_a_stream_is_raised_by_the_sdks(sim: Sim) -> None:
    with (
        of_anthropic(sim, fault="error-event@token:3") as claude,
        pytest.raises(anthropic.APIStatusError),
        claude.messages.stream(model=MODEL, max_tokens=99, messages=HELLO) as told,  # type: ignore[arg-type]
    ):
        told.get_final_message()
    with of_openai(sim, fault="error-event@token:3") as client:
        events = list(client.responses.create(model=MODEL, input="Say something.", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert events[-1].response.error.code == "server_error"
    assert [event.sequence_number for event in events] == list(range(len(events)))
