"""How much of an answer is held back before the client gets any of it."""

from __future__ import annotations

from oxllm.core.request.attempt import Attempt
from oxllm.core.request.phases import HOLDING


def may_commit(attempt: Attempt) -> bool:
    """Whether enough of an attempt's answer has come to commit to it. A hold-back in seconds is `Attempt.commit_at`."""
    if attempt.phase is not HOLDING:
        return False
    reader = attempt.reader
    # 1. It is whole; or it is no stream, so the client sees nothing of it before its end anyway.
    if reader.complete or not attempt.facts.stream:
        return True
    # 2. As many events as the route asks for. No number is enough if it waits for the end, or for a time.
    hold = attempt.route.hold_back
    return not hold.full and not hold.seconds and reader.content >= hold.tokens
