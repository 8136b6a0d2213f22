"""Coarse timers: a wheel of 100 ms ticks instead of a heap entry per timeout.

A gateway sets several timeouts per request, and almost none of them fires. `call_later` costs a handle and
two heap operations for each; here, pushing a deadline back is one assignment: the timer stays where it is, and
if its deadline has moved when its tick comes, it is put into its new tick (Varghese & Lauck, "Hashed and
hierarchical timing wheels", scheme 6; the Linux kernel's and Netty's HashedWheelTimer do the same).

A timer fires at its deadline or up to one tick after it, never before; after a standstill (see `clock`) a moment later.
The wheel only runs while it holds a timer, so an idle gateway sleeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from oxllm.gateway.clock import Grace, clock_of

TICK: Final = 0.1
"""Seconds. The shortest limit in use is one second, so a timer is late by a tenth of its limit at most."""


class Timer:
    """One deadline that can be moved. Made by `Wheel.timer`."""

    __slots__ = ("_callback", "_slot", "_wheel", "when")

    def __init__(self, wheel: Wheel, callback: Callable[[], None]) -> None:
        self._wheel = wheel
        self._callback = callback
        self._slot = UNSET
        self.when = inf
        """The deadline in loop time; `inf` when cleared."""

    def set(self, when: float) -> None:
        """Fire at `when` (loop time); replaces any earlier setting. Moving it back costs one assignment."""
        self.when = when
        if when < (self._slot - 1) * TICK:  # else it is in the right slot already, or in an earlier one
            self._wheel._move(self)

    def clear(self) -> None:
        """Do not fire, and leave the wheel. The timer may be set again."""
        self.when = inf
        self._wheel._remove(self)

    def _due(self, now: float) -> None:
        self._slot = UNSET
        if self.when <= now:
            self.when = inf
            self._callback()
        elif self.when != inf:
            self._wheel._move(self)


UNSET: Final = 1 << 62
"""The slot of a timer that is not in the wheel: later than any deadline."""


class Wheel:
    """All timers of one event loop."""

    __slots__ = ("_clock", "_grace", "_handle", "_loop", "_next", "_slots")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._clock = clock_of(loop)
        self._slots: dict[int, dict[Timer, None]] = {}
        self._next = 0
        self._grace = Grace()
        self._handle: asyncio.TimerHandle | None = None

    def timer(self, callback: Callable[[], None]) -> Timer:
        """A timer that is not set yet."""
        return Timer(self, callback)

    def __len__(self) -> int:
        """How many timers are in the wheel."""
        return sum(map(len, self._slots.values()))

    def _remove(self, timer: Timer) -> None:
        slot = self._slots.get(timer._slot)
        if slot is not None:
            slot.pop(timer, None)
            if not slot:
                del self._slots[timer._slot]
        timer._slot = UNSET

    def _move(self, timer: Timer) -> None:
        self._remove(timer)
        if self._handle is None:
            self._next = int(self._clock() / TICK) + 1
            self._arm()
        timer._slot = max(int(timer.when / TICK) + 1, self._next)
        self._slots.setdefault(timer._slot, {})[timer] = None

    def _arm(self) -> None:
        self._handle = self._loop.call_at(self._next * TICK, self._turn)

    def _turn(self) -> None:
        now = self._clock()
        if self._grace.lasts(now, self._next * TICK):
            self._handle = self._loop.call_at(self._grace.until, self._turn)
            return
        first = self._next
        self._next = max(int(now / TICK), first) + 1
        for number in range(first, self._next):
            for timer in self._slots.pop(number, ()):
                self._fire(timer, now)
        if self._slots:
            self._arm()
        else:
            self._handle = None

    def _fire(self, timer: Timer, now: float) -> None:
        """Fire the timer if it is due. An error in its callback is reported, and stops no other timer."""
        try:
            timer._due(now)
        except Exception as error:  # noqa: BLE001  whatever it is, the other timers must go on
            self._loop.call_exception_handler({"message": "a timer's callback failed", "exception": error})
