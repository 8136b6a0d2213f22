"""The exchange, driven by hand: what is tried in which order, when the client gets what, and how each request ends."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import msgspec
import pytest

from oxllm import plan as plans
from oxllm.core.protocols import embeddings
from oxllm.core.protocols.plain import HELD_MAX
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Cause, Failure
from oxllm.core.request.effects import Begin, Try
from oxllm.core.request.error_reader import ERROR_BODY_MAX
from oxllm.core.request.stages import Stage
from oxllm.core.routing.breaker import BreakerState
from oxllm.core.routing.cooldown import Skip
from tests.support.by_hand import EVENT_STREAM, JSON, PING, WHOLE, Drive, error_body, make_plan
from tests.support.chat_bytes import DONE, FINISH, ROLE, finish, token

HTML = [(b"content-type", b"text/html")]


def drive(*targets: str, **changes: object) -> Drive:
    return Drive(*(targets or ("alpha", "beta")), **changes).start()  # type: ignore[arg-type]


def opened(plan: plans.Plan, name: str = "alpha") -> Drive:
    """A drive, not started, over a gateway whose breaker for `name` is half-open."""
    first = Drive(plan=plan)
    breaker = first.router.providers[name].breaker
    for _ in range(plan.breaker.failures):
        breaker.failure(breaker.generation, first.now, first.chance)
    first.now += plan.breaker.cooldown * 1.1
    assert breaker.state(first.now) is BreakerState.HALF_OPEN
    return first.next()


# Streams: commit.


def test_a_stream_is_passed_on_and_ends_as_its_provider_ended_it() -> None:
    client = drive().stream("alpha", ROLE, token("a"), token("b"), FINISH, DONE).end("alpha").client
    assert client.over == "end"
    assert client.body == ROLE + token("a") + token("b") + FINISH + DONE
    assert client.headers[b"x-oxllm-provider"] == b"alpha"
    assert client.headers[b"x-oxllm-model"] == b"big-1"
    assert client.headers[b"x-oxllm-attempts"] == b"1"


def test_nothing_goes_out_before_content_does() -> None:
    d = drive().stream("alpha", b": comment\n\n", b'data: {"choices":[]}\n\n', ROLE)
    assert d.client.status == 0
    d.data("alpha", token("a"))
    assert d.client.body == b'data: {"choices":[]}\n\n' + ROLE + token("a")


@pytest.mark.parametrize(
    "delta",
    [
        b'"delta":{"reasoning_content":"hm"}',
        b'"delta":{"refusal":"no"}',
        b'"delta":{"tool_calls":[{"index":0}]}',
        b'"delta":{"audio":{"id":"x"}}',
        b'"delta":{},"finish_reason":"stop"',
    ],
)
def test_whatever_bears_content_commits(delta: bytes) -> None:
    assert drive().stream("alpha", b'data: {"choices":[{"index":0,%b}]}\n\n' % delta).exchange.stage in {
        Stage.COMMITTED,
        Stage.DONE,
    }


@pytest.mark.parametrize("event", [ROLE, b'data: {"choices":[]}\n\n', b": hello\n\n", b'data: {"type":"ping"}\n\n'])
def test_what_bears_no_content_does_not_commit_and_its_end_is_a_failure(event: bytes) -> None:
    d = drive().stream("alpha", event).end("alpha")
    assert d.tried == ["alpha", "beta"]
    assert d.failures("alpha") == 1


@pytest.mark.parametrize("reason", [b"error", b"network_error"])
def test_a_finish_reason_of_error_is_a_failure_before_commit(reason: bytes) -> None:
    d = drive().stream("alpha", b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"%b"}]}\n\n' % reason)
    assert d.tried == ["alpha", "beta"]


def test_an_event_without_choices_is_dropped_and_counted() -> None:
    d = drive().stream("alpha", token("a"), b'data: {"type":"ping"}\n\n', FINISH, DONE)
    assert d.client.body == token("a") + FINISH + DONE
    assert d["alpha"].candidate.state.counters.dropped == 1


# Streams: the gaps between their events.


def gaps(d: Drive) -> tuple[int, float]:
    """How many have been counted, and their sum, to the millisecond."""
    counted = d.route.counters.gap
    return counted.count, round(counted.sum, 3)


def test_the_gap_before_each_event_is_counted_and_is_none_between_those_that_come_together() -> None:
    d = drive().stream("alpha", token("a"))
    assert gaps(d) == (0, 0.0)
    d.pass_time(0.5).data("alpha", token("b") + token("c") + token("d"))
    assert gaps(d) == (3, 0.5)
    d.pass_time(0.25).data("alpha", FINISH)
    assert gaps(d) == (4, 0.75)


def test_what_is_no_whole_event_of_content_ends_no_gap() -> None:
    d = drive().stream("alpha", token("a"))
    d.pass_time(1).data("alpha", b": comment\n\n").pass_time(1).data("alpha", token("b")[:9])
    assert gaps(d)[0] == 0
    d.pass_time(1).data("alpha", token("b")[9:])
    assert gaps(d) == (1, 3.0)


def test_a_gap_in_which_the_client_did_not_read_is_no_gap_of_the_providers() -> None:
    d = drive().stream("alpha", token("a")).pass_time(1)
    d["alpha"].pause(d.now)
    d.pass_time(30)
    d["alpha"].resume(d.now)
    d.pass_time(0.5).data("alpha", token("b"))
    assert gaps(d) == (1, 0.5)


def test_of_events_held_back_no_gaps_are_counted_but_that_after_the_last() -> None:
    plan = make_plan("alpha", hold_back=plans.HoldBack(tokens=2))
    d = drive(plan=plan).stream("alpha", token("a")).pass_time(1).data("alpha", token("b"))
    assert gaps(d)[0] == 0
    d.pass_time(0.5).data("alpha", token("c"))
    assert gaps(d) == (1, 0.5)


# Streams: the end.


def test_done_is_added_to_a_complete_stream_that_lacks_it() -> None:
    client = drive().stream("alpha", token("a"), FINISH).end("alpha").client
    assert (client.over, client.body) == ("end", token("a") + FINISH + DONE)


def test_a_complete_stream_that_is_held_open_ends_after_two_seconds() -> None:
    d = drive().stream("alpha", token("a"), FINISH).pass_time(1.9)
    assert d.client.over is None
    assert (d.pass_time(0.2).client.over, d.running) == ("end", [])
    assert d.client.body.endswith(FINISH + DONE)
    assert d.failures("alpha") == 0


def test_a_usage_event_behind_the_finish_reason_starts_the_two_seconds_anew() -> None:
    d = drive().stream("alpha", token("a"), FINISH).pass_time(1.5)
    d.data("alpha", b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n').pass_time(1.5)
    assert d.client.over is None
    assert d.pass_time(0.6).client.over == "end"
    assert d.exchange.books.usage is not None
    assert d.exchange.books.usage.prompt_tokens == 3


@pytest.mark.parametrize("heartbeat", [b": still here\n\n", b'data: {"type":"ping"}\n\n'])
def test_heartbeats_behind_the_finish_reason_do_not_start_the_two_seconds_anew(heartbeat: bytes) -> None:
    d = drive().stream("alpha", token("a"), FINISH).pass_time(1.2).data("alpha", heartbeat).pass_time(0.81)
    assert (d.client.over, d.client.body) == ("end", token("a") + FINISH + DONE)


def test_a_cut_behind_a_complete_answer_is_no_break() -> None:
    d = drive().stream("alpha", token("a"), FINISH).fail("alpha", Failure.RESET, early=False)
    assert (d.client.over, d.client.body) == ("end", token("a") + FINISH + DONE)
    assert d.exchange.reply.error is None


def test_after_done_the_provider_has_two_seconds_to_end_its_body() -> None:
    d = drive().stream("alpha", token("a"), FINISH, DONE)
    assert d.client.over == "end"
    assert d.running == ["alpha"]
    assert d.pass_time(2.1).running == []


def test_an_end_or_a_failure_while_draining_changes_nothing() -> None:
    lasts: list[Callable[[Drive], Drive]] = [
        lambda d: d.end("alpha"),
        lambda d: d.fail("alpha", Failure.EOF, early=False),
    ]
    for last in lasts:
        d = drive().stream("alpha", token("a"), FINISH, DONE)
        last(d)
        assert (d.running, d.failures("alpha"), d.cancelled) == ([], 0, [])


def test_every_choice_needs_its_finish_reason() -> None:
    d = drive(n=2).stream("alpha", token("a", 0), token("b", 1), finish(0)).end("alpha")
    assert d.client.over == "break"
    d = drive(n=2).stream("alpha", token("a", 0), token("b", 1), finish(0), finish(1)).end("alpha")
    assert d.client.over == "end"


@pytest.mark.parametrize(("own", "over"), [("1", "end"), ("2", "break"), ('"x"', "break")])
def test_a_provider_whose_extra_body_asks_for_choices_owes_as_many(own: str, over: str) -> None:
    plan = make_plan("alpha")
    providers = (msgspec.structs.replace(plan.providers[0], extra_body={"n": own}),)
    d = drive(plan=msgspec.structs.replace(plan, providers=providers), n=2)
    assert d.stream("alpha", token("a"), FINISH).end("alpha").client.over == over


@pytest.mark.parametrize("last", ["end", "done"])
def test_fewer_choices_than_asked_for_are_not_complete_and_no_failure(last: str) -> None:
    d = drive(n=2).stream("alpha", token("a"), FINISH)
    d = d.end("alpha") if last == "end" else d.data("alpha", DONE)
    assert (d.client.over, d.failures("alpha")) == ("break", 0)
    assert "1 of 2 choices" in d.client.message


def test_a_server_that_ignores_how_many_choices_are_asked_for_keeps_its_breaker_closed() -> None:
    d = drive(plan=held(full=True), n=2)
    for _ in range(4):
        d.stream("alpha", token("a"), FINISH).end("alpha")
        assert (d.tried, d.failures("alpha")) == (["alpha", "beta"], 0)
        d = d.next(n=2).start()


ONE_OF_TWO = b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'


def test_a_plain_answer_with_fewer_choices_than_asked_for_is_not_whole_and_no_failure() -> None:
    d = drive("alpha", "beta", stream=False, n=2).answer("alpha", ONE_OF_TWO)
    assert (d.tried, d.failures("alpha")) == (["alpha", "beta"], 0)
    d.answer("beta", ONE_OF_TWO.replace(b"[{", b'[{"index":1,"finish_reason":"stop"},{'))
    assert (d.client.status, d.client.over) == (200, "answer")


def test_who_asks_the_only_target_for_more_choices_than_it_gives_is_told_so() -> None:
    d = drive("alpha", stream=False, n=2).answer("alpha", ONE_OF_TWO)
    assert (d.client.status, d.failures("alpha")) == (502, 0)
    assert "1 of 2 choices" in d.client.message


def test_a_provider_whose_extra_body_asks_for_one_choice_owes_one_in_a_plain_answer_too() -> None:
    plan = make_plan("alpha")
    providers = (msgspec.structs.replace(plan.providers[0], extra_body={"n": "1"}),)
    d = drive(plan=msgspec.structs.replace(plan, providers=providers), stream=False, n=2)
    assert d.answer("alpha", ONE_OF_TWO).client.status == 200


def test_a_cut_before_the_other_choice_ends_is_a_failure() -> None:
    assert drive(n=2).stream("alpha", token("a"), token("b", 1), FINISH).end("alpha").failures("alpha") == 1


BREAKS: dict[str, Callable[[Drive], Drive]] = {
    "cut": lambda d: d.fail("alpha", Failure.EOF, early=False),
    "reset": lambda d: d.fail("alpha", Failure.RESET, early=False),
    "silent cut": lambda d: d.end("alpha"),
    "stall": lambda d: d.pass_time(60.1),
    "garbage": lambda d: d.data("alpha", b"data: {garbage\n\n"),
    "error event": lambda d: d.data("alpha", b'data: {"error":{"message":"x"}}\n\n'),
    "early done": lambda d: d.data("alpha", DONE),
    "too large": lambda d: d.data("alpha", b"data: " + b"x" * 1_100_000),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_break_after_commit_is_an_error_event_and_no_other_provider_is_asked(name: str) -> None:
    d = BREAKS[name](drive().stream("alpha", ROLE, token("a")))
    assert (d.client.over, d.tried) == ("break", ["alpha"])
    assert b"[DONE]" not in d.client.body
    assert d.client.body.startswith(ROLE + token("a"))
    assert (d.client.error["type"], d.client.error["code"]) == ("upstream_error", "stream_interrupted")
    assert (d.failures("alpha"), d.running) == (1, [])


@pytest.mark.parametrize("name", sorted(set(BREAKS) - {"stall"}))
def test_a_break_before_commit_is_invisible(name: str) -> None:
    d = BREAKS[name](drive().stream("alpha", ROLE))
    assert d.client.status == 0
    assert d.stream("beta", token("b"), FINISH, DONE).client.body == token("b") + FINISH + DONE
    assert d.client.headers[b"x-oxllm-attempts"] == b"2"


@pytest.mark.parametrize("last", [b"data: {garbage\n\n", b'data: {"error":{"message":"x"}}\n\n', DONE])
def test_a_break_means_the_same_in_one_read_with_the_content_as_in_the_next(last: bytes) -> None:
    whole = drive().stream("alpha", ROLE + token("a") + last)
    split = drive().stream("alpha", ROLE, token("a"), last)
    assert (whole.client.over, whole.tried, whole.client.body) == ("break", ["alpha"], split.client.body)
    assert drive(plan=held(tokens=2)).stream("alpha", token("a") + last).tried == ["alpha", "beta"]


def test_what_comes_behind_a_break_is_dropped() -> None:
    d = drive().stream("alpha", token("a")).data("alpha", b"data: {garbage\n\n" + token("b"))
    assert token("b") not in d.client.body
    body = d.client.body
    d.data("alpha", token("c")).end("alpha")
    assert d.client.body == body


# Pings.


def test_after_ten_seconds_of_waiting_the_client_gets_a_head_and_a_comment_and_another_each_ten() -> None:
    d = drive().connect("alpha").pass_time(9.9)
    assert d.client.status == 0
    d.pass_time(0.2)
    assert (d.client.status, d.client.body) == (200, PING)
    assert b"x-oxllm-provider" not in d.client.headers
    assert d.pass_time(10).client.body == PING * 2


def test_failing_over_stays_possible_after_a_ping() -> None:
    d = drive().connect("alpha").pass_time(10.1).fail("alpha").stream("beta", token("b"), FINISH, DONE)
    assert (d.client.over, d.client.body) == ("end", PING + token("b") + FINISH + DONE)


def test_if_all_fails_after_a_ping_the_error_goes_out_as_an_event() -> None:
    d = drive().connect("alpha").pass_time(10.1).fail("alpha").fail("beta")
    assert (d.client.over, d.client.error["code"]) == ("break", "all_targets_failed")


def test_a_4xx_after_a_ping_goes_out_as_an_event() -> None:
    body = error_body("invalid_value", "no such\nthing").replace(b",", b",\n")
    d = drive().connect("alpha").pass_time(10.1).answer("alpha", body, 422)
    assert (d.client.over, d.client.message) == ("break", "no such\nthing")
    assert d.client.body.count(b"\n") == PING.count(b"\n") + 2


def test_a_4xx_page_after_a_ping_becomes_an_error_object() -> None:
    d = drive().connect("alpha").pass_time(10.1).answer("alpha", b"<html>", 422, HTML)
    assert d.client.message == "the provider answered HTTP 422"


def test_there_is_no_ping_after_commit_nor_for_a_plain_answer() -> None:
    assert PING not in drive().stream("alpha", token("a")).pass_time(30).client.body
    assert drive(stream=False).connect("alpha").pass_time(30).client.status == 0


def test_a_ping_that_falls_due_during_the_jitter_is_sent() -> None:
    d = drive().connect("alpha").pass_time(9.99).fail("alpha", Failure.RESET).pass_time(0.02)
    assert (d.exchange.stage, d.client.body) == (Stage.BACKING_OFF, PING)


# hold_back.


def held(**kind: object) -> plans.Plan:
    return make_plan("alpha", "beta", hold_back=plans.HoldBack(**kind))  # type: ignore[arg-type]


def test_hold_back_of_tokens_commits_at_the_last_of_them() -> None:
    d = drive(plan=held(tokens=3)).stream("alpha", token("a"), token("b"))
    assert d.client.status == 0
    assert d.data("alpha", token("c")).client.body == token("a") + token("b") + token("c")


def test_hold_back_of_time_commits_when_it_has_passed_without_another_event() -> None:
    d = drive(plan=held(seconds=0.8)).stream("alpha", token("a")).pass_time(0.79)
    assert d.client.status == 0
    assert d.pass_time(0.02).client.body == token("a")


def test_full_hold_back_commits_only_a_complete_answer() -> None:
    d = drive(plan=held(full=True)).stream("alpha", *map(token, "abcdefgh"))
    assert d.client.status == 0
    d.data("alpha", FINISH)
    assert d.client.body == b"".join(map(token, "abcdefgh")) + FINISH


@pytest.mark.parametrize("kind", [{"tokens": 20}, {"seconds": 5.0}, {"full": True}])
def test_a_break_inside_the_hold_back_is_rescued(kind: dict[str, object]) -> None:
    d = drive(plan=held(**kind)).stream("alpha", token("a"), token("b")).fail("alpha", Failure.RESET, early=False)
    d.stream("beta", token("x"), FINISH, DONE)
    assert d.client.body == token("x") + FINISH + DONE


def test_an_answer_shorter_than_the_hold_back_is_sent_at_its_end() -> None:
    d = drive(plan=held(tokens=20)).stream("alpha", token("a"), FINISH, DONE)
    assert (d.client.over, d.client.body) == ("end", token("a") + FINISH + DONE)


@pytest.mark.parametrize("kind", [{"tokens": 20}, {"full": True}])
def test_a_provider_that_stalls_inside_the_hold_back_is_given_up_after_its_idle_time(kind: dict[str, object]) -> None:
    d = drive(plan=held(**kind)).stream("alpha", token("a")).pass_time(60.5)
    assert d.tried == ["alpha", "beta"]
    assert d.failures("alpha") == 1


# Plain answers.


def test_a_plain_answer_goes_out_whole_once_it_is_checked() -> None:
    d = drive(stream=False).head("alpha", fields=JSON).data("alpha", WHOLE[:20])
    assert d.client.status == 0
    d.data("alpha", WHOLE[20:]).end("alpha")
    assert (d.client.over, d.client.body) == ("answer", WHOLE)
    assert d.client.headers[b"x-oxllm-provider"] == b"alpha"


@pytest.mark.parametrize("body", [b"", b"<html>", WHOLE[:-3], b'{"choices":[]}', b'{"error":{"message":"x"}}'])
def test_a_200_that_is_no_answer_fails_over(body: bytes) -> None:
    d = drive(stream=False).answer("alpha", body)
    assert d.tried == ["alpha", "beta"]
    assert d.answer("beta").client.body == WHOLE


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, b""),
        (402, b""),
        (403, b""),
        (404, b""),
        (404, error_body("file_not_found", "no such file")),
        (404, error_body("model_not_found")),
        (413, b""),
        (429, b""),
        (429, error_body("insufficient_quota")),
        (503, b""),
        (503, error_body(None, "model is loading")),
        (400, error_body("context_length_exceeded")),
        (400, error_body(None, "this model does not support tools")),
    ],
)
def test_a_refusal_that_another_target_may_not_share_fails_over(status: int, body: bytes) -> None:
    assert drive(stream=False).answer("alpha", body, status).tried == ["alpha", "beta"]


@pytest.mark.parametrize("failure", Failure)
def test_every_failure_of_a_connection_fails_over(failure: Failure) -> None:
    assert drive(stream=False).fail("alpha", failure, early=False).tried == ["alpha", "beta"]


@pytest.mark.parametrize("status", [101, 204, 206, 301, 307])
def test_a_status_that_can_hold_no_answer_fails_over_and_counts(status: int) -> None:
    d = drive(stream=False).answer("alpha", b"", status)
    assert (d.tried, d.failures("alpha")) == (["alpha", "beta"], 1)


def test_the_wrong_kind_of_body_fails_over() -> None:
    assert drive().head("alpha", fields=JSON).data("alpha", WHOLE).end("alpha").tried == ["alpha", "beta"]
    assert drive(stream=False).head("alpha").tried == ["alpha", "beta"]
    assert drive().head("alpha", fields=[*EVENT_STREAM, (b"content-encoding", b"gzip")]).tried == ["alpha", "beta"]


def test_embeddings_are_checked_as_embeddings() -> None:
    vectors = b'{"data":[{"embedding":[1.0]}],"usage":{"prompt_tokens":2}}'
    d = drive(stream=False, protocol=embeddings.PROTOCOL).answer("alpha", WHOLE).answer("beta", vectors)
    assert (d.tried, d.client.body) == (["alpha", "beta"], vectors)


LONG = b'{"choices":[{"index":0,"message":{"content":"' + b"x" * HELD_MAX + b'"},"finish_reason":"stop"}]}'


def test_a_long_answer_is_committed_by_its_start_and_relayed() -> None:
    d = drive(stream=False).head("alpha", fields=[*JSON, (b"content-length", b"%d" % len(LONG))])
    d.data("alpha", LONG[:-1])
    assert (d.exchange.stage, d.client.body) == (Stage.COMMITTED, LONG[:-1])
    d.data("alpha", LONG[-1:]).end("alpha")
    assert (d.client.over, d.client.body) == ("end", LONG)


def test_a_long_answer_that_starts_wrong_fails_over() -> None:
    assert drive(stream=False).head("alpha", fields=JSON).data("alpha", b"<" * (HELD_MAX + 1)).tried == [
        "alpha",
        "beta",
    ]


def test_a_long_answer_that_is_cut_is_broken_off_without_a_word() -> None:
    d = drive(stream=False).head("alpha", fields=JSON).data("alpha", LONG[:-9])
    body = d.client.body
    d.fail("alpha", Failure.EOF, early=False)
    assert (d.client.over, d.client.body, d.failures("alpha")) == ("break", body, 1)


def test_a_long_answer_that_has_all_of_its_length_but_not_its_last_brace_does_not_look_whole() -> None:
    """A proxy had cut it before it counted."""
    cut = LONG[:-1]
    d = drive(stream=False).head("alpha", fields=[*JSON, (b"content-length", b"%d" % len(cut))])
    d.data("alpha", cut).end("alpha")
    assert (d.client.over, d.client.length) == ("break", None)


@pytest.mark.parametrize("named", [b"text/plain", b"Application/JSON", b"application/jsonl", b"", None])
@pytest.mark.parametrize("body", [WHOLE, LONG], ids=["short", "long"])
def test_an_answer_is_called_what_it_is_however_its_provider_calls_it(body: bytes, named: bytes | None) -> None:
    """Else some SDKs give their callers a string."""
    fields = [] if named is None else [(b"content-type", named)]
    d = drive(stream=False).head("alpha", fields=fields).data("alpha", body).end("alpha")
    assert (d.client.body, d.client.headers[b"content-type"]) == (body, b"application/json")


@pytest.mark.parametrize("named", [b"application/json", b"application/json; charset=utf-8", b"application/json;odd"])
def test_what_is_called_json_keeps_its_providers_words_for_it(named: bytes) -> None:
    d = drive(stream=False).head("alpha", fields=[(b"content-type", named)]).data("alpha", WHOLE).end("alpha")
    assert d.client.headers[b"content-type"] == named


def test_a_long_answer_that_only_the_close_delimits_is_not_whole_without_its_last_brace() -> None:
    d = drive(stream=False).head("alpha", fields=JSON).data("alpha", LONG[:-9]).data("alpha", b'"').end("alpha")
    assert (d.client.over, d.failures("alpha")) == ("break", 1)


# Failing over.


def test_each_candidate_is_tried_once_in_tier_order() -> None:
    d = drive("alpha", "beta", "gamma")
    for name in ("alpha", "beta", "gamma"):
        d.fail(name)
    assert d.tried == ["alpha", "beta", "gamma"]
    assert (d.client.over, d.client.status) == ("answer", 502)


def test_max_attempts_is_the_end_whatever_is_left() -> None:
    plan = make_plan("alpha", "beta", "gamma", retry=plans.Retry(max_attempts=2))
    d = drive(plan=plan).fail("alpha").fail("beta")
    assert (d.tried, d.client.status) == (["alpha", "beta"], 502)
    assert "gamma/big-1: not reached" in d.client.message


def test_two_targets_of_one_provider_are_both_reached() -> None:
    d = drive("alpha/one", "alpha/two").answer("alpha", error_body(None), 429)
    assert [attempt.target for attempt in d.attempts] == ["alpha/one", "alpha/two"]


def test_out_of_quota_passes_over_every_target_of_the_provider() -> None:
    d = drive("alpha/one", "alpha/two", "beta").answer("alpha", error_body("insufficient_quota"), 429)
    assert d.tried == ["alpha", "beta"]
    assert d.exchange.books.skips["alpha/two"] is Skip.QUOTA


def test_too_large_moves_no_mark_and_no_breaker() -> None:
    d = drive().answer("alpha", error_body(None), 413)
    assert d.tried == ["alpha", "beta"]
    assert d.route.usable(d.now)
    assert d.failures("alpha") == 0


@pytest.mark.parametrize("status", [400, 409, 415, 422])
def test_a_clients_own_fault_is_passed_on_as_it_is_at_once(status: int) -> None:
    body = error_body("bad_value", "because")
    d = drive().answer("alpha", body, status, [*JSON, (b"x-request-id", b"up-1"), (b"set-cookie", b"no")])
    assert (d.client.over, d.client.status, d.client.body, d.tried) == ("answer", status, body, ["alpha"])
    assert d.client.headers[b"x-upstream-request-id"] == b"up-1"
    assert b"set-cookie" not in d.client.headers
    assert (d.failures("alpha"), d.exchange.reply.cause) == (0, Cause.CLIENT)


def test_a_4xx_whose_body_is_cut_is_known_by_its_status_and_told_in_our_words() -> None:
    d = drive().head("alpha", 422, JSON).data("alpha", b'{"err').fail("alpha", Failure.EOF, early=False)
    assert (d.tried, d.client.status) == (["alpha"], 422)
    assert d.client.message == "the provider answered HTTP 422"
    assert d.client.headers[b"x-oxllm-provider"] == b"alpha"


@pytest.mark.parametrize(
    "end", [lambda d: d.fail("alpha", Failure.EOF, early=False), lambda d: d.pass_time(2.1)], ids=["cut", "stalled"]
)
@pytest.mark.parametrize("behind", [b"", b"\n"])
def test_a_4xx_of_which_only_the_end_is_missing_is_passed_on_as_it_came(
    end: Callable[[Drive], Drive], behind: bytes
) -> None:
    body = error_body("bad_value", "because") + behind
    d = end(drive().head("alpha", 422, JSON).data("alpha", body))
    assert (d.tried, d.client.over, d.client.status, d.client.body) == (["alpha"], "answer", 422, body)


def test_a_5xx_whose_body_is_cut_is_known_by_its_status() -> None:
    d = drive().head("alpha", 503, HTML).data("alpha", b"<ht").fail("alpha", Failure.EOF, early=False).fail("beta")
    assert "alpha/big-1: HTTP 503" in d.client.message


def test_an_error_body_without_end_is_read_up_to_its_bound() -> None:
    d = drive().head("alpha", 503, HTML)
    for _ in range(5):
        d.data("alpha", b"x" * 60_000)
    assert d.tried == ["alpha", "beta"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_4xx_too_long_to_hold_is_relayed_whole(stream: bool) -> None:
    d = drive(stream=stream).head("alpha", 422, JSON)
    for _ in range(10):
        d.data("alpha", b"x" * 60_000)
    assert (d.client.over, d.client.status) == (None, 422)
    assert 600_000 - 100 < len(d.client.body) < 600_000, "its last bytes could begin our key"
    assert d.client.headers[b"x-oxllm-provider"] == b"alpha"
    d.end("alpha")
    assert (d.client.over, len(d.client.body)) == ("end", 600_000)
    assert (d.tried, d.running, d.failures("alpha")) == (["alpha"], [], 0)
    assert d.exchange.reply.cause is Cause.CLIENT


@pytest.mark.parametrize("stream", [True, False])
def test_a_long_4xx_that_is_cut_is_broken_off_without_a_word(stream: bool) -> None:
    d = drive(stream=stream).head("alpha", 422, JSON).data("alpha", b"x" * 300_000)
    d.fail("alpha", Failure.EOF, early=False)
    assert d.client.over == "break"
    assert set(d.client.body) == {ord("x")}


def test_a_long_4xx_after_a_ping_becomes_an_error_object() -> None:
    d = drive().connect("alpha").pass_time(10.1).head("alpha", 422, JSON).data("alpha", b"x" * 300_000)
    assert (d.client.over, d.client.error["message"]) == ("break", "the provider answered HTTP 422")


def test_a_4xx_in_a_coding_that_nobody_asked_for_keeps_its_name() -> None:
    d = drive().answer("alpha", b"\x1f\x8b", 400, [*JSON, (b"content-encoding", b"gzip")])
    assert (d.client.body, d.client.headers[b"content-encoding"]) == (b"\x1f\x8b", b"gzip")


@pytest.mark.parametrize("status", [401, 429, 503])
def test_an_error_body_that_stalls_is_judged_after_two_seconds_by_what_came(status: int) -> None:
    d = drive().head("alpha", status, [*JSON, (b"retry-after", b"30")]).data("alpha", b'{"error":{').pass_time(1.9)
    assert d.tried == ["alpha"]
    assert d.pass_time(0.2).tried == ["alpha", "beta"]
    assert d.cancelled == [d["alpha"]]
    d.fail("beta")
    assert f"alpha/big-1: HTTP {status}" in d.client.message
    state = d["alpha"].candidate.state
    assert max(state.cooldown.until, state.provider.cooldown.until) >= d.now + 25


def test_an_error_body_that_comes_on_is_read_to_its_end() -> None:
    d = drive(stream=False).head("alpha", 422, JSON)
    for byte in error_body("bad"):
        d.data("alpha", bytes([byte])).pass_time(1.5)
    assert d.end("alpha").client.body == error_body("bad")


def test_heartbeats_without_content_fail_over_and_count_for_nothing() -> None:
    d = drive().head("alpha")
    for _ in range(4):
        d.pass_time(14.9).data("alpha", b": OPENROUTER PROCESSING\n\n")
    d.pass_time(0.5)
    assert (d.tried, d.failures("alpha")) == (["alpha", "beta"], 0)
    d.fail("beta")
    assert "alpha/big-1: no content within 60 s, but heartbeats" in d.client.message


def test_a_heartbeat_long_ago_is_none() -> None:
    d = drive().head("alpha").data("alpha", b": hello\n\n").pass_time(60.1)
    assert (d.tried, d.failures("alpha")) == (["alpha", "beta"], 1)


# Its own clocks.


@pytest.mark.parametrize(
    ("stream", "prepare", "limit", "words"),
    [
        (True, lambda d: d, 5, "no connection within 5 s"),
        (True, lambda d: d.connect("alpha"), 60, "no content within 60 s"),
        (True, lambda d: d.stream("alpha", ROLE), 60, "no content within 60 s"),
        (False, lambda d: d.connect("alpha"), 300, "no answer within 300 s"),
        (False, lambda d: d.head("alpha", fields=JSON), 60, "silent for 60 s"),
    ],
)
def test_each_phase_has_its_limit(stream: bool, prepare: Callable[[Drive], Drive], limit: float, words: str) -> None:
    plan = make_plan("alpha", "beta", request=3600)
    d = prepare(drive(plan=plan, stream=stream)).pass_time(limit - 0.1)
    assert d.tried == ["alpha"]
    assert d.pass_time(0.2).tried == ["alpha", "beta"]
    d.fail("beta")
    assert f"alpha/big-1: {words}" in d.client.message
    assert d.failures("alpha") == 1


def test_the_providers_time_starts_when_the_last_byte_of_the_request_has_gone() -> None:
    d = drive()
    d["alpha"].connected(d.now)
    for part in range(4):
        d.pass_time(50)
        d["alpha"].sent(d.now)
        assert d.tried == ["alpha"], f"it takes part {part}"
    assert d.pass_time(59).tried == ["alpha"]
    assert d.pass_time(2).tried == ["alpha", "beta"]


def test_a_dead_connection_from_the_pool_is_replaced_within_the_time_to_connect() -> None:
    for connected in (True, False):
        d = drive(stream=False)
        if connected:
            d.connect("alpha")
        d.pass_time(2).reconnect("alpha").pass_time(4.9)
        assert d.tried == ["alpha"]
        assert d.pass_time(0.2).tried == ["alpha", "beta"]
        assert "no connection within 5 s" in d.exchange.books.steps[0].result


@pytest.mark.parametrize("fresh", [False, True], ids=["from the pool", "new"])
def test_a_request_whose_connection_died_is_not_repeated_at_a_provider_whose_breaker_has_opened(fresh: bool) -> None:
    d = drive().connect("alpha")
    d.pass_time(15)
    breaker = d.router.providers["alpha"].breaker
    for _ in range(3):
        breaker.failure(breaker.generation, d.now, random.Random(7))
    if fresh:
        d.fail("alpha", Failure.RESET)
    else:
        d.reconnect("alpha")
    assert d.tried == ["alpha", "beta"], "and without a wait"


def test_a_request_does_not_go_out_on_a_connection_that_came_after_its_breaker_opened() -> None:
    d = drive()
    assert d.exchange.may_send(d["alpha"], d.now)
    d.router.offline("alpha")
    assert not d.exchange.may_send(d["alpha"], d.now)
    d.fail("alpha", Failure.WITHHELD)
    assert d.tried == ["alpha", "beta"]
    assert d.failures("alpha") == 0
    breaker = d.router.providers["beta"].breaker
    for _ in range(3):
        breaker.failure(breaker.generation, d.now, random.Random(7))
    assert d.exchange.may_send(d["beta"], d.now), "there is nobody else to go to"


def test_a_request_does_not_go_out_while_its_provider_has_asked_for_a_wait_whoever_else_there_is() -> None:
    d = drive("alpha")
    d.next().start().answer("alpha", error_body(None), 429)
    assert not d.exchange.may_send(d["alpha"], d.now)
    d.pass_time(4)
    assert not d.exchange.may_send(d["alpha"], d.now)
    d.now += 2
    assert d.exchange.may_send(d["alpha"], d.now), "the 5 s of a 429 without a hint are over"


def test_a_target_that_was_not_sent_the_request_after_all_was_not_tried() -> None:
    d = drive("alpha", stream=False)
    d.next(stream=False).start().answer("alpha", error_body(None), 429)
    assert not d.exchange.may_send(d["alpha"], d.now)
    d.fail("alpha", Failure.WITHHELD)
    later = d.next(stream=False).start()
    assert (d.client.status, d.client.error) == (later.client.status, later.client.error)
    assert (d.client.status, d.client.error["code"]) == (429, "rate_limit_exceeded")
    assert d.client.headers[b"retry-after"] == b"5"
    assert d.exchange.reply.cause is Cause.CAPACITY
    assert [each.client.headers[b"x-oxllm-attempts"] for each in (d, later)] == [b"0", b"0"]


def test_a_request_that_was_not_sent_is_no_attempt_of_the_answer_or_of_the_record() -> None:
    d = drive("alpha", "beta", stream=False)
    d.router.offline("alpha")
    d.fail("alpha", Failure.WITHHELD)
    d.answer("beta")
    assert (d.client.status, d.client.headers[b"x-oxllm-attempts"]) == (200, b"1")
    assert (d.exchange.books.sent, [step.number for step in d.exchange.books.steps]) == (1, [1, 2])


def test_a_request_that_was_not_sent_does_not_use_up_max_attempts() -> None:
    d = drive(plan=make_plan("alpha", "beta", retry=plans.Retry(max_attempts=1)))
    d.router.offline("alpha")
    d.fail("alpha", Failure.WITHHELD)
    assert d.tried == ["alpha", "beta"]


def test_a_target_that_was_not_asked_does_not_stand_between_the_client_and_what_all_others_say() -> None:
    d = drive("alpha", "beta", stream=False)
    d.router.offline("alpha")
    d.fail("alpha", Failure.WITHHELD)
    d.answer("beta", error_body("context_length_exceeded"), 400)
    assert (d.client.status, d.client.error["code"]) == (400, "context_length_exceeded")


def test_a_target_whose_second_try_was_not_sent_has_failed_as_the_first_did() -> None:
    d = drive("alpha", stream=False).answer("alpha", b"", 500).pass_time(0.2)
    assert d.tried == ["alpha", "alpha"]
    d.router.offline("alpha")
    d.fail("alpha", Failure.WITHHELD)
    assert (d.client.status, d.client.error["code"]) == (502, "all_targets_failed")
    assert d.client.message.endswith("failed: alpha/big-1: HTTP 500")


def test_a_target_that_was_not_asked_is_named_with_what_stands_in_its_way() -> None:
    d = drive("alpha", "beta", stream=False)
    d.router.offline("alpha")
    d.fail("alpha", Failure.WITHHELD)
    d.fail("beta", Failure.REFUSED)
    assert d.client.status == 502
    assert d.client.message.endswith("beta/big-1: connection refused; alpha/big-1: offline")


def test_a_slow_clients_pause_is_not_the_providers_silence() -> None:
    d = drive().stream("alpha", token("a"))
    d["alpha"].pause(d.now)
    d.pass_time(500)
    assert d.client.over is None
    d["alpha"].resume(d.now)
    assert d.pass_time(59).client.over is None
    assert d.pass_time(2).client.over == "break"


@pytest.mark.parametrize("stream", [True, False])
def test_a_pause_that_begins_before_there_is_a_connection_is_not_the_providers_silence(stream: bool) -> None:
    """The client may not have taken an answer before this one."""
    d = Drive("alpha", stream=stream).start()
    d["alpha"].pause(d.now)
    d.connect("alpha").pass_time(400)
    assert d.running == ["alpha"]
    d["alpha"].resume(d.now)
    assert d.pass_time(59).running == ["alpha"]


def test_a_pause_in_which_an_answer_is_let_go_for_want_of_memory_is_not_the_providers_silence() -> None:
    d = Drive("alpha", stream=False).start().head("alpha", 200, JSON).data("alpha", WHOLE[:-20])
    d["alpha"].pause(d.now)
    d.exchange.commit_early(d["alpha"], d.now)
    assert d.perform().pass_time(500).client.over is None
    d["alpha"].resume(d.now)
    assert d.data("alpha", WHOLE[-20:]).end("alpha").client.over == "end"


def test_a_slow_clients_pause_behind_a_complete_answer_leaves_the_two_seconds() -> None:
    d = drive().stream("alpha", token("a"), FINISH)
    d["alpha"].pause(d.now)
    d.pass_time(100)
    d["alpha"].resume(d.now)
    assert d.pass_time(2.1).client.over == "end"


def test_a_slow_client_does_not_keep_a_provider_that_has_said_it_all() -> None:
    d = drive().stream("alpha", token("a"), FINISH, DONE)
    d["alpha"].pause(d.now)
    assert d.pass_time(2.1).running == []


def test_a_choice_that_begins_after_the_others_were_done_has_its_own_time() -> None:
    d = drive().stream("alpha", token("a"), finish(0)).pass_time(1)
    d.data("alpha", token("b", 1)).pass_time(10)
    assert not d.over
    d.data("alpha", finish(1), DONE).end("alpha")
    assert (d.client.over, d.failures("alpha")) == ("end", 0)


# A second try at the same target.


@pytest.mark.parametrize("status", [500, 502])
def test_a_500_or_502_is_tried_again_at_the_same_target_after_a_jitter(status: int) -> None:
    d = drive().answer("alpha", error_body(None), status)
    assert (d.exchange.stage, d.tried) == (Stage.BACKING_OFF, ["alpha"])
    assert d.pass_time(0.049).tried == ["alpha"]
    assert d.pass_time(0.102).tried == ["alpha", "alpha"]
    d.stream("alpha", token("a"), FINISH, DONE)
    assert d.client.headers[b"x-oxllm-attempts"] == b"2"


@pytest.mark.parametrize("failure", [Failure.RESET, Failure.EOF])
def test_a_reset_or_eof_is_tried_again_at_the_same_target_if_no_byte_had_come(failure: Failure) -> None:
    assert drive().connect("alpha").fail("alpha", failure, early=True).pass_time(0.2).tried == ["alpha", "alpha"]
    assert drive().head("alpha").fail("alpha", failure, early=False).tried == ["alpha", "beta"]


@pytest.mark.parametrize("status", [503, 504, 520, 529, 408, 498, 429, 401, 404])
def test_no_other_status_is_tried_again_at_the_same_target(status: int) -> None:
    assert drive().answer("alpha", error_body(None), status).tried == ["alpha", "beta"]


def test_the_second_try_is_on_the_same_ticket_and_the_pair_counts_once() -> None:
    d = drive().answer("alpha", b"", 500).pass_time(0.2)
    assert d.attempts[0].ticket is d.attempts[1].ticket
    assert d.failures("alpha") == 0
    d.answer("alpha", b"", 500).fail("beta")
    assert d.failures("alpha") == 1
    assert d.tried == ["alpha", "alpha", "beta"]


def test_each_target_has_a_second_try_of_its_own() -> None:
    d = drive().answer("alpha", b"", 500).pass_time(0.2).answer("alpha", b"", 500)
    d.answer("beta", b"", 500).pass_time(0.2)
    assert d.tried == ["alpha", "alpha", "beta", "beta"]


def test_the_budget_can_refuse_the_second_try_but_never_the_next_target() -> None:
    d = Drive("alpha", "beta")
    while d.budget.spend(d.now):
        pass
    assert d.start().answer("alpha", b"", 500).tried == ["alpha", "beta"]


def test_max_attempts_can_refuse_the_second_try() -> None:
    plan = make_plan("alpha", "beta", retry=plans.Retry(max_attempts=1))
    assert drive(plan=plan).answer("alpha", b"", 500).client.status == 502


def test_same_target_zero_means_none() -> None:
    plan = make_plan("alpha", "beta", retry=plans.Retry(same_target=0))
    assert drive(plan=plan).answer("alpha", b"", 500).tried == ["alpha", "beta"]


def test_there_is_no_jitter_past_the_deadline() -> None:
    d = drive(timeout=10.0).connect("alpha").pass_time(4.9).answer("alpha", b"", 500).pass_time(0.2)
    d.connect("alpha").pass_time(4.8).answer("alpha", b"", 500)
    assert d.tried == ["alpha", "alpha", "beta"]
    d = drive(plan=make_plan("alpha"), timeout=10.0).connect("alpha").pass_time(9.9).answer("alpha", b"", 500)
    assert (d.client.over, d.exchange.books.attempts) == ("answer", 1)


def test_a_target_marked_during_the_jitter_is_not_asked_again() -> None:
    d = drive().answer("alpha", b"", 500)
    d["alpha"].candidate.state.cooldown.mark(Skip.COOLING, d.now, 30.0)
    d.pass_time(0.2)
    assert d.tried == ["alpha", "beta"]
    assert d.fail("beta").failures("alpha") == 1


def test_a_target_marked_during_the_jitter_that_was_the_last_is_the_end() -> None:
    d = drive("alpha").answer("alpha", b"", 500)
    d.router.offline("alpha")
    assert d.pass_time(0.2).client.status == 502


# What one target refuses for its content.

FILTERED = error_body("content_filter", "The response was filtered")


def test_a_prompt_refused_for_its_content_is_asked_of_nobody_else() -> None:
    d = drive().answer("alpha", FILTERED, 400)
    assert (d.tried, d.client.status, d.client.body) == (["alpha"], 400, FILTERED)


@pytest.mark.parametrize("code", ["content_filter", "context_length_exceeded", "unsupported_value"])
@pytest.mark.parametrize("status", [400, 500])
def test_a_refusal_that_no_repetition_helps_says_so_where_its_status_does_not(code: str, status: int) -> None:
    body = error_body(code, "no")
    d = drive("alpha").answer("alpha", body, status)
    assert (d.client.status, d.client.body) == (status, body)
    assert d.client.headers.get(b"x-should-retry") == (None if status == 400 else b"false")


def test_unless_the_virtual_model_lets_another_provider_judge_it() -> None:
    d = drive(plan=make_plan("alpha", "beta", content_filter_failover=True)).answer("alpha", FILTERED, 400)
    assert d.tried == ["alpha", "beta"]
    d.answer("beta", FILTERED, 403)
    assert (d.client.status, d.client.body, d.failures("alpha")) == (403, FILTERED, 0)


# Whose fault it is.


def halves(d: Drive, *names: str) -> list[int]:
    """Failures in a row of each, in halves."""
    return [d.router.providers[name].breaker.halves for name in names]


def test_a_server_error_from_every_target_is_half_a_failure_of_each() -> None:
    d = drive("alpha", "beta").answer("alpha", b"", 503).answer("beta", b"", 503)
    assert (d.client.status, halves(d, "alpha", "beta")) == (502, [1, 1])


def test_a_request_that_breaks_every_target_opens_no_breaker_in_three_tries() -> None:
    d = drive("alpha", "beta")
    for _ in range(3):
        d.answer("alpha", b"", 503).answer("beta", b"", 503)
        d = d.next().start()
    assert d.tried == ["alpha"]


@pytest.mark.parametrize("otherwise", ["content", "network", "rate"])
def test_a_server_error_is_a_whole_failure_once_another_target_does_otherwise(otherwise: str) -> None:
    d = drive("alpha", "gamma", "beta").answer("alpha", b"", 503)
    assert halves(d, "alpha") == [2]
    d.answer("gamma", b"", 503)
    assert halves(d, "alpha", "gamma") == [1, 1]
    if otherwise == "content":
        d.stream("beta", token("b"))
    elif otherwise == "network":
        d.fail("beta")
    else:
        d.answer("beta", error_body(None), 429)
    assert halves(d, "alpha", "gamma") == [2, 2]


def test_a_server_error_from_the_only_target_is_half_a_failure_too() -> None:
    assert halves(drive("alpha").answer("alpha", b"", 503), "alpha") == [1]


def test_a_server_error_from_the_only_target_that_may_be_asked_is_half_a_failure_too() -> None:
    d = drive(plan=make_plan("alpha", "beta", retry=plans.Retry(max_attempts=1))).answer("alpha", b"", 503)
    assert (d.tried, d.client.status, halves(d, "alpha")) == (["alpha"], 502, [1])


def test_a_server_error_beside_a_target_that_says_nothing_is_a_whole_failure() -> None:
    d = drive("alpha", "beta", timeout=10.0).answer("alpha", b"", 503).connect("beta").pass_time(11.0)
    assert (d.client.status, halves(d, "alpha", "beta")) == (504, [2, 0])


def test_a_request_that_breaks_the_only_provider_leaves_it_open_to_others_in_three_tries() -> None:
    d = drive("alpha")
    for _ in range(3):
        d = d.answer("alpha", b"", 503).next().start()
    assert d.tried == ["alpha"]


def test_a_slow_probe_of_the_only_provider_lets_others_through_at_its_head_and_more_each_two_seconds() -> None:
    probe = opened(make_plan("alpha")).start().connect("alpha")
    assert probe.next().start().client.status == 503
    later = probe.pass_time(2.1).next().start()
    assert later.running == ["alpha"]
    assert probe.next().start().client.status == 503
    probe.stream("alpha", ROLE)
    assert probe.next().start().running == ["alpha"]


# Deadlines.


def test_the_request_deadline_holds_over_all_attempts() -> None:
    d = drive(plan=make_plan("alpha", "beta", "gamma", request=40.0), stream=False).connect("alpha")
    d.pass_time(20).connect("beta").pass_time(10).fail("beta").connect("gamma").pass_time(9.9)
    assert (d.tried, d.client.over) == (["alpha", "beta", "gamma"], None)
    d.pass_time(0.2)
    assert (d.client.status, d.client.error["code"]) == (504, "deadline_exceeded")


def test_a_clients_own_time_shortens_the_deadline() -> None:
    d = drive("alpha", timeout=9.5).connect("alpha").pass_time(9.4)
    assert d.client.over is None
    assert d.pass_time(0.2).client.status == 504


def test_a_clients_own_time_does_not_lengthen_it() -> None:
    d = drive(plan=make_plan("alpha", request=20.0), stream=False, timeout=3600.0).connect("alpha").pass_time(20.1)
    assert d.client.status == 504


def test_after_half_of_the_time_the_next_candidate_is_started_beside_and_the_first_goes_on() -> None:
    d = drive("alpha", "beta", "gamma", timeout=8.0)
    d.connect("alpha").pass_time(3.9)
    assert d.tried == ["alpha"]
    d.pass_time(0.2)
    assert d.running == ["alpha", "beta"]
    d.connect("beta").pass_time(3.8)
    assert d.running == ["alpha", "beta"]
    assert d.stream("alpha", token("a"), FINISH, DONE).client.over == "end"
    assert (d.failures("alpha"), d.failures("beta")) == (0, 0)


def test_slow_and_healthy_providers_answer_within_a_clients_own_time() -> None:
    for _ in range(3):
        d = drive("alpha", "beta", stream=False, timeout=57.0).connect("alpha").pass_time(28.6).connect("beta")
        d.pass_time(6.4).answer("alpha")
        assert (d.client.status, d.failures("alpha"), d.failures("beta")) == (200, 0, 0)


def test_half_of_the_time_is_left_alone_when_the_budget_is_spent() -> None:
    d = Drive("alpha", "beta", timeout=8.0)
    while d.budget.spend(d.now):
        pass
    assert d.start().connect("alpha").pass_time(7.9).tried == ["alpha"]


def test_the_last_candidate_has_all_the_time() -> None:
    d = drive("alpha", timeout=8.0).connect("alpha").pass_time(7.9)
    assert d.stream("alpha", token("a"), FINISH, DONE).client.over == "end"


@pytest.mark.parametrize("timeout", [9.0, 70.0])
def test_what_a_clients_own_deadline_ends_never_counts(timeout: float) -> None:
    plan = make_plan(plans.Target("alpha", "big-1", 1, 1, plans.Timeouts(connect=99.0)))
    d = Drive(plan=plan, timeout=timeout, stream=False).start().pass_time(timeout + 0.1)
    assert (d.client.status, d.failures("alpha")) == (504, 0)


@pytest.mark.parametrize(("request_s", "failures"), [(39.0, 0), (41.0, 1)])
def test_what_the_request_deadline_ends_counts_past_the_attempts_own_limit(request_s: float, failures: int) -> None:
    times = plans.Timeouts(connect=99.0, answer=40.0)
    plan = make_plan(plans.Target("alpha", "big-1", 1, 1, times), request=request_s)
    d = drive(plan=plan, stream=False).pass_time(request_s + 1)
    assert (d.client.status, d.failures("alpha")) == (504, failures)


def test_the_deadline_ends_the_request_if_the_look_at_the_second_try_comes_behind_it() -> None:
    d = drive("alpha", timeout=10.0).connect("alpha").pass_time(9.8).answer("alpha", b"", 500)
    assert d.exchange.stage is Stage.BACKING_OFF
    assert d.oversleep(0.3).client.status == 504
    assert halves(d, "alpha") == [1]


def test_after_commit_no_deadline_counts() -> None:
    d = drive(timeout=5.0).stream("alpha", token("a"))
    for _ in range(20):
        d.pass_time(50).data("alpha", token("b"))
    assert d.client.over is None


# Hedging.


@pytest.mark.parametrize("status", [500, 0])
def test_a_probe_gets_no_second_try_at_the_same_target(status: int) -> None:
    d = opened(make_plan("alpha", "beta")).start()
    assert d["alpha"].ticket.probe
    if status:
        d.answer("alpha", b"", status)
    else:
        d.connect("alpha").fail("alpha", Failure.EOF)
    assert d.tried == ["alpha", "beta"]


def test_a_probe_without_content_after_two_seconds_gets_the_next_candidate_beside_it() -> None:
    d = opened(make_plan("alpha", "beta")).start().connect("alpha").pass_time(1.9)
    assert d.tried == ["alpha"]
    assert d.pass_time(0.2).running == ["alpha", "beta"]


def test_the_first_to_have_content_wins_and_the_other_is_cancelled() -> None:
    d = opened(make_plan("alpha", "beta")).start().connect("alpha").pass_time(2.1)
    d.stream("beta", token("b"))
    assert d.running == ["beta"]
    assert d.cancelled == [d["alpha"]]
    assert d.router.providers["alpha"].breaker.state(d.now) is BreakerState.HALF_OPEN
    assert d.router.providers["alpha"].patience == 4.0


def test_a_probe_that_wins_closes_its_breaker_at_its_commit() -> None:
    d = opened(make_plan("alpha", "beta")).start().connect("alpha").pass_time(2.1)
    d.router.providers["alpha"].patience = 8.0
    d.stream("alpha", token("a"))
    assert (d.running, d.cancelled) == (["alpha"], [d["beta"]])
    assert d.router.providers["alpha"].breaker.state(d.now) is BreakerState.CLOSED
    assert d.router.providers["alpha"].patience == 2.0
    assert d.failures("beta") == 0


def test_a_probe_that_fails_beside_its_hedge_still_counts() -> None:
    d = opened(make_plan("alpha", "beta")).start().connect("alpha").pass_time(2.1).connect("beta")
    d.answer("alpha", b"", 503)
    assert d.router.providers["alpha"].breaker.state(d.now) is BreakerState.OPEN
    assert d.stream("beta", token("b"), FINISH, DONE).client.over == "end"


def test_a_probe_with_content_that_is_held_back_gets_no_hedge() -> None:
    plan = make_plan("alpha", "beta", hold_back=plans.HoldBack(full=True))
    d = opened(plan).start().stream("alpha", token("a")).pass_time(5)
    assert d.tried == ["alpha"]


def test_at_most_two_run_side_by_side() -> None:
    plan = make_plan("alpha", "beta", "gamma", hedge_after=1.0)
    d = drive(plan=plan).connect("alpha").pass_time(1.1).connect("beta").pass_time(20)
    assert d.tried == ["alpha", "beta"]


def test_when_one_of_two_fails_the_next_takes_its_place() -> None:
    plan = make_plan("alpha", "beta", "gamma", hedge_after=1.0)
    d = drive(plan=plan).connect("alpha").pass_time(1.1).fail("beta")
    assert d.running == ["alpha", "gamma"]


def test_hedge_after_applies_to_every_request_of_its_model() -> None:
    plan = make_plan("alpha", "beta", hedge_after=4.0)
    d = drive(plan=plan).connect("alpha").pass_time(3.9)
    assert d.tried == ["alpha"]
    assert d.pass_time(0.2).tried == ["alpha", "beta"]


def test_a_flaky_provider_whose_breaker_is_open_is_asked_after_all_others_and_beside_none() -> None:
    plan = make_plan("alpha", "beta", hedge_after=1.0)
    d = Drive(plan=plan)
    breaker = d.router.providers["beta"].breaker
    for answered in (True, False, True, False, True, False, False, False):
        breaker.heard(answered)
    for _ in range(plan.breaker.failures):
        breaker.failure(breaker.generation, d.now, d.chance)
    assert d.start().connect("alpha").pass_time(2).tried == ["alpha"]
    assert d.fail("alpha").tried == ["alpha", "beta"]


def test_a_hedge_counts_against_the_budget() -> None:
    plan = make_plan("alpha", "beta", hedge_after=1.0)

    def left(d: Drive) -> int:
        return next(count for count in itertools.count() if not d.budget.spend(d.now))

    d = drive(plan=plan).connect("alpha").pass_time(5)
    assert d.tried == ["alpha", "beta"]
    unhedged = drive(plan=make_plan("alpha", "beta")).connect("alpha").pass_time(5)
    assert left(d) == left(unhedged) - 1
    assert d.next().start().connect("alpha").pass_time(5).tried == ["alpha"], "there is nothing left for a hedge"


def test_a_plain_answer_is_hedged_too() -> None:
    d = drive(plan=make_plan("alpha", "beta", hedge_after=1.0), stream=False).connect("alpha").pass_time(1.1)
    d.answer("beta")
    assert (d.client.over, d.client.headers[b"x-oxllm-provider"], d.running) == ("answer", b"beta", [])


def test_a_clients_own_fault_from_one_of_two_waits_for_the_other() -> None:
    d = drive(plan=make_plan("alpha", "beta", "gamma", hedge_after=1.0))
    d.connect("alpha").pass_time(1.1).answer("beta", error_body("bad"), 400)
    assert (d.client.status, d.running) == (0, ["alpha"])
    assert d.stream("alpha", token("a"), FINISH, DONE).client.over == "end"


def test_a_clients_own_fault_from_one_of_two_is_passed_on_when_the_other_has_failed_too() -> None:
    d = drive(plan=make_plan("alpha", "beta", "gamma", hedge_after=1.0))
    d.connect("alpha").pass_time(1.1).answer("beta", error_body("bad"), 400)
    assert d.pass_time(1.1).running == ["alpha"], "nobody else is asked"
    d.answer("alpha", b"", 500)
    assert (d.client.status, d.client.body, d.running) == (400, error_body("bad"), [])
    assert (d.client.headers[b"x-oxllm-provider"], d.exchange.reply.cause) == (b"beta", Cause.CLIENT)


def test_the_other_of_two_is_not_touched_again_once_one_is_committed_by_the_clock() -> None:
    plan = make_plan("alpha", "beta", "gamma", hold_back=plans.HoldBack(seconds=0.8), hedge_after=4.0)
    d = drive(plan=plan).connect("alpha").pass_time(4.0).connect("beta").pass_time(3.2)
    d.stream("alpha", token("a")).pass_time(0.8)  # beta's own hedge falls due at the moment of the commit
    assert (d.exchange.stage, d.tried, d.running) == (Stage.COMMITTED, ["alpha", "beta"], ["alpha"])


# The client leaves, the gateway stops.

PHASES: dict[str, Callable[[], Drive]] = {
    "connecting": drive,
    "waiting": lambda: drive().connect("alpha"),
    "role only": lambda: drive().stream("alpha", ROLE),
    "pinged": lambda: drive().connect("alpha").pass_time(11),
    "holding": lambda: drive(plan=held(tokens=9)).stream("alpha", token("a")),
    "backing off": lambda: drive().answer("alpha", b"", 500),
    "hedged": lambda: drive(plan=make_plan("alpha", "beta", hedge_after=1.0)).connect("alpha").pass_time(1.1),
    "committed": lambda: drive().stream("alpha", token("a")),
    "complete": lambda: drive().stream("alpha", token("a"), FINISH),
    "reading an error": lambda: drive().head("alpha", 500, HTML),
    "plain": lambda: drive(stream=False).head("alpha", fields=JSON).data("alpha", WHOLE[:9]),
}


@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_leaves_cancels_everything_and_moves_no_breaker(phase: str) -> None:
    d = PHASES[phase]()
    written = d.client.body
    d.gone()
    assert d.over
    assert d.running == []
    assert d.in_flight() == 0
    assert (d.failures("alpha"), d.client.body, d.client.over) == (0, written, None)
    assert d.pass_time(1000).tried.count("alpha") == 1


@pytest.mark.parametrize("phase", PHASES)
def test_a_drain_that_cannot_wait_answers_in_every_phase(phase: str) -> None:
    d = PHASES[phase]().expire()
    assert d.over
    assert d.exchange.reply.cause is (None if phase == "complete" else Cause.GATEWAY), "nobody else is to blame"
    assert d.running == []
    assert d.in_flight() == 0
    assert d.failures("alpha") == 0
    if phase == "complete":
        assert (d.client.over, d.client.body) == ("end", token("a") + FINISH + DONE), "only its end mark was missing"
    elif phase == "committed":
        assert (d.client.over, d.client.error["code"]) == ("break", "stream_interrupted")
        assert d.client.error["type"] == "upstream_error", "what clients know a break by"
    elif phase == "pinged":
        assert (d.client.over, d.client.error["code"]) == ("break", "overloaded")
    else:
        assert (d.client.over, d.client.status, d.client.error["code"]) == ("answer", 503, "overloaded")
        assert d.client.headers[b"retry-after"] == b"1"


@pytest.mark.parametrize("end", [Drive.gone, Drive.expire])
def test_what_still_drains_is_cancelled_when_the_gateway_stops(end: Callable[[Drive], Drive]) -> None:
    d = drive().stream("alpha", token("a"), FINISH, DONE)
    end(d)
    assert (d.running, d.client.over, d.failures("alpha")) == ([], "end", 0)


@pytest.mark.parametrize("end", [Drive.gone, Drive.expire])
def test_a_client_or_a_gateway_that_leaves_gives_the_probe_back(end: Callable[[Drive], Drive]) -> None:
    d = end(opened(make_plan("alpha")).start().connect("alpha"))
    assert d.router.providers["alpha"].breaker.state(d.now) is BreakerState.HALF_OPEN
    assert d.router.providers["alpha"].patience == 2.0


def test_a_client_that_leaves_after_commit_does_not_undo_the_probes_success() -> None:
    d = opened(make_plan("alpha")).start().stream("alpha", token("a")).gone()
    assert d.router.providers["alpha"].breaker.state(d.now) is BreakerState.CLOSED


# Nothing left.


def test_all_that_were_tried_say_the_context_is_too_long_passes_the_last_of_them_on_as_it_is() -> None:
    d = drive().answer("alpha", error_body("context_length_exceeded", "from alpha"), 400)
    body = error_body("context_length_exceeded", "from beta")
    d.answer("beta", body, 400)
    assert (d.client.status, d.client.body) == (400, body)
    assert d.client.headers[b"x-oxllm-attempts"] == b"2"
    assert d.client.headers[b"x-oxllm-provider"] == b"beta"
    assert d.exchange.winner is d.attempts[1], "the log names who said it"


def test_one_that_failed_otherwise_makes_it_a_502() -> None:
    d = drive().answer("alpha", error_body("context_length_exceeded"), 400).fail("beta")
    assert d.client.status == 502
    assert "alpha/big-1: HTTP 400: context length exceeded (context_length_exceeded)" in d.client.message


def test_every_target_rate_limited_is_429_with_the_soonest_recovery() -> None:
    d = drive().answer("alpha", b"", 429, [(b"retry-after", b"30")])
    d.answer("beta", b"", 429, [(b"retry-after-ms", b"12500")])
    assert (d.client.status, d.client.error["code"]) == (429, "rate_limit_exceeded")
    assert d.client.headers[b"retry-after"] == b"13"
    assert b"x-should-retry" not in d.client.headers


def test_out_of_quota_everywhere_is_insufficient_quota_and_not_worth_a_retry() -> None:
    d = drive("alpha").answer("alpha", error_body("insufficient_quota"), 429)
    assert (d.client.status, d.client.error["code"]) == (429, "insufficient_quota")
    assert (d.client.headers[b"retry-after"], d.client.headers[b"x-should-retry"]) == (b"60", b"false")


def test_a_target_that_cools_already_counts_as_rate_limited() -> None:
    d = drive().answer("alpha", b"", 429, [(b"retry-after", b"30")]).fail("beta")
    again = d.next().start().answer("beta", b"", 429, [(b"retry-after", b"30")])
    assert again.client.status == 429
    assert again.tried == ["beta"]


def test_nobody_to_ask_is_503_at_once_with_the_reasons() -> None:
    d = Drive("alpha", "beta")
    d.router.offline("alpha")
    d.router.providers["beta"].target("big-1").cooldown.mark(Skip.MISSING, d.now)
    d.start()
    assert (d.client.over, d.client.status, d.client.error["code"]) == ("answer", 503, "no_target_available")
    assert "alpha/big-1: offline" in d.client.message
    assert "beta/big-1: model not found, 60 s left" in d.client.message
    assert (d.client.headers[b"x-should-retry"], d.client.headers[b"x-oxllm-attempts"]) == (b"false", b"0")


def test_an_open_breaker_says_when_to_come_back() -> None:
    d = Drive("alpha")
    breaker = d.router.providers["alpha"].breaker
    for _ in range(d.plan.breaker.failures):
        breaker.failure(breaker.generation, d.now, d.chance)
    d.start()
    assert d.client.status == 503
    assert 1 <= int(d.client.headers[b"retry-after"]) <= 6


def test_the_message_names_statuses_and_codes_but_no_text_and_no_key() -> None:
    d = drive("alpha", "beta").answer("alpha", error_body("invalid_api_key", "bad key sk-secret-alpha"), 401)
    d.answer("beta", error_body("server_busy", "text of beta"), 503)
    assert "alpha/big-1: HTTP 401: key refused (invalid_api_key)" in d.client.message
    assert "beta/big-1: HTTP 503 (server_busy)" in d.client.message
    assert b"sk-secret" not in d.client.body
    assert b"text of" not in d.client.body


# What is written down.


def test_each_attempt_leaves_a_step() -> None:
    d = drive().answer("alpha", b"", 500).pass_time(0.2).answer("alpha", b"", 500)
    d.stream("beta", token("b"), FINISH, DONE)
    assert [(step.number, step.target, step.result) for step in d.exchange.books.steps] == [
        (1, "alpha/big-1", "HTTP 500"),
        (2, "alpha/big-1", "HTTP 500"),
        (3, "beta/big-1", "complete"),
    ]
    assert [step.content is not None for step in d.exchange.books.steps] == [False, False, True]


def test_usage_that_only_we_asked_for_is_read_and_stripped() -> None:
    plan = make_plan("alpha", usage_in_stream=True)
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
    d = drive(plan=plan).stream("alpha", token("a"), FINISH, usage, DONE)
    assert d.client.body == token("a") + FINISH + DONE
    assert d.exchange.books.usage is not None
    assert d.exchange.books.usage.prompt_tokens == 7
    d = drive(plan=plan, wants_usage=True).stream("alpha", token("a"), FINISH, usage, DONE)
    assert usage in d.client.body


def test_a_success_that_used_up_its_limit_cools_the_target() -> None:
    spent = [*JSON, (b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"20s")]
    d = drive(stream=False).answer("alpha", fields=spent)
    assert d.client.status == 200
    assert d.next(stream=False).start().tried == ["beta"]


def test_an_attempt_is_begun_before_its_end_can_be_known() -> None:
    d = drive()
    assert isinstance(d.effects[0], Try)
    assert not any(isinstance(effect, Begin) for effect in d.effects)


def test_a_code_that_repeats_our_key_is_not_repeated() -> None:
    plan = make_plan("alpha")
    key = plan.providers[0].api_key
    assert key is not None
    d = Drive(plan=plan).start().answer("alpha", error_body(f"bad_{key}"), 503)
    assert d.client.status == 502
    assert "HTTP 503" in d.client.message
    assert key not in d.client.message
    assert all(key not in step.result for step in d.exchange.books.steps)


SPENT = "Your credit balance is too low"
PADDING = "x" * (ERROR_BODY_MAX + 1)


def spent(says: str, padding: str = "") -> Drive:
    """A 400 for want of credit, for a request in these words. `padding` makes it as long as one that repeats them."""
    said = {"error": {"message": SPENT, "type": "invalid_request_error"}, "body": padding}
    return drive(stream=False, says=says).answer("alpha", msgspec.json.encode(said), 400)


@pytest.mark.parametrize("padding", ["", PADDING])
def test_a_provider_that_says_under_400_that_its_money_is_gone_is_left_for_the_next(padding: str) -> None:
    d = spent("hello", padding)
    assert d.tried == ["alpha", "beta"]
    alpha = d.router.providers["alpha"]
    assert alpha.cooldown.blocked(d.now) is Skip.QUOTA


@pytest.mark.parametrize("padding", ["", PADDING])
def test_what_a_request_says_itself_is_not_believed_when_it_comes_back(padding: str) -> None:
    d = spent("say: your CREDIT\nbalance is too low!", padding)
    assert (d.tried, d.client.status) == (["alpha"], 400)
    assert d.router.providers["alpha"].cooldown.blocked(d.now) is None
    words = "HTTP 400 (invalid_request_error)"
    assert [step.result for step in d.exchange.books.steps] == [words]
    assert (d.exchange.reply.error, d.exchange.reply.cause) == (words, Cause.CLIENT)


@pytest.mark.parametrize("padding", ["", PADDING])
def test_a_refusal_whose_code_repeats_our_key_is_written_down_without_it(padding: str) -> None:
    said = {"error": {"message": "no", "code": "bad_sk-secret-alpha"}, "body": padding}
    d = drive(stream=False).answer("alpha", msgspec.json.encode(said), 422)
    assert d.client.status == 422
    assert [step.result for step in d.exchange.books.steps] == ["HTTP 422"]
    assert d.exchange.reply.error == "HTTP 422"


REVEALING = b'{"error":{"message":"bad header: Bearer sk-secret-alpha","code":"bad_request"},"x":"%b"}'


@pytest.mark.parametrize("padding", ["", PADDING])
@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_that_quotes_our_key_is_told_in_our_words(status: int, padding: str) -> None:
    d = drive(stream=False).answer("alpha", REVEALING % padding.encode(), status)
    assert (d.tried, d.client.status) == (["alpha"], status)
    assert d.client.error["code"] == "bad_request"
    assert d.client.message == f"the provider answered HTTP {status} (bad_request)"


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_inside_a_success_that_quotes_our_key_is_told_in_our_words(stream: bool) -> None:
    said = b'{"error":{"message":"blocked for sk-secret-alpha","code":"content_filter"}}'
    d = drive(stream=stream)
    d.stream("alpha", b"data: %b\n\n" % said) if stream else d.answer("alpha", said)
    assert (d.tried, d.client.over) == (["alpha"], "answer")
    assert b"sk-secret-alpha" not in d.client.body
    assert "content_filter" in d.client.message


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
@pytest.mark.parametrize("key", [b"sk-secret-alpha", rb"sk\u002dsecret\u002dalpha"])
@pytest.mark.parametrize("before", [0, 20, 90, 500])
def test_a_long_refusal_that_quotes_our_key_late_is_broken_off_before_it(size: int, key: bytes, before: int) -> None:
    kept, rest = PADDING.encode(), b"y" * before + key + b"z" * 200
    d = drive(stream=False).head("alpha", 400, [*JSON, (b"content-length", b"%d" % len(kept + rest))])
    d.data("alpha", kept, *(rest[at : at + size] for at in range(0, len(rest), size)))
    assert (d.tried, d.client.status, d.client.over) == (["alpha"], 400, "break")
    assert (kept + b"y" * before).startswith(d.client.body)
    assert len(d.client.body) > len(kept) - 100
    assert d.failures("alpha") == 0
    assert d.exchange.reply.error == "a refusal that quotes our key"


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_a_long_refusal_that_does_not_is_passed_on_to_its_last_byte(size: int) -> None:
    kept, rest = PADDING.encode(), b"y" * 200 + b"sk-secret-alph"
    d = drive(stream=False).head("alpha", 400, JSON)
    d.data("alpha", kept, *(rest[at : at + size] for at in range(0, len(rest), size))).end("alpha")
    assert (d.client.over, d.client.body) == ("end", kept + rest)


def test_a_long_refusal_that_breaks_off_while_it_is_passed_on_has_broken() -> None:
    d = drive(stream=False).head("alpha", 400, JSON).data("alpha", PADDING.encode())
    d.fail("alpha", Failure.RESET, early=False)
    assert (d.tried, d.client.over, d.exchange.reply.error) == (["alpha"], "break", "connection reset")


@pytest.mark.parametrize("stage", [Stage.COMMITTED, Stage.DONE])
def test_the_requests_body_is_kept_until_it_can_be_sent_to_nobody_else(stage: Stage) -> None:
    d = drive().connect("alpha")
    d.exchange.head(d["alpha"], 200, EVENT_STREAM, d.now, 0.0)
    assert not d.exchange.drop_body()
    d.exchange.data(d["alpha"], token("a") + (FINISH + DONE if stage is Stage.DONE else b""), d.now)
    assert d.exchange.stage is stage
    assert d.exchange.body is not None, "what is to be done before may need it"
    assert (d.exchange.drop_body(), d.exchange.drop_body()) == (True, False)
    assert d.exchange.body is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 204, 400, 401, 429, 500])
@pytest.mark.parametrize(
    "body",
    [b"", WHOLE, WHOLE[:-3], b'{"error":{"message":"x"}}', token("a"), token("a") + FINISH, token("a") + FINISH + DONE],
)
@pytest.mark.parametrize("fields", [JSON, EVENT_STREAM, [*JSON, (b"content-encoding", b"gzip")]])
def test_a_response_in_one_piece_means_what_its_parts_do(
    stream: bool, status: int, body: bytes, fields: Headers
) -> None:
    parts, whole = drive(stream=stream), drive(stream=stream)
    parts.head("alpha", status, fields)
    if body:
        parts.data("alpha", body)
    parts.end("alpha")
    whole.whole("alpha", status, fields, body)
    assert vars(whole.client) == vars(parts.client)
    assert (whole.tried, whole.over, whole.failures("alpha")) == (parts.tried, parts.over, parts.failures("alpha"))


@pytest.mark.parametrize(
    ("rescued", "happens"),
    [
        (True, lambda d: d.fail("alpha").answer("beta")),
        (True, lambda d: d.answer("alpha", b"", 500).pass_time(0.2).answer("alpha")),
        (True, lambda d: d.pass_time(1).fail("alpha").answer("beta")),  # beside it
        (False, lambda d: d.answer("alpha")),
        (False, lambda d: d.pass_time(1).answer("alpha")),
        (False, lambda d: d.pass_time(1).answer("beta")),  # it was slow, and has not failed
        (False, lambda d: d.fail("alpha").fail("beta")),
        (False, lambda d: d.fail("alpha").answer("beta", b"", 400)),
        (False, lambda d: d.fail("alpha").gone()),
    ],
)
def test_a_request_is_rescued_if_it_is_served_after_an_attempt_had_failed(
    rescued: bool, happens: Callable[[Drive], Drive]
) -> None:
    d = happens(Drive(plan=make_plan("alpha", "beta", hedge_after=0.5), stream=False).start())
    assert d.over
    assert d.exchange.rescued is rescued


@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_is_kept_until_another_target_has_an_answer(stream: bool) -> None:
    refusal = b'{"error":{"message":"too long","code":"context_length_exceeded"},"x":"%b"}' % (b"x" * 200_000)
    d = drive(stream=stream).answer("alpha", refusal, 400)
    assert d.exchange.kept == len(refusal)
    d.stream("beta", ROLE) if stream else d.head("beta", 200, JSON).data("beta", WHOLE[:9])
    assert d.exchange.kept == len(refusal)
    d.data("beta", token("a")) if stream else d.data("beta", WHOLE[9:]).end("beta")
    assert d.client.status == 200
    assert d.exchange.kept == 0


def test_a_second_try_that_is_not_sent_after_all_leaves_the_first_as_the_failure() -> None:
    d = drive(stream=False).answer("alpha", b"", 500).pass_time(0.2)
    d.router.providers["alpha"].target("big-1").cooldown.mark(Skip.MISSING, d.now)
    d.reconnect("alpha")
    assert d.tried == ["alpha", "alpha", "beta"]
    assert d.answer("beta").failures("alpha") == 1
    totals = d.router.providers["alpha"].totals
    assert (totals.attempts, totals.retries, totals.failures[Cause.CAPACITY]) == (2, 1, 1)
