"""Answers as a pure function of (seed, provider, request), so that a splice or a gap in one can be proved.

Each token is one of 256 words, chosen by a hash of seed, provider, the request's fingerprint, the choice and the
token's position. Whoever knows the request can compute each provider's whole answer and compare: two providers agree on
one token in 256.
"""

from __future__ import annotations

import base64
import itertools
import struct
from collections.abc import Iterator

from oxllm.sim.provider.chance import digest

_ONSETS = ("b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z")
_RIMES = ("a", "e", "i", "o", "u", "an", "en", "in", "on", "un", "ar", "er", "é", "ö", "ai", "ou")
WORDS = tuple(f" {onset}{rime}" for onset in _ONSETS for rime in _RIMES)
_ENCODED = tuple(word.encode() for word in WORDS)
BLOCK = 64
"""Words drawn from one hash, one for each of its bytes."""


def _drawn(seed: int, provider: str, fingerprint: str, choice: int, block: int) -> bytes:
    """The indices of one block of the answer's words."""
    return digest(seed, provider, fingerprint, choice, "text", block, size=BLOCK)


def tokens(seed: int, provider: str, fingerprint: str, choice: int = 0) -> Iterator[str]:
    """The endless answer, token by token; an answer of n tokens is its first n."""
    for block in itertools.count():
        for number in _drawn(seed, provider, fingerprint, choice, block):
            yield WORDS[number]


def json_tokens(seed: int, provider: str, fingerprint: str) -> Iterator[bytes]:
    """The same, escaped for a JSON string."""
    for block in itertools.count():
        for number in _drawn(seed, provider, fingerprint, 0, block):
            yield _ENCODED[number]


def text(seed: int, provider: str, fingerprint: str, count: int, choice: int = 0) -> str:
    """The first `count` tokens as one string."""
    blocks = range(-(-count // BLOCK))
    drawn = b"".join(_drawn(seed, provider, fingerprint, choice, block) for block in blocks)
    return "".join([WORDS[number] for number in drawn[:count]])


def whole_tokens(answer: str, seed: int, provider: str, fingerprint: str) -> int | None:
    """How many whole tokens of this provider's answer `answer` consists of; None if it is not exactly so many."""
    position = 0
    for count, token in enumerate(tokens(seed, provider, fingerprint)):
        if position == len(answer):
            return count
        if not answer.startswith(token, position):
            return None
        position += len(token)
    raise AssertionError("the answer never ends")


def vector(seed: int, provider: str, fingerprint: str, dimensions: int) -> list[float]:
    """An embedding: `dimensions` numbers in [-1, 1), exact in 32-bit floats."""
    blocks = (digest(seed, provider, fingerprint, "vector", block, size=64) for block in range(dimensions // 32 + 1))
    shorts = struct.unpack(f"<{dimensions}h", b"".join(blocks)[: 2 * dimensions])
    return [short / 32768 for short in shorts]


def packed(vector: list[float]) -> str:
    """The vector in OpenAI's `encoding_format: "base64"`: little-endian 32-bit floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
