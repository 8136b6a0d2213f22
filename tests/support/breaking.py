"""A provider's stream that breaks where and how the prompt says.

`break at 17 by rst` anywhere in a request's body: 17 bytes of the stream, then a reset. So one gateway can meet
a break at each place, in any API. The ways to break:

    fin      the connection is closed
    rst      it is reset
    clean    the chunks end properly
    stall    nothing more comes
    garbage  an invalid event comes, and then the proper end
"""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.support.chat_bytes import LAST_CHUNK, chunk, chunked_head
from tests.support.scripted import CLOSE, HANG, KEEP, RESET, Asked, Steps, answer

ENDS: dict[str, Steps] = {
    "fin": [CLOSE],
    "rst": [0.1, RESET],  # after a pause, so that what was sent is usually read
    "clean": [LAST_CHUNK, KEEP],
    "stall": [HANG],
    "garbage": [chunk(b"data: {garbage\n\n"), LAST_CHUNK, KEEP],
}
WAYS = tuple(ENDS)
_WANTED = re.compile(rb"break at (\d+) by (\w+)")
_STREAM = re.compile(rb'"stream": *true')


def prompt(at: int, way: str) -> str:
    """The prompt that has the stream break there."""
    return f"break at {at} by {way}"


def breaking(stream: bytes, *, steady: bool = False, plain: bytes | None = None) -> Callable[[Asked], Steps]:
    """The provider's reply. `steady`: ignores the prompt. `plain`: the answer to a request that wants no stream."""

    def reply(asked: Asked) -> Steps:
        if plain is not None and _STREAM.search(asked.body) is None:
            return [*answer(200, plain), KEEP]
        wanted = None if steady else _WANTED.search(asked.body)
        at, way = (int(wanted[1]), wanted[2].decode()) if wanted else (len(stream), "clean")
        return [chunked_head(), *([chunk(stream[:at])] if at else []), *ENDS[way]]

    return reply
