"""Chaos by the clock: `mild`, `rough` and `hell`, which a good gateway survives.

The run is cut into epochs. In each, some providers are a *refuge*, one at least for every virtual model, and stay
clean; the others are in for it. At the end of an epoch everyone is clean for a while, so that the next refuge is
known to be good before the last one turns bad. A provider that was given a long mark (quota, auth, missing, a wait of
a day) is no refuge until the mark has passed. So at any time each virtual model has a provider that answers and that
no gateway has a reason to avoid; `unsurvivable` proves it for any timetable.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from oxllm.sim.provider.chance import Chance
from oxllm.sim.script import grammar
from oxllm.sim.script.grammar import Dosed
from oxllm.sim.script.scenario import Scene, When

TROUBLE_S = 94.0
"""Of an epoch; the rest of it is quiet."""
COOLDOWN_MAX_S = 20.0
"""Of a gateway that is not known."""
MARGIN_S = 4.0
"""By how much a quiet is longer than a handover takes."""

MILD = ("429 2%", "slow~2s 1%")
ROUGH = (
    "429 3%", "500 2%", "502-html 2%", "503 1%", "error-event@token:0 1%", "role-only 1%",
    "cut@token:12 1%", "error-event@token:8 1%",
)  # fmt: skip
HELL = (
    "429 4%", "429-toobig 1%", "500 2%", "502-html 2%", "503 2%", "504-html 1.5%", "529 1.5%", "rst 2%", "fin 2%",
    "garbage 1%", "slow~3s 2%", "stall@token:0~8s 1%", "trickle~1ms 1%", "cut@token:12 1%", "cut@headers 1%",
    "silent-cut@token:9 1%", "no-done 1%", "hold-open 1%", "garble@token:6 0.5%", "split-utf8 1%",
    "error-event@token:0 1%", "preamble-error 1%", "empty-error@token:4 0.5%", "comments 1%", "role-only 1.5%",
    "late-usage 0.5%", "no-terminal 1%", "no-event-lines 0.5%", "sequence-gap 0.5%", "big-event 0.5%",
    "foreign-state 0.5%", "twice 0.5%", "rst@token:5 0.5%", "bad-json 1%", "short-body 0.5%", "wrong-type 0.5%",
    "empty 1%", "html-200 1%", "error-200 1%", "lying-headers 0.5%", "half-open 0.5%",
)  # fmt: skip
MARKS = {"429-quota": 600.0, "spend-cap": 600.0, "401": 60.0, "404": 60.0, "retry-after": 3600.0}
"""Kind -> seconds for which a gateway that honours docs/failures.md stays away."""
MARKED = "50%"
"""Of the requests of eight seconds, of which a gateway that honours it makes no more after the first."""
NAMES = ("mild", "rough", "hell")
FAULTS = {"mild": MILD, "rough": ROUGH, "hell": HELL}
_DARK = ("refuse", "blackhole@connect")
_BACK = "slow-accept~1s"
BACK_S = 5.0
"""For so long hell has a provider that is back from an outage slow to take connections, as one is whose queue is full.
All of them, since which share of them it were would hang on who connects when; and no longer, so that a request that
waits for one is in the same scene as one that does not."""
_NO_TLS = "a rehearsal speaks no TLS"
LEFT_OUT = {
    "dns": "a name is found or not for a whole run",
    "tls-expired": _NO_TLS,
    "tls-abort": _NO_TLS,
    "tls-truncate": _NO_TLS,
}
"""Kinds that no preset has -> why."""


def timetable(
    name: str,
    seed: int,
    groups: Sequence[Sequence[str]],
    horizon: float,
    blackout: bool = False,
    others: Iterable[str] = (),
    cooldown_max: float = COOLDOWN_MAX_S,
) -> tuple[Scene, ...]:
    """The scenes of a preset for the first `horizon` seconds. `groups`: of each virtual model, its providers in order
    of preference. `blackout`: no refuge, so that whole virtual models go down. `others`: providers that play along, in
    a group or not. `cooldown_max`: the gateway's."""
    quiet = handover(cooldown_max) + MARGIN_S
    table = _Timetable(name, seed, groups, blackout, others)
    begins = itertools.takewhile(lambda begin: begin < horizon, itertools.count(0.0, TROUBLE_S + quiet))
    for number, begin in enumerate(begins):
        table.epoch(number, begin, quiet)
    return tuple(table.scenes)


def handover(cooldown_max: float) -> float:
    """Seconds for which the old refuge and the new one must be clean at the same time: that long, and a tenth, may a
    breaker take to try a provider that has recovered."""
    return cooldown_max * 1.1


class _Timetable:
    """A timetable being written, epoch by epoch."""

    def __init__(
        self, name: str, seed: int, groups: Sequence[Sequence[str]], blackout: bool, others: Iterable[str]
    ) -> None:
        self.scenes: list[Scene] = []
        self._name = name
        self._seed = seed
        self._groups = groups
        self._blackout = blackout
        self._providers = sorted({*others, *(provider for group in groups for provider in group)})
        self._marked: dict[str, float] = {}
        self._refuge: frozenset[str] = frozenset()

    def epoch(self, number: int, begin: float, quiet: float) -> None:
        """Write down what happens from `begin` on, when there have been `quiet` seconds without trouble."""
        end = begin + TROUBLE_S
        chance = Chance(self._seed, self._name, f"epoch {number}")
        self._refuge = frozenset() if self._blackout else self._choose(number, begin - quiet, chance)
        troubled = [provider for provider in self._providers if provider not in self._refuge]
        outages = self._outages(begin, troubled, chance)
        marked = self._mark(begin, troubled, chance) if self._name == "hell" and troubled else None
        for provider in troubled:
            holes = [when for when, fault in outages.get(provider, [])]
            if provider == marked:
                holes.append(When(begin + 50, begin + 58))
            for when in _between(begin, end, holes):
                self._add(provider, when, FAULTS[self._name])
            for when, fault in outages.get(provider, []):
                self._add(provider, when, (fault,))
                if self._name == "hell":
                    self._add(provider, When(when.end, when.end + BACK_S), (_BACK,))

    def _choose(self, number: int, since: float, chance: Chance) -> frozenset[str]:
        """One provider of each group that has been free of marks `since` then. First the least preferred ones, so
        that the most preferred are in for it; later whoever the draw says."""
        refuge: set[str] = set()
        for index, group in enumerate(self._groups):
            able = [name for name in group if self._marked.get(name, 0.0) <= since or name in self._refuge]
            if not refuge.intersection(group):
                place = -1 if number == 0 else int(chance.draw(f"refuge {index}") * len(able))
                refuge.add(able[place] if able else group[-1])
        return frozenset(refuge)

    def _outages(self, begin: float, troubled: list[str], chance: Chance) -> dict[str, list[tuple[When, str]]]:
        """Who is dark when. Rough: one provider 15 s a minute. Hell: they stop one by one and come back in any
        order."""
        found: dict[str, list[tuple[When, str]]] = {}
        if self._name == "rough" and troubled:
            for minute, latest in ((0.0, 20.0), (60.0, 8.0)):
                who = troubled[int(chance.draw(f"dark {minute}") * len(troubled))]
                start = round(begin + minute + 10 + chance.between(f"start {minute}", 0, latest), 1)
                found.setdefault(who, []).append((When(start, start + 15), self._darkness(chance, who, minute)))
        if self._name == "hell":
            order = sorted(troubled, key=lambda who: chance.draw(f"return {who}"))
            for place, who in enumerate(troubled):
                start = begin + 12 + 12 * place / len(troubled)
                back = begin + 28 + 16 * order.index(who) / len(troubled)
                found[who] = [(When(round(start, 1), round(back, 1)), self._darkness(chance, who, 0.0))]
        return found

    def _darkness(self, chance: Chance, who: str, minute: float) -> str:
        return _DARK[int(chance.draw(f"darkness {who} {minute}") * len(_DARK))]

    def _mark(self, begin: float, troubled: list[str], chance: Chance) -> str:
        """One provider is given a mark that lasts; who it was. Whom its fault strikes hangs on what is asked and not on
        who comes first, so that it is the same in each run."""
        who = troubled[int(chance.draw("marked") * len(troubled))]
        kind = list(MARKS)[int(chance.draw("mark") * len(MARKS))]
        self._marked[who] = max(self._marked.get(who, 0.0), begin + 58 + MARKS[kind])
        self._add(who, When(begin + 50, begin + 58), (f"{kind} {MARKED}",))
        return who

    def _add(self, provider: str, when: When, faults: Iterable[str]) -> None:
        dosed = tuple(grammar.parse(text) for text in faults)
        self.scenes.append(Scene(f"{self._name}: {provider} {when}", (provider,), dosed, when))


def _between(begin: float, end: float, holes: list[When]) -> list[When]:
    """What is left of a window without its holes."""
    left, at = [], begin
    for hole in sorted(holes, key=lambda hole: hole.start):
        if hole.start > at:
            left.append(When(at, hole.start))
        at = hole.end
    return [*left, When(at, end)] if at < end else left


def unsurvivable(
    scenes: Sequence[Scene], groups: Sequence[Sequence[str]], horizon: float, cooldown_max: float = COOLDOWN_MAX_S
) -> str | None:
    """Why a gateway that honours docs/failures.md could not survive these scenes, or None if it can: each group has
    at every time a clean provider, and hands over to the next while both have been clean for over a `handover`."""
    overlap = handover(cooldown_max)
    for group in groups:
        clean = [span for name in group for span in _clean(name, scenes, horizon)]
        reached = _reach(clean, horizon, overlap)
        if reached < horizon:
            have = "has" if len(group) == 1 else "have"
            return f"{' and '.join(group)} {have} no clean provider to go to after {reached:g}s"
    return None


def _reach(clean: list[tuple[float, float]], horizon: float, overlap: float) -> float:
    """Up to when there is a chain of clean spans from 0 on."""
    reached = max((end for begin, end in clean if begin <= 0), default=0.0)
    while reached < horizon:
        further = max((end for begin, end in clean if begin < reached - overlap), default=0.0)
        if further <= reached:
            return reached
        reached = further
    return reached


def _clean(name: str, scenes: Sequence[Scene], horizon: float) -> list[tuple[float, float]]:
    """When a provider plays no scene and carries no mark."""
    bad = sorted((scene.when.start, scene.when.end + _longest(scene.faults)) for scene in scenes if name in scene.on)
    spans, at = [], 0.0
    for start, end in bad:
        if start > at:
            spans.append((at, start))
        at = max(at, end)
    return [*spans, (at, horizon)] if at < horizon else spans


def _longest(faults: Sequence[Dosed]) -> float:
    """The longest mark or hint of these faults, in seconds."""
    return max(
        (MARKS.get(dosed.fault.kind, 2.0 if dosed.fault.kind == "429" else 0.0) for dosed in faults), default=0.0
    )
