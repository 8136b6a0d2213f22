"""Finds requests that waited in vain, and answers that another config could have saved.

Pure: reads the ledgers, the transcripts and the scenario. An attempt that never reached a provider has no record there;
the scenes tell whether its port was a black hole at the time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import Enum

import msgspec

from oxllm.sim.provider.ledger import Record
from oxllm.sim.rehearsal.grade import Recorded
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.script import grammar
from oxllm.sim.script.scenario import Scenario

LEAST_S = 0.5
"""Shorter waits do not count."""
LATE_S = 1.0
"""A first token after this is late."""
LONG_S = 60.0
"""Longer than a rate limit per minute can explain."""
_AGAIN = re.compile(r"(500|502-html|rst|fin)\b(?!@)")
"""Faults after which the same target is tried once more."""


class Cause(Enum):
    """What a client waited for, named after the key that limits it, or what went wrong, after the key that helps."""

    CONNECT = "connect"
    FIRST_BYTE = "first_byte"
    """A stream's first content."""
    ANSWER = "answer"
    """A plain answer's head."""
    IDLE = "idle"
    """The next part of a stream that had begun."""
    LATE = "hedge_after"
    """A first token that came late."""
    BROKEN = "hold_back"
    """An answer that broke after its first token."""
    REFUSED = "retry"
    """There was no retry after a failure that may be momentary."""
    HINT = "hint"
    """A provider asked for an implausibly long wait."""


CLOCKS = (Cause.CONNECT, Cause.FIRST_BYTE, Cause.ANSWER, Cause.IDLE)
"""Causes that a provider's timeout limits."""


class Wait(msgspec.Struct, frozen=True):
    """One client's wait at one provider, in seconds."""

    number: int
    """Number of the client's question."""
    provider: str
    cause: Cause
    seconds: float
    model: str = ""
    """The model that the client asked for."""
    tokens: int = 0
    """Number of tokens after which it broke."""


def found(run: Recorded) -> list[Wait]:
    """All waits of a run, request by request."""
    by_question = run.by_question
    return [
        wait
        for seen in run.transcripts
        for tried in (by_question.get(seen.asked, ()),)
        for wait in (
            *_for_connections(run.scenario, run.groups[seen.lane], seen, tried),
            *_for_answers(seen, tried),
            *_for_next_parts(seen, tried),
            *_of_the_model(seen, tried),
            *_for_hints(seen, tried),
        )
    ]


def _for_connections(
    scenario: Scenario, group: Sequence[str], seen: Transcript, tried: Sequence[Record]
) -> Iterator[Wait]:
    """Times when no provider had the request, while one of its group was a black hole."""
    free = seen.started
    for record in tried:
        gap = record.arrived - free
        if gap >= LEAST_S and (provider := _black_hole(scenario, group, free, record.provider)) is not None:
            yield Wait(seen.number, provider, Cause.CONNECT, gap)
        free = record.ended if record.ended is not None else record.arrived
    gap = (seen.ended or free) - free
    if seen.verdict == "refused" and gap >= LEAST_S:
        provider = _black_hole(scenario, group, free, None)
        if provider is not None:
            yield Wait(seen.number, provider, Cause.CONNECT, gap)


def _black_hole(scenario: Scenario, group: Sequence[str], at: float, not_this: str | None) -> str | None:
    """The most preferred provider whose port was a black hole at that time."""
    dark = {
        name
        for scene in scenario.scenes
        if scene.closes and scene.when.has(at, 0) and any(dosed.fault.kind == "blackhole" for dosed in scene.faults)
        for name in scene.on
    }
    return next((name for name in group if name in dark and name != not_this), None)


def _for_answers(seen: Transcript, tried: Sequence[Record]) -> Iterator[Wait]:
    """Times spent at providers whose answers never came, before the client had any content."""
    cause = Cause.FIRST_BYTE if seen.stream else Cause.ANSWER
    for record in tried:
        ended = record.ended if record.ended is not None else seen.ended
        if ended is None or ended - record.arrived < LEAST_S or not record.lost:
            continue
        if seen.first is None or seen.first >= ended:
            yield Wait(seen.number, record.provider, cause, ended - record.arrived)


def _for_next_parts(seen: Transcript, tried: Sequence[Record]) -> Iterator[Wait]:
    """Silences in streams that had begun, until the stream was given up."""
    for record in tried:
        if not record.lost or record.last is None or record.ended is None or seen.first is None:
            continue
        if seen.first < record.ended and record.ended - record.last >= LEAST_S:
            yield Wait(seen.number, record.provider, Cause.IDLE, record.ended - record.last)


def _of_the_model(seen: Transcript, tried: Sequence[Record]) -> Iterator[Wait]:
    """What another provider or a retry could have saved."""
    last = tried[-1] if tried else None
    if last is None:
        return
    late = (seen.first or 0.0) - last.arrived
    if seen.stream and seen.first is not None and not last.lost and late >= LATE_S:
        yield Wait(seen.number, last.provider, Cause.LATE, late, seen.model)
    place = None if last.fault is None else grammar.fault(last.fault).place
    if seen.verdict == "broken" and place is not None and place.word == "token":
        yield Wait(seen.number, last.provider, Cause.BROKEN, 0.0, seen.model, place.n)
    if seen.verdict == "refused" and len(tried) == 1 and _AGAIN.match(last.fault or ""):
        yield Wait(seen.number, last.provider, Cause.REFUSED, 0.0)


def _for_hints(seen: Transcript, tried: Sequence[Record]) -> Iterator[Wait]:
    """Implausibly long waits that providers asked for."""
    for record in tried:
        if record.hint is not None and record.hint > LONG_S:
            yield Wait(seen.number, record.provider, Cause.HINT, record.hint)
