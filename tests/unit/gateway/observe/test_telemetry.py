"""Spans and metrics, as a collector gets them."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from oxllm.gateway.observe.telemetry import BATCH, EXPORT_S, QUEUE_MAX, Telemetry, collector
from oxllm.gateway.observe.trace import Trace
from tests.support import otlp
from tests.support.by_hand import make_plan
from tests.support.house import House, answer, plan_of, stream, token

PARENT = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"


class Scene:
    def __init__(self, house: House) -> None:
        self.house = house
        self.collector = house.route(4318, "(collector)")
        self.collector.replies = [answer(b"{}")]
        self.reload("http://127.0.0.1:4318/base/")

    @property
    def telemetry(self) -> Telemetry:
        """What exports now."""
        found = self.house.gateway.journal.telemetry
        assert isinstance(found, Telemetry)
        return found

    def reload(self, endpoint: str | None) -> None:
        """Have another config run, with this `otel_endpoint`."""
        gateway = self.house.gateway
        server = msgspec.structs.replace(gateway.running().server, otel_endpoint=endpoint)
        gateway.adopt(msgspec.structs.replace(gateway.running(), server=server))

    @property
    def dropped(self) -> int:
        """Requests whose spans were lost, as /metrics tells it."""
        found = re.search(r"^oxllm_telemetry_dropped_total (\d+)$", self.house.get("/metrics").text, re.MULTILINE)
        assert found is not None
        return int(found[1])

    def posted(self, path: str) -> list[Any]:
        """The bodies of what came to `path`."""
        found = []
        for request in self.collector.asked:
            head, _, body = request.partition(b"\r\n\r\n")
            assert b"\r\ncontent-type: application/json\r\n" in head
            if head.startswith(f"POST /base{path} HTTP/1.1\r\n".encode()):
                otlp.check(path, body)
                found.append(msgspec.json.decode(body))
        return found

    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for body in self.posted("/v1/traces")
            for resource in body["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def metric(self, name: str) -> Any:
        """The last that came."""
        metrics = self.posted("/v1/metrics")[-1]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
        return next(metric for metric in metrics if metric["name"] == name)


def attributes(part: dict[str, Any]) -> dict[str, Any]:
    return {entry["key"]: next(iter(entry["value"].values())) for entry in part["attributes"]}


def test_a_request_is_a_span_with_a_child_for_each_attempt() -> None:
    with House() as house:
        it = Scene(house)
        house.providers["alpha"].replies = [[1.0, *answer(b"{}", 503)]]
        house.chat("x-request-id: my-id", PARENT + "01")
        house.advance(EXPORT_S + 1)
        request, first, second = it.spans()
        assert request["traceId"] == first["traceId"] == second["traceId"] == "0af7651916cd43dd8448eb211c80319c"
        assert request["parentSpanId"] == "b7ad6b7169203331"
        assert first["parentSpanId"] == second["parentSpanId"] == request["spanId"]
        assert len({span["spanId"] for span in (request, first, second)}) == 3
        assert (request["name"], request["kind"]) == ("chat smart", 2)
        assert [first["name"], second["name"]] == ["attempt alpha/m", "attempt beta/m"]
        assert (request["status"], first["status"], second["status"]) == ({}, {"code": 2, "message": "HTTP 503"}, {})
        assert attributes(request)["oxllm.request_id"] == "my-id"
        assert attributes(request)["http.response.status_code"] == "200"
        assert attributes(request)["gen_ai.usage.input_tokens"] == "7"
        took = int(first["endTimeUnixNano"]) - int(first["startTimeUnixNano"])
        assert took == pytest.approx(1e9, rel=0.01)
        assert request["startTimeUnixNano"] == first["startTimeUnixNano"]


def test_an_attempt_says_where_it_went_what_came_back_and_what_it_used() -> None:
    with House() as house:
        it = Scene(house)
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        house.chat()
        house.advance(EXPORT_S + 1)
        request, first, second = map(attributes, it.spans())
        assert first["gen_ai.provider.name"] == "alpha"
        assert (first["http.response.status_code"], first["error.type"]) == ("503", "503")
        assert "gen_ai.usage.input_tokens" not in first
        plan = house.gateway.running().providers[1]
        assert (second["server.address"], second["server.port"]) == (plan.host, str(plan.port))
        assert (second["gen_ai.request.model"], second["gen_ai.usage.output_tokens"]) == ("m", "3")
        assert (request["gen_ai.provider.name"], "error.type" in request, "error.type" in second) == (
            "beta",
            False,
            False,
        )


def test_the_kind_of_a_failure_has_no_details_in_it() -> None:
    with House() as house:
        it = Scene(house)
        house.providers["alpha"].replies = [["close"], ["close"]]
        house.providers["beta"].replies = [answer(b'{"error":{"message":"no","code":"boom"}}')]
        house.chat()
        house.advance(EXPORT_S + 1)
        _, *attempts = it.spans()
        kinds = [attributes(attempt)["error.type"] for attempt in attempts]
        results = [attributes(attempt)["oxllm.result"] for attempt in attempts]
        assert any(" (" in result for result in results), "the code is in the result"
        assert all(re.fullmatch(r"[a-z_]+", kind) for kind in kinds), kinds


def test_spans_say_who_made_the_answer_and_why_it_ended() -> None:
    plain = b'{"model":"m-2026","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"length"}]}'
    for path, replies, reason in (("", answer(plain), "length"), ("stream", stream(token("Hi")), "stop")):
        with House() as house:
            it = Scene(house)
            house.providers["alpha"].replies = [answer(b"{}", 503)]
            house.providers["beta"].replies = [replies]
            house.chat(stream=bool(path))
            house.advance(EXPORT_S + 1)
            request, first, second = map(attributes, it.spans())
            assert "gen_ai.response.finish_reasons" not in first
            for span in (request, second):
                assert span["gen_ai.response.finish_reasons"] == {"values": [{"stringValue": reason}]}
                assert span.get("gen_ai.response.model") == (None if path else "m-2026")


@pytest.mark.parametrize(("status", "error"), [(400, {}), (503, {"code": 2})])
def test_what_the_client_got_wrong_is_no_error_of_the_server(status: int, error: dict[str, int]) -> None:
    with House(plan_of("alpha")) as house:
        it = Scene(house)
        house.providers["alpha"].replies = [answer(b'{"error":{"message":"no"}}', status)]
        client = house.chat()
        house.advance(EXPORT_S + 1)
        request, *attempts = it.spans()
        assert {key: value for key, value in request["status"].items() if key == "code"} == error
        assert attributes(request)["error.type"] == str(client.response.status)
        assert all(attempt["status"]["code"] == 2 for attempt in attempts), "to us the provider's is one"


def test_the_environment_of_opentelemetry_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, X-Org = 7,bad name=1,x=a%0Ab")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,service.name=mine")
    with House() as house:
        it = Scene(house)
        house.chat()
        house.advance(EXPORT_S + 1)
        (asked,) = (request for request in it.collector.asked if request.startswith(b"POST /base/v1/traces"))
        head = asked.partition(b"\r\n\r\n")[0]
        assert b"\r\napi-key: a b\r\n" in head
        assert b"\r\nx-org: 7\r\n" in head
        assert b"bad name" not in head
        assert b"\r\nx: " not in head, "no line break gets into a head"
        resource = attributes(it.posted("/v1/traces")[0]["resourceSpans"][0]["resource"])
        assert (resource["service.name"], resource["deployment.environment.name"]) == ("mine", "prod")
        assert re.fullmatch(
            r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", resource["service.instance.id"]
        )


def test_embeddings_are_called_what_they_are() -> None:
    with House() as house:
        it = Scene(house)
        house.providers["alpha"].replies = [answer(b'{"data":[{"embedding":[1]}]}')]
        assert house.ask("POST", "/v1/embeddings", body=b'{"model":"smart","input":"a"}').status == 200
        house.advance(EXPORT_S + 1)
        request, _ = it.spans()
        assert request["name"] == "embeddings smart"
        assert attributes(request)["gen_ai.operation.name"] == "embeddings"


def test_the_provider_gets_the_attempts_own_span_as_its_parent() -> None:
    with House() as house:
        it = Scene(house)
        house.chat(PARENT + "01")
        house.advance(EXPORT_S + 1)
        sent = re.search(rb"\r\ntraceparent: (.+?)\r\n", house.providers["alpha"].asked[0])
        assert sent is not None
        attempt = it.spans()[1]
        assert sent[1].decode() == f"00-{attempt['traceId']}-{attempt['spanId']}-01"


def test_without_telemetry_the_clients_own_traceparent_is_passed_on() -> None:
    with House() as house:
        house.chat(PARENT + "01")
        house.advance(1)
        assert PARENT.encode() + b"01\r\n" in house.providers["alpha"].asked[0]


def test_a_trace_that_the_client_does_not_sample_is_passed_on_and_not_kept() -> None:
    with House() as house:
        it = Scene(house)
        house.chat(PARENT + "00")
        house.advance(EXPORT_S + 1)
        assert it.spans() == []
        sent = house.providers["alpha"].asked[0]
        assert re.search(rb"traceparent: 00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00\r\n", sent)


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "x",
        PARENT[13:] + "1",
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "ff" + PARENT[15:] + "01",
        PARENT[13:] + "0G",
        PARENT[13:] + "01-more",
    ],
)
def test_a_traceparent_that_is_none_begins_a_new_trace(junk: str) -> None:
    with House() as house:
        trace = Scene(house).telemetry.trace(junk.encode())
        assert (trace.parent, trace.sampled) == (None, True)
        assert int(trace.id, 16) != 0


@pytest.mark.parametrize("version", ["01", "cc"])
@pytest.mark.parametrize("more", ["", "-more"])
def test_a_later_version_may_have_more_behind_what_we_know(version: str, more: str) -> None:
    with House() as house:
        trace = Scene(house).telemetry.trace(f"{version}{PARENT[15:]}01{more}".encode())
        assert (trace.id, trace.parent) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def test_span_ids_wrap_around() -> None:
    assert Trace("0" * 32, (1 << 64) - 1, None, True).span_id(2) == "0000000000000001"


def test_the_three_metrics_are_exported() -> None:
    with House() as house:
        it = Scene(house)
        house.providers["alpha"].replies = [stream(1.5, token("a"))]
        house.chat(stream=True)
        house.chat(model="beta/m")
        house.generation.router.offline("beta")
        house.advance(EXPORT_S + 1)
        points = it.metric("llm_proxy.provider.status")["gauge"]["dataPoints"]
        assert {attributes(p)["provider"]: (p["asInt"], attributes(p)["state"]) for p in points} == {
            "alpha": ("1", "closed"),
            "beta": ("0", "offline"),
        }
        duration = it.metric("llm_proxy.request.duration")
        assert (duration["unit"], duration["histogram"]["aggregationTemporality"]) == ("s", 2)
        point = next(p for p in duration["histogram"]["dataPoints"] if attributes(p)["model"] == "smart")
        assert (point["count"], point["sum"]) == ("1", pytest.approx(1.5))
        assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
        assert attributes(point)["ok"] is True
        tokens = it.metric("llm_proxy.tokens.consumed")["sum"]
        assert tokens["isMonotonic"]
        of_beta = [p for p in tokens["dataPoints"] if attributes(p)["provider"] == "beta"]
        assert {attributes(p)["type"]: p["asInt"] for p in of_beta} == {"prompt": "7", "completion": "3"}


def test_tokens_are_told_of_the_targets_that_a_reload_has_left() -> None:
    with House(make_plan("alpha/m", "alpha/old")) as house:
        it = Scene(house)
        for model in ("alpha/m", "alpha/old"):
            house.chat(model=model)
        house.advance(0.1)
        plan = house.gateway.running()
        house.gateway.adopt(msgspec.structs.replace(make_plan("alpha/m"), server=plan.server))
        house.advance(EXPORT_S + 1)
        points = it.metric("llm_proxy.tokens.consumed")["sum"]["dataPoints"]
        assert {attributes(point)["model"] for point in points} == {"m"}


def test_tokens_are_told_of_the_targets_that_were_asked_and_not_of_the_thousands_that_were_not() -> None:
    with House(make_plan("alpha/m", "alpha/n", "beta/m")) as house:
        it = Scene(house)
        house.chat(model="alpha/n")
        house.advance(EXPORT_S + 1)
        points = it.metric("llm_proxy.tokens.consumed")["sum"]["dataPoints"]
        assert {(attributes(point)["provider"], attributes(point)["model"]) for point in points} == {("alpha", "n")}


@pytest.mark.slow
def test_a_collector_that_keeps_up_gets_all_however_many_there_are() -> None:
    with House() as house:
        it = Scene(house)
        it.collector.replies = [answer(b"{}")] * 99
        house.chat()
        house.advance(0.1)
        record = next(iter(house.gateway.journal.records))
        sent = 5 * QUEUE_MAX
        for number in range(sent):
            it.telemetry.request(it.telemetry.trace(None), record)
            if number % 100 == 0:
                house.advance(0.001)  # 100,000 requests a second, and a collector on the same machine
        assert house.loop.timers < sent // BATCH, "none is left of each export"
        house.advance(EXPORT_S + 1)
        assert it.dropped == 0
        assert len({span["traceId"] for span in it.spans()}) == sent + 1


def test_what_waits_for_an_export_under_way_follows_it_a_batch_at_a_time() -> None:
    with House() as house:
        it = Scene(house)
        it.collector.replies = [[0.5, *answer(b"{}")], answer(b"{}")]
        house.chat()
        house.advance(0.1)
        record = next(iter(house.gateway.journal.records))
        for _ in range(3 * BATCH):
            it.telemetry.request(it.telemetry.trace(None), record)
        house.advance(1)
        assert len({span["traceId"] for span in it.spans()}) == 3 * BATCH
        assert len(it.posted("/v1/traces")) == 3
        house.advance(EXPORT_S)
        assert len({span["traceId"] for span in it.spans()}) == 3 * BATCH + 1


def test_the_queue_is_bounded_and_what_does_not_fit_is_counted() -> None:
    with House() as house:
        it = Scene(house)
        it.collector.replies = [[]]  # it never answers
        house.chat()
        house.advance(1)
        record = next(iter(house.gateway.journal.records))
        for _ in range(BATCH + QUEUE_MAX + 5):
            it.telemetry.request(it.telemetry.trace(None), record)
        assert it.dropped == 6  # the one of the chat is in there too, and a batch is under way


@pytest.mark.parametrize("reply", [answer(b"", 503), ["reset"], []])
def test_a_collector_that_fails_loses_its_batch_and_is_logged_once_a_minute(reply: Any) -> None:
    with House() as house:
        it = Scene(house)
        it.collector.replies = [reply]
        house.chat()
        house.advance(3 * EXPORT_S + 1)
        assert it.dropped == 1
        assert house.log_text().count("warning: telemetry: http://127.0.0.1:4318/base/v1/") == 1


def test_closing_sends_what_there_is_and_says_when_it_has_arrived() -> None:
    with House() as house:
        it, done = Scene(house), []
        it.collector.replies = [[0.5, *answer(b"{}")]]
        house.chat()
        house.advance(0.1)
        it.telemetry.close(lambda: done.append(house.loop.time()))
        began = house.loop.time()
        house.advance(5)
        assert len(it.spans()) == 2
        assert done == [pytest.approx(began + 0.5, abs=0.01)]


def test_closing_takes_two_seconds_at_most() -> None:
    with House() as house:
        it, done = Scene(house), []
        it.collector.replies = [[]]
        it.telemetry.close(lambda: done.append(house.loop.time()))
        began = house.loop.time()
        house.advance(30)
        assert done == [pytest.approx(began + 2, abs=0.01)]


def test_nothing_secret_is_exported() -> None:
    with House(plan_of("alpha", "beta", api_keys=("client-secret",))) as house:
        it = Scene(house)
        house.providers["alpha"].replies = [answer(b'{"error":{"message":"secret"}}', 400)]
        house.chat("Authorization: Bearer client-secret")
        house.advance(EXPORT_S + 1)
        assert len(it.spans()) == 2
        assert b"secret" not in b"".join(it.collector.asked)


def test_spans_that_wait_when_a_reload_names_another_collector_go_there() -> None:
    with House() as house:
        it = Scene(house)
        old, it.collector = it.collector, house.route(4319, "(another)")
        it.collector.replies = [answer(b"{}")]
        house.chat(model="alpha/m")
        house.advance(1)
        it.reload("http://127.0.0.1:4319/base")
        house.chat(model="beta/m")
        house.advance(EXPORT_S)
        assert [span["name"] for span in it.spans()][::2] == ["chat alpha/m", "chat beta/m"]
        counts = [point["count"] for point in it.metric("llm_proxy.request.duration")["histogram"]["dataPoints"]]
        assert counts == ["1", "1"], "the sums are those of the process, and go on"
        assert not old.asked


def test_the_name_of_a_model_that_a_reload_has_dropped_is_told_once_more() -> None:
    told = []
    with House() as house:
        it = Scene(house)
        for number in range(4):
            plan = house.gateway.running()
            model = msgspec.structs.replace(plan.virtual_models[0], name=f"v{number}")
            house.gateway.adopt(msgspec.structs.replace(plan, virtual_models=(model,)))
            house.chat(model=f"v{number}")
            house.chat(model="alpha/m")
            house.advance(EXPORT_S)
            points = it.metric("llm_proxy.request.duration")["histogram"]["dataPoints"]
            told.append({attributes(point)["model"]: point["count"] for point in points})
    assert told == [
        {"v0": "1", "alpha/m": "1"},
        {"v0": "1", "v1": "1", "alpha/m": "2"},
        {"v1": "1", "v2": "1", "alpha/m": "3"},
        {"v2": "1", "v3": "1", "alpha/m": "4"},
    ]


def test_the_times_of_requests_of_no_model_are_kept() -> None:
    base = plan_of("alpha")
    providers = tuple(msgspec.structs.replace(one, protocols=("responses",)) for one in base.providers)
    with House(msgspec.structs.replace(base, providers=providers)) as house:
        it = Scene(house)
        for number in range(3):
            house.get("/v1/responses/resp_1")
            house.advance(EXPORT_S)
            points = it.metric("llm_proxy.request.duration")["histogram"]["dataPoints"]
            assert [(attributes(point)["model"], point["count"]) for point in points] == [
                ("responses", str(number + 1))
            ]


def test_spans_that_wait_when_a_reload_ends_telemetry_are_sent() -> None:
    with House() as house:
        it = Scene(house)
        house.chat()
        house.advance(1)
        it.reload(None)
        house.chat()
        house.advance(3 * EXPORT_S)
        assert [span["name"] for span in it.spans()] == ["chat smart", "attempt alpha/m"]
        assert len(it.posted("/v1/metrics")) == 1


@pytest.mark.parametrize("end", ["reload", "close"])
def test_spans_that_wait_behind_an_export_under_way_at_the_end_follow_it(end: str) -> None:
    with House() as house:
        it = Scene(house)
        it.collector.replies = [[1.0, *answer(b"{}")]]
        house.chat(model="alpha/m")
        house.advance(EXPORT_S + 0.5)
        house.chat(model="beta/m")
        house.advance(0.1)
        if end == "reload":
            it.reload(None)
        else:
            it.telemetry.close(lambda: None)
        house.advance(5)
        assert [span["name"] for span in it.spans()][::2] == ["chat alpha/m", "chat beta/m"]
        assert it.dropped == 0


def test_what_was_lost_stays_counted_whatever_a_reload_does_to_the_endpoint() -> None:
    with House() as house:
        it = Scene(house)
        it.collector.replies = [answer(b"", 503)]
        house.chat()
        house.advance(EXPORT_S + 1)
        seen = [it.dropped]
        for endpoint in ("http://127.0.0.1:4318/other", None, "http://127.0.0.1:4318/base"):
            it.reload(endpoint)
            seen.append(it.dropped)
        house.chat()
        house.advance(EXPORT_S + 1)
        assert [*seen, it.dropped] == [1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    ("endpoint", "tls", "host", "port", "path"),
    [
        ("http://127.0.0.1:4318", False, "127.0.0.1", 4318, ""),
        ("https://otel.example/", True, "otel.example", 443, ""),
        ("HTTP://[::1]:4318/a/b/", False, "::1", 4318, "/a/b"),
        ("http://[::1]", False, "::1", 80, ""),
    ],
)
def test_the_endpoint_of_a_collector_is_taken_apart(endpoint: str, tls: bool, host: str, port: int, path: str) -> None:
    found = collector(endpoint)
    assert (found.tls, found.host, found.port, found.path) == (tls, host, port, path)
