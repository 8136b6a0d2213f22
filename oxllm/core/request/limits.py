"""What it means that an attempt ran out of time: by its target's own limits, or by its request's deadline."""

from __future__ import annotations

from typing import Final

from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.phases import CONNECTING, WAITING

ALIVE_S: Final = 30.0
"""A host that sent anything within so many seconds is alive. Providers send heartbeats every 10 to 20 s."""


def timed_out(attempt: Attempt, now: float) -> Outcome:
    """The outcome of an attempt whose `clock` is due."""
    times = attempt.candidate.timeouts
    # 1. No connection.
    if attempt.phase is CONNECTING:
        if attempt.queued:
            return Outcome(Kind.LOCAL, f"no turn for a TLS handshake within {times.connect:g} s")
        return Outcome(Kind.TIMEOUT, f"no connection within {times.connect:g} s")
    # 2. A response, or signs of work, and then silence.
    working = attempt.reader.working
    may_work = working and now < attempt.sent_at + times.answer
    if attempt.phase is not WAITING or attempt.clock.silence is not None or may_work:
        return Outcome(Kind.TIMEOUT, f"silent for {times.idle:g} s")
    # 3. No answer.
    if not attempt.facts.stream:
        return Outcome(Kind.TIMEOUT, f"no answer within {times.answer:g} s")
    # 4. No content, though the host may be alive.
    reason = f"no content within {times.answer if working else times.first_byte:g} s"
    if now - attempt.read_at <= min(ALIVE_S, times.first_byte / 2):
        return Outcome(Kind.TIMEOUT, f"{reason}, but heartbeats", counts=False)
    return Outcome(Kind.TIMEOUT, reason)


def out_of_time(attempt: Attempt, request_s: float, now: float) -> Outcome:
    """The outcome of an attempt that its request's deadline ended. A client's own deadline says nothing about the
    provider; ours, `request_s` seconds after the request's start, does if the attempt has had its full limit."""
    times, timeout = attempt.candidate.timeouts, attempt.facts.timeout
    lasted, limit = now - attempt.started, times.first_byte if attempt.facts.stream else times.answer
    ours = timeout is None or timeout >= request_s
    return Outcome(Kind.DEADLINE, f"out of time after {lasted:.1f} s", counts=ours and lasted >= limit)
