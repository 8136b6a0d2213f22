"""Makes the report card: how a gateway did in a run, compared with a perfect one.

Pure: reads the ledgers, the clients' transcripts, samples of the gateway's state, and the scenario.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from oxllm.plan import HoldBack, Plan
from oxllm.sim import faults
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.ledger import Harm, Record
from oxllm.sim.provider.limits import Limits
from oxllm.sim.rehearsal import expect
from oxllm.sim.rehearsal.card import Card, Finding, Lane, Sample, Spread
from oxllm.sim.rehearsal.load import Transcript
from oxllm.sim.script import presets
from oxllm.sim.script.scenario import Scenario

TEXTS = ("chat", "completions", "responses", "messages")
"""Protocols whose answers are text, token by token."""
MARGIN_S = 0.25
"""A request that was already on its way when a refusal was sent does not violate it."""
HINT_MAX_S = 3600.0
"""Longer waits are clamped (docs/failures.md)."""


class Recorded(msgspec.Struct, frozen=True):
    """Everything that was recorded of a run, and what it was a run of."""

    scenario: Scenario
    groups: Mapping[str, Sequence[str]]
    """Virtual model in each protocol (see `question.lane`) -> its providers in order of preference."""
    duration: float
    """Seconds of load."""
    transcripts: Sequence[Transcript]
    records: Sequence[Record]
    samples: Sequence[Sample]
    plan: Plan = Plan()
    """The gateway's. A perfect gateway, too, waits for its breakers and holds back as configured."""
    interrupted: bool = False

    @property
    def attempts(self) -> list[Record]:
        """In order of arrival."""
        return sorted((record for record in self.records if record.is_attempt), key=lambda record: record.arrived)

    @property
    def by_question(self) -> dict[str | None, list[Record]]:
        """The attempts for each question of the load."""
        found: dict[str | None, list[Record]] = defaultdict(list)
        for record in self.attempts:
            found[record.asked].append(record)
        return found


def grade(run: Recorded, expectations: Sequence[str]) -> Card:
    """The card of a run. `expectations`: the rules to be kept."""
    card = _counted(run)
    untested = tuple(_untested(card, run))
    if card.attempts == 0 and card.client_errors + card.unfinished < card.requests:
        elsewhere = "the gateway asked none of the simulated providers: its answers are of others"
        return msgspec.structs.replace(card, findings=(), untested=(elsewhere, *untested))
    failed = tuple(text for text in expectations if not expect.met(text, card, run.samples))
    return msgspec.structs.replace(card, failed=failed, untested=untested)


def _counted(run: Recorded) -> Card:
    """The card but for its verdict."""
    scenario, groups, transcripts, samples = run.scenario, run.groups, run.transcripts, run.samples
    attempts, by_question, duration = run.attempts, run.by_question, run.duration
    cooldown_max = run.plan.breaker.cooldown_max
    reasons = {model: _lost(scenario, group, duration, cooldown_max) for model, group in groups.items()}
    verdicts = [transcript.verdict for transcript in transcripts]
    failing = [seen for seen in transcripts if any(record.lost for record in by_question[seen.asked])]
    findings = tuple(_findings(scenario.seed, transcripts, by_question, reasons))
    early = _retry_after(scenario.seed, attempts)
    opened = _into_open(scenario.seed, by_question, samples, transcripts, groups)
    struck, harmless = _kinds(run.records, scenario, duration)
    outages = list(_outages(scenario, groups.values(), duration))
    return Card(
        seed=scenario.seed,
        survivable=reasons,
        requests=len(transcripts),
        whole=verdicts.count("whole"),
        client_errors=verdicts.count("refused"),
        survivable_errors=sum(seen.verdict == "refused" and reasons[seen.lane] is None for seen in transcripts),
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
        recovery=spread([_recovery(outage, attempts) for outage in outages]),
        ttft=spread(first_tokens(transcripts)),
        ttft_perfect=spread(perfect(run, first=True)),
        total=spread(totals(transcripts)),
        total_perfect=spread(perfect(run, first=False)),
        rss_max=max((sample.rss for sample in samples if sample.rss is not None), default=None),
        kinds=struck,
        harmless=harmless,
        untouched=tuple(kind for kind in faults.KINDS if kind not in {**struck, **harmless}),
        outages=len(outages),
        lanes={name: _lane([seen for seen in transcripts if seen.lane == name]) for name in groups},
        providers=_shares(scenario, attempts),
        single_points={name: group[0] for name, group in groups.items() if len(set(group)) == 1},
        states=_states(samples),
        findings=(*findings, *early, *opened),
    )


def _untested(card: Card, run: Recorded) -> Iterator[str]:
    """What the run should show but does not."""
    if run.interrupted:
        yield f"it was interrupted after {run.duration:.0f} s"
    if not card.requests:
        yield "nothing was asked"
    told = {name for scene in run.scenario.scenes if scene.when.start < run.duration for name in scene.on}
    tested = {_model(name) for name, group in run.groups.items() if told.intersection(group) and len(set(group)) > 1}
    if run.scenario.chaos is not None:
        told_once = {_model(name): provider for name, provider in card.single_points.items()}
        for model, provider in told_once.items():
            if model not in tested and not (tested and model.startswith(f"{provider}/")):  # this has one by definition
                yield f"{model}: {provider} is all there is behind it, so that nothing could save its requests"
    if told and not card.rescuable and not card.client_errors and not card.outages:
        yield "no request met a failing attempt"
    doomed = [name for name, reason in card.survivable.items() if reason and name not in card.single_points]
    if card.client_errors > card.survivable_errors and doomed:
        yield f"clients were refused that no gateway could have served: {', '.join(doomed)}"


def _model(name: str) -> str:
    """The model's name without the protocol (see `question.lane`)."""
    return name.partition(" (")[0]


def _lost(scenario: Scenario, group: Sequence[str], duration: float, cooldown_max: float) -> str | None:
    """Why no gateway could have answered everything with these providers; None if one could. What a rate limit refuses
    depends on the load, so a provider that has one does not count."""
    limited = {upstream.name for upstream in scenario.upstreams if upstream.limit != Limits()}
    free = [name for name in group if name not in limited]
    if not free:
        return f"{' and '.join(group)} refuse what passes their limits"
    return presets.unsurvivable(scenario.scenes, [free], duration, cooldown_max)


def spread(values: Sequence[float]) -> Spread:
    if not values:
        return Spread(None, None)
    ordered = sorted(values)
    p50, p99 = (round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 4) for share in (0.5, 0.99))
    return Spread(p50, p99, len(values))


def _coordinate(seed: int, record: Record) -> str:
    return f"{seed}:{record.provider}:{record.key}"


def _findings(
    seed: int,
    transcripts: Sequence[Transcript],
    by_question: Mapping[str | None, list[Record]],
    reasons: Mapping[str, str | None],
) -> Iterable[Finding]:
    for seen in transcripts:
        if seen.verdict == "truncated" or (seen.verdict == "refused" and reasons[seen.lane] is None):
            where = tuple(_coordinate(seed, record) for record in by_question.get(seen.asked, []))
            yield Finding(f"request {seen.number} of {seen.lane} {seen.verdict}: {seen.detail}", where, seen.explained)


def _retry_after(seed: int, attempts: Iterable[Record]) -> list[Finding]:
    """Attempts at a target before the end of the wait that it asked for."""
    until: dict[tuple[str, str | None], tuple[float, float]] = {}
    found = []
    for record in attempts:
        target = (record.provider, record.model)
        said, over = until.get(target, (0.0, 0.0))
        if said + MARGIN_S < record.arrived < over - MARGIN_S:
            early = f"{record.provider}/{record.model} was asked {over - record.arrived:.1f}s before its wait was over"
            found.append(Finding(early, (_coordinate(seed, record),)))
        if record.hint is not None and record.ended is not None:
            over = max(over, record.ended + min(record.hint, HINT_MAX_S))
            until[target] = (record.ended, over)
    return found


class _Open(msgspec.Struct, frozen=True):
    """A time between two samples in which a breaker was certainly open."""

    provider: str
    since: float
    begin: float
    end: float
    out: frozenset[str]
    """Providers that were unavailable at either sample."""


def _open_spans(samples: Sequence[Sample]) -> Iterator[_Open]:
    opened: dict[str, float] = {}
    for one, other in itertools.pairwise(samples):
        opened = {name: opened.get(name, one.at) for name, state in one.states.items() if state == "open"}
        for name, since in opened.items():
            if other.states.get(name) == "open" and one.at + one.left.get(name, 0.0) > other.at:
                yield _Open(name, since, one.at, other.at, one.out | other.out)


def _into_open(
    seed: int,
    by_question: Mapping[str | None, Sequence[Record]],
    samples: Sequence[Sample],
    transcripts: Sequence[Transcript],
    groups: Mapping[str, Sequence[str]],
) -> list[Finding]:
    """Attempts at a provider whose breaker was open, although another was available. Requests from before the breaker
    opened are excused: they may have been on their way there, waiting for a connection."""
    spans = list(_open_spans(samples))
    questions: dict[str | None, Transcript] = {seen.asked: seen for seen in transcripts}
    found = []
    for asked, attempts in by_question.items():
        seen = questions.get(asked)
        untried = set(groups[seen.lane]) if seen is not None else set()
        for record in attempts:
            untried.discard(record.provider)
            if any(
                span.provider == record.provider
                and span.begin < record.arrived < span.end
                and (seen is None or (span.since < seen.started and untried - span.out))
                for span in spans
            ):
                words = f"{record.provider} was asked while its breaker was open"
                found.append(Finding(words, (_coordinate(seed, record),)))
    return found


def _failovers(questions: Iterable[list[Record]]) -> list[float]:
    return [
        max(0.0, later.arrived - earlier.ended)
        for attempts in questions
        for earlier, later in itertools.pairwise(attempts)
        if earlier.ended is not None and earlier.provider != later.provider
    ]


class _Outage(msgspec.Struct, frozen=True):
    """A preferred provider's port was dark until `end`, then open until `until`."""

    provider: str
    end: float
    until: float


def _outages(scenario: Scenario, groups: Iterable[Sequence[str]], duration: float) -> Iterator[_Outage]:
    """The outages, ended within the run, of providers that are a model's first choice."""
    closing = [scene for scene in scenario.scenes if scene.closes and scene.when.first is None]
    for name in sorted({group[0] for group in groups}):
        dark = sorted((scene.when for scene in closing if name in scene.on), key=lambda when: when.start)
        again = [*(later.start for later in dark[1:]), duration]
        for when, then in zip(dark, again, strict=False):
            until = min(then, duration)
            if when.end < until:
                yield _Outage(name, when.end, until)


def _recovery(outage: _Outage, attempts: Iterable[Record]) -> float:
    """From the end of an outage to the next request there, or to `until` if there was none."""
    arrivals = [record.arrived for record in attempts if record.provider == outage.provider]
    return min((at for at in arrivals if outage.end <= at < outage.until), default=outage.until) - outage.end


def first_tokens(transcripts: Iterable[Transcript]) -> list[float]:
    """Times to first token of the streams."""
    return [seen.first - seen.started for seen in transcripts if seen.first is not None and seen.stream]


def totals(transcripts: Iterable[Transcript]) -> list[float]:
    """Durations of the whole answers."""
    return [seen.ended - seen.started for seen in transcripts if seen.ended and seen.verdict == "whole"]


def perfect(run: Recorded, *, first: bool) -> list[float]:
    """The times (to the end, or to the `first` token) of a gateway that always knows whom to ask and takes no time
    itself: those of a healthy answer from the most preferred provider that had no scene at the time, held back as
    configured."""
    scenario = run.scenario
    upstreams = {upstream.name: upstream for upstream in scenario.upstreams}
    hold_back = {model.name: model.hold_back for model in run.plan.virtual_models}
    found = []
    for seen in run.transcripts:
        clean = [name for name in run.groups[seen.lane] if not _plays(scenario, name, seen.started)]
        if not clean or (first and not seen.stream):
            continue
        upstream = upstreams[clean[0]]
        length = upstream.pace.length(Chance(scenario.seed, upstream.name, seen.asked).draw("length"))
        deadlines = upstream.pace.deadlines(Chance(scenario.seed, "perfect", seen.number).series("pace"), 0.0)
        times = [next(deadlines) for _ in range(length if seen.protocol in TEXTS else 1)]
        found.append(_held(times, hold_back.get(seen.model, HoldBack())) if first else times[-1])
    return found


def _held(times: Sequence[float], hold: HoldBack) -> float:
    """When a client gets its first token."""
    if hold.full:
        return times[-1]
    return min(max(times[min(hold.tokens, len(times)) - 1], times[0] + hold.seconds), times[-1])


def _lane(seen: Sequence[Transcript]) -> Lane:
    """Outcomes of the requests for one virtual model in one protocol."""
    verdicts = [one.verdict for one in seen]
    told = {word: verdicts.count(word) for word in ("whole", "refused", "broken")}
    return Lane(len(seen), ttft=spread(first_tokens(seen)), **told)


def _shares(scenario: Scenario, attempts: Iterable[Record]) -> dict[str, tuple[int, int]]:
    """Provider -> attempts, and how many of them were lost."""
    counts = {upstream.name: [0, 0] for upstream in scenario.upstreams}
    for record in attempts:
        counts[record.provider][0] += 1
        counts[record.provider][1] += record.lost
    return {name: (all_of_them, lost) for name, (all_of_them, lost) in counts.items()}


def _plays(scenario: Scenario, name: str, at: float) -> bool:
    return any(name in scene.on and scene.when.has(at, 0) for scene in scenario.scenes)


def _kinds(records: Iterable[Record], scenario: Scenario, duration: float) -> tuple[dict[str, int], dict[str, int]]:
    """How often each harmful kind struck, and each harmless one was played. A port's outage counts once per kind."""
    struck: dict[str, int] = defaultdict(int)
    harmless: dict[str, int] = defaultdict(int)
    for record in records:
        if record.fault is not None:
            (harmless if record.harm is Harm.NONE else struck)[re.split("[@~]", record.fault)[0]] += 1
    for scene in scenario.scenes:
        if scene.when.first is None and scene.when.start < duration:
            for dosed in scene.faults:
                if dosed.fault.kind in ("refuse", "blackhole", "dns") and dosed.fault.kind not in struck:
                    struck[dosed.fault.kind] += 1
    return dict(sorted(struck.items())), dict(sorted(harmless.items()))


def _states(samples: Sequence[Sample]) -> tuple[str, ...]:
    seen = {state for sample in samples for state in sample.states.values()}
    for one, other in itertools.pairwise(samples):
        for name, state in one.states.items():
            if other.states.get(name, state) != state:
                seen.add(f"{state} -> {other.states[name]}")
    return tuple(sorted(seen))
