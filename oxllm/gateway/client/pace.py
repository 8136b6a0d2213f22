"""How fast a client sends and receives, and when that is too slow. Pure: times are arguments."""

from __future__ import annotations

from typing import Final

from oxllm.gateway.wheel import Timer

SILENCE_S: Final = 20.0
"""A body of which no byte comes for this long is given up (between Apache's RequestReadTimeout and nginx's 60 s)."""

WINDOW_S: Final = 5.0
SLOW_BYTES: Final = int(16 * 1024 * WINDOW_S)
"""While others wait for room, a body slower than 16 KiB/s over 5 s is given up."""

STRIDE_S: Final = 0.25
STRIDE_BYTES: Final = 64 * 1024
"""A body that was promised room keeps that promise only at this pace, 256 KiB/s, lest one slow upload keep all others
out. Memory is granted in steps of 64 KiB, and the round trip to a client anywhere on earth is under 0.25 s."""

STALL_S: Final = 60.0
"""A client that takes nothing for this long is considered gone (nginx's send_timeout)."""

LOOK_S: Final = 5.0
"""Seconds between checks of a client with unsent output, and so how late a stall may be noticed."""


class Upload:
    """The pace of a body that took more than one read."""

    __slots__ = ("_mark", "_stride", "_window", "heard", "quick")

    def __init__(self, now: float, received: int) -> None:
        self.heard = now
        """When its last byte came."""
        self.quick = True
        """Whether each STRIDE_S so far has brought STRIDE_BYTES."""
        self._stride = self._mark = received
        self._window = now + WINDOW_S

    def late(self, now: float, received: int, others_wait: bool) -> str | None:
        """Why the body must be given up, or None. To be called at the time of `look_at`."""
        if now >= self.heard + SILENCE_S:
            return f"no byte of the body came for {SILENCE_S:.0f} s"
        if now >= self._window:
            if others_wait and received - self._mark < SLOW_BYTES:
                return "the body came too slowly while others waited for room"
            self._mark, self._window = received, now + WINDOW_S
        self.quick = self.quick and received - self._stride >= STRIDE_BYTES
        self._stride = received
        return None

    def look_at(self, now: float) -> float:
        """When to call `late` next."""
        return min(now + STRIDE_S if self.quick else self._window, self.heard + SILENCE_S)


class Stall:
    """Unsent output, and whether the client is taking it."""

    __slots__ = ("_since", "_unsent", "added", "timer")

    def __init__(self, timer: Timer, now: float, unsent: int) -> None:
        self.timer = timer
        self._since = now
        self._unsent = unsent
        self.added = 0
        """Bytes written since the last check."""

    def over(self, now: float, unsent: int) -> bool:
        """Whether the client has taken nothing for STALL_S. `unsent`: bytes unsent now."""
        if unsent < self._unsent + self.added:
            self._since = now
        self._unsent = unsent
        self.added = 0
        return now >= self._since + STALL_S
