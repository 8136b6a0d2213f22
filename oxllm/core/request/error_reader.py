"""Reads the body of a response that is no success, behind the same interface as an answer's reader."""

from __future__ import annotations

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import NOT_JSON, Protocol, Reader, decode_raw
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Kind, Outcome, in_band
from oxllm.core.request.belief import reach, reveals

ERROR_BODY_MAX = 256 * 1024
"""Bytes of an error body that are kept; the same bound as for an answer that is kept until it is whole."""


class ErrorReader(Reader):
    """Keeps an error body until it can be judged: at its end, when it stops coming, or when it is too long to keep.

    One that is too long may still be the client's: `release` hands out what was kept, unless our key stands in it, and
    from then on it is passed on as it comes, until `eof` or our key. Its last bytes wait for what comes behind them: a
    key may come in parts.
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
        """It was judged before its end: what was kept is not all of it."""

    @property
    def pending(self) -> int:
        """Bytes kept."""
        return len(self._kept)

    def feed(self, data: bytes) -> bytes:
        """Another part; nothing goes out before it was judged and released."""
        if self._passing:
            return self._pass(data)
        if self.failure is None:
            self._kept += data
            if len(self._kept) > ERROR_BODY_MAX:
                self._judge(cut=True)
        return b""

    def eof(self) -> Outcome | None:
        """The end of the body. None if all of it was passed on, else what the response means."""
        self.finished = True
        if self._passing:
            self.complete = True
            return None
        return self.failure or self._judge(cut=False)

    def broke_off(self, otherwise: Outcome) -> Outcome:
        """Its head and what came of the body say enough, unless they were passed on already."""
        self.finished = True
        if self._passing:
            return otherwise
        return self.failure or self._judge(cut=True)

    def release(self) -> bytes:
        """What was kept of one that is too long to keep; what comes behind it is passed on. What it means is for the
        exchange to say, in `result`: it may not believe all that stands there."""
        if self.failure is None or self.finished or reveals(self._kept, self._key):
            return b""
        self.failure = None
        self._passing = True
        self.content = 1
        return self._pass(b"")

    def refusal(self) -> bytes | None:
        """All of the body, if it was kept; the reader keeps nothing of it."""
        body = self._pop()
        return None if self._cut and not _is_whole(body) else body

    def closing(self) -> bytes:
        """The last bytes of one that was passed on."""
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
        self._fields = ()  # a refusal may be kept for as long as other targets are asked, and heads may be of 64 KiB
        return self.failure

    def _meaning(self, body: bytes) -> Outcome:
        return self._protocol.classify(self._asked, self._status, self._fields, body, self._wall)


def _is_whole(body: bytes) -> bool:
    """All of it has come, whatever its framing says: it is JSON, and JSON shows its end."""
    if len(body) > ERROR_BODY_MAX or not body.rstrip().endswith((b"}", b"]")):
        return False
    try:
        body.decode()
        decode_raw(body)
    except NOT_JSON:
        return False
    return True


class MisplacedReader(ErrorReader):
    """Keeps JSON that came under a 2xx in place of a stream: most likely an error, which names its status itself."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Another part. What does not begin as JSON is judged at once: a stream under a wrong name may be long."""
        super().feed(data)
        if self.failure is None and bytes(self._kept.lstrip()[:1]) not in (b"", b"{", b"["):
            self._judge(cut=True)
        return b""

    def release(self) -> bytes:
        """Nothing: it is no answer, however long."""
        return b""

    def refusal(self) -> bytes | None:
        """None: under its own status it would look like an answer."""
        return None

    def _meaning(self, body: bytes) -> Outcome:
        return in_band(body, self._wall, "JSON instead of a stream")
