"""`--before`: a real provider's answers pass as they are, and break where somebody has said so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from oxllm.sim.cli import sim_command
from oxllm.sim.provider import text
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.serve.before import role_of
from oxllm.sim.testing import Sim
from tests.support.user import eventually

MESSAGES = [{"role": "user", "content": "Say something."}]
KEY = "Bearer sk-of-the-client"


class Origin(Sim):
    """Stands for the real one, and keeps the headers that come."""

    def __init__(self) -> None:
        super().__init__("origin", pace="ttft 10ms, itl 1ms, out 40")
        self.heads: list[dict[bytes, bytes]] = []

    def __enter__(self) -> Origin:
        super().__enter__()
        self.provider("origin").watch = lambda request: self.heads.append(dict(request.headers))
        return self


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def real(origin: Origin) -> Iterator[Sim]:
    with Sim("real", before=origin.url("origin")) as real:
        yield real


def ask(real: Sim, fault: str = "", path: str = "/chat/completions", **body: Any) -> httpx.Response:
    headers = {"authorization": KEY, "x-custom": "kept", **({"x-oxllm-sim": fault} if fault else {})}
    asked = {"model": "m", "messages": MESSAGES, **body}
    return httpx.post(real.url("real") + path, json=asked, headers=headers, timeout=60)


def said(answer: httpx.Response) -> str:
    events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    choices = [json.loads(event).get("choices") for event in events]
    return "".join(each[0]["delta"].get("content") or "" for each in choices if each)


def but_its_id(answer: httpx.Response) -> bytes:
    return re.sub(rb"chatcmpl-\w+", b"", answer.content)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_passes_byte_for_byte_and_the_key_goes_on(origin: Origin, real: Sim, stream: bool) -> None:
    direct = httpx.post(
        origin.url("origin") + "/chat/completions", json={"model": "m", "messages": MESSAGES, "stream": stream}
    )
    passed = ask(real, stream=stream)
    assert (passed.status_code, but_its_id(passed)) == (200, but_its_id(direct))
    assert passed.headers["content-type"] == direct.headers["content-type"]
    assert passed.headers["openai-version"] == "2020-10-01"
    head = origin.heads[-1]
    assert (head[b"authorization"], head[b"x-custom"]) == (KEY.encode(), b"kept")
    assert b"x-oxllm-sim" not in head
    (record,) = real.ledger("real")
    assert (record.fault, record.status, record.end) == (None, 200, "complete")


def test_what_it_refuses_and_what_nobody_knows_passes_too(real: Sim) -> None:
    assert ask(real, path="/files").status_code == 404
    assert ask(real, messages="none").json()["error"]["message"].startswith("Missing required parameter")
    assert httpx.get(real.url("real") + "/models").json()["data"][0]["id"] == "sim-1"


def test_a_fault_that_needs_no_answer_asks_nobody(origin: Origin, real: Sim) -> None:
    refused = ask(real, "429~3s")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    with pytest.raises(httpx.RemoteProtocolError):
        ask(real, "fin")
    assert ask(real, "html-200").text.startswith("<!DOCTYPE")
    assert origin.heads == []


@pytest.mark.parametrize("fault", ["silent-cut@token:7", "error-event@token:7", "empty-error@token:7"])
def test_a_stream_is_broken_after_the_token_that_was_told(real: Sim, fault: str) -> None:
    broken = said(ask(real, fault, stream=True))
    assert text.whole_tokens(broken, 7, "origin", fingerprint(MESSAGES)) == 7


def test_a_cut_breaks_the_framing_of_a_real_stream(real: Sim) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
        ask(real, "cut@token:5", stream=True)


@pytest.mark.parametrize("fault", ["slow~1s", "stall@token:3~1s"])
def test_a_slow_stream_is_later_as_a_whole_and_its_events_come_as_they_were_made(real: Sim, fault: str) -> None:
    began = time.monotonic()
    assert len(said(ask(real, fault, stream=True)).split()) == 40
    assert 1.0 <= time.monotonic() - began < 39 / 2, "not a second for each event"


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_answer_is_later_than_the_real_one_would_have_been(origin: Origin, real: Sim, stream: bool) -> None:
    origin.patch("origin", pace_text="ttft 300ms, itl 1ms, out 5")
    began = time.monotonic()
    assert ask(real, "slow~300ms", stream=stream).status_code == 200
    assert time.monotonic() - began >= 0.6


def test_a_plain_answer_is_broken_too(real: Sim) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        ask(real, "short-body")
    assert ask(real, "wrong-type").headers["content-type"] == "text/event-stream"
    assert "x-ratelimit-remaining-requests" in ask(real, "lying-headers").headers


def test_a_client_that_leaves_takes_the_real_request_with_it(origin: Origin, real: Sim) -> None:
    origin.patch("origin", pace_text="ttft 10ms, itl 1s, out 900")
    body = {"model": "m", "messages": MESSAGES, "stream": True}
    with httpx.stream("POST", real.url("real") + "/chat/completions", json=body) as answer:
        next(answer.iter_lines())
    assert eventually(lambda: origin.ledger("origin")[-1].end == "gone")


def test_events_come_one_by_one_as_they_are_made(origin: Origin, real: Sim) -> None:
    origin.patch("origin", pace_text="ttft 10ms, itl 150ms, out 6")
    seen: list[float] = []
    body = {"model": "m", "messages": MESSAGES, "stream": True}
    with httpx.stream("POST", real.url("real") + "/chat/completions", json=body, timeout=60) as answer:
        seen.extend(time.monotonic() for line in answer.iter_lines() if '"content":" ' in line)
    assert seen[-1] - seen[0] >= 0.5


def test_a_provider_that_cannot_be_reached_is_told_of() -> None:
    with Sim("real", before="http://127.0.0.1:1/v1") as real:
        answer = ask(real)
    assert (answer.status_code, "cannot be reached" in answer.json()["error"]["message"]) == (502, True)


@pytest.mark.parametrize(
    ("event", "role"),
    [
        (b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}', ("preamble", 0)),
        (b'data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}', ("token", 1)),
        (b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}', ("finish", 0)),
        (b'data: {"choices":[],"usage":{"total_tokens":3}}', ("usage", 0)),
        (b"data: [DONE]", ("done", 0)),
        (b": ping", ("comment", 0)),
        (b"data: oh no", ("preamble", 0)),
        (b"data: 3", ("preamble", 0)),
        (b'event: content_block_delta\ndata: {"type":"content_block_delta"}', ("token", 1)),
        (b'event: message_stop\ndata: {"type":"message_stop"}', ("finish", 0)),
        (b'data: {"type":"response.output_text.delta"}', ("token", 1)),
        (b'data: {"type":"response.output_text.done"}', ("closing", 0)),
        (b'data: {"type":"response.completed"}', ("finish", 0)),
    ],
)
def test_each_event_of_each_protocol_has_its_role(event: bytes, role: tuple[str, int]) -> None:
    assert role_of(event) == role


class Anthropic(BaseHTTPRequestHandler):
    """Ends its events with CRLF, as the standard allows."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for number in range(9):
            self.wfile.write(b'data: {"choices":[{"delta":{"content":" %d"}}]}\r\n\r\n' % number)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_line_ends_of_any_kind_are_read() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Anthropic) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with Sim("real", before=f"http://127.0.0.1:{server.server_port}") as real:
            broken = ask(real, "silent-cut@token:4", stream=True)
        server.shutdown()
    assert said(broken) == " 0 1 2 3"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--before", "api.openai.com"), "write its base URL, such as https://api.openai.com/v1"),
        (("--before", "http://x/v1", "--write-config", "x.toml"), "leave out --script and --write-config"),
        (("--before", "http://x/v1", "--scene", "{scene}"), "alpha: --before has one provider, 'real'"),
        (("--before", "http://x/v1", "--rehearse", "{scene}"), "--before: not for a rehearsal; leave it out"),
    ],
)
def test_what_cannot_be_before_a_real_provider_says_what_to_write(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    scene = tmp_path / "scene.toml"
    scene.write_text('[upstream.alpha]\nfaults = ["500"]\n', encoding="utf-8")
    done = CliRunner().invoke(sim_command, [word.format(scene=scene) for word in arguments])
    assert (done.exit_code, words in done.output) == (2, True), done.output


def test_the_command_breaks_what_its_scene_says_and_keeps_no_key(origin: Origin, tmp_path: Path) -> None:
    scene = tmp_path / "scene.toml"
    scene.write_text('[[scene]]\non = "real"\nfaults = ["503 x1"]\n', encoding="utf-8")
    options = ("--before", origin.url("origin"), "--scene", str(scene), "--seed", "7")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "oxllm", "sim", *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while " is http" not in (line := process.stdout.readline()):
            assert line
        base = line.split()[0]
        body, headers = {"model": "m", "messages": MESSAGES}, {"authorization": KEY}
        statuses = [httpx.post(base + "/chat/completions", json=body, headers=headers).status_code for _ in range(2)]
        ledger = httpx.get(base.removesuffix("/v1") + "/-/sim/ledger").text
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert statuses == [503, 200]
    assert "sk-of-the-client" not in ledger + rest
    assert "Say something" not in ledger + rest
