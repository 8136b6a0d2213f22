"""What a protocol reads of a request's body. Not compiled, so that protocols that read more can subclass it."""

from __future__ import annotations

from oxllm.core.shape import Value


class Asked(Value, frozen=True):
    """What a protocol reads of a request's body."""

    stream: bool = False
    choices: int = 1
    """How many the answer must have, at least 1."""
    wants_usage: bool = False
    """The client itself asked for usage in its stream."""
    previous: str | None = None
    """The id of the earlier answer that the request continues."""
