"""Reads the body of an error response, behind the same interface as an answer's reader."""

from __future__ import annotations

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Protocol, Reader
from oxllm.core.protocols.values import NOT_JSON, decode_raw
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Kind, Outcome, in_band
from oxllm.core.request.belief import reach, reveals

ERROR_BODY_MAX = 256 * 1024
"""Bytes kept of an error body, as many as of an answer that is kept until it is whole (`HELD_MAX`)."""


class ErrorReader(Reader):
    """Keeps an error body until it can be judged: when it ends, breaks off, or is too long to keep.

    One that is too long can still be passed on: `release` returns what was kept, unless it contains our key. The rest
    is passed on as it arrives, up to its end or our key; the last few bytes are always held, since the key may arrive
    in parts.
    """

    __slots__ = ("_asked", "_cut", "_fields", "_kept", "_key", "_passing", "_protocol", "_status", "_wall")

    def __init__(
        self, protocol: Protocol, asked: Asked, status: int, fields: Headers, wall: float, key: str | None
    ) -> None:
        """`key`: ours at the provider."""
        super().__init__()
        self._protocol = protocol
        self._asked = asked
        self._status = status
        self._fields = fields
        self._wall = wall
        self._key = key
        self._kept = bytearray()
        self._passing = False
        self._cut = False
        """Judged before its end, so what was kept is not all of it."""

    @property
    def pending(self) -> int:
        """Bytes kept."""
        return len(self._kept)

    def feed(self, data: bytes) -> bytes:
        """Another part. Returns nothing before the body was judged and released."""
        if self._passing:
            return self._pass(data)
        if self.failure is None:
            self._kept += data
            if len(self._kept) > ERROR_BODY_MAX:
                self._judge(cut=True)
        return b""

    def eof(self) -> Outcome | None:
        """The body has ended. None if it was passed on, else what the response means."""
        self.finished = True
        if self._passing:
            self.complete = True
            return None
        return self.failure or self._judge(cut=False)

    def broke_off(self, otherwise: Outcome) -> Outcome:
        """Judge by the head and what came of the body; `otherwise` if that was already passed on."""
        self.finished = True
        if self._passing:
            return otherwise
        return self.failure or self._judge(cut=True)

    def release(self) -> bytes:
        """What was kept of a body that is too long; the rest is passed on from now on. The exchange sets `result`,
        since it may not believe all that the body says."""
        if self.failure is None or self.finished or reveals(self._kept, self._key):
            return b""
        self.failure = None
        self._passing = True
        self.content = 1
        return self._pass(b"")

    def refusal(self) -> bytes | None:
        """Takes the body out of the reader; None if not all of it was kept."""
        body = self._pop()
        return None if self._cut and not _is_whole(body) else body

    def closing(self) -> bytes:
        """The held last bytes of a body that was passed on."""
        return self._pop()

    def _pass(self, data: bytes) -> bytes:
        kept = self._kept
        kept += data
        if reveals(kept, self._key):
            self.failure = Outcome(Kind.BAD_ANSWER, "a refusal that quotes our key", counts=False)
            return b""
        ready = bytes(kept[: max(len(kept) - reach(self._key), 0)])
        del kept[: len(ready)]
        return ready

    def _pop(self) -> bytes:
        kept, self._kept = bytes(self._kept), bytearray()
        return kept

    def _judge(self, cut: bool) -> Outcome:
        self._cut = cut
        self.failure = self._meaning(bytes(self._kept))
        self._fields = ()  # a refusal may be kept while other targets are asked, and heads may have 64 KiB
        return self.failure

    def _meaning(self, body: bytes) -> Outcome:
        return self._protocol.classify(self._asked, self._status, self._fields, body, self._wall)


def _is_whole(body: bytes) -> bool:
    """Whether the body is complete, whatever its framing says: JSON shows its own end."""
    if len(body) > ERROR_BODY_MAX or not body.rstrip().endswith((b"}", b"]")):
        return False
    try:
        body.decode()
        decode_raw(body)
    except NOT_JSON:
        return False
    return True


class MisplacedReader(ErrorReader):
    """Keeps JSON that came with a 2xx in place of a stream: most likely an error that names its status itself."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Another part. What does not start as JSON is judged at once: a mislabelled stream may be long."""
        super().feed(data)
        if self.failure is None and bytes(self._kept.lstrip()[:1]) not in (b"", b"{", b"["):
            self._judge(cut=True)
        return b""

    def release(self) -> bytes:
        """Nothing: it is not an answer, however long it is."""
        return b""

    def refusal(self) -> bytes | None:
        """None: with its 2xx it would look like an answer."""
        return None

    def _meaning(self, body: bytes) -> Outcome:
        return in_band(body, self._wall, "JSON instead of a stream")
