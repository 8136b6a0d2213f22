"""Reads what nearly every provider sends, heads and chunks, in a few calls. It leaves all else to llhttp (`response`).

None of what is taken here would llhttp read in another way: a head of one version, without folded lines, control
characters or names that are no tokens, framed once, and chunks that are whole, without extensions.
"""

from __future__ import annotations

from typing import Final

from oxllm.gateway.upstream.call import Headers

STATUS_LINES: Final = {
    b"HTTP/1.1 %d%b" % (status, reason): status
    for status, words in ((200, b"OK"), (201, b"Created"), (202, b"Accepted"))
    for reason in (b"", b" ", b" " + words)
}
"""Those of answers; an error has time."""
TEXT: Final = bytes((9, *range(32, 127), *range(128, 256)))
"""What may stand in a line."""
TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""What a name is made of (RFC 9110 section 5.6.2)."""
NAMES_MAX: Final = 512
"""Names that are known; those of one provider and its CDN are some 40."""
NAME_MAX: Final = 64
"""Bytes of such a name."""
LINES_MAX: Final = 100
"""A longer head is left to who counts."""
DIGITS_MAX: Final = 8
"""Of a chunk's size."""
HEX: Final = b"0123456789abcdefABCDEF"
LAST_CHUNK: Final = b"0\r\n\r\n"
CRLF: Final = b"\r\n"

LENGTH: Final = b"content-length"
CODING: Final = b"transfer-encoding"
CONNECTION: Final = b"connection"
DECIDES: Final = frozenset((LENGTH, CODING, CONNECTION, b"proxy-connection", b"upgrade"))
"""What decides how a body ends, and whether the connection lives on."""

Head = tuple[int, Headers, int, bool]
"""Status; fields, names in lower case; length of the body, -1 if it comes in chunks; whether the connection closes."""

_names: Final[dict[bytes, bytes]] = {}
"""As they were sent -> one shared lower-case object."""
_deciding: Final[dict[bytes, bytes]] = {}
"""The same of those that decide."""


def head(data: bytes) -> Head | None:
    """Read a head, without the empty line behind it; None if that is llhttp's."""
    lines = data.split(CRLF)
    status = STATUS_LINES.get(lines.pop(0))
    if status is None or len(lines) >= LINES_MAX or data.translate(None, TEXT) != CRLF * len(lines):
        return None
    fields: Headers = []
    length = -2
    closes = False
    for line in lines:
        sent, colon, value = line.partition(b":")
        value = value.lstrip(b" \t")
        name = _names.get(sent)
        if not colon:
            return None
        if name is None:
            name = _deciding.get(sent) or _learn(sent)
            if name is None:
                return None
            if name in DECIDES:
                if name == CONNECTION and value.lower() in {b"close", b"keep-alive"}:
                    closes = closes or value.lower() == b"close"
                elif length != -2:
                    return None
                elif name == LENGTH and value.isdigit() and len(value) < 16:
                    length = int(value)
                elif name == CODING and value == b"chunked":
                    length = -1
                else:
                    return None
        fields.append((name, value))
    return None if length == -2 else (status, fields, length, closes)


def _learn(sent: bytes) -> bytes | None:
    """The name in lower case; None if it is none."""
    if not sent or len(sent) > NAME_MAX or sent.translate(None, TOKEN):
        return None
    if len(_names) + len(_deciding) >= NAMES_MAX:
        _names.clear()
        _deciding.clear()
    lower = sent.lower()
    known = _deciding if lower in DECIDES else _names
    known[sent] = lower = known.setdefault(lower, lower)
    return lower


def chunk(data: bytes) -> bytes:
    """What is in `data` if that is one whole chunk and not the last; else nothing."""
    # So many bytes can be one chunk of one size alone. (On 3.11 `find` and `startswith` take longer than a slice.)
    length = len(data)
    digits = 2 if 22 <= length <= 261 else 3 if 263 <= length <= 4102 else 4 if length >= 4104 else 1
    size = length - digits - 4
    if size <= 0 or data[-2:] != CRLF:
        return b""
    first = b"%x\r\n" % size
    if data[: digits + 2] != first and data[: digits + 2] != first.upper():
        return b""
    return data[digits + 2 : -2]


def chunks(data: bytes) -> bytes:
    """The same for any number of them."""
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
