"""JSON in which half of a character stands alone.

`"\\ud83d"` is JSON, though no text (RFC 8259, 8.2). A server that cuts text by units of UTF-16, as Node's and Java's
do, sends an emoji as two such strings, and its clients put it together again. msgspec refuses them, so what it is given
to read has something else in their place; what is passed on is what came.
"""

from __future__ import annotations

import re
from typing import Final

_HIGH: Final = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rb"%b%b|(?P<half>%b|%b)|\\." % (_HIGH, _LOW, _HIGH, _LOW), re.DOTALL)
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_UNKNOWN: Final = rb"\ufffd"
"""U+FFFD, as long as what it stands for: every byte stays where it was."""


def without_halves(data: bytes) -> bytes:
    """`data` with U+FFFD for each half that is alone; `data` itself if there is none."""
    if _HALF.search(data) is None:
        return data
    found = _ESCAPE.sub(_whole, data)
    return data if found == data else found


def _whole(escape: re.Match[bytes]) -> bytes:
    return escape[0] if escape["half"] is None else _UNKNOWN
