"""The report card: what a gateway made of a run, in numbers."""

from __future__ import annotations

from enum import Enum

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """The gateway's state at one moment."""

    at: float
    states: dict[str, str]
    """Provider -> its breaker's state, in the gateway's words."""
    left: dict[str, float]
    """Provider -> seconds that it stays so."""
    rss: int | None
    out: frozenset[str] = frozenset()
    """Providers that cannot be asked, or not for all of their models: an open breaker, a mark."""


class Verdict(Enum):
    """Passed only if all that was to be shown was shown."""

    PASSED = "passed"
    FAILED = "failed"
    """A rule was not kept."""
    NOT_TESTED = "not tested"
    """No rule was broken, and yet the run does not show what it was to show."""


class Spread(msgspec.Struct, frozen=True):
    """Median and 99th percentile in seconds of `count` times; None when nothing was measured."""

    p50: float | None
    p99: float | None
    count: int = 0


class Finding(msgspec.Struct, frozen=True):
    """A violation and the coordinates of the fates that led to it, for `--fate`; none if no attempt was made."""

    what: str
    coordinates: tuple[str, ...]
    explained: str = ""
    """What the gateway itself says of the request."""


class Lane(msgspec.Struct, frozen=True):
    """What became of the requests for one virtual model in one protocol."""

    requests: int
    whole: int
    refused: int
    broken: int
    ttft: Spread


class Card(msgspec.Struct, frozen=True):
    """The report card. Counts are of client requests unless they say otherwise."""

    seed: int
    survivable: dict[str, str | None]
    """Virtual model -> why no gateway could have saved all of its requests; None = one could."""
    requests: int
    whole: int
    client_errors: int
    """Refused before any content."""
    survivable_errors: int
    """Those of them that a perfect gateway would not have had."""
    broken: int
    """Errors after content, told as errors."""
    truncated: int
    """Parts of answers that passed as whole."""
    unfinished: int
    rescuable: int
    """Met a failing attempt: one whose answer never came whole, and not because the client or the gateway left."""
    rescued: int
    attempts: int
    amplification: float
    retry_after_violations: int
    open_violations: int
    """Attempts at a provider whose breaker was open."""
    failover: Spread
    """From the end of a failed attempt to the arrival of the next."""
    recovery: Spread
    """From the end of an outage of the provider that somebody prefers to the next request there; if none came, for as
    long as one could have come."""
    ttft: Spread
    ttft_perfect: Spread
    total: Spread
    total_perfect: Spread
    rss_max: int | None
    kinds: dict[str, int]
    """Kind -> how often it struck, if it harms anybody."""
    untouched: tuple[str, ...]
    """Kinds that this run never had."""
    states: tuple[str, ...]
    """Breaker states and transitions that were seen."""
    findings: tuple[Finding, ...]
    failed: tuple[str, ...] = ()
    """Expectations that were not met."""
    untested: tuple[str, ...] = ()
    """Why the run does not show what it was to show."""
    single_points: dict[str, str] = {}
    """What is asked and has one provider -> that provider."""
    harmless: dict[str, int] = {}
    """Kind that harms nobody -> how often it was played."""
    outages: int = 0
    """Of providers that somebody prefers; `recovery` is about them."""

    lanes: dict[str, Lane] = {}
    """Virtual model, as it is called in a protocol -> what became of its requests."""
    providers: dict[str, tuple[int, int]] = {}
    """Provider -> attempts, and those of them that were lost."""
    advice: tuple[str, ...] = ()
    """What in the config would have helped."""

    @property
    def verdict(self) -> Verdict:
        if self.failed:
            return Verdict.FAILED
        return Verdict.NOT_TESTED if self.untested else Verdict.PASSED
