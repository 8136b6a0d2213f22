"""An exchange in the Responses API: the same machine as for chat, and ends that its clients understand."""

from __future__ import annotations

import json

import pytest

from oxllm import plan as plans
from oxllm.core.protocols import responses
from oxllm.core.reading.outcome import Failure
from tests.support.by_hand import JSON, Drive, broken_behind, make_plan
from tests.support.responses_api import ID, Json, answer, event, message, parse, response, sse

PREAMBLE = [*answer("Hi")[:2]]
BEGUN = answer("Hi", " there")[:5]
FAILED = event("response.failed", 5, response=response("failed", error={"code": "server_error", "message": "x"}))


def drive(*, stream: bool = True) -> Drive:
    return Drive("alpha", "beta", protocol=responses.PROTOCOL, stream=stream).start()


def last(drive: Drive) -> Json:
    return parse(drive.client.body.removeprefix(b": ping\n"))[-1]


def test_a_stream_is_passed_on_as_it_came() -> None:
    stream = sse(*answer("Hi", " there", thinks=True), b"[DONE]")
    client = drive().stream("alpha", stream).end("alpha").client
    assert (client.body, client.over) == (stream, "end")
    client = drive().stream("alpha", stream[:-14]).end("alpha").client
    assert (client.body, client.over) == (stream[:-14], "end")


def test_an_overload_behind_the_preamble_is_rescued_by_the_next_target() -> None:
    d = drive().stream("alpha", sse(*PREAMBLE, FAILED))
    assert (d.tried, d.client.status) == (["alpha", "beta"], 0)
    d.stream("beta", sse(*answer("Hi")))
    assert parse(d.client.body) == answer("Hi")


def test_a_break_behind_content_is_a_failed_response_and_the_chunks_end_properly() -> None:
    for broken in broken_behind(sse(*BEGUN), drive):
        assert (broken.tried, broken.client.over) == (["alpha"], "end")
        assert parse(broken.client.body)[:-1] == BEGUN
        assert (last(broken)["type"], last(broken)["sequence_number"]) == ("response.failed", len(BEGUN))
        assert last(broken)["response"]["id"] == ID
        assert last(broken)["response"]["error"]["code"] == "server_error"


def test_a_failure_behind_content_is_the_provider_s_own_and_no_second_one() -> None:
    d = drive().stream("alpha", sse(*BEGUN, FAILED))
    assert parse(d.client.body) == [*BEGUN, FAILED]
    assert (d.client.over, d.failures("alpha")) == ("end", 1)


OVERLOADED: Json = {"code": "server_error", "message": "Overloaded", "param": None}


@pytest.mark.parametrize("error", [event("error", 9, **OVERLOADED), event("error", 9, error=OVERLOADED)])
@pytest.mark.parametrize("own", [[], [FAILED]])
def test_an_error_event_behind_content_is_passed_on_and_a_failed_response_follows(error: Json, own: list[Json]) -> None:
    """Few clients look for `error`; without a failed response they take what came for the answer."""
    d = drive().stream("alpha", sse(*BEGUN, error, *own))
    *told, failed = parse(d.client.body)
    assert told == [*BEGUN, error]
    assert (failed["type"], failed["sequence_number"], failed["response"]["id"]) == ("response.failed", 10, ID)
    assert failed["response"]["error"]["code"] == failed["error"]["code"] == "server_error"
    assert (d.client.over, d.failures("alpha")) == ("end", 1)


@pytest.mark.parametrize("apart", [False, True])
def test_one_that_quotes_our_key_is_told_in_our_words(apart: bool) -> None:
    told = response("failed", error={"code": "server_error", "message": "sk-secret-alpha was revoked"})
    parts = [sse(*BEGUN), sse(event("response.failed", len(BEGUN), response=told))]
    d = drive().stream("alpha", *(parts if apart else [b"".join(parts)]))
    assert parse(d.client.body)[:-1] == BEGUN
    assert last(d)["type"] == "response.failed"
    assert b"sk-secret-alpha" not in d.client.body
    assert "broke" in last(d)["response"]["error"]["message"]


@pytest.mark.parametrize("pinged", [False, True])
def test_what_the_provider_says_of_the_request_inside_a_stream_is_told_in_its_words(pinged: bool) -> None:
    flagged = event(
        "response.failed", 2, response=response("failed", error={"code": "invalid_prompt", "message": "No!"})
    )
    d = drive().head("alpha").pass_time(11 if pinged else 0).data("alpha", sse(*PREAMBLE, flagged))
    error = last(d)["response"]["error"] if pinged else d.client.error
    assert (error["code"], error["message"]) == ("invalid_prompt", "No!")
    assert (d.tried, d.client.status) == (["alpha"], 200 if pinged else 400)


def test_when_all_fail_after_a_ping_the_answer_has_failed_and_the_chunks_end_properly() -> None:
    d = drive().head("alpha").pass_time(11).fail("alpha", Failure.RESET, early=False).fail("beta")
    assert d.client.body.startswith(b": ping\n")
    assert (last(d)["type"], last(d)["response"]["error"]["code"]) == ("response.failed", "server_error")
    assert d.client.over == "end"


def test_when_all_fail_the_client_is_told_of_an_overload_and_when_to_come_back() -> None:
    d = drive().fail("alpha").fail("beta")
    assert (d.client.status, d.client.error["code"]) == (503, "server_is_overloaded")
    assert d.client.headers[b"retry-after"] == b"1"


def test_when_no_key_is_good_the_client_is_told_so_that_it_does_not_ask_again() -> None:
    d = drive().answer("alpha", b"{}", 401).answer("beta", b"{}", 401)
    assert (d.client.status, d.client.headers[b"x-should-retry"]) == (400, b"false")


def test_a_plain_answer_that_is_cut_behind_its_first_part_is_not_ended_as_if_it_were_whole() -> None:
    body = json.dumps(response(output=[message("x" * 300_000)])).encode()
    d = drive(stream=False).head("alpha", 200, JSON).data("alpha", body[:280_000])
    assert d.client.body
    assert d.fail("alpha", Failure.EOF, early=False).client.over == "break"
    assert body.startswith(d.client.body)


REASONS = sse(*answer("Hi", thinks=True)[:3])
STILL = sse(event("response.in_progress", 9, response={"id": ID}))


def test_a_model_that_thinks_has_the_time_of_a_plain_answer_while_it_gives_signs_of_work() -> None:
    d = drive().stream("alpha", REASONS)
    for _ in range(5):
        d.pass_time(50).data("alpha", STILL)
    assert d.tried == ["alpha"]
    d.pass_time(49)
    assert d.tried == ["alpha"]
    d.pass_time(1)
    assert (d.tried, d.exchange.books.steps[0].result) == (["alpha", "beta"], "no content within 300 s")


@pytest.mark.parametrize("sign", [b": keep\n\n", sse(event("keepalive", 9)), sse(event("response.unknown", 9))])
def test_comments_and_pings_are_no_signs_of_work(sign: bytes) -> None:
    d = drive().stream("alpha", REASONS)
    for _ in range(5):
        d.pass_time(10).data("alpha", sign)
    d.pass_time(9)
    assert d.tried == ["alpha"]
    d.pass_time(1)
    assert (d.tried, d.exchange.books.steps[0].result) == (["alpha", "beta"], "silent for 60 s")


def test_who_has_not_begun_to_think_has_the_time_of_a_first_byte() -> None:
    d = drive().stream("alpha", sse(*PREAMBLE))
    for _ in range(3):
        d.pass_time(20).data("alpha", STILL) if d.tried == ["alpha"] else None
    assert d.tried == ["alpha", "beta"]


def test_what_is_held_of_one_that_thinks_is_bounded_too() -> None:
    d = drive().stream("alpha", REASONS)
    more = sse(event("response.in_progress", 9, response={"id": ID, "instructions": "x" * 500_000}))
    d.data("alpha", more, more, more)
    assert (d.tried, d.exchange.books.steps[0].result) == (["alpha", "beta"], "over 1 MiB without content")


SHORT = sse(*({**one, "response": {"id": ID}} if "response" in one else one for one in answer("Hi", thinks=True)))


@pytest.mark.parametrize("way", ["fin", "rst", "clean", "stall", "garbage"])
def test_a_break_at_any_byte_is_a_whole_answer_of_one_provider_or_a_failed_response(way: str) -> None:
    events, other = parse(SHORT), sse(*answer("from beta"))
    first = next(n for n, one in enumerate(events) if one["type"].endswith(".done"))
    content = len(sse(*events[: first + 1]))
    for at in range(len(SHORT)):
        last = b"data: {garbage\n\n" if way == "garbage" else b""  # which may have been the name of no event
        d = drive().stream("alpha", SHORT[:at]).break_off("alpha", way, last)
        if at < content:
            d.stream("beta", other).end("beta")
            assert d.client.body.replace(b": ping\n", b"") == other, at
        else:
            *told, failed = parse(d.client.body)
            assert (told, failed["type"], d.client.over) == (events[: len(told)], "response.failed", "end"), at
        assert d.over


@pytest.mark.parametrize("hold", [plans.HoldBack(full=True), plans.HoldBack(tokens=20), plans.HoldBack(seconds=5.0)])
@pytest.mark.parametrize("fault", ["failed", "cut"])
def test_a_fault_behind_content_that_is_held_back_is_rescued(hold: plans.HoldBack, fault: str) -> None:
    d = Drive(plan=make_plan("alpha", "beta", hold_back=hold), protocol=responses.PROTOCOL).start()
    d.stream("alpha", sse(*BEGUN))
    assert d.client.status == 0
    if fault == "failed":
        d.data("alpha", sse(FAILED))
    else:
        d.end("alpha")
    d.stream("beta", sse(*answer("Hi"))).end("beta")
    assert (d.tried, parse(d.client.body)) == (["alpha", "beta"], answer("Hi"))


def test_a_hedge_beside_a_model_that_thinks_wins_with_its_content() -> None:
    d = Drive(plan=make_plan("alpha", "beta", hedge_after=4.0), protocol=responses.PROTOCOL).start()
    d.stream("alpha", REASONS).pass_time(5)
    d.stream("beta", sse(*answer("Hi"))).end("beta")
    assert parse(d.client.body) == answer("Hi")
    assert (d.failures("alpha"), d.in_flight()) == (0, 0)
