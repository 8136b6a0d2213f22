"""The report card: how a gateway did in a run, in numbers."""

from __future__ import annotations

from enum import Enum

import msgspec


class Sample(msgspec.Struct, frozen=True):
    """The gateway's state at one time."""

    at: float
    states: dict[str, str]
    """Provider -> state of its breaker, as the gateway names it."""
    left: dict[str, float]
    """Provider -> seconds left in that state."""
    rss: int | None
    out: frozenset[str] = frozenset()
    """Providers that are unavailable, at least for some models: an open breaker, a mark."""


class Verdict(Enum):
    """Passed only if the run showed all that it should."""

    PASSED = "passed"
    FAILED = "failed"
    """A rule was broken."""
    NOT_TESTED = "not tested"
    """No rule was broken, but the run does not show all that it should."""


class Spread(msgspec.Struct, frozen=True):
    """Median and 99th percentile, in seconds, of `count` times; None if nothing was measured."""

    p50: float | None
    p99: float | None
    count: int = 0


class Finding(msgspec.Struct, frozen=True):
    """A violation, with the coordinates (for `--fate`) of the attempts that led to it, if there were any."""

    what: str
    coordinates: tuple[str, ...]
    explained: str = ""
    """What the gateway's `explain` says about the request."""


class Lane(msgspec.Struct, frozen=True):
    """Outcomes of the requests for one virtual model in one protocol."""

    requests: int
    whole: int
    refused: int
    broken: int
    ttft: Spread


class Card(msgspec.Struct, frozen=True):
    """The report card. Counts are of client requests unless noted otherwise."""

    seed: int
    survivable: dict[str, str | None]
    """Virtual model -> why no gateway could have answered all of its requests; None = one could."""
    requests: int
    whole: int
    client_errors: int
    """Refused before any content."""
    survivable_errors: int
    """Those of them that a perfect gateway would have avoided."""
    broken: int
    """Errors after content that clients were told of."""
    truncated: int
    """Incomplete answers that were passed off as whole."""
    unfinished: int
    rescuable: int
    """Requests that met a failing attempt: one whose provider gave no whole answer (not because its peer left)."""
    rescued: int
    attempts: int
    amplification: float
    retry_after_violations: int
    open_violations: int
    """Attempts at a provider whose breaker was open."""
    failover: Spread
    """From the end of a failed attempt to the arrival of the next."""
    recovery: Spread
    """From the end of a preferred provider's outage to the next request there; if there was none, to its next outage or
    the end of the run."""
    ttft: Spread
    ttft_perfect: Spread
    total: Spread
    total_perfect: Spread
    rss_max: int | None
    kinds: dict[str, int]
    """Harmful kind -> how often it struck."""
    untouched: tuple[str, ...]
    """Kinds that this run never played."""
    states: tuple[str, ...]
    """Observed breaker states and transitions."""
    findings: tuple[Finding, ...]
    failed: tuple[str, ...] = ()
    """Expectations that were not met."""
    untested: tuple[str, ...] = ()
    """Why the run does not show all that it should."""
    single_points: dict[str, str] = {}
    """Name asked for that has a single provider -> that provider."""
    harmless: dict[str, int] = {}
    """Harmless kind -> how often it was played."""
    outages: int = 0
    """Outages of preferred providers, which `recovery` is about."""

    lanes: dict[str, Lane] = {}
    """Virtual model in a protocol (see `question.lane`) -> outcomes of its requests."""
    providers: dict[str, tuple[int, int]] = {}
    """Provider -> attempts, and how many of them were lost."""
    advice: tuple[str, ...] = ()
    """What in the config would have helped, in sentences."""

    @property
    def verdict(self) -> Verdict:
        if self.failed:
            return Verdict.FAILED
        return Verdict.NOT_TESTED if self.untested else Verdict.PASSED
