"""How much of an answer is held back before the client gets any of it."""

from __future__ import annotations

from oxllm.core.request.attempt import HOLDING, Attempt


def may_commit(attempt: Attempt) -> bool:
    """Enough of an attempt's answer is there to commit to it, but for what only time brings (`Attempt.commit_at`)."""
    if attempt.phase is not HOLDING:
        return False
    reader = attempt.reader
    # 1. All of it is, or it is no stream, of which nothing would be seen before its end.
    if reader.complete or not attempt.facts.stream:
        return True
    # 2. As many events as the route has it; none is enough where it waits for the end, or for a time.
    hold = attempt.route.hold_back
    return not hold.full and not hold.seconds and reader.content >= hold.tokens
