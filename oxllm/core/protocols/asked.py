"""What a protocol reads of a request's body. Some read more: interpreted, so that theirs can be one of these."""

from __future__ import annotations

from oxllm.core.shape import Value


class Asked(Value, frozen=True):
    """What a protocol reads of a request's body."""

    stream: bool = False
    choices: int = 1
    """How many an answer must have, at least 1."""
    wants_usage: bool = False
    """The client itself asked for usage in its stream."""
    previous: str | None = None
    """The id of an earlier answer that this one continues."""
