"""Every kind of fault, on a real socket: what arrives on the wire, byte by byte, and how the connection ends."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from oxllm.sim import faults
from oxllm.sim.provider import text
from oxllm.sim.provider.pace import parse
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.testing import Sim

MESSAGES = [{"role": "user", "content": "Say something."}]
LENGTH = 20
ANSWER = text.text(7, "alpha", fingerprint(MESSAGES), LENGTH)


class Seen:
    """What a client saw of one response: its bytes, and how it ended: whole, eof, reset or silence."""

    def __init__(self, data: bytes, end: str) -> None:
        self.data = data
        self.end = end
        self.head, self.blank, self.payload = data.partition(b"\r\n\r\n")
        self.chunks, self.framed = dechunk(self.payload) if b"chunked" in self.head else ([self.payload], False)
        self.body = b"".join(self.chunks)

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    @property
    def named(self) -> list[tuple[str, dict[str, Any]]]:
        """Name and data of all events that are JSON, for protocols that name them; "" for one without a name."""
        found = []
        for block in self.body.split(b"\n\n"):
            named, _, data = block.rpartition(b"data: ")
            if data.endswith(b"}"):
                found.append((named.decode().removeprefix("event: ").strip(), json.loads(data)))
        return found

    @property
    def events(self) -> list[bytes]:
        blocks = [block for block in self.body.split(b"\n\n") if block.startswith(b"data: ")]
        return [block.removeprefix(b"data: ") for block in blocks]

    @property
    def content(self) -> str:
        """The text of all events that are JSON."""
        found = ""
        for event in self.events:
            if event != b"[DONE]" and event.endswith(b"}"):
                for choice in json.loads(event).get("choices", []):
                    found += choice["delta"].get("content") or ""
        return found

    @property
    def tokens(self) -> int | None:
        return text.whole_tokens(self.content, 7, "alpha", fingerprint(MESSAGES))

    @property
    def finished(self) -> bool:
        return b'"finish_reason":"stop"' in self.body or b'"finish_reason":"length"' in self.body


def dechunk(payload: bytes) -> tuple[list[bytes], bool]:
    """The chunks that are there, and whether the last one, of size 0, is among them."""
    chunks: list[bytes] = []
    while b"\r\n" in payload:
        size, _, payload = payload.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return chunks, payload == b"\r\n"
        chunks.append(payload[:length])
        payload = payload[length + 2 :]
    return chunks, False


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with Sim(Upstream("alpha", pace=parse(f"ttft 0ms, itl 0ms, out {LENGTH}"))) as sim:
        yield sim


def request(fault: str, stream: bool, protocol: str = "chat") -> bytes:
    asked = {"input": MESSAGES} if protocol == "responses" else {"messages": MESSAGES, "max_tokens": 1000}
    body = json.dumps({"model": "m", "stream": stream, **asked}).encode()
    lines = f"POST {PATHS[protocol]} HTTP/1.1\r\nhost: sim\r\nx-oxllm-sim: {fault}\r\ncontent-length: {len(body)}"
    return lines.encode() + b"\r\n\r\n" + body


PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}


def exchange(sim: Sim, fault: str, stream: bool = True, silence: float = 0.3, protocol: str = "chat") -> Seen:
    """Ask with the fault ordered, and read until the response is whole, the connection ends or nothing comes."""
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=silence) as client:
        client.sendall(request(fault, stream, protocol))
        return read(client)


def read(client: socket.socket) -> Seen:
    data = b""
    while not whole(data):
        try:
            more = client.recv(65536)
        except TimeoutError:
            return Seen(data, "silence")
        except ConnectionResetError:
            return Seen(data, "reset")
        if not more:
            return Seen(data, "eof")
        data += more
    return Seen(data, "whole")


def whole(data: bytes) -> bool:
    head, blank, payload = data.partition(b"\r\n\r\n")
    if not blank:
        return False
    if b"chunked" in head:
        return dechunk(payload)[1]
    length = next(int(line.split(b": ")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return len(payload) >= length


def error(seen: Seen) -> dict[str, object]:
    found = json.loads(seen.body)["error"]
    assert isinstance(found, dict)
    return found


CASES: dict[str, Callable[[Sim], None]] = {}


def case(kind: str) -> Callable[[Callable[[Sim], None]], Callable[[Sim], None]]:
    def enter(check: Callable[[Sim], None]) -> Callable[[Sim], None]:
        CASES[kind] = check
        return check

    return enter


@pytest.mark.parametrize("kind", faults.KINDS)
def test_each_kind_is_on_the_wire_what_its_name_says(kind: str, sim: Sim) -> None:
    CASES[kind](sim)


@case("429")
def _(sim: Sim) -> None:
    seen = exchange(sim, "429~1500ms")
    assert (seen.status, seen.end, error(seen)["code"]) == (429, "whole", "rate_limit_exceeded")
    assert b"\r\nretry-after: 2\r\n" in seen.head
    assert b"\r\nretry-after-ms: 1500\r\n" in seen.head
    assert "try again in 1.5s" in str(error(seen)["message"])


@case("429-quota")
def _(sim: Sim) -> None:
    seen = exchange(sim, "429-quota")
    assert (seen.status, error(seen)["code"]) == (429, "insufficient_quota")
    assert b"retry-after" not in seen.head


@case("429-toobig")
def _(sim: Sim) -> None:
    seen = exchange(sim, "429-toobig")
    assert (seen.status, error(seen)["code"]) == (429, "rate_limit_exceeded")
    assert str(error(seen)["message"]).startswith("Request too large")


@case("500")
def _(sim: Sim) -> None:
    seen = exchange(sim, "500")
    assert (seen.status, error(seen)["type"]) == (500, "server_error")


@case("502-html")
def _(sim: Sim) -> None:
    seen = exchange(sim, "502-html")
    assert (seen.status, seen.body[:15]) == (502, b"<!DOCTYPE html>")
    assert b"content-type: text/html" in seen.head
    assert exchange(sim, "502-html~520").status == 520


@case("503")
def _(sim: Sim) -> None:
    assert exchange(sim, "503").status == 503


@case("504-html")
def _(sim: Sim) -> None:
    seen = exchange(sim, "504-html")
    assert (seen.status, seen.body[:15]) == (504, b"<!DOCTYPE html>")


@case("529")
def _(sim: Sim) -> None:
    assert exchange(sim, "529").head.startswith(b"HTTP/1.1 529 Site is overloaded\r\n")


@case("401")
def _(sim: Sim) -> None:
    seen = exchange(sim, "401")
    assert (seen.status, error(seen)["code"]) == (401, "invalid_api_key")


@case("404")
def _(sim: Sim) -> None:
    seen = exchange(sim, "404")
    assert (seen.status, error(seen)["code"]) == (404, "model_not_found")


@case("refuse")
def _(sim: Sim) -> None:
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as kept:
        sim.patch("alpha", ["refuse"])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60)
        kept.sendall(request("none", True).replace(b"x-oxllm-sim: none\r\n", b""))
        assert read(kept).end == "reset"
    sim.patch("alpha")
    assert exchange(sim, "none").end == "whole"


@case("blackhole")
def _(sim: Sim) -> None:
    seen = exchange(sim, "blackhole")
    assert (seen.data, seen.end) == (b"", "silence")
    sim.patch("alpha", ["blackhole@connect"])
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=0.3)
    sim.patch("alpha")
    assert exchange(sim, "none").end == "whole"


@case("rst")
def _(sim: Sim) -> None:
    seen = exchange(sim, "rst")
    assert (seen.data, seen.end) == (b"", "reset")
    middle = exchange(sim, "rst@token:4")
    assert (middle.tokens, middle.end) == (4, "reset")
    sim.patch("alpha", ["rst@connect x1"])
    with pytest.raises(ConnectionResetError):
        connect_and_drain(sim)
    sim.patch("alpha")


@case("fin")
def _(sim: Sim) -> None:
    seen = exchange(sim, "fin")
    assert (seen.data, seen.end) == (b"", "eof")
    sim.patch("alpha", ["fin@connect x1"])
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as client:
        assert read(client).end == "eof"
    sim.patch("alpha")


@case("garbage")
def _(sim: Sim) -> None:
    seen = exchange(sim, "garbage")
    assert not seen.data.startswith(b"HTTP/")
    assert (len(seen.data) > 10, seen.end) == (True, "eof")


@case("slow")
def _(sim: Sim) -> None:
    began = time.monotonic()
    seen = exchange(sim, "slow~200ms", silence=5)
    assert (seen.tokens, seen.end) == (LENGTH, "whole")
    assert time.monotonic() - began >= 0.2


@case("stall")
def _(sim: Sim) -> None:
    seen = exchange(sim, "stall@token:3")
    assert (seen.tokens, seen.end) == (3, "silence")
    assert exchange(sim, "stall@token:0").content == ""
    assert exchange(sim, "stall@connect").data == b""
    half = exchange(sim, "stall@headers").data
    assert (half.startswith(b"HTTP/1.1 200"), b"\r\n\r\n" in half) == (True, False)
    began = time.monotonic()
    seen = exchange(sim, "stall@token:3~200ms", silence=5)
    assert (seen.tokens, seen.end) == (LENGTH, "whole")
    assert time.monotonic() - began >= 0.2
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as client:
        client.sendall(request("stall@token:3~gate:go", True))
        while not client.recv(65536, socket.MSG_PEEK).count(b"content") >= 4:
            pass
        assert sim.gate("go") == 1
        assert read(client).tokens == LENGTH


@case("trickle")
def _(sim: Sim) -> None:
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as client:
        client.sendall(request("trickle@connect~5ms", True))
        reads = [client.recv(65536) for _ in range(8)]
    assert b"".join(reads).startswith(b"HTTP/1.1"[: len(b"".join(reads))])
    assert len(b"".join(reads)) < 200, "a busy machine may send several at once, and never all"


@case("cut")
def _(sim: Sim) -> None:
    seen = exchange(sim, "cut@token:12")
    assert (seen.tokens, seen.framed, seen.end) == (12, False, "eof")
    assert len(exchange(sim, "cut@byte:100").data) == 100
    assert exchange(sim, "cut@connect").data == b""
    assert exchange(sim, "cut@headers").blank == b""
    seen = exchange(sim, "cut@end")
    assert (seen.tokens, seen.events[-1], seen.framed, seen.end) == (LENGTH, b"[DONE]", False, "eof")
    assert exchange(sim, "cut@token:500").events[-1] == b"[DONE]"
    healthy, cut = exchange(sim, "none", stream=False), exchange(sim, "cut@token:10", stream=False)
    assert len(cut.body) == pytest.approx(len(healthy.body) / 2, abs=2)
    assert cut.end == "eof"
    assert len(exchange(sim, "cut@end", stream=False).data) == len(healthy.data) - 1


@case("silent-cut")
def _(sim: Sim) -> None:
    seen = exchange(sim, "silent-cut@token:12")
    assert (seen.tokens, seen.framed, seen.finished, seen.end) == (12, True, False, "whole")
    assert seen.events[-1] != b"[DONE]"
    plain = exchange(sim, "silent-cut", stream=False)
    assert plain.end == "whole"
    with pytest.raises(json.JSONDecodeError):
        json.loads(plain.body)


@case("no-done")
def _(sim: Sim) -> None:
    seen = exchange(sim, "no-done")
    assert (seen.tokens, seen.finished, seen.framed) == (LENGTH, True, True)
    assert b"[DONE]" not in seen.body


@case("hold-open")
def _(sim: Sim) -> None:
    seen = exchange(sim, "hold-open")
    assert (seen.tokens, seen.finished, seen.framed, seen.end) == (LENGTH, True, False, "silence")
    assert b"[DONE]" not in seen.body


@case("garble")
def _(sim: Sim) -> None:
    seen = exchange(sim, "garble@token:4")
    broken = [at for at, event in enumerate(seen.events) if event != b"[DONE]" and not event.endswith(b"}")]
    assert broken == [5], "after the role and four tokens"
    assert (seen.tokens, seen.end) == (LENGTH, "whole")


@case("split-utf8")
def _(sim: Sim) -> None:
    seen = exchange(sim, "split-utf8")
    assert (seen.content, seen.end) == (ANSWER, "whole")
    torn = 0
    for chunk in seen.chunks:
        try:
            chunk.decode()
        except UnicodeDecodeError:
            torn += 1
    assert torn >= 2


@case("error-event")
def _(sim: Sim) -> None:
    seen = exchange(sim, "error-event@token:2")
    last = json.loads(seen.events[-1])
    assert (seen.tokens, seen.framed, list(last), last["error"]["type"]) == (2, True, ["error"], "server_error")
    assert exchange(sim, "error-event@token:0").content == ""
    assert json.loads(exchange(sim, "error-event@token:500").events[-1])["error"]


@case("empty-error")
def _(sim: Sim) -> None:
    seen = exchange(sim, "empty-error@token:2")
    assert json.loads(seen.events[-1])["choices"][0] == {
        "index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None,
    }  # fmt: skip
    assert (seen.tokens, seen.finished, seen.framed) == (2, False, True)


@case("comments")
def _(sim: Sim) -> None:
    seen = exchange(sim, "comments")
    assert seen.body.startswith(b": PROCESSING\n\ndata: {")
    assert (seen.content, seen.events[-1]) == (ANSWER, b"[DONE]")


@case("role-only")
def _(sim: Sim) -> None:
    seen = exchange(sim, "role-only")
    assert (len(seen.events), seen.events[-1], seen.content) == (2, b"[DONE]", "")


@case("late-usage")
def _(sim: Sim) -> None:
    began = time.monotonic()
    seen = exchange(sim, "late-usage~200ms", silence=5)
    assert time.monotonic() - began >= 0.2
    usage = json.loads(seen.events[-2])
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], LENGTH)
    assert (b'"finish_reason":"stop"' in seen.events[-3], seen.events[-1]) == (True, b"[DONE]")


@case("bad-json")
def _(sim: Sim) -> None:
    seen = exchange(sim, "bad-json", stream=False)
    assert (seen.status, seen.end) == (200, "whole")
    with pytest.raises(json.JSONDecodeError):
        json.loads(seen.body)


@case("short-body")
def _(sim: Sim) -> None:
    for stream in (True, False):
        seen = exchange(sim, "short-body", stream)
        length = int(seen.head.partition(b"content-length: ")[2].split(b"\r")[0])
        assert (seen.end, len(seen.body)) == ("eof", length // 2)


@case("wrong-type")
def _(sim: Sim) -> None:
    stream, plain = exchange(sim, "wrong-type"), exchange(sim, "wrong-type", stream=False)
    assert (b"content-type: application/json" in stream.head, stream.content) == (True, ANSWER)
    assert b"content-type: text/event-stream" in plain.head
    assert json.loads(plain.body)["choices"][0]["message"]["content"] == ANSWER


@case("empty")
def _(sim: Sim) -> None:
    for stream in (True, False):
        seen = exchange(sim, "empty", stream)
        assert (seen.status, seen.body, seen.end) == (200, b"", "whole")


@case("html-200")
def _(sim: Sim) -> None:
    seen = exchange(sim, "html-200")
    assert (seen.status, b"text/html" in seen.head, seen.body[:9]) == (200, True, b"<!DOCTYPE")


@case("error-200")
def _(sim: Sim) -> None:
    seen = exchange(sim, "error-200")
    assert (seen.status, error(seen)["code"]) == (200, 502)


@case("lying-headers")
def _(sim: Sim) -> None:
    seen = exchange(sim, "lying-headers")
    assert b"\r\nx-ratelimit-remaining-requests: 0\r\n" in seen.head
    assert b"\r\nx-ratelimit-reset-requests: 24h0m0s\r\n" in seen.head
    assert (seen.content, seen.end) == (ANSWER, "whole")


@case("spend-cap")
def _(sim: Sim) -> None:
    seen = exchange(sim, "spend-cap")
    assert (seen.status, error(seen)["code"]) == (400, "billing_hard_limit_reached")
    said = exchange(sim, "spend-cap", protocol="messages")
    assert (said.status, error(said)["type"]) == (400, "invalid_request_error")
    assert str(error(said)["message"]).startswith("Your credit balance is too low")


@case("foreign-state")
def _(sim: Sim) -> None:
    sealed = exchange(sim, "foreign-state", protocol="responses")
    assert (sealed.status, error(sealed)["code"]) == (400, "invalid_encrypted_content")
    signed = exchange(sim, "foreign-state", protocol="messages")
    assert (signed.status, "Invalid `signature` in `thinking` block" in str(error(signed)["message"])) == (400, True)
    assert exchange(sim, "foreign-state").content == ANSWER, "a chat carries no state"


@case("preamble-error")
def _(sim: Sim) -> None:
    assert [json.loads(event).get("error", {}).get("type") for event in exchange(sim, "preamble-error").events] == [
        None,
        "server_error",
    ]
    responses = exchange(sim, "preamble-error", protocol="responses")
    name, failed = responses.named[-1]
    assert (name, failed["response"]["error"]["code"]) == ("response.failed", "server_is_overloaded")
    assert [event["sequence_number"] for _, event in responses.named] == list(range(len(responses.named)))
    assert not any(name.endswith("delta") for name, _ in responses.named)
    name, failed = exchange(sim, "preamble-error", protocol="messages").named[-1]
    assert (name, failed["error"]["type"]) == ("error", "overloaded_error")


@case("no-terminal")
def _(sim: Sim) -> None:
    seen = exchange(sim, "no-terminal")
    assert (seen.content, seen.finished, seen.framed) == (ANSWER, False, True)
    assert exchange(sim, "no-terminal", protocol="responses").named[-1][0] == "response.output_item.done"
    assert exchange(sim, "no-terminal", protocol="messages").named[-1][0] == "content_block_stop"


@case("no-event-lines")
def _(sim: Sim) -> None:
    for protocol in ("messages", "responses"):
        seen = exchange(sim, "no-event-lines", protocol=protocol)
        assert b"event:" not in seen.body
        bare = [data for _, data in exchange(sim, "none", protocol=protocol).named]
        assert [data["type"] for _, data in seen.named] == [data["type"] for data in bare]


@case("sequence-gap")
def _(sim: Sim) -> None:
    numbers = [data["sequence_number"] for _, data in exchange(sim, "sequence-gap", protocol="responses").named]
    gaps = [later - earlier for earlier, later in itertools.pairwise(numbers)]
    assert sorted(set(gaps)) == [1, 8]
    assert gaps.count(8) == 1
    assert gaps.index(8) > 3


@case("big-event")
def _(sim: Sim) -> None:
    for protocol in PATHS:
        seen = exchange(sim, "big-event~70", protocol=protocol)
        assert [len(chunk) > 70_000 for chunk in seen.chunks].count(True) == 1
    assert exchange(sim, "big-event").content == ANSWER


@case("retry-after")
def _(sim: Sim) -> None:
    seen = exchange(sim, "retry-after~86400")
    assert (seen.status, b"\r\nretry-after: 86400\r\n" in seen.head) == (429, True)


def handshake(sim: Sim) -> None:
    context = ssl.create_default_context(cafile=sim.ca)
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as plain:
        context.wrap_socket(plain, server_hostname="127.0.0.1").close()


@case("dns")
def _(_sim: Sim) -> None:
    with Sim("alpha", "beta", faults={"alpha": ["dns"]}) as nameless:
        host = urlsplit(nameless.url("alpha")).hostname
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(host, 80)
        assert urlsplit(nameless.url("beta")).hostname == "127.0.0.1"


@case("slow-accept")
def _(sim: Sim) -> None:
    sim.patch("alpha", ["slow-accept~500ms x1"])
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as client:
        connected = time.monotonic()
        client.sendall(request("none", True))
        assert read(client).end == "whole"
    assert time.monotonic() - connected >= 0.5, "the kernel had accepted it, and somebody came later"
    record = sim.ledger("alpha")[-1]
    assert record.began is not None
    assert record.began - record.arrived >= 0.4, "it had come long before"
    sim.patch("alpha")


@case("half-open")
def _(sim: Sim) -> None:
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as client:
        client.sendall(request("half-open", True))
        assert read(client).end == "whole"
        client.sendall(request("none", True))
        with pytest.raises(ConnectionResetError):
            drain(client)


@case("twice")
def _(sim: Sim) -> None:
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=2) as client:
        client.sendall(request("twice", False))
        data = b""
        while data.count(b"HTTP/1.1 200") < 2 or not data.endswith(b"}"):
            data += client.recv(65536)
    first, second = data[: len(data) // 2], data[len(data) // 2 :]
    assert first == second


@case("tls-truncate")
def _(_sim: Sim) -> None:
    with Sim("alpha", tls=True) as secure:
        context = ssl.create_default_context(cafile=secure.ca)
        plain = socket.create_connection(("127.0.0.1", secure.port("alpha")), timeout=60)
        with context.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as client:
            client.sendall(request("tls-truncate@token:3", True))
            seen = list[bytes]()
            with pytest.raises(ssl.SSLEOFError):
                seen.extend(iter(lambda: client.recv(65536), b""))
    assert b"".join(seen).count(b'"content":" ') == 3


@case("tls-expired")
def _(_sim: Sim) -> None:
    with Sim("alpha", tls=True, faults={"alpha": ["tls-expired x1"]}) as secure:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            handshake(secure)
        handshake(secure)


@case("tls-abort")
def _(_sim: Sim) -> None:
    with Sim("alpha", tls=True, faults={"alpha": ["tls-abort x1"]}) as secure:
        with pytest.raises(ssl.SSLError, match=r"(?i)EOF|handshake.failure"):
            handshake(secure)
        handshake(secure)


def test_a_reset_under_tls_is_a_reset_too() -> None:
    """Read below TLS: OpenSSL would tell a reset as an unexpected EOF."""
    with Sim("alpha", tls=True) as secure:
        context = ssl.create_default_context(cafile=secure.ca)
        plain = socket.create_connection(("127.0.0.1", secure.port("alpha")), timeout=60)
        client = context.wrap_socket(plain, server_hostname="127.0.0.1")
        client.sendall(request("rst", True))
        with socket.socket(fileno=client.detach()) as below:
            below.settimeout(5)
            with pytest.raises(ConnectionResetError):
                drain(below)


def connect_and_drain(sim: Sim) -> None:
    """The reset may come while we still connect."""
    with socket.create_connection(("127.0.0.1", sim.port("alpha")), timeout=60) as client:
        drain(client)


def drain(client: socket.socket) -> None:
    while client.recv(65536):
        pass


WITHOUT_TOKENS: dict[str, dict[str, object]] = {
    "/v1/embeddings": {"input": ["one", "two"]},
    "/v1/rerank": {"query": "q", "documents": ["one", "two"]},
    "/v1/moderations": {"input": "one"},
    "/v1/images/generations": {"prompt": "one"},
    "/v1/messages/count_tokens": {"messages": MESSAGES},
}


def asked(sim: Sim, path: str, fault: str, **body: object) -> httpx.Response:
    return httpx.post(
        f"http://127.0.0.1:{sim.port('alpha')}{path}",
        json={"model": "m", "max_tokens": 1000, **body},
        headers={"x-oxllm-sim": fault, "x-request-id": "the same"},
        trust_env=False,
    )


@pytest.mark.parametrize("path", WITHOUT_TOKENS)
def test_a_silent_cut_cuts_answers_without_tokens_too(sim: Sim, path: str) -> None:
    assert asked(sim, path, "none", **WITHOUT_TOKENS[path]).json()
    cut = asked(sim, path, "silent-cut@token:1", **WITHOUT_TOKENS[path])
    assert cut.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        cut.json()


@pytest.mark.parametrize("protocol", PATHS)
def test_a_place_behind_the_end_of_an_answer_is_its_end_and_not_nowhere(sim: Sim, protocol: str) -> None:
    plain = exchange(sim, "silent-cut@token:200", stream=False, protocol=protocol)
    assert (plain.status, plain.end) == (200, "whole")
    with pytest.raises(json.JSONDecodeError):
        json.loads(plain.body)
    garbled = exchange(sim, "garble@token:200", protocol=protocol)
    data = [block.rpartition(b"data: ")[2] for block in garbled.body.split(b"\n\n") if b"data: " in block]
    assert sum(not part.endswith(b"}") and part != b"[DONE]" for part in data) == 1


def test_of_speech_at_least_the_last_of_its_sound_is_cut(sim: Sim) -> None:
    said = {"input": "one", "voice": "alloy"}
    healthy = asked(sim, "/v1/audio/speech", "none", **said).content
    for place in ("token:3", "token:200"):
        cut = asked(sim, "/v1/audio/speech", f"silent-cut@{place}", **said)
        assert (cut.status_code, 0 < len(cut.content) < len(healthy)) == (200, True), place
