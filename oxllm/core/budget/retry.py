"""The retry budget: extra attempts may be a share of the traffic.

Says yes or no, and never waits."""

from __future__ import annotations

from typing import Final

WINDOW_S: Final = 10
"""Seconds of traffic that the budget looks back on, as in finagle and linkerd."""
ALWAYS: Final = 3
"""Extra attempts always allowed in a window: one failing request may be all the traffic there is."""
TICKS: Final = WINDOW_S * 10 + 1
"""Slots of 100 ms. One more than the window, since the oldest may be only partly in it: 10.0 to 10.1 s are counted."""


class RetryBudget:
    """At most `share` extra attempts per client request over the last ten seconds, but always three.

    Retries at the same target and hedges are extra; failing over to another target is not. It keeps the gateway from
    doubling the load on providers that fail because of load.
    """

    __slots__ = ("_extras", "_extras_in_window", "_requests", "_requests_in_window", "_tick", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self._requests = [0] * TICKS
        self._extras = [0] * TICKS
        self._requests_in_window = 0
        self._extras_in_window = 0
        self._tick = 0

    def request(self, now: float) -> None:
        """Count a client request."""
        tick = int(now * 10)
        if tick != self._tick:
            self._advance(tick)
        self._requests[self._tick % TICKS] += 1
        self._requests_in_window += 1

    def spend(self, now: float) -> bool:
        """Take one extra attempt, if any is left."""
        self._advance(int(now * 10))
        # A share of 0.29 of 100 requests is 28.999999999999996 of them.
        if self._extras_in_window + 1 > max(ALWAYS, int(self.share * self._requests_in_window + 1e-9)):
            return False
        self._extras[self._tick % TICKS] += 1
        self._extras_in_window += 1
        return True

    def _advance(self, tick: int) -> None:
        """Empty the slots that have left the window. A clock that stands still or steps back empties none."""
        for stale in range(self._tick + 1, min(tick, self._tick + TICKS) + 1):
            slot = stale % TICKS
            self._requests_in_window -= self._requests[slot]
            self._extras_in_window -= self._extras[slot]
            self._requests[slot] = self._extras[slot] = 0
        self._tick = max(self._tick, tick)
