"""A client's request body: checked once, and passed on byte for byte with another `model`.

msgspec cuts the body into its top-level members as `dict[str, Raw]`: a Raw is a view of the received
buffer, so nothing but the names and a few small values is ever copied. Even inside a Raw, msgspec refuses what is
not in RFC 8259's grammar (NaN, trailing commas, control characters), and lone surrogates. The rest is
checked here, in slices of 64 KiB, since a body of 8 MiB must not take its memory twice:

- UTF-8: msgspec skips strings without decoding them.
- Nesting over 500: parsers upstream recurse (V8, Python and Go stop between 500 and 10,000); msgspec's own
  limit depends on the interpreter and on the caller's stack.
- Top-level members: each costs some 200 bytes as a dict entry, so a body of nothing else would cost 25 times
  its size. The OpenAI API has about 40.
- The names of these members: one emoji makes each character of a string take four bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Raw

from oxllm.core.reading import echo
from oxllm.core.wire.body_faults import (
    DEPTH_MAX,
    MEMBERS_MAX,
    BadBody,
    Buffer,
    check_nesting,
    explain,
    too_many,
    utf8_fault,
)
from oxllm.core.wire.body_shapes import decode_metadata, decode_stream_options
from oxllm.core.wire.nesting import SLICE
from oxllm.core.wire.outline import LONG_STRING, Outline

NAME_MAX: Final = 1024
"""Characters of a member's name, and of the model's and the session's: names are not storage."""
OPTIONS_MAX: Final = 4096
"""Bytes of `stream_options`, whose members are decoded if usage is to be asked for; the OpenAI API has two of them."""
CHARACTER_MAX: Final = 12
"""Bytes of one character in a JSON string: two escapes."""
LONG: Final = 1024 * 1024
"""Bytes from which on a body's names are looked at before they are decoded, and NAME_MAX is in bytes."""
JOIN_MAX: Final = 64 * 1024
"""Bytes of the largest value that is copied into a joined segment."""

Segment = bytes | memoryview


_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_raw: Final = msgspec.json.Decoder(Raw).decode
_decode_string: Final = msgspec.json.Decoder(str).decode
_decode_integer: Final = msgspec.json.Decoder(int).decode
_encode: Final = msgspec.json.Encoder().encode

_TRUE, _FALSE, _NULL = Raw(b"true"), Raw(b"false"), Raw(b"null")


class RequestBody:
    """One request body, cut into members. Keeps the received buffer alive."""

    __slots__ = ("_members", "_size", "model")

    def __init__(self, members: dict[str, Raw], size: int) -> None:
        self._members = members
        self._size = size
        self.model = _model(members)

    @staticmethod
    def parse(data: Buffer) -> RequestBody:
        """Check `data` and cut it into members. Raises BadBody."""
        size = len(data)
        if size > DEPTH_MAX:
            check_nesting(data)
        try:
            if size > LONG and (not data.isascii() or (b"\\" in data and b"\\u" in data)):
                _check_outline(data)
            members = _decode_members(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            fault: BadBody | None = explain(data, error)
        else:
            fault = None if data.isascii() else utf8_fault(data)
        if fault is not None:
            try:
                raise fault  # outside the handler, whose exception would keep a part of the body alive
            finally:
                del fault  # and so would this one: it refers to this frame, and the frame to it
        if size > NAME_MAX:
            _check_names(members)
        return RequestBody(members, size)  # by its name, not as `cls`: compiled, that is a direct call

    # Members that protocols read, on demand. Null counts as absent, as in the OpenAI API.

    def member(self, name: str) -> Raw | None:
        """A member's JSON text; None if it is absent or null."""
        raw = self._members.get(name)
        return None if raw is None or raw == _NULL else raw

    def flag(self, name: str) -> bool:
        """A boolean member, false if absent. Raises BadBody."""
        raw = self.member(name)
        if raw is None or raw == _FALSE:
            return False
        if raw == _TRUE:
            return True
        raise BadBody(f"`{name}` must be true or false", name)

    def session(self) -> str | None:
        """The client's name for the conversation that this belongs to, if the body has one. One of another shape is
        for the provider to judge."""
        key, metadata = self.member("prompt_cache_key"), self.member("metadata")
        named = text_in(key, NAME_MAX) if key is not None else None
        if named or metadata is None:
            return named
        try:
            return text_in(decode_metadata(metadata).user_id, NAME_MAX)
        except msgspec.ValidationError:
            return None

    def count(self, name: str) -> int:
        """An integer member; 1 if absent or below 1. Raises BadBody."""
        raw = self.member(name)
        if raw is None:
            return 1
        try:
            return max(1, _decode_integer(raw))
        except msgspec.ValidationError:
            pass
        raise BadBody(f"`{name}` must be an integer", name)

    def wants_usage(self) -> bool:
        """Whether the client asks for usage in its stream (`stream_options.include_usage`). Raises BadBody."""
        raw = self.member("stream_options")
        if raw is None:
            return False
        if len(raw) > OPTIONS_MAX:
            raise BadBody(f"`stream_options` is longer than {OPTIONS_MAX} bytes", "stream_options")
        try:
            return decode_stream_options(raw).include_usage is True
        except msgspec.ValidationError:
            pass
        wrong = "`stream_options` must be an object whose `include_usage` is true or false"
        raise BadBody(wrong, "stream_options")

    def says(self, runs: Sequence[Sequence[str]]) -> bool:
        """Whether one of these runs of words (in lower case) occurs in the request."""
        return any(echo.says(memoryview(raw), runs) for raw in self._members.values())

    def render(self, model: str, extra_body: Mapping[str, str], ask_usage: bool) -> tuple[int, list[Segment]]:
        """The body for one provider: its length, and its segments in order.

        `extra_body` maps names to JSON texts, which replace the client's members or are appended. `ask_usage`
        adds `include_usage` to the stream options. Values over 64 KiB are views of the received buffer.
        """
        members = self._members
        if extra_body or ask_usage:
            members = dict(members)
            for name, text in extra_body.items():
                members[name] = Raw(text.encode())
            if ask_usage:
                members["stream_options"] = _with_usage(members.get("stream_options"))
        members["model"] = Raw(_encode(model))
        if self._size > JOIN_MAX:
            return _segments(members)
        whole = _encode(members)
        return len(whole), [whole]


class PassedBody:
    """The body of a request that names no model: passed on as it is, and mostly empty."""

    __slots__ = ("_data",)

    def __init__(self, data: Buffer) -> None:
        self._data = bytes(data)

    def says(self, runs: Sequence[Sequence[str]]) -> bool:
        """Whether one of these runs of words (in lower case) occurs in the request."""
        return echo.says(self._data, runs)

    def render(self, model: str, extra_body: Mapping[str, str], ask_usage: bool) -> tuple[int, list[Segment]]:
        """The body for any provider: its length, and its segments."""
        return len(self._data), [self._data] if self._data else []


def text_in(raw: Raw, most: int) -> str | None:
    """The string that `raw` is; None if it is none, or has more than `most` characters.

    One that has far more is not decoded: a single emoji in it makes each of its characters take four bytes.
    """
    if len(raw) > CHARACTER_MAX * most + 2:
        return None
    try:
        text = _decode_string(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return text if len(text) <= most else None


def _model(members: dict[str, Raw]) -> str:
    raw = members.get("model")
    if raw is None:
        raise BadBody("the request has no `model`", "model")
    model = text_in(raw, NAME_MAX)
    if model is None:
        long = bytes(memoryview(raw)[:1]) == b'"'
        raise BadBody(f"`model` is longer than {NAME_MAX} characters" if long else "`model` must be a string", "model")
    return model


def _with_usage(raw: Raw | None) -> Raw:
    """Stream options that ask for usage, with the other members unchanged."""
    try:
        options = _decode_members(raw) if raw is not None else {}
    except msgspec.ValidationError:
        options = {}
    if options.get("include_usage") == _TRUE:
        assert raw is not None
        return raw
    options["include_usage"] = _TRUE
    return Raw(_encode(options))


def _segments(members: dict[str, Raw]) -> tuple[int, list[Segment]]:
    """A large body in segments: its big values as views, everything between them joined."""
    segments: list[Segment] = []
    joined = bytearray(b"{")
    total = 0
    for name, raw in members.items():
        joined += _encode(name)
        joined += b":"
        view = memoryview(raw)
        if view.nbytes > JOIN_MAX:
            segments += (bytes(joined), view)
            total += len(joined) + view.nbytes
            joined = bytearray()
        else:
            joined += view
        joined += b","
    joined[-1:] = b"}"
    segments.append(bytes(joined))
    return total + len(joined), segments


def _check_outline(data: Buffer) -> None:
    """Refuse names that are too long, of a body whose size makes it matter. Raises what `_decode_members` would."""
    _decode_raw(data)
    outline = Outline(1, NAME_MAX)
    for start in range(0, len(data), SLICE):
        outline.feed(bytes(data[start : start + SLICE]))
    if outline.too_large or LONG_STRING.decode() in _decode_members(outline.text):
        raise _too_long()


def _check_names(members: dict[str, Raw]) -> None:
    if len(members) > MEMBERS_MAX:
        raise too_many()
    if members and max(map(len, members)) > NAME_MAX:
        raise _too_long()


def _too_long() -> BadBody:
    return BadBody(f"the request body has a member whose name is longer than {NAME_MAX} characters")
