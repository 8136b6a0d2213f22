"""Telemetry of a running `oxllm serve`, as its collector gets it."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import trustme

from tests.support import otlp, scripted
from tests.support.scripted import HANG, Scripted, answer, healthy
from tests.support.user import config, eventually, gateway

BODY = {"model": "smart", "messages": []}


def test_the_last_spans_are_flushed_when_it_stops(tmp_path: Path) -> None:
    with Scripted() as cast:
        alpha, collector = cast.add("alpha"), cast.add("collector")
        alpha.replies, collector.replies = [healthy("a")], [answer(200, b"{}")]
        settings = f'[server]\nport = 0\notel_endpoint = "http://127.0.0.1:{collector.port}"\n'
        with gateway(tmp_path, config({"alpha": alpha.url}, {"smart": ["alpha"]}, settings=settings)) as running:
            httpx.post(f"{running.url}/v1/chat/completions", json=BODY, trust_env=False).raise_for_status()
            assert running.process.stop() == 0
        for asked in map(scripted.Asked, collector.asked):
            otlp.check(asked.head.split(b" ")[1].decode(), asked.body)
        paths = {asked.head.split(b" ")[1] for asked in map(scripted.Asked, collector.asked)}
        assert paths == {b"/v1/traces", b"/v1/metrics"}
        (traces,) = (asked for asked in map(scripted.Asked, collector.asked) if b"/v1/traces" in asked.head)
        spans = json.loads(traces.body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        assert [span["name"] for span in spans] == ["chat smart", "attempt alpha/m"]


def test_a_collector_behind_https_is_checked_against_the_authority_that_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    posted: list[str] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            posted.append(f"{self.path} {self.headers['api-key']}")
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector, Scripted() as cast:
        collector.socket = server.wrap_socket(collector.socket, server_side=True)
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        alpha = cast.add("alpha")
        alpha.replies = [healthy("a")]
        settings = f'[server]\nport = 0\notel_endpoint = "https://localhost:{collector.server_port}"\n'
        env = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem"), "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k"}
        text = config({"alpha": alpha.url}, {"smart": ["alpha"]}, settings=settings)
        with gateway(tmp_path, text, env=env) as running:
            httpx.post(f"{running.url}/v1/chat/completions", json=BODY, trust_env=False).raise_for_status()
            assert running.process.stop() == 0
        collector.shutdown()
    assert sorted(set(posted)) == ["/v1/metrics k", "/v1/traces k"]


def test_a_collector_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with Scripted() as cast:
        alpha, collector = cast.add("alpha"), cast.add("collector")
        collector.replies = [[HANG]]
        settings = f'[server]\nport = 0\notel_endpoint = "http://127.0.0.1:{collector.port}"\n'
        with gateway(tmp_path, config({"alpha": alpha.url}, {"smart": ["alpha"]}, settings=settings)) as running:
            assert running.process.stop() == 0, "one that is not done after 10 s is killed"
        assert eventually(collector.left.is_set)
