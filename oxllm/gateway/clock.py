"""The loop's clock, which everything but dates uses; and what to do after it ran on without us."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import inf
from typing import Final

STANDSTILL_S: Final = 1.0
"""A timer that is later than this was held up by no work of ours: the process had been stopped (SIGSTOP, a paused
container), or its machine."""

GRACE_S: Final = 1.0
"""How long deadlines then wait. A thousand streams are read in a tenth of it, and a TLS handshake can go on."""

SELDOM_S: Final = 10.0
"""No second grace within this time of the last one: who is silent must be noticed even on a machine that is always so
slow."""


class Grace:
    """Lets deadlines wait after a standstill, so that nobody is taken for silent whose bytes are here and unread: the
    loop runs timers between one batch of reads and the next."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = -inf
        """When the last one ends, in loop time."""

    def lasts(self, now: float, due: float) -> bool:
        """Whether deadlines wait, `now` that the caller runs and should have run when it was `due`."""
        if now - due > STANDSTILL_S and now - self.until > SELDOM_S:
            self.until = now + GRACE_S
        return now < self.until


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's `time`, or `time.monotonic` itself if that is all it calls (a test's loop has its own clock)."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
