"""curl, as it is in everybody's notes, against a running gateway: what arrives, and with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.chat_bytes import DONE, FINISH, ROLE, token
from tests.support.scripted import GATE, HANG, Scripted, completion, healthy, stream
from tests.support.user import Gateway, config, gateway

CURL = shutil.which("curl")
pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed")

PARTIAL, HTTP_ERROR, TIMED_OUT = 18, 22, 28
"""Exit codes: curl(1)."""
MODELS = ("chat", "team/smart", "gated", "broken", "broken-10", "hanging", "large")
STREAM_BODY = '{"model":"MODEL","stream":true,"messages":[{"role":"user","content":"hi"}]}'
PLAIN_BODY = '{"model":"MODEL","messages":[{"role":"user","content":"hi"}]}'


class Site(NamedTuple):
    gateway: Gateway
    cast: Scripted


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Scripted() as cast:
        for model in MODELS:
            cast.add(name(model)).replies = [healthy("hello")]
        cast.providers["gated"].replies = [stream(ROLE, token("first"), GATE, token("second"), FINISH, DONE)]
        for model in ("broken", "broken-10"):
            cast.providers[model].replies = [stream(ROLE, token("first"), GATE, end=False)]
        cast.providers["hanging"].replies = [[HANG]]
        written = config({p.name: p.url for p in cast.providers.values()}, {model: [name(model)] for model in MODELS})
        with gateway(tmp_path_factory.mktemp("curl"), written) as running:
            yield Site(running, cast)


def name(model: str) -> str:
    return model.replace("/", "-")


class Said(NamedTuple):
    """What curl wrote, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.out)["error"]
        return found


def command(*arguments: str) -> list[str]:
    assert CURL is not None
    return [CURL, "--silent", "--show-error", "--max-time", "15", *arguments]


def curl(*arguments: str) -> Said:
    done = subprocess.run(command(*arguments), capture_output=True, timeout=60, check=False)
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


def chat(site: Site, body: str, model: str, *arguments: str, path: str = "/v1/chat/completions") -> Said:
    content_type = ("-H", "content-type: application/json")
    return curl(f"{site.gateway.url}{path}", *content_type, "-d", body.replace("MODEL", model), *arguments)


def status_of(site: Site, path: str, *arguments: str) -> Said:
    """The status stands on the last line of `out`."""
    return curl(f"{site.gateway.url}{path}", "-o", os.devnull, "-w", "%{http_code}", *arguments)


def test_a_chat_is_answered(site: Site) -> None:
    said = chat(site, PLAIN_BODY, "chat", "-f")
    assert (said.code, said.out) == (0, completion("hello").decode())


@pytest.mark.parametrize("path", ["/chat/completions", "/v1/chat/completions?api-version=1"])
def test_paths_without_v1_and_with_a_query_are_the_same(site: Site, path: str) -> None:
    assert chat(site, PLAIN_BODY, "chat", path=path).out == completion("hello").decode()


def test_a_stream_shows_each_event_when_it_comes(site: Site) -> None:
    arguments = command("-N", f"{site.gateway.url}/v1/chat/completions", "-d", STREAM_BODY.replace("MODEL", "gated"))
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        early = ROLE + token("first")
        assert process.stdout.read(len(early)) == early, "while the provider still waits at its gate"
        site.cast.providers["gated"].open_gate()
        assert process.stdout.read() == token("second") + FINISH + DONE
    assert process.returncode == 0


@pytest.mark.parametrize(("model", "option", "code"), [("broken", "--http1.1", PARTIAL), ("broken-10", "--http1.0", 0)])
def test_a_stream_that_breaks_ends_with_its_error(site: Site, model: str, option: str, code: int) -> None:
    """HTTP/1.0 knows no end but the close, so there only the error event tells."""
    arguments = command(
        "-N", option, f"{site.gateway.url}/v1/chat/completions", "-d", STREAM_BODY.replace("MODEL", model)
    )
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        early = ROLE + token("first")
        assert process.stdout.read(len(early)) == early
        site.cast.providers[model].open_gate()
        rest = process.stdout.read()
    assert json.loads(rest.removeprefix(b"data: "))["error"]["code"] == "stream_interrupted"
    assert process.returncode == code


def test_http_10_gets_whole_answers_ended_by_the_close(site: Site) -> None:
    said = chat(site, STREAM_BODY, "chat", "--http1.0", "-i")
    head, _, body = said.out.partition("\r\n\r\n")
    assert said.code == 0
    assert "transfer-encoding" not in head
    assert "connection: close" in head
    assert body.encode() == ROLE + token("hello") + FINISH + DONE
    assert chat(site, PLAIN_BODY, "chat", "--http1.0").out == completion("hello").decode()


def test_an_offer_of_http_2_is_served_as_http_11_with_its_body(site: Site) -> None:
    said = chat(site, PLAIN_BODY, "chat", "--http2", "-i")
    assert said.out.startswith("HTTP/1.1 200")
    assert said.out.endswith(completion("hello").decode())


def test_a_body_in_chunks_arrives(site: Site) -> None:
    said = chat(site, PLAIN_BODY, "chat", "-H", "Transfer-Encoding: chunked")
    assert said.out == completion("hello").decode()
    assert site.cast.providers["chat"].last.body == PLAIN_BODY.replace("MODEL", "m").encode()


def test_no_answer_is_compressed(site: Site) -> None:
    said = chat(site, PLAIN_BODY, "chat", "--compressed", "-i")
    assert "content-encoding" not in said.out
    assert b"accept-encoding: identity" in site.cast.providers["chat"].last.head


def test_two_megabytes_go_up_after_a_100_and_reach_the_provider_byte_for_byte(site: Site, tmp_path: Path) -> None:
    filler = "lörem " * (2 * 2**20 // 7)
    body = tmp_path / "body.json"
    body.write_text(
        json.dumps({"model": "large", "messages": [{"role": "user", "content": filler}]}, ensure_ascii=False)
    )
    arguments = ("-v", "-H", "Expect: 100-continue", "--data-binary", f"@{body}")
    said = curl(f"{site.gateway.url}/v1/chat/completions", *arguments)
    assert "HTTP/1.1 100 Continue" in said.err
    assert said.out == completion("hello").decode()
    seen = site.cast.providers["large"].last.body
    assert len(seen) > 2 * 2**20 - 2**10
    assert json.loads(seen)["messages"][0]["content"] == filler


@pytest.mark.parametrize(
    ("path", "size", "status"), [("/nowhere", 2**21, "404"), ("/v1/chat/completions", 2**24, "413")]
)
def test_what_would_be_refused_is_refused_before_it_is_sent(
    site: Site, tmp_path: Path, path: str, size: int, status: str
) -> None:
    body = tmp_path / "body"
    body.write_bytes(b" " * size)
    arguments = ("-v", "-H", "Expect: 100-continue", "--expect100-timeout", "10", "--data-binary", f"@{body}")
    said = curl(f"{site.gateway.url}{path}", *arguments, "-w", "\n%{http_code} %{size_upload}")
    assert "100 Continue" not in said.err
    assert said.out.rsplit("\n", 1)[1] == f"{status} 0"


def test_two_requests_share_a_connection(site: Site) -> None:
    url = f"{site.gateway.url}/v1/models"
    said = curl(url, url, "-o", os.devnull, "-o", os.devnull, "-w", "%{num_connects} %{http_code}\n")
    assert said.out.split() == ["1", "200", "0", "200"]


def test_head_has_the_head_of_get_and_no_body(site: Site) -> None:
    got = curl(f"{site.gateway.url}/v1/models", "-i").out
    head, _, body = got.partition("\r\n\r\n")
    said = curl("-I", f"{site.gateway.url}/v1/models")
    assert said.code == 0
    assert f"content-length: {len(body)}" in said.out
    assert {line.split(":")[0] for line in said.out.split("\r\n")} - {""} == {
        x.split(":")[0] for x in head.split("\r\n")
    }
    assert curl("-I", f"{site.gateway.url}/health").out.startswith("HTTP/1.1 200 OK")


@pytest.mark.parametrize("path", ["/v1/models/team/smart", "/v1/models/team%2Fsmart", "/models/team%2fsmart"])
def test_model_ids_with_a_slash_are_found_raw_and_escaped(site: Site, path: str) -> None:
    said = curl("--path-as-is", f"{site.gateway.url}{path}")
    assert json.loads(said.out)["id"] == "team/smart"


def test_models_are_listed(site: Site) -> None:
    found = json.loads(curl(f"{site.gateway.url}/v1/models").out)
    ids = [model["id"] for model in found["data"]]
    assert found["object"] == "list"
    assert ids == sorted(ids)
    assert {*MODELS, "chat/m", "chat/m2"} <= set(ids)


@pytest.mark.parametrize(
    ("path", "arguments", "status", "kind", "code"),
    [
        ("/v1/chat/completions", ("-d", "{"), "400", "invalid_request_error", None),
        ("/v1/chat/completions", ("-d", '{"model":"nobody"}'), "404", "invalid_request_error", "model_not_found"),
        ("/v1/models/nobody", (), "404", "invalid_request_error", "model_not_found"),
        ("/v1/nothing", (), "404", "invalid_request_error", "not_found"),
        ("/v1/chat/completions", (), "405", "invalid_request_error", "method_not_allowed"),
        ("/v1/models", ("-X", "DELETE"), "405", "invalid_request_error", "method_not_allowed"),
        ("/health", ("-X", "POST"), "405", "invalid_request_error", "method_not_allowed"),
        ("/v1/models", ("-H", "Origin: https://evil.example"), "403", "permission_error", None),
        ("/status", ("-H", "Host: evil.example"), "403", "permission_error", None),
        ("/status", ("-H", "X-Forwarded-For: 10.0.0.1"), "403", "permission_error", None),
        ("/v1/models", ("-H", f"X-Long: {'x' * 33000}"), "431", "invalid_request_error", None),
    ],
)  # fmt: skip
def test_an_error_is_json_that_scripts_can_tell(
    site: Site, path: str, arguments: tuple[str, ...], status: str, kind: str, code: str | None
) -> None:
    said = curl(f"{site.gateway.url}{path}", *arguments, "-w", "\n%{http_code} %{content_type}")
    body, _, last = said.out.rpartition("\n")
    assert last == f"{status} application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == kind
    if code is not None:
        assert error["code"] == code
    assert curl("-f", f"{site.gateway.url}{path}", *arguments).code == HTTP_ERROR


@pytest.mark.parametrize(
    ("path", "allow"), [("/v1/models", "GET, HEAD"), ("/v1/embeddings", "POST"), ("/health", "GET, HEAD")]
)
def test_405_says_what_is_allowed(site: Site, path: str, allow: str) -> None:
    assert f"allow: {allow}\r\n" in curl("-X", "PUT", "-i", f"{site.gateway.url}{path}").out


def test_health_and_status_are_for_people_and_programs(site: Site) -> None:
    assert curl("-f", f"{site.gateway.url}/health") == Said(0, "ok\n", "")
    table = curl("-f", f"{site.gateway.url}/status").out
    assert "models served" in table.splitlines()[0]
    assert table.splitlines()[1].startswith("oxllm ")
    assert all(max(map(len, block.split("\n"))) < 120 for block in table.split("\n\n"))
    assert "team/smart" in table
    for arguments in (
        (f"{site.gateway.url}/status?format=json",),
        ("-H", "Accept: application/json", f"{site.gateway.url}/status"),
    ):
        assert json.loads(curl(*arguments).out)["pid"] == site.gateway.pid


def test_every_answer_has_an_id_and_ones_own_comes_back(site: Site) -> None:
    for path in ("/health", "/v1/models", "/nowhere"):
        assert "x-request-id: oxllm-" in curl("-i", f"{site.gateway.url}{path}").out
        assert "x-request-id: mine\r\n" in curl("-i", f"{site.gateway.url}{path}", "-H", "x-request-id: mine").out


def test_a_curl_that_loses_patience_leaves_nothing_at_the_provider(site: Site) -> None:
    assert chat(site, PLAIN_BODY, "hanging", "--max-time", "0.3").code == TIMED_OUT
    assert site.cast.providers["hanging"].left.wait(60)
