"""Where the time of requests went that waited for nothing: for a connection, for a first byte, for the next one.

Pure: it reads the ledgers, the transcripts and the scenario. An attempt that never reached a provider has no record
there; that its port was a black hole at the time is known from the scenes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from oxllm.sim.provider.ledger import Record
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.script.scenario import Scenario

LEAST_S = 0.5
"""Shorter waits are nobody's complaint."""


class Cause(Enum):
    """What was waited for, by the key that limits it."""

    CONNECT = "connect"
    FIRST_BYTE = "first_byte"
    """A stream's first content."""
    ANSWER = "answer"
    """A plain answer's head."""


class Wait(msgspec.Struct, frozen=True):
    """One client's wait at one provider, in seconds, that came to nothing."""

    number: int
    """Of the client's question."""
    provider: str
    cause: Cause
    seconds: float


def found(
    scenario: Scenario,
    groups: Mapping[str, Sequence[str]],
    transcripts: Sequence[Transcript],
    attempts: Sequence[Record],
) -> list[Wait]:
    """All waits of a run, request by request."""
    by_question: dict[str | None, list[Record]] = defaultdict(list)
    for record in sorted(attempts, key=lambda record: record.arrived):
        by_question[record.asked].append(record)
    return [
        wait
        for seen in transcripts
        for wait in (
            *_for_connections(scenario, groups[seen.lane], seen, by_question[seen.asked]),
            *_for_answers(seen, by_question[seen.asked]),
        )
    ]


def _for_connections(
    scenario: Scenario, group: Sequence[str], seen: Transcript, tried: Sequence[Record]
) -> Iterator[Wait]:
    """Times in which no provider had the request, while one that could have been asked was a black hole."""
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
    """The most preferred provider whose port completed no handshake then."""
    dark = {
        name
        for scene in scenario.scenes
        if scene.closes and scene.when.has(at, 0) and any(dosed.fault.kind == "blackhole" for dosed in scene.faults)
        for name in scene.on
    }
    return next((name for name in group if name in dark and name != not_this), None)


def _for_answers(seen: Transcript, tried: Sequence[Record]) -> Iterator[Wait]:
    """Times at providers whose answers never came, when the client had none of it yet."""
    cause = Cause.FIRST_BYTE if seen.stream else Cause.ANSWER
    for record in tried:
        ended = record.ended if record.ended is not None else seen.ended
        if ended is None or ended - record.arrived < LEAST_S or not record.lost:
            continue
        if seen.first is None or seen.first >= ended:
            yield Wait(seen.number, record.provider, cause, ended - record.arrived)
