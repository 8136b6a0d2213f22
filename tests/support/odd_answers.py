"""Odd answers of providers, and ones that are no HTTP, as the test suites of other clients have them: llhttp's
test/response, Go's net/http (TestReadResponse), hyper's tests/client.rs, h11, aiohttp, and curl's tests/data.

Each has the same body, a chat completion that says "odd".
"""

from __future__ import annotations

from tests.support.chat_bytes import LAST_CHUNK, chunk
from tests.support.scripted import completion

BODY = completion("odd")
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
SIZE = b"%x" % len(BODY)
OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"Content-Type: application/json\r\n"
SIZED = JSON + LENGTH + b"\r\n" + BODY
CHUNKED = JSON + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = CHUNKED + chunk(BODY[:20]) + chunk(BODY[20:]) + LAST_CHUNK


def _head(*lines: bytes) -> list[bytes]:
    """An answer with each of these lines in its head."""
    return [OK + line + b"\r\n" + SIZED for line in lines]


def _coded(*codings: bytes) -> list[bytes]:
    return [OK + JSON + b"Transfer-Encoding:" + coding + b"\r\n\r\n" + CHUNKS[len(CHUNKED) :] for coding in codings]


def _long(*lengths: bytes) -> list[bytes]:
    return [OK + JSON + b"Content-Length:" + length + b"\r\n\r\n" + BODY for length in lengths]


SOUND: dict[str, list[bytes]] = {
    "status lines": [
        line + b"\r\n" + SIZED
        for line in (
            *(b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200  OK", b"HTTP/1.1 200 200 OK", b"HTTP/1.1 200 a: b"),
            *(b"HTTP/1.1 200 Ori\xebnt", b"HTTP/1.1 200 a\tb", b"HTTP/1.1 200 " + b"x" * 3000),
        )
    ],
    "interim answers": [
        interim + OK + rest
        for rest in (SIZED, CHUNKS)
        for interim in (
            *(b"HTTP/1.1 100 Continue\r\n\r\n" * 10, b"HTTP/1.1 100\r\n\r\n", b"HTTP/1.1 199 X\r\n\r\n"),
            *(b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"),
            *(b"HTTP/1.0 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n"),
            *(b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n", b"HTTP/1.1 100 C\r\nContent-Length: 0\r\n\r\n"),
            *(b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n",),
            *(b"HTTP/1.1 103 Early Hints\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",),
        )
    ],
    "an offer to upgrade": [
        OK + b"Upgrade: h2,h2c\r\nConnection: Upgrade" + more + b"\r\n" + rest
        for more in (b"", b", Keep-Alive")
        for rest in (SIZED, CHUNKS)
    ],
    "codings": _coded(b"chunked", b"\tchunked", b" chunked\t", b" CHUNKED", b"   Chunked  "),
    "lengths": _long(*(form % len(BODY) for form in (b"%d", b" 0%d", b" 0000000000%d", b"   %d  "))),
    "chunks": [
        OK + CHUNKED + chunks
        for chunks in (
            *(
                SIZE + extension + b"\r\n" + BODY + b"\r\n" + LAST_CHUNK
                for extension in (b";a", b";a=b", b';a="b c;d"')
            ),
            *(size + b"\r\n" + BODY + b"\r\n" + LAST_CHUNK for size in (SIZE.upper(), b"000" + SIZE)),
            *(chunk(BODY) + last + b"\r\n\r\n" for last in (b"0000", b"0;a", b"0\r\nX: y\r\nY: z", b"0\r\nX: \xff")),
            *(
                chunk(BODY) + b"0\r\n" + line + b"\r\n\r\n"
                for line in (b"Host: x", b"Connection: close", b"X: " + b"y" * 8000)
            ),
            b"".join(map(chunk, (BODY[at : at + 1] for at in range(len(BODY))))) + LAST_CHUNK,
        )
    ],
    "fields": _head(
        *(
            b"openai-x: caf\xe9 \xff",
            b"openai-x: a\tb",
            b"openai-x:y",
            b"openai-x:",
            b"x-request-id: \xe9",
            b"retry-after: \t3\t",
        ),
        *(
            b"!#$%&'*+-.^_`|~: x\r\nx-ratelimit-!#: y",
            b"X: " + b"y" * 30_000,
            b"X" * 5000 + b": y",
            b"X: y\r\n" * 150 + b"Y: z",
        ),
        *(b"Set-Cookie: a=b; Path=/\r\n" * 20 + b"Set-Cookie: c=d", b"Keep-Alive: timeout=5, max=100", b"Trailer: X"),
        *(
            b"Connection: keep-alive, foo",
            b"Connection: openai-x\r\nopenai-x: 1",
            b"DCLK_imp: v7;x;",
            b"Server: a/b (c d)",
        ),
    ),
}
"""Family -> answers that are one, and whole, however odd; the connection may be used again."""

LAST: dict[str, list[bytes]] = {
    "closed": [
        *_head(b"Connection: close", b"Connection: keep-alive\r\nConnection: close"),
        b"HTTP/1.0 200 OK\r\n" + SIZED,
    ],
    "chunks in HTTP/1.0": [b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + CHUNKS],
    "followed by more": [
        OK + rest + more
        for rest in (SIZED, CHUNKS)
        for more in (b"\r\n", b"\n", b"x", b"\0", OK + SIZED.replace(b"odd", b"bad"), b"HTTP/1.1 408 Late\r\n\r\n")
    ],
}
"""The same, but nothing may be asked over the connection any more."""

UNTIL_EOF: list[bytes] = [
    *(OK + JSON + b"\r\n" + BODY, b"HTTP/1.0 200 OK\r\n" + JSON + b"\r\n" + BODY),
    *(OK + b"Upgrade: h2c\r\nConnection: Upgrade, close\r\n" + JSON + b"\r\n" + BODY,),
    *(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + JSON + b"\r\n" + BODY,),
    *((OK + CHUNKS)[:-2], (OK + CHUNKS)[:-2] + b"X: y"),  # in the trailers, which nobody reads: RFC 9112 section 8
]
"""Answers that the end of the connection ends."""

UNSOUND: dict[str, list[bytes]] = {
    "status lines": [
        line + SIZED
        for line in (
            *(b"HTTP/1.1 200 OK\n", b"HTTP/1.1 200 OK\r\r\n", b"HTTP/1.1\t200 OK\r\n", b"HTTP/1.1  200 OK\r\n"),
            *(
                b"HTTP/0.9 200 OK\r\n",
                b"HTTP/2.0 200 OK\r\n",
                b"HTTP/2 200\r\n",
                b"HTTP/1 200 OK\r\n",
                b"HTTP/5.6 200 OK\r\n",
            ),
            *(b"HTTP/1.10 200 OK\r\n", b"HTTP/01.1 200 OK\r\n", b"HTTP/1.01 200 OK\r\n", b"HTTP/11.1 200 OK\r\n"),
            *(b"http/1.1 200 OK\r\n", b"HTTPER/1.1 200 OK\r\n", b"HTP/1.1 200 OK\r\n", b" HTTP/1.1 200 OK\r\n"),
            *(
                b"ICY 200 OK\r\n",
                b"ICE/1.0 200 OK\r\n",
                b"RTSP/1.0 200 OK\r\n",
                b"SIP/2.0 200 OK\r\n",
                b"Status: 200 OK\r\n",
            ),
            *(
                b"HTTP/1.1 20 OK\r\n",
                b"HTTP/1.1 2 OK\r\n",
                b"HTTP/1.1 2000 OK\r\n",
                b"HTTP/1.1 0200 OK\r\n",
                b"HTTP/1.1\r\n",
            ),
            *(b"HTTP/1.1 200OK\r\n", b"HTTP/1.1 -200 OK\r\n", b"HTTP/1.1 +200 OK\r\n", b"HTTP/1.1 2x0 OK\r\n"),
            *(b"HTTP/1.1 000 OK\r\n", b"HTTP/1.1 099 OK\r\n", b"HTTP/1.1 600 OK\r\n", b"HTTP/1.1 999 OK\r\n"),
            *(
                b"HTTP/1.1200 OK\r\n",
                b"HTTP/1.1\0 200 OK\r\n",
                b"\xef\xbb\xbfHTTP/1.1 200 OK\r\n",
                b"GET / HTTP/1.1\r\n",
            ),
        )
    ],
    "other protocols": [
        *(b"SSH-2.0-OpenSSH_9.6\r\n", b"220 mail ESMTP\r\n", b"-ERR unknown command\r\n", b"<html>hello</html>", BODY),
        *(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64", b"\x15\x03\x01\0\x02\x02\x46", b"\0" * 200, b"\r\n\r\n\r\n"),
    ],
    "interim answers": [
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + OK + SIZED,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
        b"HTTP/1.1 100 Continue\r\n\r\nRTSP/1.0 200 OK\r\n" + SIZED,
    ],
    "codings": _coded(
        *(
            b" gzip, chunked",
            b" identity",
            b"",
            b" chunked, chunked",
            b" chunked, gzip",
            b" xchunked",
            b" chunkedchunked",
        ),
        *(b"\x0bchunked", b' "chunked"', b" ,chunked", b" chunked,", b" chunked;q=1", b" chunked\0", b" deflate"),
        *(b" chunked\r\nTransfer-Encoding: " + other for other in (b"chunked", b"identity")),
        *(b" cow\r\nTransfer-Encoding: chunked",),
    ),
    "codings and lengths": [
        OK + LENGTH + CHUNKS,
        OK + b"Transfer-Encoding: chunked\r\n" + SIZED,
        OK + b"Content-Length: 0\r\n" + CHUNKS,
    ],
    "lengths": _long(
        *(
            form % len(BODY)
            for form in (b" +%d", b" -%d", b" 0x%x", b" %d.0", b" %de0", b" %dabc", b" %d 5", b" %d;", b" \xa0%d")
        ),
        *(form % len(BODY) for form in (b"\x0b%d", b' "%d"', b" %d\0", b" %d, 9", b" %d\r\nContent-Length: 3")),
        *(b" " + b"9" * 30, b" %d" % (2**64 + len(BODY)), b"", b" 1_0", b" foo"),
    ),
    "fields": _head(
        *(
            b"X: y\r\n z",
            b"X: y\r\n\tz",
            b"X: y\nZ: w",
            b"X: y\rZ: w",
            b"X: y\r",
            b"X: y\0",
            b"X: \x01",
            b"X: a\x0bb",
            b"X: a\x1bb",
        ),
        *(
            b"X Y: z",
            b"X : y",
            b"X\t: y",
            b"XXX",
            b": y",
            b"X\xe9: y",
            b"X\0: y",
            b" X: y",
            b"\tX: y",
            b"X(y): z",
            b'"X": z',
        ),
        *(b"openai-x: a\x01b", b"openai-x: a\x7fb", b"openai-x: a\rSet-Cookie: b", b"openai-x: a\nSet-Cookie: b"),
        *(b"X: " + b"y" * 70_000, b"X: y\r\n" * 300 + b"Y: z"),
    ),
    "chunks": [
        OK + CHUNKED + chunks
        for chunks in (
            *(
                size + b"\r\n" + BODY + b"\r\n" + LAST_CHUNK
                for size in (b"0x" + SIZE, b"+" + SIZE, b"-" + SIZE, b"zz", b"1_0", b"")
            ),
            *(
                size + b"\r\n" + BODY + b"\r\n" + LAST_CHUNK
                for size in (b"1" + b"0" * 16 + SIZE, SIZE + b";\0", SIZE + b";\n", SIZE + b" ")
            ),
            *(SIZE + b"\n" + BODY + b"\r\n" + LAST_CHUNK, SIZE + b"\r\n" + BODY + b"\n" + LAST_CHUNK, BODY),
            *(
                SIZE + b"\r\n" + BODY + b"X\r\n" + LAST_CHUNK,
                SIZE + b"\r\n" + BODY + LAST_CHUNK,
                chunk(BODY[:30]) + b"zz\r\n",
            ),
            *(
                chunk(BODY) + b"0\r\n" + line + b"\r\n"
                for line in (b"A: b\n", b"A b: c\r\n", b"A: b\r\n c\r\n", b"AAA\r\n")
            ),
        )
    ],
}
"""Family -> answers that are none."""

CUT: list[bytes] = [
    *(b"", b"HTTP/1.1 200", OK, b"HTTP/1.1 100 Continue\r\n\r\n", (OK + SIZED)[:-3], OK + CHUNKED + chunk(BODY)[:-9]),
    *((OK + CHUNKS)[: -len(LAST_CHUNK)], (OK + CHUNKS)[:-4], OK + CHUNKED + b"f" * 16 + b"\r\n" + BODY),
]
"""Answers that the end of the connection cuts off."""

NO_SIZE: tuple[bytes, ...] = (
    *(
        b"%x\n%b\r\n",
        b"0x%x\r\n%b\r\n",
        b"-%x\r\n%b\r\n",
        b"1%016x\r\n%b\r\n",
        b"%x;\n%b\r\n",
        b"%xzz\r\n%b\r\n",
        b"%x \r\n%b\r\n",
    ),
)
"""Chunks (size, data) that are none from the start."""
NO_END: tuple[bytes, ...] = (b"%x\r\n%b\n", b"%x\r\n%bX\r\n", b"%x\r\n%b\r\r\n", b"%x\r\n%b  \r\n")
"""Chunks whose data is followed by something else than the end of a chunk."""
