"""What is a request and what is not: RFC 9112, our own limits, and what httptools was found to let pass."""

from __future__ import annotations

import pytest

from oxllm.gateway.client.request_reader import Progress, RequestReader, Unreadable
from tests.support.odd_http import CHUNKED, FAMILIES, NOT_VALID, ODD_BUT_VALID, POST

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def read(data: bytes, piece: int = 1 << 20) -> tuple[RequestReader, int]:
    """Feed `data` to one reader, `piece` bytes at a time, until it is complete; also how much it took."""
    reader = RequestReader()
    at = 0
    while at < len(data) and reader.stage is not Progress.COMPLETE:
        part = bytearray(data[at : at + piece])
        at += reader.feed(part, 0, len(part))
    return reader, at


def refusal(data: bytes, piece: int = 1 << 20) -> tuple[int, str]:
    with pytest.raises(Unreadable) as caught:
        read(data, piece)
    return caught.value.error.status, caught.value.error.message


@pytest.mark.parametrize("case", ODD_BUT_VALID)
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1 << 20])
def test_what_is_odd_but_valid_is_read_exactly_to_its_end_however_it_is_cut(case: str, piece: int) -> None:
    data, body = ODD_BUT_VALID[case]
    reader, taken = read(data + GET, piece)
    assert reader.stage is Progress.COMPLETE
    assert bytes(reader.body) == body
    assert taken == len(data)


@pytest.mark.parametrize("case", NOT_VALID)
@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 20])
def test_what_is_not_valid_is_a_400_however_it_is_cut(case: str, piece: int) -> None:
    assert refusal(NOT_VALID[case] + GET, piece)[0] == 400


@pytest.mark.parametrize("family", FAMILIES)
def test_no_request_of_a_family_is_read_however_it_is_cut(family: str) -> None:
    for data in FAMILIES[family]:
        for piece in (1, 7, 1 << 20):
            assert refusal(data + GET, piece)[0] == 400, data


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"GET /\r\n\r\n", "0.9"),
        (b"GET /\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "0.9"),
        (b"GET / HTTP/0.9\r\n\r\n", "0.9"),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "1.2"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "2.0"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "2.0"),
    ],
)
def test_another_version_is_a_400_that_names_it(data: bytes, version: str) -> None:
    for piece in (1, 1 << 20):
        status, message = refusal(data, piece)
        assert status == 400
        assert version in message


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"PROXY TCP4 127.0.0.1 127.0.0.1 40000 8080\r\n" + GET, "PROXY protocol"),  # HAProxy's send-proxy, stunnel
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\x9c\x40\x1f\x90" + GET, "PROXY protocol"),  # v2
        (b"\x16\x03\1\2\0\1\0\1\xfc\3\3", "TLS"),
    ],
    ids=["PROXY 1", "PROXY 2", "TLS"],
)
def test_what_balancers_and_browsers_send_instead_of_http_is_named(data: bytes, what: str) -> None:
    status, message = refusal(data)
    assert status == 400
    assert what in message
    assert refusal(data, 1)[0] == 400


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
@pytest.mark.parametrize(
    "line", [b"GET /\r\n", b"GET / HTTP/1.2\r\n", b"OPTIONS / RTSP/1.0\r\n", b"SOURCE / ICE/1.0\r\n"]
)
def test_a_request_line_that_is_none_is_refused_before_anything_follows(line: bytes, piece: int) -> None:
    """RFC 9112 section 3. Who speaks HTTP/0.9 sends nothing more, and would wait until the head is late."""
    assert refusal(line, piece)[0] == 400


def test_a_target_is_cut_into_path_and_query_undecoded() -> None:
    reader, _ = read(b"GET /v1/models/a%2Fb?all=1&x=? HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (reader.method, reader.path, reader.query) == ("GET", b"/v1/models/a%2Fb", b"all=1&x=?")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [(b"http://b:1/x?y", b"/x", b"y"), (b"HTTP://b:1", b"/", b""), (b"https://b:1?y", b"/", b"y")],
)
def test_the_host_of_an_absolute_target_stands_in_for_the_header(target: bytes, path: bytes, query: bytes) -> None:
    reader, _ = read(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert (reader.path, reader.query, reader.headers) == (path, query, [(b"host", b"b:1")])


def test_the_host_of_an_absolute_target_counts_where_there_is_no_header() -> None:
    """RFC 9112 section 3.2.2: HTTP/1.0 needs none, and would else pass for a request that names no host."""
    reader, _ = read(b"GET http://b:1/x HTTP/1.0\r\nAccept: c\r\n\r\n")
    assert sorted(reader.headers) == [(b"accept", b"c"), (b"host", b"b:1")]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"", None),
        (b"Expect: 100-Continue\r\n", b"100-continue"),
        (b"Expect:\r\n", None),
        (b"Expect: ,\r\n", None),
        (b"Expect: 100-continue, 100-continue\t,\r\n", b"100-continue"),
        (b"Expect: 100-continue\r\nExpect: 100-continue\r\n", b"100-continue"),
        (b"Expect: 100-continue, a-miracle\r\n", b"a-miracle"),
        (b"Expect: a-miracle\r\nExpect: 100-continue\r\n", b"a-miracle"),
        (b"Expect: 100-continue\r\nExpect: a-miracle\r\n", b"a-miracle"),
        (b'Expect: a=", 100-continue"\r\n', b'a="'),
    ],
)
def test_expectations_are_a_list_and_one_that_cannot_be_met_counts(fields: bytes, expected: bytes | None) -> None:
    """RFC 9110 sections 10.1.1 and 5.6.1: several fields are one list, and its empty members are none."""
    assert read(POST + fields + b"Content-Length: 1\r\n\r\n")[0].expectation == expected


def test_header_names_are_lower_case_and_values_bare_and_in_order() -> None:
    reader, _ = read(b"GET / HTTP/1.1\r\nhOST: a\r\nX-Own:  b \t\r\nAccept:c\r\nx-own: d\r\n\r\n")
    assert reader.headers == [(b"host", b"a"), (b"x-own", b"b"), (b"accept", b"c"), (b"x-own", b"d")]


def test_trailers_are_dropped() -> None:
    reader, _ = read(CHUNKED + b"0\r\nX-Late: 1\r\nAuthorization: no\r\n\r\n", 4)
    assert [name for name, _ in reader.headers] == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n"])
@pytest.mark.parametrize("piece", [1000, 16384, 1 << 20])
def test_a_head_may_have_32_kib_and_not_one_byte_more(first: bytes, piece: int) -> None:
    fill = 32 * 1024 - len(first) - len(b"X: \r\n\r\n")
    reader, _ = read(first + b"X: " + b"y" * fill + b"\r\n\r\n", piece)
    assert reader.stage is Progress.COMPLETE
    assert refusal(first + b"X: " + b"y" * (fill + 1) + b"\r\n\r\n", piece)[0] == 431


def test_a_head_may_have_100_headers_and_not_one_more() -> None:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(99))
    for piece in (50, 1 << 20):
        assert len(read(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n", piece)[0].headers) == 100
        assert refusal(b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n" + lines + b"\r\n", piece)[0] == 431


def test_one_byte_chunks_are_fine_and_endless_extensions_are_not() -> None:
    reader, _ = read(CHUNKED + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n", 5000)
    assert len(reader.body) == 20_000
    assert refusal(CHUNKED + b"1;" + b"e" * 20_000, 1000)[0] == 400
    assert refusal(CHUNKED + b"0\r\n" + b"T: x\r\n" * 4000, 1000)[0] == 400


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n", False),
        (b"GET / HTTP/1.0\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: x\t, Keep-Alive\t\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: close\r\nConnection: keep-alive\r\n", False),
        (b"GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\t\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: x\r\n", False),
    ],
)
def test_the_client_says_whether_the_connection_stays(head: bytes, keeps: bool) -> None:
    """RFC 9112 section 9.3: `close` counts first, whatever else is there, then the version."""
    assert read(head + b"\r\n")[0].keep_alive is keeps


@pytest.mark.parametrize(
    "request_",
    [b"Content-Length: 10\r\n\r\nhelloworld", b"Transfer-Encoding: chunked\r\n\r\na\r\nhelloworld\r\n0\r\n\r\n"],
)
def test_of_a_body_that_is_skipped_nothing_is_kept_of_what_had_come_either(request_: bytes) -> None:
    """Nobody counts it any more."""
    reader = RequestReader()
    data = bytearray(POST + request_)
    half = data.find(b"world")
    at = reader.feed(data, 0, half)
    at = reader.feed(data, at, half)
    assert bytes(reader.body) == b"hello"
    reader.skip()
    assert not reader.body
    reader.feed(data, at, len(data))
    assert (reader.stage, reader.received, bytes(reader.body)) == (Progress.COMPLETE, 10, b"")
