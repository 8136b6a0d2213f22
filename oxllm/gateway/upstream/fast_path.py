"""A fast path for the heads and chunks that nearly every provider sends. All else is left to llhttp (`response`).

It accepts only what llhttp would read the same way: a head of one version, without folded lines, control characters or
names that are not tokens, framed exactly once; and complete chunks without extensions.
"""

from __future__ import annotations

from typing import Final, cast

from oxllm.core.known import Known
from oxllm.core.reading.hints import Headers
from oxllm.core.wire.chunks import SIZE_LINES

STATUS_LINES: Final = {
    b"HTTP/1.1 %d%b" % (status, reason): status
    for status, words in ((200, b"OK"), (201, b"Created"), (202, b"Accepted"))
    for reason in (b"", b" ", b" " + words)
}
"""Status lines of successes; errors may take the slow path."""
TEXT: Final = bytes(byte if byte == 9 or 32 <= byte != 127 else ord("?") for byte in range(256))
"""Translation table that leaves unchanged exactly what a line may hold."""
TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The characters of a field name (RFC 9110 section 5.6.2)."""
DECIDING_MAX: Final = 64
"""Cached lines that decide the framing: nearly all responses share three, but there are many lengths."""
FIELDS_MAX: Final = 100
"""Fields in a head; a longer one is left to `response`, which has the limit."""
LINES_MAX: Final = 256
"""Other lines cached. Of the 25 that a provider behind a CDN sends, 15 are the same each time."""
LINE_MAX: Final = 128
"""Bytes of a cached line. The caches take 160 KB at most."""
DIGITS_MAX: Final = 8
"""Digits of a chunk's size."""
HEX: Final = b"0123456789abcdefABCDEF"
LAST_CHUNK: Final = b"0\r\n\r\n"
CRLF: Final = b"\r\n"

LENGTH: Final = b"content-length"
CODING: Final = b"transfer-encoding"
CONNECTION: Final = b"connection"
DECIDES: Final = frozenset((LENGTH, CODING, CONNECTION, b"proxy-connection", b"upgrade"))
"""Fields that decide the body's framing, and whether the connection is kept alive."""
CHUNKED: Final = -1
KEEPS: Final = -2
"""Says nothing of the length, and the connection is kept alive."""
CLOSES: Final = -3

Head = tuple[int, Headers, int, bool]
"""Status; fields, names in lower case; length of the body, or CHUNKED; whether the connection closes."""
Field = tuple[bytes, ...]
"""Name and value. (A `tuple[bytes, bytes]` would be unboxed and boxed by compiled code at each access.)"""
Line = tuple[Field, int]
"""A field, and what it says of the framing: a length, or one of the above."""

known: Final[dict[bytes, Field]] = {}
"""Cache of plain lines that are sound. Most of a provider's lines are the same each time."""
deciding: Final[dict[bytes, Line]] = {}
"""Cache of the lines that decide the framing."""


def head(data: bytes) -> Head | None:
    """Parse a head, given without its final empty line; None if it is left to llhttp."""
    lines = data.split(CRLF)
    status = STATUS_LINES.get(lines.pop(0))
    if status is None or len(lines) >= FIELDS_MAX:
        return None
    fields: list[Field] = []
    length = KEEPS
    closes = False
    for line in lines:
        field = known.get(line)
        if field is None:
            read = deciding.get(line) or _read(line)
            if read is None:
                return None
            field, says = read
            if says == CLOSES:
                closes = True
            elif says != KEEPS:
                if length != KEEPS:
                    return None
                length = says
        fields.append(field)
    return None if length == KEEPS else (status, cast("Headers", fields), length, closes)


def _read(line: bytes) -> Line | None:
    """Parse a line that is not cached; None if it is left to llhttp."""
    sent, colon, value = line.partition(b":")
    name = _names[sent]
    if name is None or not colon:
        return None
    field = name, value.lstrip(b" \t")
    if name in DECIDES:
        return _decide(line, field)
    if line.translate(TEXT) != line:
        return None
    if len(line) <= LINE_MAX:
        if len(known) >= LINES_MAX:
            known.clear()
        known[line] = field
    return field, KEEPS


def _decide(line: bytes, field: Field) -> Line | None:
    name, value = field
    if name == LENGTH and value.isdigit() and len(value) < 16:
        says = int(value)
    elif name == CODING and value == b"chunked":
        says = CHUNKED
    elif name == CONNECTION and value.lower() == b"close":
        says = CLOSES
    elif name == CONNECTION and value.lower() == b"keep-alive":
        says = KEEPS
    else:
        return None
    if len(line) <= LINE_MAX:
        if len(deciding) >= DECIDING_MAX:
            deciding.clear()
        deciding[line] = field, says
    return field, says


def _lower(sent: bytes) -> bytes | None:
    """A field name in lower case; None if it is not a valid one."""
    return None if not sent or sent.translate(None, TOKEN) else sent.lower()


_names: Final[dict[bytes, bytes | None]] = Known(_lower)


def chunk(data: bytes) -> bytes:
    """The content of `data` if that is exactly one chunk and not the last; else nothing."""
    # Only one chunk size fits a given total. (On 3.11 `find` and `startswith` take longer than a slice.)
    length = len(data)
    digits = 2 if 22 <= length <= 261 else 3 if 263 <= length <= 4102 else 4 if length >= 4104 else 1
    size = length - digits - 4
    if size <= 0 or data[-2:] != CRLF:
        return b""
    line = SIZE_LINES[size] if size < len(SIZE_LINES) else b"%x\r\n" % size
    sent = data[: digits + 2]
    if sent != line and sent != line.upper():
        return b""
    return data[digits + 2 : -2]


def chunks(data: bytes) -> bytes:
    """The same for any number of chunks."""
    part = chunk(data)
    if part:
        return part
    parts = []
    start = 0
    while start < len(data):
        at = data.find(CRLF, start + 1, start + DIGITS_MAX + 2)
        digits = data[start:at]
        if at < 0 or digits.strip(HEX):
            return b""
        end = at + 2 + int(digits, 16)
        if end == at + 2 or data[end : end + 2] != CRLF:
            return b""
        parts.append(data[at + 2 : end])
        start = end + 2
    return b"".join(parts)
