"""How much of a provider's error is believed, and that our key in it goes nowhere."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from oxllm.core.reading.outcome import Outcome
from oxllm.core.wire.body import PassedBody, RequestBody

SECRET_MIN: Final = 8
"""Characters of the shortest key that counts as a secret. Servers that need none get a placeholder ("EMPTY",
"ollama"), a word that any text may contain."""
ESCAPE_MAX: Final = 6
"""Bytes of one character of a key when JSON escapes it."""
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|/)")
"""JSON escapes that a key may have: PHP escapes a slash, .NET a plus, Gson an equals sign."""


def believed(result: Outcome, body: RequestBody | PassedBody | None, key: str | None) -> Outcome:
    """The outcome to act on. `body`: the request's, if we still have it. `key`: ours at the provider.

    If the words that decided the outcome only quote the request, the outcome is what it would be without them. A
    provider's error code goes into messages and logs, unless it contains our key.
    """
    if result.otherwise is not None and body is not None and body.says(result.grounds):
        result = result.otherwise
    if result.code and reveals(result.code.encode(), key):
        result = msgspec.structs.replace(result, code=None)
    return result


def reveals(body: bytes | bytearray, key: str | None) -> bool:
    """Whether a provider's body contains our key there. No client may get such a body."""
    if key is None or len(key) < SECRET_MIN:
        return False
    secret = key.encode()
    return secret in body or (b"\\" in body and secret in _ESCAPE.sub(_meant, body))


def reach(key: str | None) -> int:
    """How many bytes at the end of a part of a body may be the start of our key."""
    return 0 if key is None or len(key) < SECRET_MIN else len(key.encode()) * ESCAPE_MAX - 1


def _meant(escape: re.Match[bytes]) -> bytes:
    number = escape[1]
    return b"/" if number is None else chr(int(number, 16)).encode("utf-8", "surrogatepass")
