"""The report card: what a gateway made of a run, against what a perfect one would have made of it.

Pure: it reads the ledgers, the clients' transcripts and samples of the gateway's state, and knows the scenario.
"""

from __future__ import annotations

import itertools
import operator
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from oxllm.sim import faults
from oxllm.sim.provider import pace
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.ledger import Record
from oxllm.sim.provider.limits import Limits
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.script import presets
from oxllm.sim.script.scenario import Scenario

MARGIN_S = 0.25
"""A request that was on its way when a refusal was said is no violation of it."""
HINT_MAX_S = 3600.0
"""Longer waits are clamped (docs/failures.md)."""
_EXPECT = re.compile(r"(\w+)(?:\.(p50|p99))? *(==|<=|>=|<|>) *(\d+(?:\.\d+)?(?:ms|s|m)?)$")
_CLOSED = re.compile(r"(\S+) closed by (\S+)$")
_OPERATORS = {"==": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Sample(msgspec.Struct, frozen=True):
    """The gateway's state at one moment."""

    at: float
    states: dict[str, str]
    """Provider -> its breaker's state, in the gateway's words."""
    left: dict[str, float]
    """Provider -> seconds that it stays so."""
    rss: int | None


class Spread(msgspec.Struct, frozen=True):
    """Median and 99th percentile in seconds; None when nothing was measured."""

    p50: float | None
    p99: float | None


class Finding(msgspec.Struct, frozen=True):
    """A violation and the coordinates of the fates that led to it, for `--fate`; none if no attempt was made."""

    what: str
    coordinates: tuple[str, ...]


class Card(msgspec.Struct, frozen=True):
    """The report card. Counts are of client requests unless they say otherwise."""

    seed: int
    survivable: dict[str, str | None]
    """Virtual model -> why no gateway could have saved all of its requests; None = one could."""
    requests: int
    whole: int
    client_errors: int
    """Refused before any content."""
    survivable_errors: int
    """Those of them that a perfect gateway would not have had."""
    broken: int
    """Errors after content, told as errors."""
    truncated: int
    """Parts of answers that passed as whole."""
    unfinished: int
    rescuable: int
    """Met a failing attempt before any content."""
    rescued: int
    attempts: int
    amplification: float
    retry_after_violations: int
    open_violations: int
    """Attempts at a provider whose breaker was open."""
    failover: Spread
    """From the end of a failed attempt to the arrival of the next."""
    recovery: Spread
    """From the end of an outage of the provider that somebody prefers to the next request there; if none came, for as
    long as one could have come."""
    ttft: Spread
    ttft_perfect: Spread
    total: Spread
    total_perfect: Spread
    rss_max: int | None
    kinds: dict[str, int]
    """Kind -> how often it struck."""
    untouched: tuple[str, ...]
    """Kinds that this run never had."""
    states: tuple[str, ...]
    """Breaker states and transitions that were seen."""
    findings: tuple[Finding, ...]
    failed: tuple[str, ...] = ()
    """Expectations that were not met."""


def grade(
    scenario: Scenario,
    groups: Mapping[str, Sequence[str]],
    transcripts: Sequence[Transcript],
    records: Sequence[Record],
    samples: Sequence[Sample],
    duration: float,
    expectations: Sequence[str],
    cooldown_max: float = presets.COOLDOWN_MAX_S,
) -> Card:
    """The card of a run. `groups`: virtual model -> its providers in order of preference; `cooldown_max`: of the
    gateway's breakers."""
    reasons = {model: _lost(scenario, group, duration, cooldown_max) for model, group in groups.items()}
    attempts = [record for record in records if record.ordinal and record.asked is not None]
    by_question = defaultdict(list)
    for record in sorted(attempts, key=lambda record: record.arrived):
        by_question[record.asked].append(record)
    verdicts = [transcript.verdict for transcript in transcripts]
    failing = [seen for seen in transcripts if any(_failed_early(record) for record in by_question[seen.asked])]
    findings = tuple(_findings(scenario.seed, transcripts, by_question, reasons))
    early, opened = _retry_after(scenario.seed, attempts), _into_open(scenario.seed, attempts, samples)
    kinds = _kinds(records, scenario, duration)
    card = Card(
        seed=scenario.seed,
        survivable=reasons,
        requests=len(transcripts),
        whole=verdicts.count("whole"),
        client_errors=verdicts.count("refused"),
        survivable_errors=sum(seen.verdict == "refused" and reasons[seen.model] is None for seen in transcripts),
        broken=verdicts.count("broken"),
        truncated=verdicts.count("truncated"),
        unfinished=verdicts.count("unfinished"),
        rescuable=len(failing),
        rescued=sum(seen.verdict == "whole" for seen in failing),
        attempts=len(attempts),
        amplification=round(len(attempts) / len(transcripts), 3) if transcripts else 0.0,
        retry_after_violations=len(early),
        open_violations=len(opened),
        failover=spread(_failovers(by_question.values())),
        recovery=spread(_recoveries(scenario, groups.values(), attempts, duration)),
        ttft=spread(first_tokens(transcripts)),
        ttft_perfect=spread(perfect(scenario, transcripts, groups, first=True)),
        total=spread(totals(transcripts)),
        total_perfect=spread(perfect(scenario, transcripts, groups, first=False)),
        rss_max=max((sample.rss for sample in samples if sample.rss is not None), default=None),
        kinds=kinds,
        untouched=tuple(kind for kind in faults.KINDS if kind not in kinds),
        states=_states(samples),
        findings=(*findings, *early, *opened),
    )
    failed = tuple(text for text in expectations if not met(text, card, samples))
    return msgspec.structs.replace(card, failed=failed)


def _lost(scenario: Scenario, group: Sequence[str], duration: float, cooldown_max: float) -> str | None:
    """Why no gateway could have answered all that was asked of these providers; None if one could. What a limit refuses
    hangs on the load, so a provider that has one is nobody's way out."""
    limited = {upstream.name for upstream in scenario.upstreams if upstream.limit != Limits()}
    free = [name for name in group if name not in limited]
    if not free:
        return f"{' and '.join(group)} refuse what passes their limits"
    return presets.unsurvivable(scenario.scenes, [free], duration, cooldown_max)


DEFAULT = ("survivable_errors == 0", "truncated == 0")
"""What a run must reach when nothing else is asked of it."""


def check(text: str, providers: Iterable[str]) -> str | None:
    """Why `text` is no expectation, and what to write instead; None if it is one."""
    compared, closed = _EXPECT.match(text), _CLOSED.match(text)
    if compared:
        return _unknown(text, compared)
    if closed and closed[1] in providers:
        try:
            pace.seconds(closed[2])
        except ValueError as error:
            return f"{text!r}: {error}"
        return None
    return f"{text!r}: write 'client_errors == 0', 'failover.p99 < 500ms' or 'alpha closed by 45s'"


def _unknown(text: str, compared: re.Match[str]) -> str | None:
    """Why a comparison is none of a number with a number, or of a time with a time."""
    name, quantile, _, value = compared.groups()
    fields = {field.name: field.type for field in msgspec.structs.fields(Card)}
    numbers = [name for name, kind in fields.items() if kind in (int, float)]
    times = [name for name, kind in fields.items() if kind is Spread]
    if name in times:
        return None if quantile else f"{text!r}: write {name}.p50 or {name}.p99"
    if name not in numbers or quantile:
        return f"{text!r}: write one of {', '.join(numbers)}, or .p50 or .p99 of {', '.join(times)}"
    return f"{text!r}: {name} is a number; leave out the unit" if value[-1].isalpha() else None


def met(text: str, card: Card, samples: Sequence[Sample]) -> bool:
    """Whether an expectation that `check` let pass was met. A time that was never measured is never too long."""
    compared = _EXPECT.match(text)
    if compared:
        name, quantile, sign, value = compared.groups()
        measured = getattr(getattr(card, name), quantile) if quantile else getattr(card, name)
        return measured is None or bool(_OPERATORS[sign](measured, pace.seconds(value)))
    closed = _CLOSED.match(text)
    assert closed is not None, "check() has let it pass"
    after = [sample for sample in samples if sample.at >= pace.seconds(closed[2])]
    return bool(after) and after[0].states.get(closed[1]) == "closed"


def spread(values: Sequence[float]) -> Spread:
    if not values:
        return Spread(None, None)
    ordered = sorted(values)
    return Spread(*(round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 4) for share in (0.5, 0.99)))


def _failed_early(record: Record) -> bool:
    """An attempt that failed, other than by harmless habits; whether content had gone out the client's verdict says."""
    return record.fault is not None or record.status not in (200, None)


def _coordinate(seed: int, record: Record) -> str:
    return f"{seed}:{record.provider}:{record.key}"


def _findings(
    seed: int,
    transcripts: Sequence[Transcript],
    by_question: Mapping[str | None, list[Record]],
    reasons: Mapping[str, str | None],
) -> Iterable[Finding]:
    for seen in transcripts:
        if seen.verdict == "truncated" or (seen.verdict == "refused" and reasons[seen.model] is None):
            where = tuple(_coordinate(seed, record) for record in by_question.get(seen.asked, []))
            yield Finding(f"request {seen.number} of {seen.model} {seen.verdict}: {seen.detail}", where)


def _retry_after(seed: int, attempts: Iterable[Record]) -> list[Finding]:
    """Attempts at a target before the wait that it asked for was over."""
    until: dict[tuple[str, str | None], tuple[float, float]] = {}
    found = []
    for record in sorted(attempts, key=lambda record: record.arrived):
        target = (record.provider, record.model)
        said, over = until.get(target, (0.0, 0.0))
        if said + MARGIN_S < record.arrived < over - MARGIN_S:
            early = f"{record.provider}/{record.model} was asked {over - record.arrived:.1f}s before its wait was over"
            found.append(Finding(early, (_coordinate(seed, record),)))
        if record.hint is not None and record.ended is not None:
            over = max(over, record.ended + min(record.hint, HINT_MAX_S))
            until[target] = (record.ended, over)
    return found


def _into_open(seed: int, attempts: Iterable[Record], samples: Sequence[Sample]) -> list[Finding]:
    """Attempts at a provider between two samples of an open breaker that cannot have been anything else between."""
    spans = [
        (name, one.at, other.at)
        for one, other in itertools.pairwise(samples)
        for name, state in one.states.items()
        if state == "open" and other.states.get(name) == "open" and one.at + one.left.get(name, 0.0) > other.at
    ]
    return [
        Finding(f"{record.provider} was asked while its breaker was open", (_coordinate(seed, record),))
        for record in attempts
        if any(name == record.provider and begin < record.arrived < end for name, begin, end in spans)
    ]


def _failovers(questions: Iterable[list[Record]]) -> list[float]:
    return [
        max(0.0, later.arrived - earlier.ended)
        for attempts in questions
        for earlier, later in itertools.pairwise(attempts)
        if earlier.ended is not None and earlier.provider != later.provider
    ]


def _recoveries(
    scenario: Scenario, groups: Iterable[Sequence[str]], attempts: Sequence[Record], duration: float
) -> list[float]:
    """From the end of each outage of a port that is somebody's first choice to the next request there, or to when it
    went dark again or the run ended."""
    outages = [scene for scene in scenario.scenes if scene.closes and scene.when.first is None]
    found = []
    for name in sorted({group[0] for group in groups}):
        dark = sorted((scene.when for scene in outages if name in scene.on), key=lambda when: when.start)
        arrivals = [record.arrived for record in attempts if record.provider == name]
        again = [*(later.start for later in dark[1:]), duration]
        for when, then in zip(dark, again, strict=False):
            until = min(then, duration)
            if when.end < until:
                found.append(min((at for at in arrivals if when.end <= at < until), default=until) - when.end)
    return found


def first_tokens(transcripts: Iterable[Transcript]) -> list[float]:
    """How long the clients of streams waited for content."""
    return [seen.first - seen.started for seen in transcripts if seen.first is not None and seen.stream]


def totals(transcripts: Iterable[Transcript]) -> list[float]:
    """How long whole answers took."""
    return [seen.ended - seen.started for seen in transcripts if seen.ended and seen.verdict == "whole"]


def perfect(
    scenario: Scenario, transcripts: Sequence[Transcript], groups: Mapping[str, Sequence[str]], first: bool
) -> list[float]:
    """The times of a gateway that always knew whom to ask and cost nothing: those of the healthy answer of the most
    preferred provider that played no scene at the time."""
    upstreams = {upstream.name: upstream for upstream in scenario.upstreams}
    found = []
    for seen in transcripts:
        clean = [name for name in groups[seen.model] if not _plays(scenario, name, seen.started)]
        if not clean or (first and not seen.stream):
            continue
        upstream = upstreams[clean[0]]
        length = upstream.pace.length(Chance(scenario.seed, upstream.name, seen.asked).draw("length"))
        deadlines = upstream.pace.deadlines(Chance(scenario.seed, "perfect", seen.number).series("pace"), 0.0)
        times = [next(deadlines) for _ in range(1 if seen.embeddings else length)]
        found.append(times[0] if first else times[-1])
    return found


def _plays(scenario: Scenario, name: str, at: float) -> bool:
    return any(name in scene.on and scene.when.has(at, 0) for scene in scenario.scenes)


def _kinds(records: Iterable[Record], scenario: Scenario, duration: float) -> dict[str, int]:
    """How often each kind struck; a port's outage counts once."""
    counts: dict[str, int] = defaultdict(int)
    for record in records:
        if record.fault is not None:
            counts[re.split("[@~]", record.fault)[0]] += 1
    for scene in scenario.scenes:
        if scene.when.first is None and scene.when.start < duration:
            for dosed in scene.faults:
                if dosed.fault.kind in ("refuse", "blackhole") and dosed.fault.kind not in counts:
                    counts[dosed.fault.kind] += 1
    return dict(sorted(counts.items()))


def _states(samples: Sequence[Sample]) -> tuple[str, ...]:
    seen = {state for sample in samples for state in sample.states.values()}
    for one, other in itertools.pairwise(samples):
        for name, state in one.states.items():
            if other.states.get(name, state) != state:
                seen.add(f"{state} -> {other.states[name]}")
    return tuple(sorted(seen))
