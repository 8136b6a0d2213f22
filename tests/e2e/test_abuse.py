"""HTTP that is meant to hurt, over raw sockets at a real gateway: the right answers, and nothing is left behind."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.abuse import Caller, Rest, answers
from tests.support.chat_bytes import token
from tests.support.mutated import HURRIED, MODELS, SETTINGS, Believers, Campaign, Liar
from tests.support.odd_http import CHUNKED, FAMILIES, NOT_VALID, ODD_BUT_VALID, POST, SMUGGLING
from tests.support.scripted import (
    HANG,
    PAUSE,
    RESET,
    Provider,
    Scripted,
    Steps,
    Word,
    answer,
    completion,
    healthy,
    stream,
)
from tests.support.user import Gateway, config, eventually, gateway


def chat(model: str = "fine", *fields: str, more: str = "") -> bytes:
    """A request for a chat completion."""
    body = f'{{"model":"{model}",{more}"messages":[]}}'
    lines = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *fields, "", body]
    return "\r\n".join(lines[:-1]).encode() + b"\r\n" + body.encode()


def at_chat(data: bytes) -> bytes:
    """The same for a path whose body is read."""
    return re.sub(rb"^POST /x? ", b"POST /v1/chat/completions ", data)


HIDDEN = chat("hidden")
LAST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Site(NamedTuple):
    gateway: Gateway
    cast: Scripted
    rest: Rest

    def ask(self, data: bytes, piece: int | None = None) -> bytes:
        return Caller(self.gateway.port).send(data, piece).everything()

    @property
    def hanging(self) -> Provider:
        return self.cast.providers["hanging"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Scripted() as cast:
        for name in ("fine", "hidden"):
            cast.add(name).replies = [healthy(name)]
        cast.add("hanging").replies = [[HANG]]
        cast.add("stalling").replies = [stream(token("a"), HANG)]
        cast.add("flowing").replies = [stream(token("a"), *[token("b" * 1000)] * 3000)]
        cast.add("liar")
        cast.add("dribbler")
        cast.add("hasty").hasty = True
        models = (
            {name: [name] for name in cast.providers}
            | MODELS
            | {"dribbled": ["dribbler", "fine"], "hurried": ["hasty", "fine"]}
        )
        text = config(
            {p.name: p.url for p in cast.providers.values()},
            models,
            settings=SETTINGS,
            of_provider=dict.fromkeys(("liar", "dribbler"), HURRIED),
        )
        with gateway(tmp_path_factory.mktemp("abuse"), text) as running:
            site = Site(running, cast, Rest(running))
            assert answers(site.ask(chat() + LAST))[0][0].status == 200
            yield site


SENT = re.compile(
    rb"POST /v1/(?:chat/completions|embeddings) HTTP/1\.1\r\n"
    rb"(?:(?!content-length|transfer-encoding|connection)[a-z-]+: [!-~][ -~]*\r\n)+"
    rb"content-length: ([0-9]+)\r\n\r\n"
)
"""The head of a request as it goes to a provider: nothing in it is a client's."""


@pytest.fixture(autouse=True)
def nothing_is_left(site: Site) -> Iterator[None]:
    yield
    site.rest.restored()
    assert site.cast.providers["hidden"].asked == [], "a request was smuggled"
    for asked in site.cast.providers["fine"].asked:
        head = SENT.match(asked)
        assert head is not None, asked
        assert (len(asked) - head.end(), head[0].count(b"\r\nhost:")) == (int(head[1]), 1), asked


# What is one request, and what is none.


def test_what_is_not_valid_is_one_400_and_nothing_behind_it_is_read(site: Site) -> None:
    families = {repr(data): data for family in FAMILIES.values() for data in family}
    for name, data in {**NOT_VALID, **SMUGGLING, **families}.items():
        found, rest = answers(site.ask(at_chat(data) + HIDDEN))
        assert ([answer.status for answer in found], rest) == ([400], b""), name
        assert found[0].headers["connection"] == "close", name
        assert found[0].code is None or found[0].code, name


def test_what_is_odd_but_valid_ends_where_it_ends(site: Site) -> None:
    for name, (data, _) in ODD_BUT_VALID.items():
        output = site.ask(at_chat(data) + LAST)
        if data.startswith(b"HEAD"):
            head, _, output = output.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")  # the greeting at /
        found, rest = answers(output)
        assert rest == b"", name
        if b"1.0\r\n" in data:
            assert (len(found), found[0].headers["connection"]) == (1, "close"), name
        else:
            assert (found[-1].status, found[-1].body) == (200, b"ok\n"), name


def test_a_body_that_looks_like_a_request_is_a_body(site: Site) -> None:
    wrapped = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)
    upgrade = b"Connection: upgrade\r\nUpgrade: h2c\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN
    start = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    for data in (
        start + length,
        start + upgrade + length,
        start + b"Transfer-Encoding: chunked\r\n\r\n" + wrapped,
        start + upgrade + b"Transfer-Encoding: chunked\r\n\r\n" + wrapped,
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n" + length,
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + length,
    ):
        found, rest = answers(site.ask(data + LAST))
        assert [answer.status for answer in found][1:] == [200], data
        assert rest == b""


METHODS = (
    *("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "QUERY", "SOURCE"),
)
PATHS = (
    *("/", "/health", "/status", "/explain/x", "/nothing", "/..", "/v1/models/fine", "/v1/chat/completions/"),
    *("/v1/embeddings?x", "/v1/responses/x"),
)


def test_a_body_is_a_body_whatever_is_asked_of_whatever_path(site: Site) -> None:
    """RFC 9112 section 6.3. Who forgets it where no body is wanted takes it for a request (CL.0, TE.0, 0.CL)."""
    for method in METHODS:
        for path in PATHS:
            for fields, body in (
                (f"Content-Length: {len(HIDDEN)}", HIDDEN),
                (f"Expect: 100-continue\r\nContent-Length: {len(HIDDEN)}", HIDDEN),
                ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
            ):
                head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n\r\n"
                output = site.ask(head.encode() + body + LAST)
                assert output.count(b"HTTP/1.1 ") <= 2, head
                if b"connection: close" not in output.partition(b"\r\n\r\n")[0]:
                    assert output.endswith(b"ok\n"), head


def test_garbage_behind_good_requests_does_not_touch_their_answers(site: Site) -> None:
    found, rest = answers(site.ask(chat() * 20 + b"\x00garbage\r\n\r\n" + HIDDEN))
    assert ([answer.status for answer in found], rest) == ([200] * 20 + [400], b"")


def test_a_request_that_comes_byte_by_byte_is_a_request(site: Site) -> None:
    chunked = POST.replace(b"/x", b"/v1/chat/completions") + b"Transfer-Encoding: chunked\r\n\r\n"
    for byte in b'{"model":"fine","messages":[]}':
        chunked += b"1;x\r\n%c\r\n" % byte
    found, _ = answers(site.ask(chat() + chunked + b"0\r\n\r\n" + LAST, piece=1))
    assert [answer.status for answer in found] == [200, 200, 200]


# Too much.


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"x" * 2**20, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2**20, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 50_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"\r\n" * 2**19, 431),
        (b"A" * 2**20, 400),
        (POST + b"Content-Length: 9223372036854775807\r\n\r\n" + b"x" * 2**20, 413),
        (POST + b"Content-Length: 9000000\r\n\r\n" + b"x" * 9_000_000, 413),
        (CHUNKED + b"10000\r\n%b\r\n" % (b"x" * 2**16) * 140, 413),
        (CHUNKED + b"1;" + b"e" * 2**20, 400),
        (CHUNKED + b"0\r\n" + b"T: x\r\n" * 2**17, 400),
        (CHUNKED + b"1;" + b"e" * 30 + b"\r\nx\r\n" * 2**15, 400),
    ],
    ids=lambda value: value[-20:].hex() if isinstance(value, bytes) else value,
)
def test_too_much_is_answered_although_it_is_still_being_sent(site: Site, data: bytes, status: int) -> None:
    found, rest = answers(site.ask(at_chat(data)))
    assert ([answer.status for answer in found], rest) == ([status], b"")
    assert found[0].headers["connection"] == "close"
    assert found[0].code is None or found[0].code


# Leaving.

LEAVING = {
    "before a word": b"",
    "in the request line": b"POST /v1/chat",
    "in the head": chat()[:60],
    "in the body": chat()[:-5],
    "in a chunk": CHUNKED + b"ff\r\nhello",
    "with a huge chunk to come": CHUNKED + b"7fffffffffffffff\r\nhello",
    "with 100-continue to come": chat("fine", "Expect: 100-continue")[:-30],
    "while it is served": chat("hanging"),
    "in a stream": chat("stalling", more='"stream":true,'),
    "in a stream that it does not read": chat("flowing", more='"stream":true,'),
    "with more requests queued": chat("hanging") + HIDDEN * 50,
    "with garbage queued": chat("hanging") + b"\x00" * 20_000,
}


@pytest.mark.parametrize("how", ["close", "half", "reset"])
@pytest.mark.parametrize("when", LEAVING)
def test_a_client_may_leave_at_any_moment_in_any_way(site: Site, when: str, how: str) -> None:
    asked, left = len(site.hanging.asked), site.hanging.left
    left.clear()
    caller = Caller(site.gateway.port).send(LEAVING[when]) if LEAVING[when] else Caller(site.gateway.port)
    if "stream" in when:
        caller.until(b"content")
    elif "hanging" in str(LEAVING[when]):
        assert eventually(lambda: len(site.hanging.asked) > asked)
    caller.leave(how)
    if len(site.hanging.asked) > asked:
        assert left.wait(30), "the provider still works for nobody"


# A provider that dribbles.


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nx: ",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: ping\n\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n1;x=",
    ],
    ids=["head", "interim", "comments", "extension"],
)
def test_a_provider_that_is_busy_saying_nothing_is_passed_over_in_time(site: Site, start: bytes) -> None:
    dribbler = site.cast.providers["dribbler"]
    piece = start[-9:] if b"ping" in start else start if b"100" in start else b"y"
    steps: Steps = [start]
    for _ in range(5000):
        steps += [PAUSE, piece]
    dribbler.replies = [steps]
    begun = time.monotonic()
    (reply,), _ = answers(site.ask(chat("dribbled", "Connection: close", more='"stream":true,')))
    assert (reply.status, reply.headers["x-oxllm-provider"]) == (200, "fine")
    assert 0.25 < time.monotonic() - begun < 50, "it would have gone on for 100 s"


# A provider that does not listen.


@pytest.mark.parametrize("size", [100, 100_000, 4_000_000])
@pytest.mark.parametrize(
    ("status", "end", "served_by"),
    [(200, HANG, "hasty"), (200, None, "hasty"), (200, RESET, "hasty"), (413, None, "fine"), (503, RESET, "fine")],
    ids=["kept", "closed", "reset", "413", "503"],
)
def test_an_answer_before_the_request_is_sent_counts(
    site: Site, size: int, status: int, end: Word | None, served_by: str
) -> None:
    hasty = site.cast.providers["hasty"]
    hasty.replies = [[*answer(status, completion("early")), *([end] if end else [])]]
    more = f'"x":"{"y" * size}",'
    (reply,), _ = answers(site.ask(chat("hurried", "Connection: close", more=more)))
    hasty.hang_up()
    assert (reply.status, reply.headers["x-oxllm-provider"]) == (200, served_by)


# By the thousand. The long ones are in tests/soak.


def test_2_000_mutated_requests_leave_it_as_it_was(site: Site) -> None:
    statuses = asyncio.run(Campaign(site.gateway.port, seed=1).run(2_000))
    assert statuses["400"] > 200
    assert statuses["200"] > 80
    assert "500" not in statuses


def test_500_mutated_answers_are_passed_over_or_passed_on_but_a_part_is_never_taken_for_the_whole(site: Site) -> None:
    liar = site.cast.providers["liar"]
    liar.replies = [Liar(seed=1)]
    kinds = asyncio.run(Believers(site.gateway.port, seed=1).run(500))
    liar.hang_up()
    assert kinds["whole"] > 300
    assert kinds["broken"] > 5
    assert len(liar.asked) > 200
