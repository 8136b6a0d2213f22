"""A stream in pieces: whole, byte by byte, or cut anywhere."""

from __future__ import annotations

from hypothesis import strategies as st


def told(draw: st.DrawFn, events: bytes) -> bytes:
    """Events whose lines end in one of the ways in which they may; the last of them may be cut."""
    stream = events.replace(b"\n", draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])))
    return stream[: len(stream) - draw(st.sampled_from([0, 0, 0, 1, 2, 9]))]


def cut(stream: bytes, data: st.DataObject | None) -> list[bytes]:
    """`stream` in pieces as `data` wants it, and byte by byte without it."""
    if data is None:
        return [stream[at : at + 1] for at in range(len(stream))]
    size = data.draw(st.sampled_from([0, 1, 2, 7, len(stream) or 1]), "piece size, 0: anywhere")
    if size:
        return [stream[at : at + size] for at in range(0, len(stream), size)]
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8), "places"))
    return [stream[start:stop] for start, stop in zip([0, *places], [*places, len(stream)], strict=True)]
