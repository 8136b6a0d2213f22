"""Embeddings: vectors in one JSON answer."""

from __future__ import annotations

import re
from typing import Final

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Protocol, Reader
from oxllm.core.protocols.chat import read_usage
from oxllm.core.protocols.embeddings_shapes import decode_vectors
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.protocols.plain import PlainReader
from oxllm.core.protocols.values import EMPTY, name_in
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Outcome, in_band


class VectorReader(PlainReader):
    """Reads one answer."""

    __slots__ = ()
    START = re.compile(rb'"data"\s*:\s*\[\s*\{')

    def check(self, body: bytes) -> Outcome | None:
        """Vectors without an error."""
        answer = decode_vectors(body)
        if answer.error not in EMPTY:
            return in_band(body, self._wall, "an error instead of an answer")
        if not answer.data:
            return in_band(body, self._wall, "no embeddings")
        self.usage = read_usage(answer.usage)
        self.model = name_in(answer.model)
        return None


class Embeddings(Protocol):
    """`POST /embeddings` (https://platform.openai.com/docs/api-reference/embeddings). There is no stream of them."""

    __slots__ = ()
    name = "embeddings"
    endpoints = (Endpoint("POST", "/embeddings"),)

    def plain_reader(self, asked: Asked, headers: Headers, wall: float) -> Reader:
        """Reads one list of embeddings."""
        return VectorReader(wall)


PROTOCOL: Final = Embeddings()
