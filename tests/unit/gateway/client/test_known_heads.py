"""A head that was read before means the same again, and whatever is not the same is read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.gateway.client.known_heads import HEADS_MAX, KnownHeads
from oxllm.gateway.client.request_reader import COMPLETE, RequestReader, Unreadable
from tests.support.client_side import Bench, post

HEAD_OF = b"POST /v1/x?q HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer k\r\n%b: %d\r\nX-Two:  b\r\n\r\n"


def read(data: bytes) -> RequestReader:
    """What llhttp finds in one request."""
    reader, buffer, at = RequestReader(), bytearray(data), 0
    while at < len(data) and reader.stage is not COMPLETE:
        at = reader.feed(buffer, at, len(data))
    return reader


def learned(*heads: bytes) -> KnownHeads:
    known = KnownHeads()
    for head in heads:
        buffer = bytearray(b"...%b" % head)
        with contextlib.suppress(Unreadable):
            known.begin(buffer, 3, len(buffer))
    return known


def facts(reader: RequestReader) -> dict[str, object]:
    """All that is looked at of a request that has been read."""
    names = "stage url method path query length received body http10 keep_alive keep_body expectation left head_weight"
    without = [field for field in reader.headers if field[0] != b"content-length"]
    return {name: getattr(reader, name) for name in names.split()} | {"headers": without}


@pytest.mark.parametrize("title", [b"Content-Length", b"content-length"])
def test_a_known_head_with_another_body_is_a_request_without_being_read(title: bytes) -> None:
    known = learned(HEAD_OF % (title, 3) + b"abc")
    data = HEAD_OF % (title, 11) + b"hello world"
    found = known.read(bytearray(b".." + data), 2, 2 + len(data))
    assert found is not None
    again = read(data)
    assert facts(found) == facts(again) | {"left": 0, "head_weight": found.head_weight}
    assert abs(found.head_weight - again.head_weight) <= 2
    assert found.index == {b"host": b"a", b"authorization": b"Bearer k", b"x-two": b"b"}


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (HEAD_OF % (b"Content-Length", 4), b"abc"),
        (HEAD_OF % (b"Content-Length", 2), b"abc"),
        (HEAD_OF.replace(b"%d", b"0%d") % (b"Content-Length", 3), b"abc"),
        (HEAD_OF.replace(b"%d", b"+%d") % (b"Content-Length", 3), b"abc"),
        (HEAD_OF.replace(b"Bearer k", b"Bearer l") % (b"Content-Length", 3), b"abc"),
        (HEAD_OF % (b"content-length", 3), b"abc"),
        (HEAD_OF[:-2] % (b"Content-Length", 3), b"abc"),
        (HEAD_OF[:-2] % (b"Content-Length", 3) + b"Content-Length: 3\r\n\r\n", b"abc"),
    ],
)
def test_what_is_not_quite_a_known_head_and_its_body_is_read(head: bytes, body: bytes) -> None:
    known = learned(HEAD_OF % (b"Content-Length", 3) + b"abc")
    data = bytearray(head + body)
    assert known.read(data, 0, len(data)) is None


@pytest.mark.parametrize(
    "head",
    [
        HEAD_OF.replace(b"POST", b"PUT") % (b"Content-Length", 3),
        HEAD_OF.replace(b"1.1", b"1.0") % (b"Content-Length", 3),
        HEAD_OF.replace(b"X-Two:  b", b"Connection: close") % (b"Content-Length", 3),
        HEAD_OF.replace(b"X-Two:  b", b"Connection: upgrade\r\nUpgrade: h2c") % (b"Content-Length", 3),
        HEAD_OF.replace(b"X-Two:  b", b"Expect: 100-continue") % (b"Content-Length", 3),
        HEAD_OF.replace(b"X-Two:  b", b"X-Two: " + b"b" * 4096) % (b"Content-Length", 3),
        HEAD_OF.replace(b"X-Two:  b", b"content-length: 3") % (b"X-One", 3),
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nX: content-length: 3\r\n\r\n",
    ],
)
def test_only_usual_heads_are_kept(head: bytes) -> None:
    known = learned(head + b"abc")
    kept = known.read(bytearray(head + b"abc"), 0, len(head) + 3)
    assert (kept is None) == (b"\r\ncontent-length: 3" not in head)


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    heads = [HEAD_OF.replace(b"k", b"k%d" % number) % (b"Content-Length", 0) for number in range(HEADS_MAX + 1)]
    known = learned(*heads)
    assert [known.read(bytearray(head), 0, len(head)) is None for head in heads] == [True] + [False] * HEADS_MAX
    known.clear()
    assert known.read(bytearray(heads[-1]), 0, len(heads[-1])) is None


lines = st.sampled_from(
    [
        b"Host: a",
        b"Content-Length: 3",
        b"content-length: 3",
        b"X: content-length: 3",
        b"Content-Length:3",
        b"x",
        b" y: z",
        *(b"Transfer-Encoding: chunked", b"Connection: close", b"Content-Length: 0", b"Expect: 100-continue", b"x: y"),
    ]
)


heads_of = st.lists(lines, max_size=3).map(lambda more: [b"Host: a", b"Content-Length: 3", *more]) | st.lists(
    lines, max_size=4
)


@given(st.lists(heads_of, min_size=1, max_size=4), st.none() | heads_of)
def test_a_known_head_means_what_llhttp_would_have_read(heads: list[list[bytes]], last: list[bytes] | None) -> None:
    """`last`: None is the first again."""
    known = learned(*(b"\r\n".join([b"POST /a HTTP/1.1", *head, b"", b"abc"]) for head in heads))
    data = b"\r\n".join([b"POST /a HTTP/1.1", *(heads[0] if last is None else last), b"", b"abc"])
    found = known.read(bytearray(data), 0, len(data))
    if found is not None:
        assert facts(found) == facts(read(data))


def test_requests_of_one_connection_are_answered_whether_their_head_is_known_or_not() -> None:
    bench = Bench()
    client = bench.client()
    for body in (b"a", b"bcd", b"", b"e" * 300):
        client.send(post(body))
    client.send(post(b"f") + post(b"g"))
    bench.clock.settle()
    assert [request.body for request in bench.service.served] == [b"a", b"bcd", b"", b"e" * 300, b"f", b"g"]
    again = post(b"another")
    assert bench.server.known.read(bytearray(again), 0, len(again)) is not None
