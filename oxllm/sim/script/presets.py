"""Scheduled chaos: `mild`, `rough` and `hell`, which a good gateway survives.

The run is divided into epochs. In each, at least one provider of every virtual model is its *refuge* and stays clean;
the others are in trouble. At the end of an epoch all are clean for a while, so that a gateway can see that the next
refuge is good before the last one turns bad. A provider that got a long mark (quota, auth, missing, a wait of a day) is
no refuge until the mark has expired. So at any time each virtual model has a provider that answers and that no gateway
has a reason to avoid; `unsurvivable` checks that for any timetable.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from oxllm.sim.provider.chance import Chance
from oxllm.sim.script import grammar
from oxllm.sim.script.grammar import Dosed
from oxllm.sim.script.scenario import Scene, When

TROUBLE_S = 94.0
"""The troubled part of an epoch; the rest is quiet."""
COOLDOWN_MAX_S = 20.0
"""Assumed of an unknown gateway."""
MARGIN_S = 4.0
"""How much longer the quiet part is than a handover."""

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
"""Kind -> seconds for which a gateway that follows docs/failures.md avoids the provider."""
MARKED = "50%"
"""The share of the requests in eight seconds that a mark strikes. A gateway that honours it stops after the first."""
NAMES = ("mild", "rough", "hell")
FAULTS = {"mild": MILD, "rough": ROUGH, "hell": HELL}
_DARK = ("refuse", "blackhole@connect")
_BACK = "slow-accept~1s"
BACK_S = 5.0
"""For how long, in hell, a provider that is back from an outage is slow to accept connections, as if its queue were
full. It delays all of them, since whom a share would strike depends on who connects when. No longer than this, so that
a request that waits for a connection is in the same scene as one that does not."""
_NO_TLS = "a rehearsal speaks no TLS"
LEFT_OUT = {
    "dns": "a name is found or not for a whole run",
    "tls-expired": _NO_TLS,
    "tls-abort": _NO_TLS,
    "tls-truncate": _NO_TLS,
}
"""Kinds that no preset uses -> why."""


def timetable(
    name: str,
    seed: int,
    groups: Sequence[Sequence[str]],
    horizon: float,
    blackout: bool = False,
    others: Iterable[str] = (),
    cooldown_max: float = COOLDOWN_MAX_S,
) -> tuple[Scene, ...]:
    """The scenes of a preset for the first `horizon` seconds. `groups`: each virtual model's providers in order of
    preference. `blackout`: no refuge, so that whole virtual models go down. `others`: further providers, in a group or
    not. `cooldown_max`: the gateway's."""
    quiet = handover(cooldown_max) + MARGIN_S
    table = _Timetable(name, seed, groups, blackout, others)
    begins = itertools.takewhile(lambda begin: begin < horizon, itertools.count(0.0, TROUBLE_S + quiet))
    for number, begin in enumerate(begins):
        table.epoch(number, begin, quiet)
    return tuple(table.scenes)


def handover(cooldown_max: float) -> float:
    """Seconds for which the old and the new refuge must both be clean: a breaker may wait for its longest cooldown,
    with 10 % jitter, before it tries a provider that has recovered."""
    return cooldown_max * 1.1


class _Timetable:
    """Builds a timetable, epoch by epoch."""

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
        """Add the scenes of the epoch from `begin` on, which follows `quiet` seconds without trouble."""
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
        """One provider of each group that has had no mark `since` then. In the first epoch the least preferred, so that
        the most preferred are in trouble; later by draw."""
        refuge: set[str] = set()
        for index, group in enumerate(self._groups):
            able = [name for name in group if self._marked.get(name, 0.0) <= since or name in self._refuge]
            if not refuge.intersection(group):
                place = -1 if number == 0 else int(chance.draw(f"refuge {index}") * len(able))
                refuge.add(able[place] if able else group[-1])
        return frozenset(refuge)

    def _outages(self, begin: float, troubled: list[str], chance: Chance) -> dict[str, list[tuple[When, str]]]:
        """Each provider's outages. Rough: one of them for 15 s a minute. Hell: all go down one by one, and come back in
        any order."""
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
        """Give one provider a lasting mark; returns which. The requests that its fault strikes depend on what is asked,
        not on who comes first, so that they are the same in each run."""
        who = troubled[int(chance.draw("marked") * len(troubled))]
        kind = list(MARKS)[int(chance.draw("mark") * len(MARKS))]
        self._marked[who] = max(self._marked.get(who, 0.0), begin + 58 + MARKS[kind])
        self._add(who, When(begin + 50, begin + 58), (f"{kind} {MARKED}",))
        return who

    def _add(self, provider: str, when: When, faults: Iterable[str]) -> None:
        dosed = tuple(grammar.parse(text) for text in faults)
        self.scenes.append(Scene(f"{self._name}: {provider} {when}", (provider,), dosed, when))


def _between(begin: float, end: float, holes: list[When]) -> list[When]:
    """A window without its holes."""
    left, at = [], begin
    for hole in sorted(holes, key=lambda hole: hole.start):
        if hole.start > at:
            left.append(When(at, hole.start))
        at = hole.end
    return [*left, When(at, end)] if at < end else left


def unsurvivable(
    scenes: Sequence[Scene], groups: Sequence[Sequence[str]], horizon: float, cooldown_max: float = COOLDOWN_MAX_S
) -> str | None:
    """Why a gateway that follows docs/failures.md could not survive these scenes, or None if it can: each group always
    has a clean provider, and changes to the next only once both have been clean for over a `handover`."""
    overlap = handover(cooldown_max)
    for group in groups:
        clean = [span for name in group for span in _clean(name, scenes, horizon)]
        reached = _reach(clean, horizon, overlap)
        if reached < horizon:
            have = "has" if len(group) == 1 else "have"
            return f"{' and '.join(group)} {have} no clean provider to go to after {reached:g}s"
    return None


def _reach(clean: list[tuple[float, float]], horizon: float, overlap: float) -> float:
    """How far a chain of clean spans reaches from 0."""
    reached = max((end for begin, end in clean if begin <= 0), default=0.0)
    while reached < horizon:
        further = max((end for begin, end in clean if begin < reached - overlap), default=0.0)
        if further <= reached:
            return reached
        reached = further
    return reached


def _clean(name: str, scenes: Sequence[Scene], horizon: float) -> list[tuple[float, float]]:
    """The spans in which a provider has no scene and no mark."""
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
