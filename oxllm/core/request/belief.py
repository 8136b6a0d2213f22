"""What is believed, kept and passed on of what a provider says about its error."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from oxllm.core.reading.outcome import Outcome
from oxllm.core.wire.body import PassedBody, RequestBody

SECRET_MIN: Final = 8
"""Characters of a key that is a secret. Servers that need none get some word in its place ("EMPTY", "ollama"), which
any text may have."""
ESCAPE_MAX: Final = 6
"""Bytes of a character of a key that JSON has escaped."""
_ESCAPE: Final = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|/)")
"""How JSON may have a character of a key: PHP escapes a slash, .NET a plus, Gson an equals sign."""


def believed(result: Outcome, body: RequestBody | PassedBody | None, key: str | None) -> Outcome:
    """An outcome as it is acted upon. `body`: of the request, if it is still there. `key`: ours at the provider.

    An error whose words only repeat what the request says itself means what it is without them. A provider's code goes
    into messages and logs, whatever it is: but never when it repeats our key.
    """
    if result.otherwise is not None and body is not None and body.says(result.grounds):
        result = result.otherwise
    if result.code and reveals(result.code.encode(), key):
        result = msgspec.structs.replace(result, code=None)
    return result


def reveals(body: bytes | bytearray, key: str | None) -> bool:
    """A body that says our key at its provider goes to no client, however well it is meant."""
    if key is None or len(key) < SECRET_MIN:
        return False
    secret = key.encode()
    return secret in body or (b"\\" in body and secret in _ESCAPE.sub(_meant, body))


def reach(key: str | None) -> int:
    """How many bytes at the end of a part of a body may begin our key without saying all of it."""
    return 0 if key is None or len(key) < SECRET_MIN else len(key.encode()) * ESCAPE_MAX - 1


def _meant(escape: re.Match[bytes]) -> bytes:
    number = escape[1]
    return b"/" if number is None else chr(int(number, 16)).encode("utf-8", "surrogatepass")
