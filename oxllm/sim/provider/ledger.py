"""What happened at a provider: one record a request, filled in while it is played, and counts of connections."""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

KEEP_BYTES = 64_000_000
"""For the records of each provider; a rehearsal of ten minutes at 100 requests a second fits. The oldest go first."""
RECORD_BYTES = 900
"""About what a record takes, its own words included; what a client may choose comes on top."""
WORD_MAX = 256
"""Characters kept of a word that a client chooses: a path, a model."""


COMPLETE, GONE = "complete", "gone"
"""How a response ends of itself, and by a peer that left while something was still to come."""


class Harm(Enum):
    """What becomes of an answer that a fault struck."""

    NONE = "none"
    """It comes whole and in time."""
    DELAY = "delay"
    """It comes whole, to who waits for it."""
    LOSS = "loss"
    """It never comes whole."""


class Record(msgspec.Struct):
    """One request, or one connection that was struck (ordinal 0). Times are seconds since the simulator began."""

    provider: str
    ordinal: int
    key: str
    """What its draws hang on: its ordinal, or the id it carried."""
    arrived: float
    connection: int
    method: str
    path: str
    model: str | None = None
    asked: str | None = None
    """Fingerprint of what was asked, which tells the attempts of one client request from others."""
    stream: bool = False
    protocol: str | None = None
    fault: str | None = None
    """The fault as the grammar writes it; None = a healthy answer."""
    harm: Harm = Harm.NONE
    """What the fault does to the answer."""
    why: str = ""
    over: str | None = None
    """The dimension of the provider's own limits that it did not fit into: requests or tokens."""
    status: int | None = None
    hint: float | None = None
    """Seconds after which it was told to come back."""
    sent: int = 0
    """Bytes of the response."""
    began: float | None = None
    last: float | None = None
    """When the last bytes of it were sent."""
    ended: float | None = None
    end: str | None = None
    """COMPLETE, fin, rst, GONE, None = under way."""

    def complete(self, response: bytes, at: float) -> None:
        """The whole response goes out at once."""
        self.began = self.last = self.ended = at
        self.status, self.sent, self.end = int(response[9:12]), len(response), COMPLETE

    @property
    def is_attempt(self) -> bool:
        """Whether it is a request for an answer."""
        return bool(self.ordinal) and self.asked is not None

    @property
    def lost(self) -> bool:
        """Whether the provider gave no whole answer. A delay is none for who waits, and a peer that leaves a healthy
        answer is no fault of the provider."""
        if self.status not in (200, None):
            return True
        return self.harm is Harm.LOSS or (self.harm is Harm.DELAY and self.end == GONE)


class UnderWay:
    """How many answers a provider is giving now."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Ledger:
    """All records of one provider."""

    __slots__ = ("_bytes", "added", "connections", "handshakes", "records", "requests")

    def __init__(self) -> None:
        self.connections = 0
        self.handshakes = 0
        self.requests = 0
        self.added = 0
        """Records ever; the oldest may be forgotten."""
        self.records: deque[Record] = deque()
        self._bytes = 0

    def connection(self) -> int:
        """A connection was accepted; its ordinal, from 1."""
        self.connections += 1
        return self.connections

    def handshake(self) -> int:
        """A TLS handshake began; its ordinal, from 1."""
        self.handshakes += 1
        return self.handshakes

    def request(self) -> int:
        """A request has arrived; its ordinal, from 1."""
        self.requests += 1
        return self.requests

    def add(self, record: Record) -> Record:
        """Keep it, and forget the oldest ones that there is no more room for."""
        record.path, record.key = record.path[:WORD_MAX], record.key[:WORD_MAX]
        record.model = record.model and record.model[:WORD_MAX]
        self.added += 1
        self.records.append(record)
        self._bytes += _size(record)
        while self._bytes > KEEP_BYTES and len(self.records) > 1:
            self._bytes -= _size(self.records.popleft())
        return record


def _size(record: Record) -> int:
    """Of what does not change once it is added."""
    return RECORD_BYTES + len(record.path) + len(record.key) + len(record.model or "")
