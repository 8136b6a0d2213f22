"""The phases of an attempt, and what moves it from one to the next:

    CONNECTING  a connection is being made or taken from the pool     clock: connect
    WAITING     the request is being sent, nothing usable has come    clock: first_byte (stream) or answer
    HOLDING     content has come, none of it has gone to the client   clock: idle
    COMMITTED   the client has content; no other target is used       clock: idle
    DRAINING    the client has its whole answer; the provider may     clock: 2 s
                still end its body, so that the connection can be reused
    ENDED       its ticket is settled; whatever arrives is dropped

CONNECTING covers DNS, TCP and TLS. A response head alone does not end WAITING: a provider that sends one and then
nothing has not answered.
"""

from __future__ import annotations

from typing import Final

from oxllm.core import machine
from oxllm.core.machine import Table


class AttemptPhase(machine.State):
    """Where an attempt is."""

    CONNECTING = "connecting"
    WAITING = "waiting"
    HOLDING = "holding"
    COMMITTED = "committed"
    DRAINING = "draining"
    ENDED = "ended"


CONNECTING: Final[AttemptPhase] = AttemptPhase.CONNECTING  # on 3.11 each look at an Enum's member takes 0.1 µs
WAITING: Final[AttemptPhase] = AttemptPhase.WAITING
HOLDING: Final[AttemptPhase] = AttemptPhase.HOLDING
COMMITTED: Final[AttemptPhase] = AttemptPhase.COMMITTED
DRAINING: Final[AttemptPhase] = AttemptPhase.DRAINING
ENDED: Final[AttemptPhase] = AttemptPhase.ENDED


class AttemptEvent(machine.Event):
    """What can happen to an attempt."""

    CONNECT = "a connection is there"
    RECONNECT = "it was dead, another one is made"
    CONTENT = "content has come"
    COMMIT = "the client gets what was held"
    LINGER = "the client has it all"
    END = "nothing more is read"


CONNECT: Final[AttemptEvent] = AttemptEvent.CONNECT
RECONNECT: Final[AttemptEvent] = AttemptEvent.RECONNECT
CONTENT: Final[AttemptEvent] = AttemptEvent.CONTENT
COMMIT: Final[AttemptEvent] = AttemptEvent.COMMIT
LINGER: Final[AttemptEvent] = AttemptEvent.LINGER
END: Final[AttemptEvent] = AttemptEvent.END

TABLE: Final = Table(
    {
        (CONNECTING, CONNECT): WAITING,
        (CONNECTING, END): ENDED,
        (WAITING, RECONNECT): CONNECTING,  # once, if the connection from the pool was dead
        (WAITING, CONTENT): HOLDING,
        (WAITING, END): ENDED,
        (HOLDING, COMMIT): COMMITTED,
        (HOLDING, END): ENDED,
        (COMMITTED, LINGER): DRAINING,
        (COMMITTED, END): ENDED,
        (DRAINING, END): ENDED,
    }
)
"""All transitions."""
OVER: Final = frozenset((DRAINING, ENDED))
"""Phases in which whatever arrives makes no difference to the client."""
