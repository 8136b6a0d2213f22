"""All other APIs that name a `model` and answer at once: whatever comes back is the answer.

    body                                                    means
    ----                                                    -----
    JSON, by its content type                               held and checked like other plain answers
    a JSON object with an `error` and no result             the failure that it names
    audio, an image, a stream of events, anything else      the answer, from its first byte on
    nothing                                                 no answer
    HTML, a content coding                                  no answer

A body that is not JSON cannot be checked: it is whole if its framing is, and if it is cut, the client's body is too.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Raw

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Protocol, Reader, check_coding, content_type
from oxllm.core.protocols.chat import read_usage
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.protocols.plain import PlainReader
from oxllm.core.protocols.values import EMPTY, decode_raw, name_in
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Kind, Outcome, in_band

_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode


class JsonReader(PlainReader):
    """Reads a JSON text of any kind."""

    __slots__ = ()
    START = re.compile(rb"[{\[]")

    def check(self, body: bytes) -> Outcome | None:
        """Anything but an error without a result."""
        try:
            members = _decode_members(body)
        except msgspec.ValidationError:  # not an object, but is it JSON?
            decode_raw(body)
            return None
        if members.get("error", EMPTY[0]) not in EMPTY and not _has_result(members):
            return in_band(body, self._wall)
        usage = members.get("usage")
        self.usage = None if usage is None else read_usage(usage)
        self.model = name_in(members.get("model", EMPTY[0]))
        return None


def _has_result(members: dict[str, Raw]) -> bool:
    """Whether a body has a non-empty list or object beside its `error`."""
    return any(
        bytes(memoryview(raw)[:1]) in (b"[", b"{") and raw not in EMPTY
        for name, raw in members.items()
        if name != "error"
    )


class RelayReader(Reader):
    """Passes on what comes."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """All of it."""
        self.content = 1
        return data

    def eof(self) -> Outcome | None:
        """The response has ended: None if there was anything in it."""
        if not self.content:
            self.failure = Outcome(Kind.BAD_ANSWER, "an empty body")
            return self.failure
        self.complete = self.finished = True
        return None


class Json(Protocol):
    """Rerank, moderations, images, speech."""

    __slots__ = ()
    name = "json"
    plain_head = ()
    endpoints = tuple(
        Endpoint("POST", path) for path in ("/rerank", "/moderations", "/images/generations", "/audio/speech")
    )

    def check_head(self, status: int, headers: Headers, asked: Asked) -> Outcome | None:
        """An answer may have any type except HTML, which is a proxy's error page."""
        if content_type(headers) == b"text/html":
            return Outcome(Kind.BAD_ANSWER, "HTML instead of an answer", status)
        return check_coding(status, headers)

    def plain_reader(self, asked: Asked, headers: Headers, wall: float) -> Reader:
        """Checks JSON, and passes on anything else."""
        kind = content_type(headers)
        return JsonReader(wall) if kind == b"application/json" or kind.endswith(b"+json") else RelayReader()


PROTOCOL: Final = Json()
