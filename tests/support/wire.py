"""What the fake provider sends, as a pure function of the request, so that the load driver knows each byte.

The prompt of a request says what it wants: `play 40 events every 0.5 s after 0.05 s`, `answer 300 bytes`. The prompt
is the one part of a request that every gateway passes on as it is. A stream of the Responses or the Messages
API may also have large events: `in events of 500000 bytes`; in one of the Responses API, `answer 400000 bytes` is the
size of what the last event repeats.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

HEAD_END = b"\r\n\r\n"
DONE = b"data: [DONE]\n\n"

_PLAY = re.compile(rb"play (\d+) events every ([0-9.]+) s after ([0-9.]+) s")
_ANSWER = re.compile(rb"answer (\d+) bytes")
_ECHO = re.compile(rb"echoing (\d+) bytes")
_LARGE = re.compile(rb"in events of (\d+) bytes")
_CHUNK = (
    b'data: {"id":"chatcmpl-8fWz","object":"chat.completion.chunk","created":1700000000,"model":"big-1",'
    b'"choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n'
)


def play(events: int, every_s: float, after_s: float = 0.05) -> str:
    """The prompt that asks for a stream of `events` content events, one every `every_s`, the first after `after_s`."""
    return f"play {events} events every {every_s:g} s after {after_s:g} s"


def answer(size: int) -> str:
    """The prompt that asks for a plain answer of `size` bytes of content."""
    return f"answer {size} bytes"


def wanted_stream(body: bytes | bytearray) -> tuple[int, float, float]:
    """The arguments of `play`, as found in the body; if there are none, a single event at once."""
    found = _PLAY.search(body)
    return (int(found[1]), float(found[2]), float(found[3])) if found else (1, 0.0, 0.0)


def wanted_answer(body: bytes | bytearray) -> int:
    """Bytes of content that a plain answer should have."""
    found = _ANSWER.search(body)
    return int(found[1]) if found else 20


@lru_cache(maxsize=4096)
def content_event(index: int) -> bytes:
    """The event of content number `index`, counted from 0. Each is different, so a loss or a swap shows."""
    delta = b'{"content":"%06d%b"}' % (index, b" lorem" * 4)
    return _CHUNK % (delta, b"null")


FIRST_EVENT = _CHUNK % (b'{"role":"assistant","content":""}', b"null")
LAST_EVENT = _CHUNK % (b"{}", b'"stop"')


class Told(NamedTuple):
    """How an API sends a stream."""

    first: Callable[[int], bytes]
    """What comes before content, with this many bytes of the request in it."""
    content: Callable[[int, int], bytes]
    """The content event with this number, counted from 0, of at least this many bytes."""
    last: Callable[[int], bytes]
    """The end, with this many bytes in it."""


def _named(kind: bytes, members: bytes) -> bytes:
    return b'event: response.%b\ndata: {"type":"response.%b","sequence_number":1,%b}\n\n' % (kind, kind, members)


@lru_cache(maxsize=4)
def _response_start(echo: int) -> bytes:
    response = _RESPONSE % (b"in_progress", b"", b"null")
    if echo:  # as in the API, which sends instructions and tools twice
        response = response.replace(b'"output"', b'"instructions":"%b","output"' % (b"i" * echo))
    return _named(b"created", response) + (_named(b"in_progress", response) if echo else b"")


@lru_cache(maxsize=256)
def _response_delta(index: int, size: int) -> bytes:
    """A piece of text or, if it is to be large, of a picture; each has its number in it."""
    if size:
        return _named(
            b"image_generation_call.partial_image", b'"index":%d,"partial_image_b64":"%b"' % (index, b"A" * size)
        )
    place = b'"item_id":"msg_1","output_index":0,"content_index":0'
    return _named(b"output_text.delta", b'%b,"delta":"%06d%b"' % (place, index, b" lorem" * 4))


@lru_cache(maxsize=4)
def _response_end(size: int) -> bytes:
    usage = b'{"input_tokens":9,"output_tokens":12,"total_tokens":21}'
    item = b'{"type":"message","content":[{"type":"output_text","text":"%b"}]}' % (b"x" * size)
    response = _RESPONSE % (b"completed", item, usage)
    return _named(b"output_item.done", b'"output_index":0,"item":{"type":"message"}') + _named(b"completed", response)


ANSWER_ID = b"resp_00000000"
"""The id in each response as expected; a provider numbers them."""
_RESPONSE = (
    b'"response":{"id":"resp_00000000","object":"response","created_at":1,"status":"%b","output":[%b],"usage":%b}'
)


def _block_event(kind: bytes, members: bytes) -> bytes:
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (kind, kind, members)


@lru_cache(maxsize=256)
def _message_delta(index: int, size: int) -> bytes:
    text = b'"%06d%b"' % (index, b" lorem" * 4 + b"A" * size)
    return _block_event(b"content_block_delta", b',"index":0,"delta":{"type":"text_delta","text":%b}' % text)


_MESSAGE = b',"message":{"id":"msg_1","type":"message","role":"assistant","model":"big-1","content":[],"usage":%b}'
_MESSAGE_START = _block_event(b"message_start", _MESSAGE % b'{"input_tokens":9,"output_tokens":1}') + _block_event(
    b"content_block_start", b',"index":0,"content_block":{"type":"text","text":""}'
)
_MESSAGE_END = (
    _block_event(b"content_block_stop", b',"index":0')
    + _block_event(b"message_delta", b',"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":12}')
    + _block_event(b"message_stop", b"")
)
CHAT = Told(lambda echo: FIRST_EVENT, lambda index, size: content_event(index), lambda size: LAST_EVENT + DONE)
RESPONSES = Told(_response_start, _response_delta, _response_end)
MESSAGES = Told(lambda echo: _MESSAGE_START, _message_delta, lambda size: _MESSAGE_END)


def numbered(events: bytes, number: int) -> bytes:
    """The same events, with the number of an answer."""
    return events.replace(ANSWER_ID, b"resp_%08d" % number)


def unnumbered(events: bytes | bytearray) -> bytes:
    """The events of any answer, with the id that is expected."""
    return _NUMBERED.sub(ANSWER_ID, events)


_NUMBERED = re.compile(rb"resp_\d{8}")


def told(path: bytes) -> Told:
    """How the API of a path sends a stream."""
    return RESPONSES if path.endswith(b"/responses") else MESSAGES if path.endswith(b"/messages") else CHAT


def wanted_size(body: bytes | bytearray) -> int:
    """Bytes that the prompt asks for in each event, 0 if it does not say."""
    found = _LARGE.search(body)
    return int(found[1]) if found else 0


def in_events_of(size: int) -> str:
    """The rest of a prompt that asks for large events."""
    return f"in events of {size} bytes"


def wanted_echo(body: bytes | bytearray) -> int:
    """Bytes of the request that its prompt asks to have repeated, 0 if it does not say."""
    found = _ECHO.search(body)
    return int(found[1]) if found else 0


def echoing(size: int) -> str:
    """The rest of a prompt that asks for `size` bytes of the request in the first events."""
    return f"echoing {size} bytes"


@lru_cache(maxsize=16)
def whole_stream(events: int, told: Told = CHAT, large: int = 0, size: int = 0, echo: int = 0) -> bytes:
    """The event stream as a client must receive it, every byte."""
    return b"".join((told.first(echo), *(told.content(index, large) for index in range(events)), told.last(size)))


@lru_cache(maxsize=16)
def plain_answer(size: int) -> bytes:
    """A chat completion whose content is `size` bytes."""
    return (
        b'{"id":"chatcmpl-8fWz","object":"chat.completion","created":1700000000,"model":"big-1","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"%b"},"finish_reason":"stop","logprobs":null}],'
        b'"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}}' % (b"x" * size)
    )


EMBEDDING = (
    b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,-0.5,1.0]}],"model":"vec-1",'
    b'"usage":{"prompt_tokens":2,"total_tokens":2}}'
)


def chat_body(prompt: str, *, model: str, stream: bool, size: int = 0) -> bytes:
    """A chat request of at least `size` bytes, filled up by its system message."""
    flag = b'"stream":true,' if stream else b""
    text = b'{"model":"%b",%b"messages":[{"role":"system","content":"%b"},{"role":"user","content":"%b"}]}'
    short = text % (model.encode(), flag, b"", prompt.encode())
    return text % (model.encode(), flag, b"p" * max(0, size - len(short)), prompt.encode())
