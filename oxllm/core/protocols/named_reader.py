"""What streams of named events (Responses, Messages) have in common: how they are split into events, how a large event
is passed on as it comes, and how they end. What an event means is up to the protocol."""

from __future__ import annotations

from oxllm.core.native import mypyc_attr
from oxllm.core.protocols.base import Reader
from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.wire.named_events import END, LARGE, Event, NamedDecoder
from oxllm.core.wire.nesting import Passing


@mypyc_attr(allow_interpreted_subclasses=True)
class NamedReader(Reader):
    """Reads a stream of named events, passes on what the client may have, and says when it is whole or broken."""

    __slots__ = ("_decoder", "_error", "_large", "_wall")

    def __init__(self, wall: float) -> None:
        super().__init__()
        self._decoder = NamedDecoder()
        self._wall = wall
        """Seconds since the epoch, to compare dates in errors with."""
        self._error: bytes | None = None
        """A failure in the provider's own words."""
        self._large: Passing | None = None
        """The large event that is being passed on."""

    @property
    def pending(self) -> int:
        """Bytes held of an incomplete event."""
        return self._decoder.pending

    def feed(self, data: bytes) -> bytes:
        """What the client may have of the events that `data` completes, ready to send; nothing after a break."""
        if self.finished or self.failure is not None:
            return b""
        decoder = self._decoder
        events = decoder.feed(data)
        ready = self._read(events[0]) if len(events) == 1 else b"".join(map(self._read, events))
        if decoder.too_large:
            self._stop("an event over 1 MiB")
        elif self.content and not data.endswith(END) and decoder.pending > LARGE and not (decoder.open or self.failure):
            ready += self._begin_large()
        return ready

    def eof(self) -> Outcome | None:
        """The response has ended: None if the answer is whole, else why it is not."""
        if self.complete:
            return None
        if self.failure is None:
            self._stop(self._missing())
        return self.failure

    def refusal(self) -> bytes | None:
        """The error that came before any content, as received."""
        return self._error

    # What a protocol says.

    def _read(self, named: Event) -> bytes:
        """What the client gets of one event, or of a piece of a large one."""
        raise NotImplementedError

    def _missing(self) -> str:
        """What the stream lacks if it ends now."""
        raise NotImplementedError

    def _begin_large(self) -> bytes:
        """The part that has come of an incomplete event, if it may be passed on by what its first bytes say."""
        raise NotImplementedError

    def _see(self, piece: bytes) -> None:
        """Called with each piece of a large event that is passed on."""

    def _end_large(self) -> bool:
        """A large event is complete. False if it breaks the stream."""
        raise NotImplementedError

    # What it does with that.

    def _read_piece(self, piece: bytes) -> bytes:
        """A further piece of the large event, or its end."""
        if piece != END:
            return self._pass_large(piece)
        assert self._large is not None
        if not self._large.whole:
            return self._break("data that is not JSON")
        if not self._end_large():
            return b""
        self._large = None
        return END

    def _pass_large(self, piece: bytes) -> bytes:
        assert self._large is not None
        passed = self._large.feed(piece)
        if passed is None:
            return self._break("data that is not JSON")
        self._see(piece)
        return passed

    def _take_large(self, name: bytes) -> bytes:
        """Start to pass on the incomplete event, as `name`: returns what has come of it."""
        self._large = Passing()
        line = b"event: %b\ndata: " % name
        return line + self._pass_large(self._decoder.take(name).removeprefix(line))

    def _break(self, reason: str) -> bytes:
        self._stop(reason)
        return b""

    def _stop(self, reason: str) -> bool:
        """Pass nothing more on. After a whole answer this is its end, else a break."""
        if self.complete:
            self.finished = True
        else:
            self.failure = Outcome(Kind.BAD_ANSWER, reason)
        return False
