"""What a chat provider sends, byte by byte: the one set of builders that all scripted providers use."""

from __future__ import annotations

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"


def token(text: str, index: int = 0) -> bytes:
    """An event of a stream with this content."""
    return b'data: {"choices":[{"index":%d,"delta":{"content":"%b"},"finish_reason":null}]}\n\n' % (
        index,
        text.encode(),
    )


def finish(index: int) -> bytes:
    """The last event of one choice."""
    return FINISH.replace(b'"index":0', b'"index":%d' % index)


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def sized(status: int, body: bytes, *fields: str, content_type: str = "application/json") -> bytes:
    """A whole response with its length."""
    lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {content_type}", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *fields, "", ""]).encode() + body


def chunked_head(content_type: str = "text/event-stream") -> bytes:
    """The head of a response in chunks."""
    return f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
