"""Places in a response where a fault can strike: `connect headers byte:N token:N end`."""

from __future__ import annotations

import msgspec

WORDS = ("connect", "headers", "byte", "token", "end")
COUNTED = ("byte", "token")


class Place(msgspec.Struct, frozen=True):
    """`connect`: before the first byte of the response (of kinds that strike connections: as soon as it is accepted).
    `headers`: half-way through the response head. `byte:N`: after N bytes of the response, head included.
    `token:N`: after the N-th token of content (in an answer that is no stream: that share of its body).
    `end`: when all but the end of the framing has been sent. An N beyond the answer means `end`."""

    word: str
    n: int = 0

    def __str__(self) -> str:
        return f"{self.word}:{self.n}" if self.word in COUNTED else self.word


HALF = Place("half")
"""Half of the body of an unstreamed answer; not a word of the grammar."""
HEADERS = Place("headers")
END = Place("end")


def token(n: int) -> Place:
    return Place("token", n)
