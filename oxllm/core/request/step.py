"""What is remembered of one attempt. Interpreted, since it is also read back from JSON (`oxllm/core/shape.py`)."""

from __future__ import annotations

from oxllm.core.shape import Leaf


class Step(Leaf, frozen=True, gc=False):
    """What became of one attempt, for `explain`. Times are seconds since the request's start."""

    number: int
    target: str
    started: float
    ended: float
    content: float | None
    result: str
    session: bool = False
    """Its target was preferred to others for the sake of the session."""
    status: int | None = None
    """The provider's, if the attempt failed with one."""
