"""The loop's clock, which everything but dates uses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The loop's `time`, or `time.monotonic` itself if that is all it calls (a test's loop has its own clock)."""
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time
