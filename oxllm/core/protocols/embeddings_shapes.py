"""The parts that we read of an answer with embeddings."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from oxllm.core.protocols.values import NOTHING
from oxllm.core.shape import Shape


class Vectors(Shape, gc=False):
    """The vectors are base64 or lists of numbers, and are not decoded."""

    data: list[Raw] | None = None
    error: Raw = NOTHING
    usage: Raw = NOTHING
    model: Raw = NOTHING


decode_vectors = msgspec.json.Decoder(Vectors).decode
