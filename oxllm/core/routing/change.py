"""Something about a provider that the log should tell."""

from __future__ import annotations

from oxllm.core.shape import Value


class Change(Value, frozen=True):
    """A breaker moved, or a mark was set."""

    provider: str
    model: str | None
    """None when it concerns the whole provider."""
    text: str
