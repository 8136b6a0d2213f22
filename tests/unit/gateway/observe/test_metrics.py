"""GET /metrics, read back by a parser that takes nothing but the format."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from oxllm.gateway.libc import heap_bytes
from oxllm.gateway.observe.metrics import FAMILIES
from tests.support.by_hand import error_body, make_plan
from tests.support.chat_bytes import chunk
from tests.support.house import House, answer, plan_of, stream, token
from tests.support.scripted import Step

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.e+-]+)")
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(page: str) -> Series:
    """Every sample. Fails on whatever promtool would not like."""
    series: Series = {}
    types: dict[str, str] = {}
    family = ""
    assert page.endswith("\n")
    lines = iter(page.splitlines())
    for line in lines:
        if help_ := re.fullmatch(rf"# HELP ({NAME}) (.+)", line):
            family = help_[1]
            assert family not in types, "a family comes once"
            type_ = re.fullmatch(rf"# TYPE {family} (counter|gauge|histogram)", next(lines))
            assert type_ is not None
            types[family] = type_[1]
            assert (type_[1] == "counter") == family.endswith("_total")
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample is not None, line
        suffixes = ("_bucket", "_sum", "_count") if types[family] == "histogram" else ("",)
        assert sample[1] in [family + suffix for suffix in suffixes], line
        found = re.findall(LABEL, sample[2] or "")
        labels = frozenset(
            (name, re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value)) for name, value in found
        )
        assert len(labels) == len({name for name, _ in labels}) == len(found)
        assert (sample[1], labels) not in series, line
        series[sample[1], labels] = float(sample[7])
        assert series[sample[1], labels] >= 0
    for family in (name for name, kind in types.items() if kind == "histogram"):
        check_histogram(family, series)
    return series


def unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], value)


def check_histogram(family: str, series: Series) -> None:
    groups: dict[frozenset[tuple[str, str]], list[tuple[float, float]]] = {}
    for (name, labels), value in series.items():
        if name == f"{family}_bucket":
            le = dict(labels)["le"]
            groups.setdefault(labels - {("le", le)}, []).append((float(le.replace("+Inf", "inf")), value))
    for labels, buckets in groups.items():
        assert buckets == sorted(buckets), "bounds rise, and counts never fall"
        assert [count for _, count in buckets] == sorted(count for _, count in buckets)
        assert buckets[-1] == (float("inf"), series[f"{family}_count", labels])
        assert (f"{family}_sum", labels) in series


def value(series: Series, name: str, **labels: str) -> float:
    return series[name, frozenset((key.rstrip("_"), text) for key, text in labels.items())]


def scrape(house: House) -> Series:
    reply = house.get("/metrics")
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return parse(reply.text)


def test_a_gateway_that_has_done_nothing_has_all_its_series_at_zero() -> None:
    with House() as house:
        series = scrape(house)
        assert value(series, "oxllm_requests_total", model="smart") == 0
        assert value(series, "oxllm_request_failures_total", model="smart", cause="network") == 0
        assert value(series, "oxllm_breaker_state", provider="alpha", state="closed") == 1
        assert value(series, "oxllm_breaker_state", provider="alpha", state="open") == 0
        assert value(series, "process_resident_memory_bytes") > 1_000_000
        assert value(series, "oxllm_draining") == 0


def test_a_rescued_request_is_counted_on_both_sides() -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b"{}", 429, "retry-after: 30")]
        house.chat()
        house.advance(10)
        series = scrape(house)
        assert value(series, "oxllm_requests_total", model="smart") == 1
        assert value(series, "oxllm_requests_rescued_total", model="smart") == 1
        assert value(series, "oxllm_requests_in_flight", model="smart") == 0
        assert value(series, "oxllm_request_first_content_seconds_count", model="smart") == 1
        assert value(series, "oxllm_attempts_total", provider="alpha", model="m") == 1
        assert value(series, "oxllm_attempt_failures_total", provider="alpha", model="m", cause="capacity") == 1
        assert value(series, "oxllm_attempt_successes_total", provider="beta", model="m") == 1
        assert value(series, "oxllm_tokens_total", provider="beta", model="m", type="prompt") == 7
        assert 19 < value(series, "oxllm_cooldown_seconds", provider="alpha", model="m") <= 20
        assert value(series, "oxllm_upstream_connections", state="idle") == 2


def test_a_request_is_not_rescued_by_an_attempt_beside_the_one_that_served_it() -> None:
    with House(make_plan("alpha", "beta", hedge_after=0.5)) as house:
        for name, ttft in (("alpha", 1.0), ("beta", 9.0)):
            house.providers[name].replies = [stream(ttft, token("hi"))]
        house.chat(stream=True)
        house.advance(10)
        series = scrape(house)
        assert value(series, "oxllm_attempts_total", provider="beta", model="big-1") == 1
        assert value(series, "oxllm_requests_rescued_total", model="smart") == 0


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (answer(b"{}", 400), "client"),
        (answer(error_body("context_length_exceeded"), 400), "client"),
        (answer(error_body("content_filter"), 400), "client"),
        (answer(error_body(None, "this model does not support tools"), 400), "client"),
        (answer(b"{}", 413), "client"),
        (answer(b"{}", 401), "auth"),
        (answer(b"{}", 403), "auth"),
        (answer(error_body("insufficient_quota"), 429), "quota"),
        (answer(b"{}", 429), "capacity"),
        (answer(b"{}", 503), "capacity"),
        (answer(error_body(None, "model is loading"), 503), "capacity"),
        (answer(error_body("model_not_found"), 404), "gateway"),
        (answer(b"{}", 404), "gateway"),
        (answer(error_body("file_not_found", "no such file"), 404), "gateway"),
        (answer(b"<html>"), "network"),
        (["close"], "network"),
        ([301.0], "network"),
    ],
)
def test_each_failure_has_somebody_to_blame(reply: list[Step], cause: str) -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [reply, reply]
        house.chat()
        house.advance(302)
        failed = {
            labels: count
            for (name, labels), count in scrape(house).items()
            if name in ("oxllm_attempt_failures_total", "oxllm_request_failures_total") and count
        }
        assert {value for labels in failed for label, value in labels if label == "cause"} == {cause}


def test_a_stream_is_timed_to_its_first_content_and_between_its_events() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [stream(3.0, token("a"), 0.5, token("b"), 0.5, token("c"))]
        house.chat(stream=True)
        house.advance(2)
        assert value(scrape(house), "oxllm_requests_in_flight", model="smart") == 1
        assert value(scrape(house), "oxllm_provider_in_flight", provider="alpha") == 1
        house.advance(10)
        series = scrape(house)
        assert value(series, "oxllm_request_first_content_seconds_sum", model="smart") == pytest.approx(3.0)
        assert value(series, "oxllm_request_first_content_seconds_bucket", model="smart", le="2") == 0
        assert value(series, "oxllm_request_first_content_seconds_bucket", model="smart", le="4") == 1
        assert value(series, "oxllm_stream_event_gap_seconds_count", model="smart") == 3
        assert value(series, "oxllm_stream_event_gap_seconds_sum", model="smart") == pytest.approx(1.0)
        assert value(series, "oxllm_stream_event_gap_seconds_bucket", model="smart", le="0.25") == 1
        assert value(series, "oxllm_stream_event_gap_seconds_bucket", model="smart", le="1") == 3


def test_a_stall_shows_among_the_gaps_of_a_stream_that_breaks() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [[stream()[0], token("a"), 20.0, token("b"), 1.0, "reset"]]
        house.chat(stream=True)
        house.advance(30)
        series = scrape(house)
        assert value(series, "oxllm_stream_event_gap_seconds_bucket", model="smart", le="16") == 0
        assert value(series, "oxllm_stream_event_gap_seconds_bucket", model="smart", le="32") == 1
        assert value(series, "oxllm_request_failures_total", model="smart", cause="network") == 1


def test_events_that_are_not_passed_on_are_counted_also_of_a_stream_that_fails() -> None:
    with House() as house:
        ping = chunk(b'data: {"type":"ping"}\n\n')
        house.providers["alpha"].replies = [[stream()[0], ping, ping, 0.1, "reset"]]
        house.providers["beta"].replies = [stream(ping, token("a"))]
        house.chat(stream=True)
        house.advance(10)
        series = scrape(house)
        assert value(series, "oxllm_stream_events_dropped_total", provider="alpha", model="m") == 2
        assert value(series, "oxllm_stream_events_dropped_total", provider="beta", model="m") == 1


def test_a_breaker_that_opens_shows_its_move_and_the_time_left() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        for _ in range(6):
            house.chat()
            house.advance(0.1)
        series = scrape(house)
        assert value(series, "oxllm_breaker_state", provider="alpha", state="open") == 1
        assert value(series, "oxllm_breaker_transitions_total", provider="alpha", from_="closed", to="open") == 1
        assert 4 < value(series, "oxllm_breaker_open_seconds", provider="alpha") < 6


def test_counters_are_there_from_the_start() -> None:
    with House() as house:
        series = scrape(house)
        counters = [name for name, (kind, _) in FAMILIES.items() if kind == "counter"]
        assert {name for name, _ in series} >= set(counters)
        idle = [number for (name, _), number in series.items() if name in counters and not name.startswith("process_")]
        assert set(idle) == {0}
        assert value(series, "oxllm_refusals_total", status="503") == 0
        assert value(series, "oxllm_breaker_transitions_total", provider="alpha", from_="closed", to="open") == 0


def test_what_clients_send_makes_no_series() -> None:
    with House() as house:
        before = scrape(house).keys()
        for _ in range(3):
            house.chat(model="made-up")
            house.get("/v1/models/made-up")
        series = scrape(house)
        assert series.keys() == before
        assert value(series, "oxllm_refusals_total", status="404") == 6
        assert "made-up" not in house.get("/metrics").text


def test_a_model_that_a_reload_dropped_is_no_label_any_more() -> None:
    with House(plan_of("alpha", "beta")) as house:
        house.chat(model="beta/m")
        house.advance(1)
        house.runtime.adopt(plan_of("alpha"))
        assert "beta" not in house.get("/metrics").text


def test_a_model_that_its_provider_lost_is_no_label_either() -> None:
    with House(plan_of("alpha")) as house:
        plan = plan_of("alpha")
        provider = msgspec.structs.replace(plan.providers[0], models=("other",))
        house.runtime.adopt(msgspec.structs.replace(plan, providers=(provider,), virtual_models=()))
        assert 'model="m"' not in house.get("/metrics").text


def test_names_are_escaped() -> None:
    name = 'a"b\\c\nd'
    with House(plan_of(name)) as house:
        assert value(scrape(house), "oxllm_attempts_total", provider=name, model="m") == 0


def test_counters_survive_a_reload() -> None:
    with House() as house:
        house.chat()
        house.advance(1)
        house.runtime.adopt(plan_of("alpha", "beta", max_in_flight=5))
        series = scrape(house)
        assert value(series, "oxllm_requests_total", model="smart") == 1
        assert value(series, "oxllm_attempts_total", provider="alpha", model="m") == 1


def test_timers_and_tasks_rise_with_what_is_under_way_and_fall_with_it() -> None:
    with House(plan_of("alpha")) as house:
        at_rest = parse(house.get("/metrics", "connection: close").text)
        house.providers["alpha"].replies = [stream(0.5, token("a"), 60.0, token("b"))]
        clients = [house.chat(stream=True) for _ in range(20)]
        house.advance(1)
        busy = parse(house.get("/metrics", "connection: close").text)
        for client in clients:
            client.transport.abort()
        house.advance(1)
        after = parse(house.get("/metrics", "connection: close").text)
    assert value(busy, "oxllm_timers") >= value(at_rest, "oxllm_timers") + 20
    assert (value(at_rest, "oxllm_heap_bytes") > 0) == (heap_bytes() > 0)
    assert value(busy, "oxllm_tasks") == 20  # those of the scripted providers, which are on the same loop
    assert value(after, "oxllm_timers") == value(at_rest, "oxllm_timers")
    assert value(after, "oxllm_tasks") == value(at_rest, "oxllm_tasks") == 0


def many_models(models: int) -> House:
    plan = plan_of("alpha")
    names = tuple(f"model-{number}" for number in range(models))
    return House(msgspec.structs.replace(plan, providers=(msgspec.structs.replace(plan.providers[0], models=names),)))


def test_a_page_of_megabytes_is_made_in_pieces_and_others_are_served_between_them() -> None:
    with many_models(200) as house:
        scraper, other = house.client(), house.client()
        scraper.transport.write(b"GET /metrics HTTP/1.1\r\nhost: localhost:8080\r\n\r\n")
        other.transport.write(b"GET /health HTTP/1.1\r\nhost: localhost:8080\r\n\r\n")
        while not other.received:
            house.loop.call_soon(house.loop.stop)
            house.loop.run_forever()
        assert other.response.status == 200
        assert len(scraper.received) < 300_000
        house.advance(1)
        reply = scraper.response
        assert reply.whole
        assert len(reply.body) > 1_000_000
        assert len({labels for name, labels in parse(reply.text) if name == "oxllm_attempts_total"}) == 201


def test_a_page_as_short_as_most_says_how_long_it_is() -> None:
    with House() as house:
        assert "content-length" in house.get("/metrics").headers


def test_metrics_are_local_only_and_tell_no_secret() -> None:
    with House() as house:
        assert house.get("/metrics", peer="192.0.2.7").status == 403
        house.chat()
        house.advance(1)
        assert "secret" not in house.get("/metrics").text


def test_the_document_lists_each_metric_with_its_type_and_meaning() -> None:
    page = (Path(__file__).parents[4] / "docs" / "metrics.md").read_text()
    listed = {
        row[0]: (row[1], row[2]) for row in re.findall(r"^\| `(\w+)`[^|]*\| (\w+) \| (.+?) \|$", page, re.MULTILINE)
    }
    assert listed == FAMILIES
