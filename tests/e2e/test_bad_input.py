"""Whatever is wrong outside, the words are clear, the exit code or status is right, and the gateway lives on."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.support.chat_bytes import token
from tests.support.gateway import CLEAN, serve_command
from tests.support.scripted import HANG, RESET, Asked, Reply, Scripted, Steps, answer, completion, healthy, stream
from tests.support.user import Gateway, config, eventually, gateway

MB = 2**20


# Starting.


class Ended(NamedTuple):
    """A command that is over."""

    code: int
    err: str


def run(command: Sequence[str], directory: Path, pass_fds: Sequence[int] = ()) -> Ended:
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(directory), "XDG_CONFIG_HOME": str(directory / "xdg")}
    env.pop("OXLLM_CONFIG", None)
    done = subprocess.run(
        command, cwd=directory, env=env, pass_fds=pass_fds, capture_output=True, timeout=60, check=False
    )
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
    return Ended(done.returncode, done.stderr.decode())


def serve(directory: Path, text: str) -> Ended:
    file = directory / "config.toml"
    file.write_text(text, encoding="utf-8")
    return run(serve_command(file), directory)


VALID = """\
[[providers]]
name = "alpha"
base_url = "http://127.0.0.1:9/v1"
[virtual_models]
smart = [{ provider = "alpha", model = "m" }]
"""


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    ended = run(serve_command(tmp_path / "nowhere.toml"), tmp_path)
    assert ended.code == 1
    assert "nowhere.toml" in ended.err


def test_without_any_file_it_says_where_it_looked(tmp_path: Path) -> None:
    ended = run(serve_command(Path())[:-2], tmp_path)
    assert ended.code == 1
    assert "config.toml" in ended.err


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[server]\nport = \n", 2, ""),
        ('[server]\nport = 0\n[[providers]]\nname = "x\n', 4, ""),
        ("[server]\nport = 0\nprot = 3\n" + VALID, 3, "port"),
        (VALID.replace('provider = "alpha"', 'provider = "alhpa"'), 5, "alpha"),
        (VALID.replace("http://", "ftp://"), 3, "http"),
        (VALID + '[server]\nport = 0\napi_keys = ["${OXLLM_TEST_NOT_SET}"]\n', 8, "OXLLM_TEST_NOT_SET"),
    ],
    ids=["no-value", "open-string", "unknown-key", "unknown-provider", "scheme", "variable"],
)  # fmt: skip
def test_a_broken_file_is_told_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    ended = serve(tmp_path, text)
    assert ended.code == 1
    assert f"config.toml:{line}" in ended.err
    assert words in ended.err


def test_bytes_that_are_no_text_are_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe\x00[server]")
    ended = run(serve_command(tmp_path / "config.toml"), tmp_path)
    assert ended.code == 1
    assert "UTF-8" in ended.err


def test_all_errors_come_at_once(tmp_path: Path) -> None:
    ended = serve(
        tmp_path, VALID.replace('"alpha", model', '"alhpa", model') + "[server]\nprot = 1\n[retry]\nbudget = 7\n"
    )
    assert ended.code == 1
    assert all(word in ended.err for word in ("alhpa", "prot", "budget"))


def test_an_occupied_port_is_named_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ended = serve(tmp_path, f"[server]\nport = {port}\n{VALID}")
    assert ended.code == 1
    assert f"127.0.0.1:{port}" in ended.err
    assert "server.port" in ended.err
    assert not list(tmp_path.rglob("*.json")), "a run file of a gateway that never ran"


@pytest.mark.parametrize(
    "content",
    [b"", b"no plan", b"\x00" * 4096, b"{}", b'{"format":99}', b'{"providers":7}', b"[" * 100_000],
    ids=["empty", "text", "zeros", "no-format", "other-format", "wrong-type", "deep"],
)
def test_a_plan_fd_that_is_no_plan_is_refused(tmp_path: Path, content: bytes) -> None:
    fd = os.memfd_create("plan")
    try:
        os.write(fd, content)
        ended = run(gateway_command(str(fd)), tmp_path, [fd])
    finally:
        os.close(fd)
    assert ended.code == 1
    assert ended.err.startswith("oxllm: ")
    assert "plan" in ended.err


@pytest.mark.parametrize("fd", ["99", "-1", "seven", "pipe", "directory"])
def test_a_plan_fd_that_cannot_be_read_is_refused(tmp_path: Path, fd: str) -> None:
    opened = [*os.pipe(), os.open(tmp_path, os.O_RDONLY)]
    try:
        ended = run(
            gateway_command({"pipe": str(opened[1]), "directory": str(opened[2])}.get(fd, fd)), tmp_path, opened
        )
    finally:
        for number in opened:
            os.close(number)
    assert ended.code == 1
    assert ended.err.startswith("oxllm: ")


def gateway_command(fd: str) -> list[str]:
    return [sys.executable, "-P", "-m", "oxllm.gateway", "--plan-fd", fd]


# Running.

NOISE = bytes(range(256)) * 64
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
GARBAGE: dict[str, Reply] = {
    "noise": [NOISE],
    "ssh": [b"SSH-2.0-OpenSSH_9.6\r\n"],
    "tls-alert": [b"\x15\x03\x01\x00\x02\x02\x46"],
    "http-0.9": [b"<html>hello</html>"],
    "http-2": [b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18],
    "bad-status": [b"HTTP/1.1 2OO OK\r\n\r\n"],
    "endless-head": [HEAD, b"x-filler: " + b"y" * 2**16, b"z" * 2**20, HANG],
    "many-headers": [HEAD + b"".join(b"x-%d: y\r\n" % number for number in range(5000)), HANG],
    "only-100s": [b"HTTP/1.1 100 Continue\r\n\r\n" * 5000],
    "two-framings": [HEAD + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"],
    "negative-length": [HEAD + b"content-length: -9\r\n\r\n{}"],
    "two-lengths": [HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"],
    "bad-chunk": [HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n"],
    "huge-chunk": [HEAD + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffffff\r\n"],
    "long-noise": [HEAD + b"content-length: 9000000\r\n\r\n", *[NOISE] * 500],
    "long-error": [b"HTTP/1.1 500 no\r\ncontent-length: 9000000\r\n\r\n", *[NOISE] * 500],
    "nested": answer(200, b'{"choices":' + b"[" * 200_000),
    "no-utf-8": answer(200, completion("x").replace(b'"x"', b'"\xff\xfe"')),
    "huge-event": stream(b"data: " + b"x" * 2**21),
    "lines-without-end": stream(b"x" * 2**20, b"y" * 2**20),
    "answer-and-more": [*answer(200, completion("right")), NOISE],
    "length-past-its-end": [HEAD + b"content-length: 9999\r\n\r\n" + completion("x")],
    "switching": [b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n" + NOISE],
    "204-with-a-body": answer(204, completion("x")),
    "205": answer(205, completion("x")),
    "304-with-a-body": answer(304, completion("x")),
    "gzip": answer(200, b"\x1f\x8b" + NOISE, "content-encoding: gzip"),
    "gzip-in-transfer": [HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n", *stream(NOISE)[1:]],
    "bare-line-feeds": [HEAD.replace(b"\r\n", b"\n") + b"content-length: 2\n\n{}"],
    "folded": [HEAD + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\n{}"],
    "nul": [HEAD + b"x: \0\r\ncontent-length: 2\r\n\r\n{}"],
    "a-request": [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    "chunk-without-end": [HEAD + b"transfer-encoding: chunked\r\n\r\n1;" + b"e" * 2**20],
    "trailers-without-end": [HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 2**17],
}
ODD: dict[str, Callable[[bytes], Steps]] = {
    "twice": lambda whole: [whole + whole],
    "twice-but-the-second-is-another": lambda whole: [whole + whole.replace(b"right", b"wrong")],
    "then-garbage": lambda whole: [whole + NOISE],
    "then-a-reset": lambda whole: [whole, RESET],
    "news-first": lambda whole: [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nlink: <x>\r\n\r\n" + whole],
    "byte-by-byte": lambda whole: [whole[at : at + 1] for at in range(len(whole))],
    "http-1.0": lambda whole: [whole.replace(b"HTTP/1.1", b"HTTP/1.0")],
    "until-its-end": lambda whole: [re.sub(rb"(?i)content-length: \d+\r\n", b"", whole)],
    "no-reason": lambda whole: [re.sub(rb"200 \w+", b"200 ", whole)],
    "64-fields": lambda whole: [whole.replace(b"\r\n", b"\r\n" + b"x-a: b\r\n" * 64, 1)],
    "zeros-in-front": lambda whole: [whole.replace(b"content-length: ", b"content-length: 000")],
    "capitals": lambda whole: [re.sub(rb"(?m)^[a-z-]+:", lambda name: name[0].upper(), whole, count=3)],
}
"""What a provider makes of its right answer, which is one all the same."""


def oddly(make: Callable[[bytes], Steps]) -> Callable[[Asked], Steps]:
    """A reply that is the right one, but for what `make` does to it."""
    return lambda asked: make(b"".join(step for step in healthy("right")(asked) if isinstance(step, bytes)))


class Site(NamedTuple):
    gateway: Gateway
    cast: Scripted


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    models: dict[str, list[str]] = {"fine": ["fine"]}
    with Scripted() as cast:
        cast.add("fine").replies = [healthy("right")]
        for key, reply in GARBAGE.items():
            for mode in ("plain", "stream"):
                garbled, right = cast.add(f"{key}-{mode}"), cast.add(f"{key}-{mode}-right")
                garbled.replies, right.replies = [reply], [healthy("right")]
                models[f"{key}-{mode}"] = [garbled.name, right.name]
        for key, make in ODD.items():
            odd, spare = cast.add(f"odd-{key}"), cast.add(f"odd-{key}-spare")
            odd.replies, spare.replies = [oddly(make)], [healthy("wrong")]
            models[odd.name] = [odd.name, spare.name]
        written = config({p.name: p.url for p in cast.providers.values()}, models)
        with gateway(tmp_path_factory.mktemp("bad"), written) as running:
            yield Site(running, cast)


@pytest.fixture(autouse=True)
def alive(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test that has a gateway it serves as before, and has logged no trace of a bug."""
    yield
    if "site" in request.fixturenames:
        site: Site = request.getfixturevalue("site")
        assert ask(site, "fine") == "right"
        assert "Traceback" not in site.gateway.log()
        assert psutil.Process(site.gateway.pid).memory_info().rss < 40 * MB


def ask(site: Site, model: str, stream: bool = False) -> str:
    messages = [{"role": "user", "content": "hi"}]
    more = {"stream": True} if stream else {}
    response = site.gateway.http.post("/v1/chat/completions", json={"model": model, **more, "messages": messages})
    assert response.status_code == 200, response.text
    if stream:
        return (
            "right"
            if token("right").decode() in response.text and response.text.endswith("[DONE]\n\n")
            else response.text
        )
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


@pytest.mark.parametrize("mode", ["plain", "stream"])
@pytest.mark.parametrize("key", GARBAGE)
def test_a_provider_that_speaks_garbage_is_passed_over(site: Site, key: str, mode: str) -> None:
    assert ask(site, f"{key}-{mode}", mode == "stream") == "right"


@pytest.mark.parametrize("mode", ["plain", "stream"])
@pytest.mark.parametrize("key", ODD)
def test_an_answer_that_is_only_odd_is_taken(site: Site, key: str, mode: str) -> None:
    assert ask(site, f"odd-{key}", mode == "stream") == "right"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "byte 0"),
        (b"hello", "byte 0"),
        (b'{"model":"fine",', "byte 16"),
        (b'{"model":"fine","x":NaN}', "byte 20"),
        (b'{"model":"fine","x":"\\ud800"}', "surrogate"),
        (b'{"model":"fine","x":"\xff"}', "UTF-8"),
        (b'{"model":"fine","x":' + b"[" * 600 + b"]" * 600 + b"}", "deep"),
        (b'{"model":"fine"} {}', "byte 17"),
        (b'["fine"]', "object"),
        (b'"fine"', "object"),
        (b"null", "object"),
        (b'{"model":7}', "model"),
        (b'{"messages":[]}', "model"),
        (b'{"model":null}', "model"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_body_that_is_no_request_is_a_400_that_says_where(site: Site, body: bytes, words: str) -> None:
    before = len(site.cast.providers["fine"].asked)
    for path in ("/v1/chat/completions", "/v1/embeddings"):
        response = site.gateway.http.post(path, content=body)
        error = response.json()["error"]
        assert (response.status_code, error["type"]) == (400, "invalid_request_error")
        assert words in error["message"]
        assert error["param"] == ("model" if words == "model" else None)
    assert len(site.cast.providers["fine"].asked) == before, "and nobody is asked"


def test_a_model_that_nobody_knows_is_a_404_that_helps(site: Site) -> None:
    for name in ("fien", "fine/", "fine/m3", "", "x" * 1000, "\u0000\n\x1b[31m", "ﬁne"):
        response = site.gateway.http.post("/v1/chat/completions", json={"model": name, "messages": []})
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
        assert len(error["message"]) < 700
    assert "\x1b" not in site.gateway.log()
    assert (
        "'fine'" in site.gateway.http.post("/v1/chat/completions", json={"model": "fines"}).json()["error"]["message"]
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"SSH-2.0-x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
    ],
    ids=["tls", "ssh", "http-2", "nothing", "half"],
)
def test_a_client_that_speaks_something_else_is_told_and_closed(site: Site, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", site.gateway.port), timeout=60) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        said = b""
        while part := client.recv(65536):
            said += part
    if said:
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_clients_that_only_connect_and_leave_cost_nothing(site: Site) -> None:
    for _ in range(200):
        socket.create_connection(("127.0.0.1", site.gateway.port), timeout=60).close()
    assert eventually(lambda: site.gateway.status()["connections"] == 1), "the one that asks"
