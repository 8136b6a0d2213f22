"""What happened at a provider: a record for each request, filled in while it is played, and counts of connections."""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

KEEP_BYTES = 64_000_000
"""Memory for each provider's records: enough for a rehearsal of ten minutes at 100 requests a second. The oldest are
dropped first."""
RECORD_BYTES = 900
"""Approximate size of a record without the strings that a client chooses."""
WORD_MAX = 256
"""Characters kept of a string that a client chooses: a path, a key, a model."""


COMPLETE, GONE = "complete", "gone"
"""How a response ended: by itself, or because the peer left before its end."""


class Harm(Enum):
    """What a fault does to an answer."""

    NONE = "none"
    """It arrives whole and in time."""
    DELAY = "delay"
    """It arrives whole if one waits for it."""
    LOSS = "loss"
    """It never arrives whole."""


class Record(msgspec.Struct):
    """One request, or one connection that was struck (ordinal 0). Times are seconds since the simulator began."""

    provider: str
    ordinal: int
    key: str
    """The key of its draws: see `Provider._key`."""
    arrived: float
    connection: int
    method: str
    path: str
    model: str | None = None
    asked: str | None = None
    """Fingerprint of what was asked, shared by all attempts of one client request."""
    stream: bool = False
    protocol: str | None = None
    fault: str | None = None
    """The fault as the grammar writes it; None = a healthy answer."""
    harm: Harm = Harm.NONE
    """What the fault does to the answer."""
    why: str = ""
    over: str | None = None
    """The limit of the provider's own that it exceeded: requests or tokens."""
    status: int | None = None
    hint: float | None = None
    """Seconds that it was told to wait."""
    sent: int = 0
    """Bytes of the response."""
    began: float | None = None
    last: float | None = None
    """When its last bytes were sent."""
    ended: float | None = None
    end: str | None = None
    """COMPLETE, fin, rst, GONE, None = under way."""

    def complete(self, response: bytes, at: float) -> None:
        """Record a response that is sent all at once."""
        self.began = self.last = self.ended = at
        self.status, self.sent, self.end = int(response[9:12]), len(response), COMPLETE

    @property
    def is_attempt(self) -> bool:
        """Whether it is a request for an answer."""
        return bool(self.ordinal) and self.asked is not None

    @property
    def lost(self) -> bool:
        """Whether the provider failed to give a whole answer. A delay counts only if the peer left, and a peer that
        leaves a healthy answer is not the provider's fault."""
        if self.status not in (200, None):
            return True
        return self.harm is Harm.LOSS or (self.harm is Harm.DELAY and self.end == GONE)


class UnderWay:
    """Counts the answers that a provider is sending now."""

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
        """Number of records ever added; the oldest may have been dropped."""
        self.records: deque[Record] = deque()
        self._bytes = 0

    def connection(self) -> int:
        """Count a connection; returns its ordinal, from 1."""
        self.connections += 1
        return self.connections

    def handshake(self) -> int:
        """Count a TLS handshake; returns its ordinal, from 1."""
        self.handshakes += 1
        return self.handshakes

    def request(self) -> int:
        """Count a request; returns its ordinal, from 1."""
        self.requests += 1
        return self.requests

    def add(self, record: Record) -> Record:
        """Keep a record, and drop the oldest to make room."""
        record.path, record.key = record.path[:WORD_MAX], record.key[:WORD_MAX]
        record.model = record.model and record.model[:WORD_MAX]
        self.added += 1
        self.records.append(record)
        self._bytes += _size(record)
        while self._bytes > KEEP_BYTES and len(self.records) > 1:
            self._bytes -= _size(self.records.popleft())
        return record


def _size(record: Record) -> int:
    """Size by what does not change after the record is added."""
    return RECORD_BYTES + len(record.path) + len(record.key) + len(record.model or "")
