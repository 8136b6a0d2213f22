"""A change at a provider that is worth a log line."""

from __future__ import annotations

from oxllm.core.shape import Value


class Change(Value, frozen=True):
    """A breaker has changed state, or a mark was set."""

    provider: str
    model: str | None
    """None when it concerns the whole provider."""
    text: str
