"""JSON with lone surrogates: half of a character in a string.

`"\\ud83d"` is valid JSON, though not text (RFC 8259, 8.2). A server that cuts text by UTF-16 code units, as in Node and
Java, sends an emoji as two such strings, and its clients put it together again. msgspec refuses them, so it is given a
copy with replacements to decode; what is passed on stays as it came.
"""

from __future__ import annotations

import re
from typing import Final

_HIGH: Final = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rb"%b%b|(?P<half>%b|%b)|\\." % (_HIGH, _LOW, _HIGH, _LOW), re.DOTALL)
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR: Final = re.compile(_HIGH + _LOW)
_UNKNOWN: Final = rb"\ufffd"
"""U+FFFD as an escape, which is as long as what it replaces: all other bytes keep their place."""


def without_halves(data: bytes) -> bytes:
    """`data` with U+FFFD for each lone surrogate; `data` itself if there is none."""
    if _HALF.search(data) is None or not _has_halves(data):
        return data
    return _ESCAPE.sub(_whole, data)


def _has_halves(data: bytes) -> bool:
    """Whether something is left of the surrogates without the pairs: in nearly all texts nothing is, and to look at
    each of their escapes takes ten times as long."""
    return _HALF.search(_PAIR.sub(b"", data.replace(b"\\\\", b"  "))) is not None


def _whole(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape["half"] is None else _UNKNOWN
