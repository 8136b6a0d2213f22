"""The clock of an attempt: when what it waits for has taken too long."""

from __future__ import annotations

from math import inf

from oxllm.core.request.alarm import Alarm


class Clock:
    """Runs while the provider is read. It stands still while it is not: silence is then no fault of the provider."""

    __slots__ = ("_alarm", "_left", "at", "silence")

    def __init__(self, alarm: Alarm, at: float) -> None:
        self.at = alarm.by(at)
        """When it is due, in loop time; `inf` while it stands still."""
        self.silence: float | None = None
        """Seconds from a read until it is due; None while a read does not restart it."""
        self._left = inf
        """Seconds that it has left when it goes on."""
        self._alarm = alarm

    def allow(self, seconds: float, now: float) -> None:
        """Be due in so many seconds, counted from when it goes on if it stands still."""
        if self.at == inf:
            self._left = seconds
        else:
            self.at = self._alarm.by(now + seconds)

    def limit_silence(self, seconds: float, now: float) -> None:
        """Be due after so many seconds without a read, now and from each read on."""
        self.silence = seconds
        self.allow(seconds, now)

    def stop(self, now: float) -> None:
        """Stand still."""
        self._left = self.at - now
        self.at = inf

    def go_on(self, now: float) -> None:
        """Run again."""
        self.at = self._alarm.by(now + self._left)
