"""Real rate limits: sliding windows, with truthful headers.

`60 rpm, 40k tpm`: requests and tokens, each over a window that ends now. A request that does not fit is refused and
does not count. Usage expires when it is as old as the window is long, so `retry_after` is exact: a request that comes
that much later, with none in between, is served.
"""

from __future__ import annotations

import re
from collections import deque

import msgspec

from oxllm.sim.dialects.base import Level

_PART = re.compile(r"(\d+)(k?) *([rt])p([smhd])$")
_WINDOWS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class BadLimit(ValueError):
    """The text is not a limit."""


class Limit(msgspec.Struct, frozen=True):
    """`most` units in any `window` seconds."""

    most: int
    window: float


class Limits(msgspec.Struct, frozen=True):
    """What one provider allows; None = unlimited."""

    requests: Limit | None = None
    tokens: Limit | None = None


def parse(text: str) -> Limits:
    """The limits that `text` describes: `60 rpm`, `40k tpm`, `5 rps`, joined by commas. Raises BadLimit."""
    found: dict[str, Limit] = {}
    for part in text.split(","):
        match = _PART.match(part.strip())
        if match is None:
            raise BadLimit(f"{part.strip()!r} in limit {text!r}: write 60 rpm, 5 rps or 40k tpm")
        word = "requests" if match[3] == "r" else "tokens"
        if word in found or match[1].strip("0") == "":
            raise BadLimit(f"{part.strip()!r} in limit {text!r}: one number above 0 for requests and one for tokens")
        found[word] = Limit(int(match[1]) * (1000 if match[2] else 1), _WINDOWS[match[4]])
    return Limits(**found)


class Verdict(msgspec.Struct, frozen=True):
    """`dimension` is the limit that was hit ("requests" or "tokens"), None if the request was admitted. `never`: it
    exceeds the whole window, so waiting cannot help."""

    dimension: str | None = None
    retry_after: float = 0.0
    never: bool = False


ADMITTED = Verdict()


class Window:
    """What was used in the last `limit.window` seconds."""

    __slots__ = ("_used", "limit", "total")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.total = 0
        self._used: deque[tuple[float, int]] = deque()

    def wait(self, amount: int, now: float) -> float:
        """Seconds until `amount` (at most the limit) fits; 0 if it does now."""
        self._expire(now)
        excess, wait = self.total + amount - self.limit.most, 0.0
        for at, used in self._used:
            if excess <= 0:
                break
            excess -= used
            wait = at + self.limit.window - now
        return wait

    def use(self, amount: int, now: float) -> None:
        self._used.append((now, amount))
        self.total += amount

    def level(self, now: float) -> Level:
        self._expire(now)
        reset = self._used[-1][0] + self.limit.window - now if self._used else 0.0
        return Level(self.limit.most, max(0, self.limit.most - self.total), reset)

    def _expire(self, now: float) -> None:
        while self._used and self._used[0][0] + self.limit.window <= now:
            self.total -= self._used.popleft()[1]


class Meter:
    """One provider's windows."""

    __slots__ = ("windows",)

    def __init__(self, limits: Limits) -> None:
        pairs = (("requests", limits.requests), ("tokens", limits.tokens))
        self.windows = {word: Window(limit) for word, limit in pairs if limit is not None}

    def admit(self, tokens: int, now: float) -> Verdict:
        """Admit a request of so many tokens, or say which limit refuses it."""
        if not self.windows:
            return ADMITTED
        amounts = {"requests": 1, "tokens": tokens}
        for word, window in self.windows.items():
            if amounts[word] > window.limit.most:
                return Verdict(word, never=True)
        waits = {word: window.wait(amounts[word], now) for word, window in self.windows.items()}
        worst = max(waits, key=waits.__getitem__, default=None)
        if worst is not None and waits[worst] > 0:
            return Verdict(worst, waits[worst])
        for word, window in self.windows.items():
            window.use(amounts[word], now)
        return Verdict()

    def levels(self, now: float) -> dict[str, Level]:
        return {word: window.level(now) for word, window in self.windows.items()}
