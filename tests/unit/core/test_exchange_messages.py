"""An exchange in the Messages API: the same machine as for chat, and ends that its clients understand."""

from __future__ import annotations

import json
from itertools import accumulate

import pytest

from oxllm import plan as plans
from oxllm.core.protocols import messages
from oxllm.core.protocols.messages import MESSAGE_STOP
from oxllm.core.reading.outcome import Failure
from tests.property.core.test_named_events import naive
from tests.support.by_hand import JSON, Drive, broken_behind, make_plan
from tests.support.told import AGENT, END, HELLO, OVERLOADED, PING, THINKING, block, delta, named, start, text

BEGUN = (start(), block(), text("Hi"))
OTHER = named(*(event for event in HELLO if event is not PING))


def drive(*, stream: bool = True, plan: plans.Plan | None = None) -> Drive:
    return Drive("alpha", "beta", protocol=messages.PROTOCOL, stream=stream, plan=plan).start()


def error_of(body: bytes) -> dict[str, str]:
    """The error of the last event."""
    name, payload = naive(body)[-1]
    assert name == b"error"
    told = json.loads(payload)
    assert (told["type"], told["request_id"]) == ("error", "oxllm-1")
    found: dict[str, str] = told["error"]
    return found


def test_an_overload_behind_the_preamble_is_rescued_by_the_next_target() -> None:
    d = drive().stream("alpha", named(start(), block(), OVERLOADED))
    assert (d.tried, d.client.status) == (["alpha", "beta"], 0)
    d.stream("beta", OTHER)
    assert d.client.body == OTHER


def test_a_break_behind_content_is_an_error_event_and_no_last_chunk() -> None:
    for broken in broken_behind(named(*BEGUN), drive):
        assert (broken.tried, broken.client.over) == (["alpha"], "break")
        assert broken.client.body.startswith(named(*BEGUN))
        assert error_of(broken.client.body)["type"] == "api_error"


def test_a_failure_behind_content_is_the_providers_own_and_no_second_one() -> None:
    d = drive().stream("alpha", named(*BEGUN, OVERLOADED))
    assert d.client.body == named(*BEGUN, OVERLOADED)
    assert (d.client.over, d.failures("alpha")) == ("break", 1)


@pytest.mark.parametrize("apart", [False, True])
def test_one_that_quotes_our_key_is_told_in_our_words(apart: bool) -> None:
    said = {"type": "error", "error": {"type": "authentication_error", "message": "sk-secret-alpha was revoked"}}
    parts = [named(*BEGUN), named(said)]
    d = drive().stream("alpha", *(parts if apart else [b"".join(parts)]))
    assert d.client.body.startswith(named(*BEGUN) + b"event: error\n")
    assert b"sk-secret-alpha" not in d.client.body
    assert "broke" in error_of(d.client.body)["message"]
    assert d.client.over == "break"


def test_a_failure_behind_content_that_is_held_back_is_another_targets_to_answer() -> None:
    plan = make_plan("alpha", "beta", hold_back=plans.HoldBack(full=True))
    d = drive(plan=plan).stream("alpha", named(*BEGUN, OVERLOADED)).stream("beta", OTHER)
    assert (d.tried, d.client.body) == (["alpha", "beta"], OTHER)


def test_a_limit_that_a_stream_tells_of_cools_its_target() -> None:
    limited = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}
    d = drive().stream("alpha", named(start(), limited)).stream("beta", OTHER)
    assert d.failures("alpha") == 0
    assert d.next(protocol=messages.PROTOCOL).start().tried == ["beta"]


def test_when_all_fail_behind_a_ping_it_is_an_error_event() -> None:
    d = drive().head("alpha").pass_time(11).fail("alpha", Failure.RESET, early=False).fail("beta")
    assert d.client.body.startswith(messages.PROTOCOL.ping)
    assert (error_of(d.client.body)["type"], d.client.over) == ("api_error", "break")


def test_when_nobody_can_be_asked_it_is_an_overload() -> None:
    d = drive()
    d.expire()
    assert d.client.status == 529
    assert json.loads(d.client.body)["error"]["type"] == "overloaded_error"


def test_pings_behind_a_whole_message_do_not_start_the_two_seconds_anew() -> None:
    d = drive().stream("alpha", named(*HELLO[:-1])).pass_time(1.2).data("alpha", named(PING)).pass_time(0.81)
    assert d.client.over == "end"
    assert d.client.body.endswith(MESSAGE_STOP)


def test_pings_are_no_work() -> None:
    times = plans.Timeouts(first_byte=10.0, answer=100.0, idle=60.0)
    plan = make_plan(plans.Target("alpha", "m", 1, timeouts=times), plans.Target("beta", "m", 2, timeouts=times))
    d = drive(plan=plan).stream("alpha", named(start(), block(), PING)).pass_time(6)
    d.data("alpha", named(PING)).pass_time(5)
    assert d.tried == ["alpha", "beta"]


def test_a_long_message_that_is_cut_is_not_ended_as_if_it_were_whole() -> None:
    body = json.dumps({"type": "message", "content": [{"text": "x" * 300_000}], "stop_reason": "end_turn"}).encode()
    d = drive(stream=False).head("alpha", 200, JSON).data("alpha", body[:280_000])
    assert d.client.body
    assert d.fail("alpha", Failure.EOF, early=False).client.over == "break"
    assert body.startswith(d.client.body)


STREAM = named(*(event for event in AGENT if event is not PING))
BORDERS = list(accumulate((len(named(event)) for event in AGENT if event is not PING), initial=0))
CONTENT = BORDERS[3]
"""Behind the first delta of thinking."""
WHOLE = BORDERS[-2]
"""Behind the stop_reason; the message_stop may be missing."""


@pytest.mark.parametrize("way", ["fin", "rst", "clean", "stall", "garbage", "overload"])
def test_a_break_at_any_byte_is_a_whole_message_of_one_provider_or_an_error_event(way: str) -> None:
    last = {"garbage": b"\n\ndata: {garbage\n\n", "overload": b"\n\n" + named(OVERLOADED)}
    for at in range(len(STREAM) + 1):
        d = drive().stream("alpha", STREAM[:at]).break_off("alpha", way, last.get(way, b""))
        read = at + 2 * (way in ("garbage", "overload"))  # the blank line may be the one that was missing
        if read < CONTENT:
            d.stream("beta", OTHER).end("beta")
            assert d.client.body.removeprefix(6 * messages.PROTOCOL.ping) == OTHER, at
        elif read >= WHOLE:
            end = named(END) if read >= len(STREAM) else MESSAGE_STOP
            assert (d.client.body, d.client.over) == (STREAM[:WHOLE] + end, "end"), at
        else:
            assert d.client.over == "break", at
            assert (naive(d.client.body)[-1][0], d.client.body.count(b"event: error\n")) == (b"error", 1), at
            assert STREAM.startswith(d.client.body.partition(b"event: error")[0]), at
        assert d.over, at
        assert len(d.tried) == 1 + (read < CONTENT)


def test_thinking_takes_as_long_as_an_answer_that_is_no_stream() -> None:
    times = plans.Timeouts(first_byte=10.0, answer=100.0, idle=60.0)
    plan = make_plan(plans.Target("alpha", "m", 1, timeouts=times), plans.Target("beta", "m", 2, timeouts=times))
    d = drive(plan=plan).stream("alpha", named(start(), block(0, **THINKING)))
    for _ in range(3):
        d.pass_time(25).data("alpha", named(delta(0, type="thinking_delta", thinking="")))
    assert d.tried == ["alpha"]
    d.pass_time(26)
    assert d.tried == ["alpha", "beta"]


def test_thinking_that_falls_silent_is_given_up() -> None:
    times = plans.Timeouts(first_byte=10.0, answer=100.0, idle=20.0)
    plan = make_plan(plans.Target("alpha", "m", 1, timeouts=times), plans.Target("beta", "m", 2, timeouts=times))
    d = drive(plan=plan).stream("alpha", named(start(), block(0, **THINKING))).pass_time(15)
    d.data("alpha", named(PING)).pass_time(4)
    assert d.tried == ["alpha"]
    d.pass_time(18)
    assert d.tried == ["alpha", "beta"]


def test_an_error_event_that_blames_the_client_is_told_as_its_status() -> None:
    event = {"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}}
    d = drive().stream("alpha", named(start(), event))
    assert (d.tried, d.client.status, json.loads(d.client.body)) == (["alpha"], 400, event)
