"""What is kept of one attempt. Not compiled, since it is also read back from JSON (`oxllm/core/shape.py`)."""

from __future__ import annotations

from oxllm.core.shape import Leaf


class Step(Leaf, frozen=True, gc=False):
    """How one attempt ended, for `explain`. Times are seconds since the request's start."""

    number: int
    target: str
    started: float
    ended: float
    content: float | None
    result: str
    session: bool = False
    """Its target was preferred to others because of the session."""
    status: int | None = None
    """The provider's status, if the attempt failed with one."""
