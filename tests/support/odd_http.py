"""Odd requests, invalid ones, and ones that two parsers could read differently (RFC 9112 section 11)."""

from __future__ import annotations

POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

ODD_BUT_VALID: dict[str, tuple[bytes, bytes]] = {
    "one empty line in front": (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", b""),
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
    "many zeros in the last chunk's size": (CHUNKED + b"2\r\nhi\r\n" + b"0" * 40 + b"\r\n\r\n", b"hi"),
    "an extension on the last chunk": (CHUNKED + b"2\r\nhi\r\n0;x=y\r\n\r\n", b"hi"),
    "a chunk size in capitals": (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "no chunk but the last": (CHUNKED + b"0\r\n\r\n", b""),
    "a header that looks like a coding": (POST + b"Transfer_Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "a trailer that is announced": (
        POST + b"Trailer: X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n",
        b"hi",
    ),
    "a body for GET": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "a body for HEAD": (b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "no space in front of a coding": (POST + b"transfer-encoding:chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi"),
    "a tab in front of a coding": (POST + b"TRANSFER-ENCODING:\tchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", b"hi"),
    "Connection that names the coding": (
        POST + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"hi",
    ),
    "Connection that names the length": (POST + b"Connection: Content-Length\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
    "a length with eleven zeros": (POST + b"Content-Length: 000000000002\r\n\r\nhi", b"hi"),
    "bytes over 0x7f in an extension": (CHUNKED + b'2;a="\x85"\r\nhi\r\n0\r\n\r\n', b"hi"),
    "white space behind a trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nX: y \t\r\n\r\n", b"hi"),
    "every character that a name may have": (b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09aZ: b\r\n\r\n", b""),
    "a Host with a zone": (b"GET / HTTP/1.1\r\nHost: [fe80::1%25en0]:80\r\n\r\n", b""),
    "a Host with an escape": (b"GET / HTTP/1.1\r\nHost: %61\r\n\r\n", b""),
    "three empty lines in front": (b"\r\n\r\n\r\nGET /?a=b HTTP/1.1\r\nHost: a\r\n\r\n", b""),
}
"""Name -> the bytes, and the body in them."""

NOT_VALID: dict[str, bytes] = {
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
    "a bare line feed in front": b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a bare carriage return in front": b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "two carriage returns in front": b"\r\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a bare line feed behind an empty line in front": b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\n\n",
    "a bare line feed behind the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "a bare line feed behind a header": b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    "a bare line feed at the end": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "a header folded by a tab": b"GET / HTTP/1.1\r\nHost: a\r\n\tX: b\r\n\r\n",
    "a space before the first header": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "two spaces behind the method": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "two spaces behind the target": b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
    "RTSP, which llhttp takes for HTTP": b"GET / RTSP/1.0\r\nHost: a\r\n\r\n",
    "ICE, which llhttp takes for HTTP": b"SOURCE / ICE/1.0\r\nHost: a\r\n\r\n",
    "a Host with a space": b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a Host with a path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a Host with a user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "a Host with a port that is none": b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "a Host with a bracket that stays open": b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "a Host in HTTP/1.0 that is none": b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
    "a Host that is none beside an absolute target": b"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
    "an absolute target whose port is none": b"GET http://a:b/ HTTP/1.1\r\nHost: a\r\n\r\n",
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
    "a length with an exponent": POST + b"Content-Length: 1e1\r\n\r\nhello",
    "a length with a fraction": POST + b"Content-Length: 5.0\r\n\r\nhello",
    "a length in quotes": POST + b'Content-Length: "5"\r\n\r\nhello',
    "a length and a semicolon": POST + b"Content-Length: 5;\r\n\r\nhello",
    "a length behind a NUL": POST + b"Content-Length: \x005\r\n\r\nhello",
    "a length of other digits": POST + "Content-Length: \u0665\r\n\r\nhello".encode(),
    "a length behind a no-break space": POST + b"Content-Length: \xa05\r\n\r\nhello",
    "a space before a length's colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "a tab before the colon": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "a folded length": POST + b"Content-Length:\r\n 5\r\n\r\nhello",
    "a comma behind the coding": POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    "chunked, chunked": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity, chunked": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "a NUL behind the coding": POST + b"Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n",
    "a form feed in front of the coding": POST + b"Transfer-Encoding: \x0cchunked\r\n\r\n0\r\n\r\n",
    "a byte over 0x7f in the coding": POST + b"Transfer-Encoding: chunke\xe4\r\n\r\n0\r\n\r\n",
    "a length with each other's coding": POST + b"Content-Length: 3\r\nTransfer-Encoding: identity\r\n\r\nabc",
    "a negative chunk size": CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
    "a space in front of the chunk size": CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
    "a tab behind the chunk size": CHUNKED + b"5\t\r\nhello\r\n0\r\n\r\n",
    "an underscore in the chunk size": CHUNKED + b"1_0\r\nhello\r\n0\r\n\r\n",
    "no chunk size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "no chunk size but an extension": CHUNKED + b";a=b\r\nhello\r\n0\r\n\r\n",
    "a bare carriage return behind the chunk size": CHUNKED + b"5\rhello\r\n0\r\n\r\n",
    "a bare carriage return behind a chunk": CHUNKED + b"5\r\nhello\r0\r\n\r\n",
    "a NUL in an extension": CHUNKED + b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "a space in a trailer's name": CHUNKED + b"0\r\nA B: c\r\n\r\n",
    "a folded trailer": CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n",
    "a name of bytes over 0x7f": b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: b\r\n\r\n",
    "a name with a control character": b"GET / HTTP/1.1\r\nHost: a\r\nX\x7f: b\r\n\r\n",
    "a name in brackets": b"GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n",
    "a carriage return at the end of a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tab in the request line": b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target in authority form": b"GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "an empty target": b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"GET /#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment behind a query": b"GET /?a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment in an absolute target": b"GET http://a/?b#c HTTP/1.1\r\nHost: a\r\n\r\n",
    "http in lower case": b"GET / http/1.1\r\nHost: a\r\n\r\n",
    "a version of two digits": b"GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    "a version without a point": b"GET / HTTP/11\r\nHost: a\r\n\r\n",
    "a response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a PROXY protocol's line": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
}
"""Each is answered with a 400, and nothing after it is read."""

SMUGGLING: dict[str, bytes] = {
    "CL.TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
    "TE.TE, one of them obscured": POST + b"Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n",
    "TE obscured by a space": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "TE obscured by a vertical tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "TE on a folded line": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "TE behind a bare line feed": POST + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE behind a bare carriage return": POST + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE that does not end in chunked": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "CL.CL": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "a list of CL": POST + b"Content-Length: 0, 44\r\n\r\n",
    "a signed CL": POST + b"Content-Length: +0\r\n\r\n",
    "a CL of two numbers": POST + b"Content-Length: 0 44\r\n\r\n",
    "chunk size past 64 bits": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n",
    "chunk size with a prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "chunk size behind a bare line feed": POST + b"Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n",
    "chunk without its line end": POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhiX\r0\r\n\r\n",
    "a line feed in a chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\n0\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\n\r\n",
    "HTTP/0.9 in front": b"GET /\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}
"""Prefixes that have fooled proxies, each before a request to be smuggled past one. Each gets a single 400."""


# Families of such requests, as the suites of others have them: HTTP Request Smuggler's permutations of a header and its
# chunk terminators ("funky chunks", CVE-2025-55315), Go's tables of header lines and Hosts, aiohttp's, gunicorn's and
# llhttp's invalid requests. Each is answered with a 400, too.


def _obscured(name: bytes, value: bytes) -> list[bytes]:
    """Lines that some parser takes for the field `name`, and another does not."""
    field = b"%b: %b" % (name, value)
    lines = [name.replace(b"-", other) + b": " + value for other in (b" ", b"\\", b"\xad")]
    lines += [b"Foo: bar%b%b" % (between, field) for between in (b"\r\n ", b"\r\n\t", b"\r", b"\n", b"\r\n\r", b"\n\n")]
    lines += [
        b"%b:%b%b" % (name, space, value) for space in (b"\n ", b"\r\n \r\n ", b" \n\x0b", b" \r\n\t", b"\xff", b"\xa0")
    ]
    for odd in (b"\0", b"\x0b", b"\x0c", b"\r", b"\x7f"):
        lines += [b"%b:%b%b" % (name, odd, value), b"%b: %b%b" % (name, odd, value), field + odd]
        lines += [b"%b%b: %b" % (name, odd, value)]
    lines += [b"%b%b: %b" % (name, odd, value) for odd in (b"\t", b" x", b"\n ", b"\x85", b"\xa0", b"\xad")]
    return [*lines, field[:3] + b"\r" + field[3:], b":" + field.lower(), b"X-Invalid Y: \r\n" + field]


_CHUNK, _LAST = b"\r\nhello\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"
_NO_LINE_END = (b"\n", b"\r", b"\rX", b"\r\r", b"\n\n", b"\n\r", b"\x0b\n", b"\x0c\r\n", b"\0\r\n")
_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"

FAMILIES: dict[str, list[bytes]] = {
    "a coding obscured": [POST + line + b"\r\n\r\n5" + _CHUNK for line in _obscured(b"Transfer-Encoding", b"chunked")],
    "a coding obscured beside a length": [
        POST + b"Content-Length: 5\r\n" + line + b"\r\n\r\n0\r\n\r\n"
        for line in _obscured(b"Transfer-Encoding", b"chunked")
    ],
    "a length obscured": [POST + line + b"\r\n\r\nhello" for line in _obscured(b"Content-Length", b"5")],
    "other codings": [
        POST + b"Transfer-Encoding: " + value + b"\r\n\r\n5" + _CHUNK
        for value in (
            *(b"chunk", b"'chunked'", b"ch\x96nked", b"chunked_", b"chunked identity", b"identity, chunked, identity"),
            *(b"=?iso-8859-1?B?Y2h1bmtlZA==?=", b"=?UTF-8?B?Y2h1bmtlZA==?=", "chun\u212aed".encode(), b"fugazi"),
        )
    ],
    "other lengths": [
        POST + b"Content-Length: " + value + b"\r\n\r\nhello"
        for value in (
            *(
                b"0 5",
                b"5 0",
                b"0, 5",
                b"5, 0",
                b"5,\t5",
                b"0o5",
                b"5h",
                b"5\xa0",
                b"\xb9",
                "\uff15".encode(),
                b"notdigits",
            ),
            *(b"18446744073709551621", b"-0", b"5;5", b"\r\nContent-Length: 5"),
        )
    ],
    "no line end behind a chunk's size": [CHUNKED + b"5" + end + b"hello" + _LAST for end in _NO_LINE_END],
    "no line end behind an extension": [CHUNKED + b"5;a" + end + b"hello" + _LAST for end in _NO_LINE_END],
    "no line end in an extension": [
        CHUNKED + before + end + behind + _CHUNK
        for end in _NO_LINE_END
        for before, behind in ((b"5;", b"a"), (b"5;a=", b"b"), (b'5;a="', b'b"'))
    ],
    "no line end behind a chunk": [
        CHUNKED + b"5\r\nhello" + end + b"0\r\n\r\n" for end in (*_NO_LINE_END, b"", b"XX", b" \r\n")
    ],
    "no line end behind the last chunk": [
        CHUNKED + b"5\r\nhello\r\n" + last + end + b"\r\n"
        for end in _NO_LINE_END
        for last in (b"0", b"0\r\n", b"0\r\nX: y")
    ],
    "no size of a chunk": [
        CHUNKED + size + _CHUNK
        for size in (
            b"5h",
            b"5,",
            b"5.0",
            b"'5'",
            b"5%",
            b"5=a",
            b"5 a",
            b"\xb9",
            b"5\xa0",
            b"10000000000000005",
            b"5 ;a",
        )
    ],
    "no name of a field": [_HEAD + b"he%cad: x\r\n\r\n" % odd for odd in b'"(),/;<=>?@[\\]{}']
    + [_HEAD + b"%cX: x\r\n\r\n" % odd for odd in b"\0\x0b\x0c\x7f\x80\xa0\xff"],
    "control characters": [_HEAD + b"X: a%cb\r\n\r\n" % odd for odd in range(32) if odd not in b"\t\r\n"]
    + [_HEAD + b"X: a\x7fb\r\n\r\n"],
    "no Host": [
        b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        for host in (
            *(b"\x06", b"\xff", b"{", b"}", b"a, b", b"a#b", b"a?b", b"a\\b", b"http://a", b"a:80:80", b"a:-1", b"::1"),
            *(b"[::1]x", b"a\tb", b'"a"', b"<a>", b"a^b", b"a`b", b"a|b", b"@a", b"a@b", b"a\r\n host: b"),
        )
    ],
    "no request line": [
        line + b"\r\nHost: a\r\n\r\n"
        for line in (
            *(
                b"GeT / HTTP/1.1",
                b"GET\x0b/ HTTP/1.1",
                b"GET /\x0bHTTP/1.1",
                b"GET /\xa0HTTP/1.1",
                b"GET\xa0/ HTTP/1.1",
            ),
            *(b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\t", b"GET /\r HTTP/1.1", b"GET/ HTTP/1.1", b"GET /HTTP/1.1"),
            *(b"/ HTTP/1.1", b"GET HTTP/1.1", b"G\0T / HTTP/1.1", b"GET /\x7f HTTP/1.1", b"GET /?\xff HTTP/1.1"),
            *(
                b"GET ?a HTTP/1.1",
                b"GET *a HTTP/1.1",
                b"GET http:/ HTTP/1.1",
                b"GET http://?a HTTP/1.1",
                b"BREW / HTTP/1.1",
            ),
            *(b"GET http://a\\b/ HTTP/1.1", b"GET file:///a HTTP/1.1", b"GET javascript:a HTTP/1.1", b"PRI * HTTP/1.1"),
            *(b"GET / HTTP/1", b"GET / HTTP/1.1.1", b"GET / HTTP/01.1", b"GET / HTTP/1.01", b"GET / HTTP/ 1.1"),
            *(b"GET / HTTP\\1.1", b"GET / HTTP/1,1", b"GET / HTTP/-1.1", b"GET / HTTPS/1.1", b"GET / HTP/1.1"),
            *(b"GET / HTTP/1.1 HTTP/1.1", b"GET / HTTP/3.0", b"\tGET / HTTP/1.1", b"NOTIFY * HTTP/1.1"),
        )
    ],
}
"""Family -> its requests."""
