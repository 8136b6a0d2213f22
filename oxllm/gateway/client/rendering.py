"""Renders an HTTP/1.1 response: its head, and chunks of its body."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from oxllm.core.wire.chunks import SIZE_LINES

REASONS: Final = {
    200: "OK",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    422: "Unprocessable Content",
    426: "Upgrade Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
STATUS_LINES: Final = {status: f"HTTP/1.1 {status} {reason}\r\n".encode() for status, reason in REASONS.items()}

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def chunk(data: bytes) -> bytes:
    """A non-empty part of a body in chunked coding (RFC 9112 section 7.1)."""
    size = len(data)
    line = SIZE_LINES[size] if size < len(SIZE_LINES) else b"%x\r\n" % size
    return b"%b%b\r\n" % (line, data)


def bodiless(status: int) -> bool:
    """Whether a response of this status ends with its head (RFC 9112 section 6.3)."""
    return status in (204, 304)


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` with its line end. A status not in REASONS gets an empty phrase (RFC 9112 section 4)."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def render(
    status: int, request_id: str, headers: Sequence[tuple[bytes, bytes]], framing: bytes, body: bytes = b""
) -> bytes:
    """A whole head followed by `body`. `framing`: the lines that belong to the connection, each with its line end."""
    head = b"%bx-request-id: %b\r\n" % (status_line(status), request_id.encode())
    for name, value in headers:
        head = b"%b%b: %b\r\n" % (head, name, value)  # compiled, a join takes twice as long
    return b"%b%b\r\n%b" % (head, framing, body)


def http_date(wall: float) -> bytes:
    """Unix time as in a Date header (RFC 9110 section 5.6.7), whatever the locale."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(wall)
    return (f"{DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year} {hour:02}:{minute:02}:{second:02} GMT").encode()
