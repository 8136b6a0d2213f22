"""Coarse timers: a wheel of 100 ms ticks instead of a heap entry a timeout.

A gateway sets several timeouts a request and nearly never lets one fire. `call_later` pays a handle and
two heap moves for each; here pushing a deadline back is one assignment: the timer stays where it is, and
when its tick comes and its deadline has moved, it is put into its new tick (Varghese & Lauck, "Hashed and
hierarchical timing wheels", scheme 6; the Linux kernel's and Netty's HashedWheelTimer do the same).

A timer fires at its deadline or up to one tick after it, never before. The wheel only runs while it holds
a timer, so an idle gateway sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

TICK = 0.1
"""Seconds. The shortest limit in use is one second, so a tenth of it is the most it can be late."""


class Timer:
    """One deadline that can be moved. Made by `Wheel.timer`."""

    __slots__ = ("_callback", "_slot", "_wheel", "when")

    def __init__(self, wheel: Wheel, callback: Callable[[], None]) -> None:
        self._wheel = wheel
        self._callback: Callable[[], None] | None = callback
        self._slot: int | None = None
        self.when = inf
        """The deadline in loop time; `inf` when cleared."""

    def set(self, when: float) -> None:
        """Fire at `when` (loop time) instead of at any earlier setting. Cheap when it moves back."""
        self.when = when
        if self._slot is None or when < self._slot * TICK:
            self._wheel._insert(self)

    def clear(self) -> None:
        """Do not fire. The timer may be set again."""
        self.when = inf

    def close(self) -> None:
        """Never fire again, and let go of the callback's owner."""
        self.when = inf
        self._callback = None

    def _due(self, now: float, slot: int) -> None:
        if slot != self._slot:
            return  # it was set to an earlier tick since; this is the entry left behind
        self._slot = None
        if self.when <= now:
            self.when = inf
            if self._callback is not None:
                self._callback()
        elif self.when != inf and self._callback is not None:
            self._wheel._insert(self)


class Wheel:
    """All timers of one event loop."""

    __slots__ = ("_handle", "_loop", "_slots")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Timer]] = {}
        self._handle: asyncio.TimerHandle | None = None

    def timer(self, callback: Callable[[], None]) -> Timer:
        """A timer that is not set yet."""
        return Timer(self, callback)

    def __len__(self) -> int:
        """Entries in the wheel, those left behind by timers since cleared included."""
        return sum(map(len, self._slots.values()))

    def _insert(self, timer: Timer) -> None:
        slot = int(timer.when / TICK) + 1
        timer._slot = slot
        self._slots.setdefault(slot, []).append(timer)
        if self._handle is None:
            self._arm()

    def _arm(self) -> None:
        self._handle = self._loop.call_at((int(self._loop.time() / TICK) + 1) * TICK, self._turn)

    def _turn(self) -> None:
        now = self._loop.time()
        tick = int(now / TICK)
        for slot in sorted(slot for slot in self._slots if slot <= tick):
            for timer in self._slots.pop(slot):
                timer._due(now, slot)
        self._handle = None
        if self._slots:
            self._arm()
