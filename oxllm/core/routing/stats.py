"""Counters for status and metrics: a few additions while serving, sums and quantiles on demand.

Counters only grow, and live until their provider is removed or the process ends, so that a scraper sees
no jump at a reload. For each target, at any time:

    attempts = in flight + successes + failures (all causes) + lost + retries

where a retry is a second try at the same target; the result of the first is not counted as an end.
"""

from __future__ import annotations

from math import inf
from typing import Final

from oxllm.core.reading.outcome import Cause

HISTOGRAM_FIRST: Final = 2.0**-10
"""Seconds: upper bound of the lowest bucket, about 1 ms."""
HISTOGRAM_BUCKETS: Final = 22
"""Each twice as wide as the one before: 1 ms, 2 ms … 1,024 s, and one for the rest."""
BOUNDS: Final[tuple[float, ...]] = (*(HISTOGRAM_FIRST * 2.0**i for i in range(HISTOGRAM_BUCKETS - 1)), inf)
"""Upper bounds of the buckets in seconds. Except on the first, a time exactly on a bound counts as over it."""


class Histogram:
    """Times in buckets of powers of two: a fixed 22 counters, whatever is observed."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * HISTOGRAM_BUCKETS
        self.sum = 0.0

    def observe(self, seconds: float, zeros: int = 0) -> None:
        """Count one time, and `zeros` times of 0 s."""
        counts = self.counts
        self.sum += seconds
        # In units of the first bound, the bit length is the number of the bucket: no search through the bounds.
        bucket = int(seconds * 1024).bit_length() if seconds > HISTOGRAM_FIRST else 0
        counts[bucket if bucket < HISTOGRAM_BUCKETS else -1] += 1
        if zeros:
            counts[0] += zeros

    def add(self, other: Histogram) -> None:
        """Add the times of another."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    @property
    def count(self) -> int:
        """How many times were observed."""
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """The time in seconds that `share` of the observations stay under, estimated from the buckets; None if empty.

        Linear within a bucket, like Prometheus' histogram_quantile. Right to within a factor of two.
        """
        rank = share * self.count
        for number, inside in enumerate(self.counts):
            if inside and rank <= inside:
                low = BOUNDS[number - 1] if number else 0.0
                return low if BOUNDS[number] == inf else low + (BOUNDS[number] - low) * rank / inside
            rank -= inside
        return None


class Counters:
    """What one target has done, or several together. Plain attributes, to be added to."""

    __slots__ = (
        "attempts",
        "cached_tokens",
        "completion_tokens",
        "dropped",
        "failures",
        "lost",
        "prompt_tokens",
        "retries",
        "successes",
        "ttft",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.retries = 0
        self.successes = 0
        self.lost = 0
        """Attempts given up without having failed: another target was faster, or this one was no longer to be asked."""
        self.failures: dict[Cause, int] = {}
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens = 0
        """Those of the prompt tokens that the provider had cached."""
        self.dropped = 0
        """Stream events that had neither choices nor an error."""
        self.ttft = Histogram()
        """Attempt begun -> first content."""

    @property
    def under_way(self) -> int:
        """Attempts that have not ended."""
        return self.attempts - self.successes - sum(self.failures.values()) - self.lost - self.retries

    def failed(self, cause: Cause) -> None:
        """Count one failure."""
        self.failures[cause] = self.failures.get(cause, 0) + 1

    def tokens(self, prompt: int, completion: int, cached: int = 0) -> None:
        """Add the usage of one answer."""
        self.cached_tokens += cached
        self.prompt_tokens += prompt
        self.completion_tokens += completion

    def add(self, other: Counters) -> None:
        """Add what another target has done."""
        self.attempts += other.attempts
        self.retries += other.retries
        self.successes += other.successes
        self.lost += other.lost
        for cause, count in other.failures.items():
            self.failures[cause] = self.failures.get(cause, 0) + count
        self.tokens(other.prompt_tokens, other.completion_tokens, other.cached_tokens)
        self.dropped += other.dropped
        self.ttft.add(other.ttft)


class RequestCounters:
    """The client requests for one model name. Plain attributes, to be added to."""

    __slots__ = ("failures", "gap", "in_flight", "requests", "rescued", "ttft")

    def __init__(self) -> None:
        self.requests = 0
        self.in_flight = 0
        self.rescued = 0
        """Requests served after an attempt had failed."""
        self.failures: dict[Cause, int] = {}
        self.ttft = Histogram()
        """Request received -> first content sent."""
        self.gap = Histogram()
        """Between the content events of a stream, from its commit on; 0 for those that came in one read."""

    def begin(self) -> None:
        """A request has come."""
        self.requests += 1
        self.in_flight += 1

    def end(self, cause: Cause | None, rescued: bool = False) -> None:
        """A request is over; `cause` is None if the client got its answer."""
        self.in_flight -= 1
        self.rescued += rescued
        if cause is not None:
            self.failures[cause] = self.failures.get(cause, 0) + 1
