"""A head that was read before means the same again, and whatever is not the same is read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.gateway.client.known_heads import HEADS_MAX, NOWHERE, KnownHeads
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
            known.begin(buffer, 3, len(buffer), NOWHERE)
    return known


def recognized(known: KnownHeads, data: bytes, place: int = NOWHERE) -> RequestReader | None:
    """The request in `data`, if its head is known. `place`: of the head in front of it."""
    buffer = bytearray(b".." + data + b"stale")
    with contextlib.suppress(Unreadable):
        reader, at, _ = known.begin(buffer, 2, 2 + len(data), place)
        if reader.fields is not None:
            assert at == 2 + len(data)
            return reader
    return None


def facts(reader: RequestReader) -> dict[str, object]:
    """All that is looked at of a request that has been read."""
    names = "stage url method path query length received body http10 keep_alive expectation left head_weight"
    fields = reader.headers if reader.fields is None else reader.fields.all
    without = [field for field in fields if field[0] != b"content-length"]
    return {name: getattr(reader, name) for name in names.split()} | {"headers": without}


@pytest.mark.parametrize("title", [b"Content-Length", b"content-length"])
def test_a_known_head_with_another_body_is_a_request_without_being_read(title: bytes) -> None:
    known = learned(HEAD_OF % (title, 3) + b"abc")
    data = HEAD_OF % (title, 11) + b"hello world"
    found = recognized(known, data)
    assert found is not None
    again = read(data)
    assert facts(found) == facts(again) | {"left": 0, "head_weight": found.head_weight}
    assert abs(found.head_weight - again.head_weight) <= 2
    assert found.fields is not None
    assert found.fields.first == {b"host": b"a", b"authorization": b"Bearer k", b"x-two": b"b"}


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (HEAD_OF % (b"Content-Length", 4), b"abc"),
        (HEAD_OF % (b"Content-Length", 2), b"abc"),
        (HEAD_OF % (b"Content-Length", 9), b"a" * 10),
        (HEAD_OF % (b"Content-Length", 99), b"a" * 100),
        (HEAD_OF % (b"Content-Length", 10), b"a" * 9),
        (HEAD_OF.replace(b"%d", b"0%d") % (b"Content-Length", 3), b"abc"),
        (HEAD_OF.replace(b"%d", b"+%d") % (b"Content-Length", 3), b"abc"),
        (HEAD_OF.replace(b"Bearer k", b"Bearer l") % (b"Content-Length", 3), b"abc"),
        (HEAD_OF % (b"content-length", 3), b"abc"),
        (HEAD_OF[:-2] % (b"Content-Length", 3), b"abc"),
        (HEAD_OF[:-2] % (b"Content-Length", 3) + b"Content-Length: 3\r\n\r\n", b"abc"),
    ],
)
def test_what_is_not_quite_a_known_head_and_its_body_is_read(head: bytes, body: bytes) -> None:
    for place in (0, 1, NOWHERE):
        known = learned(HEAD_OF % (b"Content-Length", 3) + b"abc")
        assert recognized(known, head + body, place) is None


def test_what_is_left_in_the_buffer_behind_a_part_of_a_head_does_not_count() -> None:
    known = learned(HEAD_OF % (b"Content-Length", 3) + b"abc")
    for number in range(-12, 4):
        head = HEAD_OF % (b"Content-Length", number)
        for end in range(1, len(head)):
            with contextlib.suppress(Unreadable):
                reader, at, _ = known.begin(bytearray(head + b"abc"), 0, end, 0)
                assert (reader.fields, at) == (None, end)


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
    kept = recognized(known, head + b"abc")
    assert (kept is None) == (b"\r\ncontent-length: 3" not in head)


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    heads = [HEAD_OF.replace(b"k", b"k%d" % number) % (b"Content-Length", 0) for number in range(HEADS_MAX + 1)]
    known = learned(*heads)
    assert all(recognized(known, head) for head in heads[1:])
    assert recognized(known, heads[0]) is None
    assert all(recognized(known, heads[0], place) for place in (0, NOWHERE)), (
        "it was learned again, in place of another"
    )
    assert recognized(known, heads[1]) is None
    known.clear()
    assert recognized(known, heads[-1], 5) is None
    assert recognized(known, heads[-1], 5) is not None


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


@given(
    st.lists(heads_of, min_size=1, max_size=4),
    st.none() | heads_of,
    st.integers(0, 4) | st.just(NOWHERE),
    st.integers(0, 40) | st.sampled_from([9, 10, 98, 99, 100, 101]),
    st.integers(-1, 1),
)
def test_a_known_head_means_what_llhttp_would_have_read(
    heads: list[list[bytes]], last: list[bytes] | None, place: int, size: int, wrong: int
) -> None:
    """`last`: None is the first again, with another length. `wrong`: by how much the body is longer than that."""
    known = learned(*(b"\r\n".join([b"POST /a HTTP/1.1", *head, b"", b"abc"]) for head in heads))
    head = b"\r\n".join([b"POST /a HTTP/1.1", *(heads[0] if last is None else last), b"", b""])
    data = head.replace(b"ontent-length: 3", b"ontent-length: %d" % size) + b"b" * (size + wrong)
    found = recognized(known, data, place)
    if found is not None:
        assert facts(found) == facts(read(data))
        assert found.stage is COMPLETE


@given(st.integers(0, 2000) | st.integers(9_980, 10_020), st.booleans())
def test_a_known_head_is_recognized_with_nearly_each_length(size: int, last: bool) -> None:
    """`last`: it was the last one of its connection, else it is looked for."""
    known = learned(HEAD_OF % (b"Content-Length", 3) + b"abc")
    data = HEAD_OF % (b"Content-Length", size) + b"b" * size
    digits = len(str(size))
    found = recognized(known, data, 0 if last else NOWHERE)
    assert (found is None) == (len(str(size + digits)) > digits)
    assert found is None or facts(found)["body"] == b"b" * size


def test_requests_of_one_connection_are_answered_whether_their_head_is_known_or_not() -> None:
    bench = Bench()
    client = bench.client()
    for body in (b"a", b"bcd", b"", b"e" * 300):
        client.send(post(body))
    client.send(post(b"f") + post(b"g"))
    bench.clock.settle()
    assert [request.body for request in bench.service.served] == [b"a", b"bcd", b"", b"e" * 300, b"f", b"g"]
    again = post(b"another")
    assert recognized(bench.server.known, again) is not None
