"""The shapes of a request's object members, as far as they are read."""

from __future__ import annotations

import msgspec

from oxllm.core.shape import Shape


class StreamOptions(Shape, gc=False):
    """`stream_options` of chat and completions."""

    include_usage: bool | None = None


class Metadata(Shape, gc=False):
    """`metadata` of the Messages API."""

    user_id: msgspec.Raw = msgspec.Raw(b"null")


decode_stream_options = msgspec.json.Decoder(StreamOptions).decode
decode_metadata = msgspec.json.Decoder(Metadata).decode
