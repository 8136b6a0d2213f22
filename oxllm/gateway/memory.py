"""Giving memory back: glibc keeps what it freed until told otherwise (malloc_trim(3))."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable

QUIET_S = 5.0
"""Seconds between two looks; after a look that found the gateway at rest, and work before that, it trims."""


def _trim_function() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim  # type: ignore[no-any-return]
    except (AttributeError, OSError):
        return None  # not glibc: musl and macOS give back by themselves


class Trimmer:
    """Trims once at ready, then after each burst."""

    __slots__ = ("_busy", "_loop", "_trim", "_was_busy")

    def __init__(self, loop: asyncio.AbstractEventLoop, busy: Callable[[], bool]) -> None:
        self._loop = loop
        self._busy = busy
        self._was_busy = False
        self._trim = _trim_function()

    def start(self) -> None:
        """Trim now, and look again from time to time."""
        if self._trim is not None:
            self._trim(0)
            self._loop.call_later(QUIET_S, self._look)

    def _look(self) -> None:
        busy = self._busy()
        if self._was_busy and not busy:
            gc.collect()
            assert self._trim is not None
            self._trim(0)
        self._was_busy = busy
        self._loop.call_later(QUIET_S, self._look)
