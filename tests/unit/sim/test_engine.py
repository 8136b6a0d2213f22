"""The engine without sockets: what a provider answers, as a function of the request and the seed."""

from __future__ import annotations

import base64
import json
import struct

import msgspec
import pytest

from oxllm.sim import dialects
from oxllm.sim.provider import text
from oxllm.sim.provider.protocols import chat
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.provider.steps import Hang, Rst, Wait
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script import grammar
from oxllm.sim.script.scenario import Scenario, Scene, When
from oxllm.sim.serve import engine
from oxllm.sim.serve.engine import Provider
from oxllm.sim.testing import play, scenario

MESSAGES = [{"role": "user", "content": "Say something."}]


def provider(world: Scenario | None = None, name: str = "alpha") -> Provider:
    return Provider(world or scenario("alpha"), name, start=0.0)


def ask(
    target: Provider, path: str = "/v1/chat/completions", headers: tuple[tuple[bytes, bytes], ...] = (), **body: object
) -> tuple[int, bytes]:
    data = json.dumps({"model": "m", "messages": MESSAGES, **body}).encode()
    sent, _ = play(target.accept("POST", path, list(headers), data, now=0.0))
    head, _, rest = sent.partition(b"\r\n\r\n")
    return int(head[9:12]), dechunked(rest) if b"chunked" in head else rest


def dechunked(data: bytes) -> bytes:
    whole = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        whole += data[:length]
        assert data[length : length + 2] == b"\r\n"
        data = data[length + 2 :]
        if length == 0:
            assert data == b""
            return whole


def events(body: bytes) -> list[dict[str, object]]:
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line]
    assert lines.pop() == b"[DONE]"
    return [json.loads(line) for line in lines]


def test_an_answer_is_the_text_that_seed_provider_and_messages_give() -> None:
    status, body = ask(provider())
    content = json.loads(body)["choices"][0]["message"]["content"]
    assert status == 200
    assert (
        text.whole_tokens(content, 7, "alpha", fingerprint(MESSAGES)) == json.loads(body)["usage"]["completion_tokens"]
    )
    assert text.whole_tokens(content, 7, "beta", fingerprint(MESSAGES)) is None


def test_a_stream_carries_the_same_text_as_the_plain_answer() -> None:
    _, plain = ask(provider())
    _, stream = ask(provider(), stream=True)
    deltas = [event["choices"][0]["delta"] for event in events(stream)]  # type: ignore[index]
    assert (
        "".join(delta.get("content") or "" for delta in deltas) == json.loads(plain)["choices"][0]["message"]["content"]
    )
    assert deltas[0]["role"] == "assistant"
    assert events(stream)[-1]["choices"][0]["finish_reason"] == "stop"  # type: ignore[index]


def test_two_choices_have_two_texts_and_two_finish_reasons() -> None:
    _, body = ask(provider(), stream=True, n=2)
    choices = [event["choices"][0] for event in events(body)]  # type: ignore[index]
    texts = ["".join(c["delta"].get("content") or "" for c in choices if c["index"] == index) for index in (0, 1)]
    assert texts[0] != texts[1]
    assert sorted(c["index"] for c in choices if c["finish_reason"]) == [0, 1]


def test_tools_are_called_until_their_result_is_there() -> None:
    tools = [{"type": "function", "function": {"name": "look_up"}}]
    _, body = ask(provider(), tools=tools)
    call = json.loads(body)["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["name"] == "look_up"
    _, stream = ask(provider(), tools=tools, stream=True)
    pieces = [e["choices"][0]["delta"].get("tool_calls", [{}])[0] for e in events(stream)]  # type: ignore[index]
    streamed = "".join(piece["function"]["arguments"] for piece in pieces if piece)
    assert json.loads(streamed) == json.loads(call["function"]["arguments"])
    _, after = ask(provider(), tools=tools, messages=[*MESSAGES, {"role": "tool", "content": "42"}])
    assert json.loads(after)["choices"][0]["message"]["content"]


def test_usage_comes_last_and_only_if_asked_for() -> None:
    _, body = ask(provider(), stream=True, stream_options={"include_usage": True}, max_tokens=3)
    assert events(body)[-1]["choices"] == []
    assert events(body)[-1]["usage"]["completion_tokens"] == 3  # type: ignore[index]
    assert not any("usage" in event for event in events(ask(provider(), stream=True)[1]))


def test_max_tokens_ends_the_answer_with_finish_reason_length() -> None:
    choice = json.loads(ask(provider(), max_tokens=3)[1])["choices"][0]
    assert choice["finish_reason"] == "length"
    assert len(choice["message"]["content"].split()) == 3


def test_embeddings_are_the_same_numbers_as_list_and_as_base64() -> None:
    _, listed = ask(provider(), "/v1/embeddings", input=["a", "b"], dimensions=3)
    _, packed = ask(provider(), "/v1/embeddings", input=["a", "b"], dimensions=3, encoding_format="base64")
    for plain, coded in zip(json.loads(listed)["data"], json.loads(packed)["data"], strict=True):
        assert list(struct.unpack("<3f", base64.b64decode(coded["embedding"]))) == plain["embedding"]


def test_models_are_listed() -> None:
    world = scenario(Upstream("alpha", models=("a", "b")))
    sent, _ = play(provider(world).accept("GET", "/v1/models?limit=5", [], b"", 0.0))
    assert [model["id"] for model in json.loads(sent.partition(b"\r\n\r\n")[2])["data"]] == ["a", "b"]


def test_what_is_no_request_is_refused_in_the_shape_of_openai() -> None:
    target = provider()
    assert ask(target, "/v1/nothing")[0] == 404
    status, body = ask(target, model=7)
    assert (status, json.loads(body)["error"]["param"]) == (400, "model")
    assert ask(target, messages=[])[0] == 400
    sent, _ = play(target.accept("POST", "/v1/chat/completions", [], b"{", 0.0))
    assert sent.startswith(b"HTTP/1.1 400 ")


def test_a_header_orders_a_fault_for_one_request() -> None:
    target = provider(scenario("alpha", faults={"alpha": ["500"]}))
    assert ask(target)[0] == 500
    assert ask(target, headers=((b"x-oxllm-sim", b"none"),))[0] == 200
    assert ask(target, headers=((b"x-oxllm-sim", b"429"),))[0] == 429


@pytest.mark.parametrize(
    ("ordered", "why"),
    [(b"cut@tokn:3", "cannot strike at 'tokn'"), (b"dns", "strikes no request"), (b"429 x2", "dose")],
)
def test_a_header_that_orders_what_cannot_be_is_refused(ordered: bytes, why: str) -> None:
    status, body = ask(provider(scenario("alpha")), headers=((b"x-oxllm-sim", ordered),))
    assert status == 400
    assert why in json.loads(body)["error"]["message"]


def test_everything_is_recorded() -> None:
    target = provider(scenario("alpha", faults={"alpha": ["429~3s x1"]}))
    ask(target)
    ask(target, stream=True)
    refused, served = target.ledger.records
    assert (refused.fault, refused.hint, refused.ordinal) == ("429~3s", 3.0, 1)
    assert (served.fault, served.stream, served.model, served.ordinal) == (None, True, "m", 2)
    assert "x1" in refused.why


def test_what_a_dark_port_swallowed_is_reset_when_the_port_is_back() -> None:
    dark = (Scene("dark", ("alpha",), (grammar.parse("blackhole@connect"),), When(1.0, 5.0)),)
    body = msgspec.json.encode({"model": "m", "messages": MESSAGES})
    script = provider(scenario("alpha", scenes=dark)).accept("POST", "/v1/chat/completions", [], body, 2.0)
    sent, ((_, waited), (at, reset)) = play(script)
    assert (sent, isinstance(waited, Wait), isinstance(reset, Rst)) == (b"", True, True)
    assert 5.0 < at < 6.0


def test_a_port_that_is_dark_for_good_swallows_for_good() -> None:
    target = provider(scenario("alpha", faults={"alpha": ["blackhole@connect"]}))
    body = msgspec.json.encode({"model": "m", "messages": MESSAGES})
    assert play(target.accept("POST", "/v1/chat/completions", [], body, 2.0))[1] == [(0.0, Hang())]


def test_a_patch_is_in_force_until_its_time_is_up() -> None:
    target = provider()
    body = msgspec.json.encode({"model": "m", "messages": MESSAGES})
    target.patch(10.0, faults=scenario(faults={"alpha": ["500"]}).scenes[0].faults, ttl=5.0)
    statuses = [play(target.accept("POST", "/v1/chat/completions", [], body, now))[0][9:12] for now in (14.9, 15.0)]
    assert statuses == [b"500", b"200"]


def test_the_date_stays_right_when_the_scenes_begin_later() -> None:
    provider = Provider(scenario("alpha"), "alpha", start=100.0, epoch=2e9)
    provider.start = 105.0
    assert [provider.wall(now) for now in (100.0, 110.0)] == [2e9, 2e9 + 10]
    assert provider.elapsed(110.0) == 5.0


@pytest.mark.parametrize(("arrived", "status"), [(9.9, 200), (10.2, 200), (10.6, 500), (11.3, 500), (12.6, 200)])
def test_a_question_of_a_rehearsal_counts_as_come_a_whole_number_of_seconds_after_it_was_due(
    arrived: float, status: int
) -> None:
    """It was due at 9.9 s, and the scene plays from 10.1 s to 12.5 s."""
    bad = (Scene("bad", ("alpha",), (grammar.parse("500"),), When(10.1, 12.5)),)
    target = provider(scenario("alpha", scenes=bad))
    target.due = {fingerprint(MESSAGES): 9.9}.get
    body = msgspec.json.encode({"model": "m", "messages": MESSAGES})
    sent, _ = play(target.accept("POST", "/v1/chat/completions", [], body, arrived))
    assert sent[9:12] == b"%d" % status


def test_of_how_many_questions_it_knows_how_often_they_were_asked_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SEEN_MAX", 3)
    target = provider()
    for number in (1, 2, 3, 1, 4, 1, 2):
        ask(target, messages=[{"role": "user", "content": f"{number}"}])
    assert [record.key.rpartition(".")[2] for record in target.ledger.records] == ["1", "1", "1", "2", "1", "1", "1"]


def test_a_question_of_a_rehearsal_is_known_by_what_it_asks_whatever_id_a_gateway_gives_it() -> None:
    target = provider()
    ask(target, headers=((b"x-request-id", b"own-1"),))
    target.due = {fingerprint(MESSAGES): 0.0}.get
    ask(target, headers=((b"x-request-id", b"own-2"),))
    assert [record.key for record in target.ledger.records] == ["own-1.1", f"{fingerprint(MESSAGES)[:12]}.1"]


@pytest.mark.parametrize("pace", ["instant", "ttft 0ms, itl 1ms, out 30"])
def test_an_answer_that_is_due_is_said_in_one_piece_with_the_same_bytes(pace: str) -> None:
    body = msgspec.json.encode({"model": "m", "messages": MESSAGES})
    scripts = [
        provider(scenario("alpha", pace=pace)).accept("POST", "/v1/chat/completions", list(headers), body, 0.0)
        for headers in ((), ((b"x-oxllm-sim", b"slow~0s"),))
    ]
    assert [script.at_once is not None for script in scripts] == [pace == "instant", False]
    (whole, _), (slow, _) = map(play, scripts)
    assert whole == slow
    assert scripts[0].at_once in (whole, None)


@pytest.mark.parametrize("dialect", dialects.NAMES)
@pytest.mark.parametrize("model", ["m", chat.HOLE, f'"{chat.HOLE}" and ö'])
def test_an_event_of_a_text_is_what_the_dialect_says_whatever_the_model_is_called(dialect: str, model: str) -> None:
    target = provider(scenario(Upstream("alpha", dialect)))
    status, body = ask(target, model=model, stream=True)
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line.startswith(b"data: {")]
    read = [json.loads(line) for line in lines]
    said = "".join(event["choices"][0]["delta"].get("content") or "" for event in read if event["choices"])
    assert (status, {event["model"] for event in read} - {""}) == (200, {model}), "Azure's first one names none"
    assert text.whole_tokens(said, 7, "alpha", fingerprint(MESSAGES)) is not None
    assert all(msgspec.json.encode(event) == line for event, line in zip(read, lines, strict=True))


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("slow", "slow~5s"),
        ("late-usage", "late-usage~1s"),
        ("trickle", "trickle~10ms"),
        ("lying-headers", "lying-headers~24h"),
        ("retry-after", "retry-after~24h"),
        ("big-event", "big-event~100"),
        ("502-html", "502-html~502"),
    ],
)
def test_a_fault_without_its_argument_has_the_one_that_is_documented(short: str, long: str) -> None:
    data = json.dumps({"model": "m", "messages": MESSAGES, "stream": True}).encode()
    usual, told = (
        play(provider().accept("POST", "/v1/chat/completions", [(b"x-oxllm-sim", fault)], data, now=0.0))
        for fault in (short.encode(), long.encode())
    )
    assert usual == told
