"""A rehearsal without the wait: a made-up run with known numbers, for tests of reports."""

from __future__ import annotations

from oxllm.sim.provider.ledger import Record
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import grade
from oxllm.sim.rehearsal.card import Sample
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.rehearsal.run import Run
from oxllm.sim.script import scenes

DURATION_S = 60.0
VERDICTS = ("whole",) * 7 + ("refused", "broken", "truncated")
"""The verdicts of each ten consecutive requests."""
BREAKER = ("closed",) * 20 + ("open",) * 20 + ("half-open", "probing") + ("closed",) * 20
"""The first provider's breaker, second by second."""


def rehearsed(names: tuple[str, str] = ("alpha", "beta"), model: str = "smart") -> Run:
    """Three hundred requests in a minute. Every fifth gets a 500 from the first provider, whose port is dark from 20 s
    to 30 s, and goes on to the second."""
    first, second = names
    scene = '[[scene]]\nname = "bad"\non = "first"\nwhen = "0s..20s"\nfaults = ["500 20%"]\n'
    dark = '[[scene]]\nname = "dark"\non = "first"\nwhen = "20s..30s"\nfaults = ["refuse"]\n'
    scenario = scenes.over((Upstream("first"), Upstream("second", dialect="groq")), scene + dark, 7)
    renamed = {"first": first, "second": second}
    scenario = type(scenario)(
        scenario.seed,
        tuple(type(up)(renamed[up.name], up.dialect, up.models, up.pace, up.limit) for up in scenario.upstreams),
        tuple(type(s)(s.name, tuple(renamed[name] for name in s.on), s.faults, s.when) for s in scenario.scenes),
    )
    transcripts = [_transcript(number, model) for number in range(300)]
    records = [record for seen in transcripts for record in _attempts(seen, first, second)]
    samples = [
        Sample(float(at), {first: state, second: "closed"}, {first: 5.0}, 19_000_000)
        for at, state in enumerate(BREAKER)
    ]
    groups = {model: [first, second]}
    recorded = grade.Recorded(scenario, groups, DURATION_S, transcripts, records, samples)
    return Run(recorded, grade.grade(recorded, ("truncated == 0", "amplification < 1.5")))


def _transcript(number: int, model: str) -> Transcript:
    started, verdict = number / 5, VERDICTS[number % 10]
    seen = Transcript(number, model, number % 5 != 0, f"question {number}", started, verdict=verdict)
    seen.first = None if verdict == "refused" else started + 0.05 + number % 40 / 100
    seen.ended = started + 0.5 + number % 30 / 10
    return seen


def _attempts(seen: Transcript, first: str, second: str) -> list[Record]:
    struck = seen.number % 5 == 0
    ordinal = seen.number + 1
    one = Record(first, ordinal, f"{ordinal}", seen.started, 1, "POST", "/v1/chat/completions", "m", seen.asked)
    one.status, one.fault, one.ended = (500, "500", seen.started + 0.01) if struck else (200, None, seen.ended)
    if not struck:
        return [one]
    other = Record(second, ordinal, f"{ordinal}", seen.started + 0.02, 1, "POST", one.path, "m", seen.asked)
    other.status, other.ended = 200, seen.ended
    return [one, other]
