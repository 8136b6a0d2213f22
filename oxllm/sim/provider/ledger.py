"""What happened at a provider: one record a request, filled in while it is played, and counts of connections."""

from __future__ import annotations

from collections import deque
from enum import Enum

import msgspec

KEEP = 100_000
"""Records kept of each provider; a rehearsal of ten minutes at 100 requests a second fits."""


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
    ended: float | None = None
    end: str | None = None
    """complete, fin, rst, gone (the peer left while something was still to come), None = under way."""


class Ledger:
    """All records of one provider."""

    __slots__ = ("added", "connections", "handshakes", "records", "requests")

    def __init__(self) -> None:
        self.connections = 0
        self.handshakes = 0
        self.requests = 0
        self.added = 0
        """Records ever; the oldest may be forgotten."""
        self.records: deque[Record] = deque(maxlen=KEEP)

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
        self.added += 1
        self.records.append(record)
        return record
