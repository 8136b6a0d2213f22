"""The numbers behind the report's pictures: bins of time, spells of a state, curves. Pure: only reads a run."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from oxllm.sim.faults.base import Layer
from oxllm.sim.provider.ledger import Harm, Record
from oxllm.sim.rehearsal import grade
from oxllm.sim.rehearsal.card import Sample
from oxllm.sim.rehearsal.grade import Recorded
from oxllm.sim.script.scenario import Scene

BINS_MAX = 75
"""Most bars in a picture: on a phone 360 pixels wide each is still 4 pixels wide."""
POINTS_MAX = 200
TICKS_MAX = 6
"""Most labels on an axis of times: on a phone more would touch each other."""
_STEPS_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)


class Timeline(msgspec.Struct, frozen=True):
    """From 0 to `end` seconds, in bins of `step` seconds."""

    end: float
    step: float

    @property
    def bins(self) -> int:
        return round(self.end / self.step)

    def bin(self, at: float) -> int:
        """The bin of a time; times outside belong to the nearest one."""
        return max(0, min(int(at / self.step), self.bins - 1))

    def ticks(self) -> list[float]:
        """Round times from 0 on, at most TICKS_MAX."""
        step = next((step for step in _STEPS_S if self.end / step < TICKS_MAX), self.end)
        return [step * number for number in range(int(self.end / step) + 1)]


def timeline(run: Recorded) -> Timeline:
    """The time that the run took, including the last answers."""
    last = max([run.duration, *(seen.ended or seen.started for seen in run.transcripts)])
    step = next((step for step in _STEPS_S if last / step <= BINS_MAX), last / BINS_MAX)
    return Timeline(math.ceil(last / step) * step, step)


def outcomes(run: Recorded, axis: Timeline) -> list[Counter[str]]:
    """How the requests that began in each bin ended: verdict -> count."""
    bins: list[Counter[str]] = [Counter() for _ in range(axis.bins)]
    for seen in run.transcripts:
        bins[axis.bin(seen.started)][seen.verdict] += 1
    return bins


def work(run: Recorded, axis: Timeline) -> list[tuple[int, int]]:
    """Requests that began in each bin, and all attempts for them, whenever those were made."""
    asked = {seen.asked: axis.bin(seen.started) for seen in run.transcripts}
    requests = Counter(asked.values())
    attempts = Counter(asked[record.asked] for record in run.attempts if record.asked in asked)
    return [(requests[place], attempts[place]) for place in range(axis.bins)]


def _attempts_at(run: Recorded, provider: str) -> list[Record]:
    return [record for record in run.attempts if record.provider == provider]


def struck(record: Record) -> bool:
    """Whether the simulator harmed the answer."""
    return record.harm is not Harm.NONE or record.status not in (200, None)


class Spell(msgspec.Struct, frozen=True):
    """A state, and when it began and ended."""

    state: str
    start: float
    end: float


class Lane(msgspec.Struct, frozen=True):
    """One provider's part in a run."""

    name: str
    dialect: str
    attempts: list[tuple[int, int]]
    """For each bin, how many got a healthy answer, and how many were struck."""
    breaker: list[Spell]
    """States, as the gateway names them."""
    scenes: list[Spell]
    """`outage`: the port answered nobody; `faults`: some requests were struck."""


def lanes(run: Recorded, axis: Timeline) -> list[Lane]:
    """All providers, in the order of the config."""
    return [
        Lane(
            upstream.name,
            upstream.dialect,
            _split(_attempts_at(run, upstream.name), axis),
            spells(run.samples, upstream.name),
            _scenes(run, upstream.name, axis),
        )
        for upstream in run.scenario.upstreams
    ]


def _split(records: Iterable[Record], axis: Timeline) -> list[tuple[int, int]]:
    counts = Counter((axis.bin(record.arrived), struck(record)) for record in records)
    return [(counts[place, False], counts[place, True]) for place in range(axis.bins)]


def spells(samples: Sequence[Sample], provider: str) -> list[Spell]:
    """A breaker's states as sampled, each for as long as it lasted."""
    told = [(sample.at, sample.states.get(provider, "unknown")) for sample in samples]
    begun = [next(same) for _, same in itertools.groupby(told, key=lambda moment: moment[1])]
    ends = [*(at for at, _ in begun[1:]), *(at for at, _ in told[-1:])]
    return [Spell(state, at, end) for (at, state), end in zip(begun, ends, strict=True)]


def _scenes(run: Recorded, provider: str, axis: Timeline) -> list[Spell]:
    playing = [scene for scene in run.scenario.scenes if provider in scene.on and scene.faults]
    found = (_played(scene, _attempts_at(run, provider), axis.end) for scene in playing)
    return [spell for spell in found if spell is not None and spell.start < axis.end]


def _played(scene: Scene, records: Sequence[Record], end: float) -> Spell | None:
    """When a scene played; one that counts requests, from the first to the last of those."""
    dark = any(dosed.fault.strikes_at() is Layer.LISTENER for dosed in scene.faults)
    kind = "outage" if dark else "faults"
    if scene.when.first is None:
        return Spell(kind, scene.when.start, min(scene.when.end, end))
    met = [record.arrived for record in records if scene.when.has(0.0, record.ordinal)]
    return Spell(kind, min(met), max(met)) if met else None


class Curve(msgspec.Struct, frozen=True):
    """A cumulative distribution of `count` values, as at most POINTS_MAX points."""

    count: int
    points: list[tuple[float, float]]
    """Seconds, and the share of values that are no greater, both rising; the last share is 1."""
    p50: float
    p99: float
    longest: float


def curve(values: Sequence[float]) -> Curve | None:
    """The distribution of `values`; None if there are none."""
    ordered, drawn, spread = sorted(values), min(len(values), POINTS_MAX), grade.spread(values)
    if spread.p50 is None or spread.p99 is None:
        return None
    points = [(ordered[math.ceil(place * len(ordered) / drawn) - 1], place / drawn) for place in range(1, drawn + 1)]
    return Curve(len(ordered), points, spread.p50, spread.p99, ordered[-1])


def first_tokens(run: Recorded) -> tuple[Curve | None, Curve | None]:
    """Times to first token of streams: as measured, and with a perfect gateway."""
    measured = grade.first_tokens(run.transcripts)
    return curve(measured), curve(grade.perfect(run, first=True))


def totals(run: Recorded) -> tuple[Curve | None, Curve | None]:
    """Durations of whole answers: as measured, and with a perfect gateway."""
    measured = grade.totals(run.transcripts)
    return curve(measured), curve(grade.perfect(run, first=False))


def decades(values: Iterable[float]) -> tuple[float, float]:
    """Round bounds (1, 2 or 5 times a power of ten) around some times, for a logarithmic axis. At least a factor of 2
    apart."""
    found = [max(value, 0.001) for value in values] or [0.001]
    low, high = _round(min(found), up=False), _round(max(found), up=True)
    return low, max(high, low * 2)


def place(seconds: float, low: float, high: float) -> float:
    """A time's position on a logarithmic axis, from 0 to 1; times outside are put at the edge."""
    return math.log(min(max(seconds, low), high) / low) / math.log(high / low)


def _round(value: float, up: bool) -> float:
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    steps = [1.0, 2.0, 5.0, 10.0]
    share = value / power
    if up:
        return power * next(step for step in steps if share <= step * (1 + 1e-9))
    return power * max(step for step in steps if step <= share * (1 + 1e-9))


def log_ticks(low: float, high: float) -> list[float]:
    """Round times between the bounds: 1, 2 and 5 times each power of ten, or fewer if those exceed TICKS_MAX."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [power * step for power in powers for step in steps if low * 0.999 <= power * step <= high * 1.001]
        if len(ticks) <= TICKS_MAX:
            return ticks
    return ticks[:: math.ceil(len(ticks) / TICKS_MAX)]
