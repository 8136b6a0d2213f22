"""What a gateway says of itself: the JSON of GET /status, which the command line reads to draw its table.

Every field has a default, so that a command of one release understands a gateway of another. Times are in seconds.
"""

from __future__ import annotations

import msgspec

SERVING = frozenset({"ready", "being probed", "at its max_in_flight"})
"""States of a target that requests still reach, if perhaps not this moment."""


class TargetStatus(msgspec.Struct, frozen=True):
    """One target of a virtual model."""

    target: str
    tier: int = 1
    weight: int = 1
    state: str = "ready"
    """`ready`, or why it is passed over."""
    seconds_left: float | None = None
    """Until that is over; None if nobody knows."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompts', those that the provider still knew; both are of all models that list this target."""

    @property
    def serves(self) -> bool:
        """Requests still reach it."""
        return self.state in SERVING


class ModelStatus(msgspec.Struct, frozen=True):
    """One virtual model."""

    name: str
    requests: int = 0
    in_flight: int = 0
    rescued: int = 0
    failed: int = 0
    """But for those of which it was the client's doing, such as to leave."""
    targets: tuple[TargetStatus, ...] = ()

    @property
    def served(self) -> bool:
        """Some target still serves it."""
        return any(target.serves for target in self.targets)


class Mark(msgspec.Struct, frozen=True):
    """Why one model of a provider is passed over."""

    state: str
    seconds_left: float | None = None


class ProviderStatus(msgspec.Struct, frozen=True):
    """One provider."""

    name: str
    base_url: str = ""
    state: str = "closed"
    """Of its breaker: closed, open, half-open, probing, offline."""
    seconds_left: float = 0.0
    """Until its breaker is half-open, or until it comes back from offline; 0 where there is no such time."""
    in_flight: int = 0
    max_in_flight: int | None = None
    attempts: int = 0
    successes: int = 0
    retries: int = 0
    """First tries of a pair at one target: failures that a second try was to make good."""
    failures: dict[str, int] = {}
    """By whom to blame."""
    ttft_p50: float | None = None
    ttft_p99: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    protocols: tuple[str, ...] = ()
    targets: int = 0
    """How many of its models are known."""
    marks: dict[str, Mark] = {}
    """Model -> why it is passed over."""


class Status(msgspec.Struct, frozen=True):
    """The whole gateway."""

    version: str
    pid: int
    uptime: float
    draining: bool = False
    drain_left: float | None = None
    """Until what is left will be cut; None unless it drains."""
    listen: tuple[str, ...] = ()
    config: str | None = None
    memory_bytes: int | None = None
    connections: int = 0
    upstream_connections: int = 0
    requests: int = 0
    """Since the start, by whatever model name."""
    protocols: dict[str, int] = {}
    """How many of them came by which API."""
    in_flight: int = 0
    buffered_bytes: int = 0
    providers: tuple[ProviderStatus, ...] = ()
    disabled: tuple[str, ...] = ()
    """Providers that the configuration has switched off."""
    models: tuple[ModelStatus, ...] = ()
