"""Timers for thousands of streams: one bucket per millisecond, and one timer of the loop for the next bucket.

asyncio keeps its timers in a heap that compares them in Python, which costs more than the event that is due. Here a
timer is an entry in a list. It fires up to TICK_S late, as a timer of the loop would on a busy machine, and never
early.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from math import ceil

TICK_S = 0.001


class Handle:
    """One timer."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        """Call the callback, once, unless it was cancelled."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Wheel:
    """The clock of all players on one loop: its `time`, and a `call_at`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, list[Handle]] = {}
        self._due: list[int] = []
        """Heap of the bucket numbers."""
        self._timer: asyncio.TimerHandle | None = None
        self.time = loop.time

    def call_at(self, when: float, callback: Callable[[], object], /) -> Handle:
        """Schedule a call."""
        handle, number = Handle(callback), ceil(when / TICK_S)
        bucket = self._buckets.get(number)
        if bucket is not None:
            bucket.append(handle)
            return handle
        self._buckets[number] = [handle]
        heapq.heappush(self._due, number)
        if number == self._due[0]:
            self._wake_at(number)
        return handle

    def _wake_at(self, number: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(number * TICK_S, self._turn)

    def _turn(self) -> None:
        """Fire all that is due. An exception goes to the loop's handler, and does not stop the others."""
        self._timer = None
        now = self._loop.time()
        try:
            while self._due and self._due[0] * TICK_S <= now:
                for handle in self._buckets.pop(heapq.heappop(self._due)):
                    self._fire(handle)
        finally:
            if self._due:
                self._wake_at(self._due[0])

    def _fire(self, handle: Handle) -> None:
        try:
            handle.fire()
        except Exception as error:  # noqa: BLE001 - as the loop itself does with what it calls
            context = {"message": "a player failed", "exception": error}
            self._loop.call_exception_handler(context)
