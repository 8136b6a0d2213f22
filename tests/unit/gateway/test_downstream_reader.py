"""What is a request and what is not: RFC 9112, SPEC 4, and what httptools was found to let pass."""

from __future__ import annotations

import pytest

from oxllm.gateway.http1_request import HEAD_BYTES_MAX, HEADERS_MAX, Refused, RequestReader, Stage

POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def read(data: bytes, piece: int = 1 << 20) -> tuple[RequestReader, int]:
    """Feed `data` to one reader, `piece` bytes at a time, until it is complete; also how much it took."""
    reader = RequestReader()
    at = 0
    while at < len(data) and reader.stage is not Stage.COMPLETE:
        part = bytearray(data[at : at + piece])
        at += reader.feed(part, 0, len(part))
    return reader, at


def refusal(data: bytes, piece: int = 1 << 20) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        read(data, piece)
    return caught.value.error.status, caught.value.error.message


ODD_BUT_VALID = {
    "one empty line in front": (b"\r\n" + GET, b""),
    "white space around a length": (POST + b"Content-Length: \t5 \r\n\r\nhello", b"hello"),
    "leading zeros in a length": (POST + b"Content-Length: 0005\r\n\r\nhello", b"hello"),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", b""),
    "HTTP/1.0 without a Host": (b"GET / HTTP/1.0\r\n\r\n", b""),
    "a coding in capitals": (POST + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "a chunk extension": (CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0\r\n\r\n', b"hello"),
    "leading zeros in a chunk size": (CHUNKED + b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "a trailer": (CHUNKED + b"5\r\nhello\r\n0\r\nHost: other\r\n\r\n", b"hello"),
    "an empty line inside a chunk": (CHUNKED + b"9\r\na\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", b"a\r\n\r\n\r\n\r\n"),
    "a chunk that looks like the end": (CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    "bytes over 0x7f in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n", b""),
    "Upgrade with a body": (POST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "Upgrade without a body": (POST + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", b""),
    "Upgrade with chunks": (
        POST + b"Connection: Upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"hi",
    ),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b""),
    "CONNECT with a body": (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", b""),
}


@pytest.mark.parametrize("case", ODD_BUT_VALID)
@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1 << 20])
def test_what_is_odd_but_valid_is_read_exactly_to_its_end_however_it_is_cut(case: str, piece: int) -> None:
    data, body = ODD_BUT_VALID[case]
    reader, taken = read(data + GET, piece)
    assert reader.stage is Stage.COMPLETE
    assert bytes(reader.body) == body
    assert taken == len(data)


NOT_VALID = {
    "a signed length": POST + b"Content-Length: +5\r\n\r\nhello",
    "a negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "a hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with an underscore": POST + b"Content-Length: 1_0\r\n\r\nhello",
    "no length in the header": POST + b"Content-Length:\r\n\r\nhello",
    "a length past 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "a length of 20 digits": POST + b"Content-Length: 18446744073709551615\r\n\r\nhello",
    "two lengths, the same": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length before coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding before length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "length, coding and Upgrade": POST
    + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, gzip": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "gzip and chunked in two headers": POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\nhello",
    "an empty coding": POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "a quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding with a comma in front": POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
    "a coding with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "a vertical tab behind the coding": POST + b"Transfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "xchunked and Upgrade": POST + b"Connection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "a chunk size past 64 bits": CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nhello",
    "a hexadecimal prefix": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a signed chunk size": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "a space behind the chunk size": CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
    "a bare line feed behind the chunk size": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
    "no line end behind a chunk": CHUNKED + b"5\r\nhello0\r\n\r\n",
    "a line feed in an extension": CHUNKED + b'5;a="\nb"\r\nhello\r\n0\r\n\r\n',
    "a length in the trailer": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n",
    "a coding in the trailer": CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a bare line feed in the trailer": CHUNKED + b"0\r\nA: b\n\r\n",
    "a bare line feed behind the last chunk": CHUNKED + b"0\r\n\n",
    "a bare line feed in front": b"\n" + GET,
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\n\n",
    "a bare line feed behind the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "a bare line feed behind a header": b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    "a bare line feed at the end": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "a header folded by a tab": b"GET / HTTP/1.1\r\nHost: a\r\n\tX: b\r\n\r\n",
    "a space before the first header": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "two Hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
    "NUL in a name": b"GET / HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "a control character in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "no colon": b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "a method in lower case": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method that nobody knows": b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in front": b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space behind the version": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "* for GET": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "a relative target": b"GET x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target of another scheme": b"GET ftp://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target without a host": b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target with a password": b"GET http://u:p@b/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("case", NOT_VALID)
@pytest.mark.parametrize("piece", [1, 2, 7, 1 << 20])
def test_what_is_not_valid_is_a_400_however_it_is_cut(case: str, piece: int) -> None:
    assert refusal(NOT_VALID[case] + GET, piece)[0] == 400


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


def test_header_names_are_lower_case_and_values_bare_and_in_order() -> None:
    reader, _ = read(b"GET / HTTP/1.1\r\nhOST: a\r\nX-Own:  b \t\r\nAccept:c\r\nx-own: d\r\n\r\n")
    assert reader.headers == [(b"host", b"a"), (b"x-own", b"b"), (b"accept", b"c"), (b"x-own", b"d")]


def test_trailers_are_dropped() -> None:
    reader, _ = read(CHUNKED + b"0\r\nX-Late: 1\r\nAuthorization: no\r\n\r\n", 4)
    assert [name for name, _ in reader.headers] == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n"])
@pytest.mark.parametrize("piece", [1000, 16384, 1 << 20])
def test_a_head_may_have_32_kib_and_not_one_byte_more(first: bytes, piece: int) -> None:
    fill = HEAD_BYTES_MAX - len(first) - len(b"X: \r\n\r\n")
    reader, _ = read(first + b"X: " + b"y" * fill + b"\r\n\r\n", piece)
    assert reader.stage is Stage.COMPLETE
    assert refusal(first + b"X: " + b"y" * (fill + 1) + b"\r\n\r\n", piece)[0] == 431


def test_a_head_may_have_100_headers_and_not_one_more() -> None:
    lines = b"".join(b"X-%d: y\r\n" % number for number in range(HEADERS_MAX - 1))
    for piece in (50, 1 << 20):
        assert len(read(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n", piece)[0].headers) == HEADERS_MAX
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
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: x\r\n", False),
    ],
)
def test_the_client_says_whether_the_connection_stays(head: bytes, keeps: bool) -> None:
    assert read(head + b"\r\n")[0].keep_alive is keeps


def test_a_dropped_body_is_counted_but_not_kept() -> None:
    reader = RequestReader()
    data = bytearray(POST + b"Content-Length: 5\r\n\r\nhello")
    at = reader.feed(data, 0, len(data))
    reader.keep = False
    reader.feed(data, at, len(data))
    assert (reader.stage, reader.received, bytes(reader.body)) == (Stage.COMPLETE, 5, b"")
