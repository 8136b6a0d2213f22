"""Cool-downs: why a target may not be asked for a while, and for how long.

A breaker is about a host that fails; a mark is about a host that answered and said no. A mark is a reason and a
time; until that time the target is skipped. Later hints never bring that time forward, since the provider may
hold earlier requests against us. Marks are kept in two places: a target has its own, and a provider those that
concern its account (`QUOTA`, `AUTH`) and hence all of its targets.

| mark | set by | lasts |
|---|---|---|
| QUOTA | out of quota or credit | 10 min, provider; the target alone, if only that is out |
| AUTH | a refused key | 60 s, provider |
| AUTH | the second 403 in a row of another reason | 60 s, target |
| MISSING | a model that is not there | 60 s |
| MISSING | the second 404 in a row of another reason | 60 s |
| COOLING | 429 | the hint, else 5 s, doubled with each 429 since the last success, at most 60 s |
| COOLING | a success that used up the limit | until its reset |
| WAITING | a 5xx with Retry-After | the hint |
| WAITING | a model that is not ready | as COOLING |
"""

from __future__ import annotations

from enum import Enum
from math import inf


class Skip(Enum):
    """Why a candidate was skipped."""

    OFFLINE = "offline"
    COOLING = "rate-limited"
    WAITING = "asked us to wait"
    QUOTA = "out of quota"
    AUTH = "key refused"
    MISSING = "model not found"
    OPEN = "breaker open"
    PROBING = "being probed"
    FULL = "at its max_in_flight"
    TRIED = "already tried"


LASTS = {Skip.QUOTA: 600.0, Skip.AUTH: 60.0, Skip.MISSING: 60.0}
"""Seconds."""
RATE_FIRST = 5.0
"""Seconds after a 429 without a hint; doubled with each further one."""
RATE_MAX = 60.0
"""Seconds: the longest that a per-minute limit can take to reset."""
REFUSALS_MAX = 1
"""403s, or 404s, in a row that are forgiven: a single one may be about its request alone."""
MARKS = (Skip.QUOTA, Skip.AUTH, Skip.MISSING, Skip.COOLING, Skip.WAITING)
"""The first mark in force is the reason given. Those that time alone will hardly cure come first."""


class Cooldown:
    """The marks of one target or one provider. Times are the caller's monotonic seconds."""

    __slots__ = ("_marks", "_rate_at", "_rates", "_refusals", "_refused", "until")

    def __init__(self) -> None:
        self._marks: dict[Skip, float] = {}
        self._rates = 0
        self._rate_at = -inf
        self._refused: Skip | None = None
        """The mark that the current row of refusals would set, if there is one too many."""
        self._refusals = 0
        self.until = -inf
        """When the last mark ends: all that the usual case compares."""

    def __repr__(self) -> str:
        return f"<Cooldown {[mark.value for mark in self._marks]} until {self.until:.1f}>"

    def blocked(self, now: float) -> Skip | None:
        """The mark in force, if any."""
        if self.until <= now:
            return None
        return next((mark for mark in MARKS if self._marks.get(mark, -inf) > now), None)

    def mark(self, mark: Skip, now: float, seconds: float | None = None) -> bool:
        """Set a mark, for its usual time unless `seconds` is given. True if it was not in force before."""
        until = now + (LASTS[mark] if seconds is None else seconds)
        before = self._marks.get(mark, -inf)
        self._marks[mark] = max(before, until)
        self.until = max(self.until, until)
        return before <= now < until

    def rate_limited(self, hint: float | None, started: float, now: float, mark: Skip = Skip.COOLING) -> bool:
        """A 429, or another refusal that time cures, for an attempt begun at `started`. True if `mark` is newly set.

        Attempts in flight when the first 429 came run into the same limit: only one that began after it makes
        the next cool-off longer.
        """
        seconds = min(RATE_FIRST * 2.0 ** max(0, self._rates - (started < self._rate_at)), RATE_MAX)
        if started >= self._rate_at:
            self._rates = min(self._rates + 1, 8)
            self._rate_at = now
        return self.mark(mark, now, seconds if hint is None else hint)

    def refused(self, mark: Skip, now: float) -> bool:
        """A refusal that only counts in a row. True if this is one too many and the target was not marked before."""
        self._refusals = self._refusals + 1 if mark is self._refused else 1
        self._refused = mark
        return self._refusals > REFUSALS_MAX and self.mark(mark, now)

    def allowed(self) -> None:
        """A response that is no such refusal: the row is over."""
        self._refusals = 0

    def succeeded(self) -> None:
        """The next 429 counts as the first again. Marks in force stay."""
        self._rates = self._refusals = 0

    def key_changed(self) -> None:
        """Drop what was said about the old key (quota, auth): it does not hold for the new one."""
        self._marks.pop(Skip.QUOTA, None)
        self._marks.pop(Skip.AUTH, None)
        self._refusals = 0
        self.until = max(self._marks.values(), default=-inf)

    def clear(self) -> None:
        """Operator: forget everything."""
        self._marks.clear()
        self._rates = self._refusals = 0
        self._rate_at = self.until = -inf
