"""What a gateway reports about itself: the JSON of GET /status, from which the command line draws its table.

Nearly every field has a default, so that a command of one release understands a gateway of another. Times are in
seconds.
"""

from __future__ import annotations

import msgspec

SERVING = frozenset({"ready", "being probed", "at its max_in_flight"})
"""States of a target that requests still reach, though perhaps not at this moment."""


class TargetStatus(msgspec.Struct, frozen=True):
    """One target of a virtual model."""

    target: str
    tier: int = 1
    weight: int = 1
    state: str = "ready"
    """`ready`, or why it is skipped."""
    seconds_left: float | None = None
    """Until that is over; None if unknown."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Prompt tokens that the provider had cached. Both counts include all models that list this target."""

    @property
    def serves(self) -> bool:
        """Whether requests still reach it."""
        return self.state in SERVING


class ModelStatus(msgspec.Struct, frozen=True):
    """One virtual model."""

    name: str
    requests: int = 0
    in_flight: int = 0
    rescued: int = 0
    failed: int = 0
    """Without those that the client caused, by leaving for instance."""
    targets: tuple[TargetStatus, ...] = ()

    @property
    def served(self) -> bool:
        """Whether some target still serves it."""
        return any(target.serves for target in self.targets)


class Mark(msgspec.Struct, frozen=True):
    """Why one model of a provider is skipped."""

    state: str
    seconds_left: float | None = None


class ProviderStatus(msgspec.Struct, frozen=True):
    """One provider."""

    name: str
    base_url: str = ""
    state: str = "closed"
    """Its breaker's state: closed, open, half-open, probing, offline."""
    seconds_left: float = 0.0
    """Until its breaker is half-open, or until it comes back from offline; 0 if there is no such time."""
    in_flight: int = 0
    max_in_flight: int | None = None
    attempts: int = 0
    successes: int = 0
    retries: int = 0
    """Failed attempts that were followed by a second try at the same target."""
    failures: dict[str, int] = {}
    """By whom to blame."""
    last_failure: str | None = None
    """Why the last attempt failed that counted for the breaker."""
    ttft_p50: float | None = None
    ttft_p99: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    protocols: tuple[str, ...] = ()
    targets: int = 0
    """How many of its models are known."""
    marks: dict[str, Mark] = {}
    """Model -> why it is skipped."""


class Status(msgspec.Struct, frozen=True):
    """The whole gateway."""

    version: str
    pid: int
    uptime: float
    draining: bool = False
    drain_left: float | None = None
    """Until the requests that are left will be cut off; None unless draining."""
    listen: tuple[str, ...] = ()
    config: str | None = None
    memory_bytes: int | None = None
    connections: int = 0
    upstream_connections: int = 0
    requests: int = 0
    """Since the start, for all models."""
    protocols: dict[str, int] = {}
    """Requests by API."""
    in_flight: int = 0
    max_in_flight: int | None = None
    buffered_bytes: int = 0
    providers: tuple[ProviderStatus, ...] = ()
    disabled: tuple[str, ...] = ()
    """Providers that the config disables."""
    models: tuple[ModelStatus, ...] = ()
