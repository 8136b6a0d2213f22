"""What a provider does on its connection, one step at a time.

The engine only yields steps, so that the same script runs on a real socket and, under a virtual clock, on an in-memory
transport. Times are absolute: a late step does not delay the next one. A script that ends without Hang, Fin, Rst,
Forget or Truncate leaves the connection open for the next request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec


class Wait(msgspec.Struct, frozen=True):
    """Do nothing until the player's clock shows `until`, in seconds."""

    until: float


class Send(msgspec.Struct, frozen=True):
    """Write these bytes as they go over the wire: head, chunk sizes and all."""

    data: bytes


class Gate(msgspec.Struct, frozen=True):
    """Do nothing until the gate of this name is opened."""

    name: str


class Waitable(Protocol):
    """A source that will have more."""

    def wait(self, passed: Callable[[], None]) -> bool:
        """True if it has more; else `passed` is called when it does."""


class Await(msgspec.Struct, frozen=True):
    """Do nothing until the source that is passed on has more."""

    source: Waitable


class Hang(msgspec.Struct, frozen=True):
    """Send nothing more, and keep the connection until the peer leaves."""


class Fin(msgspec.Struct, frozen=True):
    """Shut the writing side: the peer reads an EOF."""


class Rst(msgspec.Struct, frozen=True):
    """Reset the connection: the peer reads ECONNRESET."""


class Forget(msgspec.Struct, frozen=True):
    """Leave the connection open but forget it: the peer's next bytes are answered with a reset."""


class Truncate(msgspec.Struct, frozen=True):
    """End TCP but not TLS: the peer reads an EOF instead of a close_notify."""


Step = Wait | Send | Gate | Await | Hang | Fin | Rst | Forget | Truncate
