"""What a provider does on its connection, one step at a time.

The engine yields steps and does nothing itself, so that the same script runs on a real socket and, under a virtual
clock, on a transport in memory. Times are absolute: a step that comes late does not push back the next one.
A script that ends without Hang, Fin, Rst or Forget leaves the connection open for the next request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec


class Wait(msgspec.Struct, frozen=True):
    """Do nothing until the clock shows `until` (seconds, the clock that was passed in)."""

    until: float


class Send(msgspec.Struct, frozen=True):
    """Write these bytes, which are what goes over the wire: head, chunk sizes and all."""

    data: bytes


class Gate(msgspec.Struct, frozen=True):
    """Do nothing until someone opens the gate of this name."""

    name: str


class Waitable(Protocol):
    """Something that will have something more."""

    def wait(self, passed: Callable[[], None]) -> bool:
        """True if it has; else `passed` is called when it has."""


class Await(msgspec.Struct, frozen=True):
    """Do nothing until there is more of what is passed on."""

    source: Waitable


class Hang(msgspec.Struct, frozen=True):
    """Send nothing more and keep the connection until the peer leaves."""


class Fin(msgspec.Struct, frozen=True):
    """Shut the writing side: the peer reads an EOF."""


class Rst(msgspec.Struct, frozen=True):
    """Reset the connection: the peer reads ECONNRESET."""


class Forget(msgspec.Struct, frozen=True):
    """Leave the connection open and know nothing of it any more: the next bytes of the peer are answered with a
    reset."""


class Truncate(msgspec.Struct, frozen=True):
    """End the connection below TLS: the peer reads an EOF where a close_notify should be."""


Step = Wait | Send | Gate | Await | Hang | Fin | Rst | Forget | Truncate
