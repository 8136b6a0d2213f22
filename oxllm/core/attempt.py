"""One request to one target: its phase, its clocks, and what it has read so far.

The phases, and what moves an attempt from one to the next:

    CONNECTING  a connection is being made or taken from the pool     clock: connect
    WAITING     the request goes out, nothing usable has come         clock: first_byte (stream) or answer
    HOLDING     content has come, the client has none of it           clock: idle
    COMMITTED   the client has content; no other target is used       clock: idle
    DRAINING    the client has its whole answer; the provider may     clock: 2 s
                still end its body, so that the connection can be reused
    ENDED       its ticket is settled; whatever arrives is dropped

DNS, connection and TLS are CONNECTING; a status line alone does not leave WAITING, since a provider that
sends a head and then nothing has not answered.
"""

from __future__ import annotations

from enum import Enum
from math import inf

from oxllm.core.effects import Headers
from oxllm.core.protocols.base import Reader
from oxllm.core.routing import Candidate, Ticket


class Phase(Enum):
    """Where an attempt is."""

    CONNECTING = "connecting"
    WAITING = "waiting"
    HOLDING = "holding"
    COMMITTED = "committed"
    DRAINING = "draining"
    ENDED = "ended"


CONNECTING, WAITING, HOLDING, COMMITTED, DRAINING, ENDED = Phase  # on 3.11 each look at an Enum's member takes 0.1 µs

TABLE: tuple[tuple[Phase, Phase], ...] = (
    (CONNECTING, WAITING),
    (WAITING, CONNECTING),  # the connection from the pool was dead: once, over a new one
    (WAITING, HOLDING),
    (WAITING, COMMITTED),
    (HOLDING, COMMITTED),
    (COMMITTED, DRAINING),
    (CONNECTING, ENDED),
    (WAITING, ENDED),
    (HOLDING, ENDED),
    (COMMITTED, ENDED),
    (DRAINING, ENDED),
)
"""Every move there is. (No set: it would hash an Enum in Python at each move.)"""


class Attempt:
    """One request to one target. `Exchange` moves it; `relay` hands it back with each thing that arrives."""

    __slots__ = (
        "_left",
        "candidate",
        "clock",
        "content_at",
        "error",
        "headers",
        "heard",
        "hedge_at",
        "held",
        "held_bytes",
        "number",
        "phase",
        "reader",
        "share",
        "started",
        "status",
        "ticket",
        "wall",
    )

    def __init__(self, number: int, candidate: Candidate, ticket: Ticket, now: float) -> None:
        self.number = number
        """1 for the first attempt of a client request."""
        self.candidate = candidate
        self.ticket = ticket
        self.phase = CONNECTING
        self.started = now
        self.clock = now + candidate.timeouts.connect
        """When this phase has lasted too long, in loop time; `inf` while nobody reads."""
        self.share = inf
        """When it has used its part of the client's deadline, while another candidate is left."""
        self.hedge_at = inf
        self.content_at: float | None = None
        self.heard = 0.0
        """When its client was last sent content, or its provider was read again; 0 before the commit."""
        self.status = 0
        self.headers: Headers = ()
        self.wall = 0.0
        """Seconds since the epoch when the head came: what a date in it is compared with."""
        self.reader: Reader | None = None
        self.error: bytearray | None = None
        """The body of a response that is no success."""
        self.held: list[bytes] = []
        """What is ready for the client but not yet committed to."""
        self.held_bytes = 0
        """Of `held`."""
        self._left = inf
        """Seconds that `clock` had left when nobody read any more."""

    def move(self, phase: Phase) -> None:
        """Go to `phase`, which must be a move of TABLE."""
        assert (self.phase, phase) in TABLE, (self.phase, phase)
        self.phase = phase

    def hold(self, ready: bytes) -> None:
        """Keep this for the client."""
        self.held.append(ready)
        self.held_bytes += len(ready)

    def take(self) -> bytes:
        """All that was kept."""
        data = b"".join(self.held)
        self.held.clear()
        self.held_bytes = 0
        return data

    @property
    def pending(self) -> int:
        """Bytes read that the client has none of yet: what is held, and what is not whole."""
        if self.phase is DRAINING or self.phase is ENDED:
            return 0
        if self.reader is None:
            return len(self.error or b"")
        return self.held_bytes + self.reader.pending

    def stop(self, now: float) -> None:
        """Nobody reads the provider now: its time stands still."""
        self._left = self.clock - now
        self.clock = inf

    def go_on(self, now: float) -> None:
        """The provider is read again."""
        self.clock = now + self._left
        self.heard = now

    @property
    def target(self) -> str:
        """`provider/model`, for messages."""
        return f"{self.candidate.state.provider.name}/{self.candidate.state.model}"
