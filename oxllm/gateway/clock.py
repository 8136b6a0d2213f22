"""The clock that everything but dates runs on: the loop's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's clock without the Python around it, if it is the usual one (a test's loop has its own)."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
