"""What is told of a request that has ended. Interpreted, since it is read back from JSON (`oxllm/core/shape.py`)."""

from __future__ import annotations

import msgspec

from oxllm.core.request.step import Step
from oxllm.core.routing.cooldown import Skip


class Record(msgspec.Struct, frozen=True):
    """What became of a request, for `explain`, a collector, and who asks for the last ones."""

    id: str
    time: float
    """Seconds since the epoch at its end."""
    model: str
    """By its name in the config, which may hold `*`."""
    stream: bool
    status: int
    provider: str | None
    upstream_model: str | None
    attempts: int
    first_content: float | None
    """Seconds from the request's head to its first content."""
    total: float
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str | None
    steps: tuple[Step, ...]
    skips: dict[str, Skip]
    protocol: str = "chat"
    cached_tokens: int | None = None
    """Of the prompt's."""
    response_model: str | None = None
    """Who made the answer, as its provider says."""
    finish_reasons: tuple[str, ...] = ()
    """Why each of its results ended, in the provider's words."""
