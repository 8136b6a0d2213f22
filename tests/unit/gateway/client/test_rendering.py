"""What goes out to a client, byte by byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.wire.chunks import SIZE_LINES
from oxllm.gateway.client.rendering import chunk, render

fields = st.lists(st.tuples(st.sampled_from([b"x-a", b"vary"]), st.sampled_from([b"", b"b", b"c, d"])), max_size=4)


@given(st.integers(1, 2000) | st.sampled_from([len(SIZE_LINES) - 1, len(SIZE_LINES), len(SIZE_LINES) + 1]))
def test_a_chunk_says_its_size_in_hexadecimal(size: int) -> None:
    line, data = chunk(b"x" * size).split(b"\r\n", 1)
    assert line == f"{size:x}".encode()
    assert data == b"x" * size + b"\r\n"


@given(
    st.sampled_from([200, 299]), fields, st.sampled_from([b"", b"content-length: 2\r\n"]), st.sampled_from([b"", b"ok"])
)
def test_a_head_has_all_its_lines_in_order(
    status: int, headers: list[tuple[bytes, bytes]], framing: bytes, body: bytes
) -> None:
    lines = [b"HTTP/1.1 200 OK" if status == 200 else b"HTTP/1.1 299 ", b"x-request-id: id-1"]
    lines += [b": ".join(field) for field in headers]
    expected = b"".join(line + b"\r\n" for line in lines) + framing + b"\r\n" + body
    assert render(status, "id-1", headers, framing, body) == expected
