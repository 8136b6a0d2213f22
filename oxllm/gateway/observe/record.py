"""The record of a finished request. Not compiled, since it is read back from JSON (`oxllm/core/shape.py`)."""

from __future__ import annotations

import msgspec

from oxllm.core.request.step import Step
from oxllm.core.routing.cooldown import Skip


class Record(msgspec.Struct, frozen=True):
    """How a request ended, for `explain`, for a collector, and for GET /requests."""

    id: str
    time: float
    """Seconds since the epoch at its end."""
    model: str
    """The name in the config, which may contain `*`."""
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
    """Those of the prompt that were cached."""
    response_model: str | None = None
    """The model that made the answer, by what its provider says."""
    finish_reasons: tuple[str, ...] = ()
    """Why each choice ended, in the provider's words."""
