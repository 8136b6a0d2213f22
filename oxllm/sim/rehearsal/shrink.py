"""From a run that failed to the shortest scene that still fails.

It guesses first, by what the failing requests met, and else begins with all that was played. What fails is then made
smaller, one thing at a time, as long as it goes on failing: fewer questions, fewer scenes, fewer faults, each fault
only once. Every step is a run, so that what comes out has been seen to fail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from oxllm.sim.faults.base import Layer
from oxllm.sim.rehearsal.card import Card
from oxllm.sim.script import grammar
from oxllm.sim.script.grammar import Dose, Dosed, Measure
from oxllm.sim.script.scenario import ALWAYS, Scene
from oxllm.words import count

ONCE = Dose(Measure.NEXT, 1.0)
GUESSES = 3
"""Failing requests whose faults are tried alone."""
KINDS = 8
"""Of a run that has none of these: faults that are tried, those that struck most first."""


class Trial(msgspec.Struct, frozen=True):
    """What is played, and how many questions are asked meanwhile."""

    scenes: tuple[Scene, ...]
    questions: int

    @property
    def size(self) -> tuple[int, int]:
        """Faults and questions."""
        return sum(len(scene.faults) for scene in self.scenes), self.questions

    def __str__(self) -> str:
        faults, _ = self.size
        return f"{count(faults, 'fault')}, {count(self.questions, 'question')}"


Fails = Callable[[Trial], bool]
T = TypeVar("T")


class OutOfTries(Exception):
    """No more runs are wanted."""


def guesses(card: Card, fates: Mapping[str, str], turn: int) -> Iterator[Trial]:
    """What the first failing requests met, alone: once each for a single question, and then always for a whole `turn`
    of questions, since it may take one of their kind. A card with no findings is one of times or of broken answers: of
    these, each fault that struck."""
    for finding in card.findings[:GUESSES]:
        met = [(at.split(":", 1)[1], fates.get(at.split(":", 1)[1], "")) for at in finding.coordinates]
        yield from _alone(((where.rpartition(":")[0], fault) for where, fault in met if fault), turn)
    if not card.findings:
        struck = Counter((where.rpartition(":")[0], fault) for where, fault in fates.items() if fault)
        for one, _ in struck.most_common(KINDS):
            yield from _alone([one], turn)


def _alone(met: Iterable[tuple[str, str]], turn: int) -> Iterator[Trial]:
    faults: dict[str, list[str]] = defaultdict(list)
    for provider, fault in met:
        faults[provider].append(fault)
    if not faults:
        return
    once = {provider: [_once(grammar.parse(text)) for text in texts] for provider, texts in faults.items()}
    yield Trial(tuple(_scene(provider, dosed) for provider, dosed in once.items()), 1)
    always = {provider: [grammar.parse(texts[0])] for provider, texts in faults.items()}
    yield Trial(tuple(_scene(provider, dosed) for provider, dosed in always.items()), turn)


def _once(dosed: Dosed) -> Dosed:
    """A closed port has no dose."""
    return dosed if dosed.fault.strikes_at() is Layer.LISTENER else Dosed(dosed.fault, ONCE)


def _scene(provider: str, faults: Iterable[Dosed]) -> Scene:
    return Scene(f"{provider} fails", (provider,), tuple(faults))


def seconds(questions: int, rps: float) -> float:
    """How long so many of them take."""
    return round((questions + 0.5) / rps, 3)


def heard(trial: Trial, rps: float) -> Trial:
    """Without the scenes that begin when it has ended, which nobody would meet."""
    end = seconds(trial.questions, rps)
    return msgspec.structs.replace(trial, scenes=tuple(scene for scene in trial.scenes if scene.when.start < end))


def shortest(
    candidates: Iterable[Trial], fails: Fails, heard: Callable[[Trial], Trial] = lambda trial: trial
) -> Trial | None:
    """The first candidate that fails, made as small as it can be; None if none fails. `fails` may raise OutOfTries,
    which ends it with the best that there is. `heard`: of each trial, what can be met at all."""
    best: Trial | None = None
    try:
        best = next((trial for trial in map(heard, candidates) if fails(trial)), None)
        before = None
        while best is not None and best != before:
            before = best
            for way in _WAYS:  # each as far as it goes, so that its vain tries are not repeated after each step
                while (smaller := next((trial for trial in map(heard, way(best)) if fails(trial)), None)) is not None:
                    best = smaller
    except OutOfTries:
        pass
    return best


def _fewer_questions(trial: Trial) -> Iterator[Trial]:
    for questions in dict.fromkeys((trial.questions // 2, trial.questions - 1)):
        if 1 <= questions < trial.questions:
            yield msgspec.structs.replace(trial, questions=questions)


def _no_calm(trial: Trial) -> Iterator[Trial]:
    """Without the time before anything plays."""
    calm = min((scene.when.start for scene in trial.scenes), default=0.0)
    if calm:
        yield msgspec.structs.replace(trial, scenes=tuple(_earlier(scene, calm) for scene in trial.scenes))


def _fewer_scenes(trial: Trial) -> Iterator[Trial]:
    for scenes in _parts(trial.scenes):
        yield msgspec.structs.replace(trial, scenes=scenes)


def _fewer_faults(trial: Trial) -> Iterator[Trial]:
    for at, scene in enumerate(trial.scenes):
        for faults in _parts(scene.faults):
            yield _with(trial, at, msgspec.structs.replace(scene, faults=faults))


def _fewer_words(trial: Trial) -> Iterator[Trial]:
    """Scenes that need less to be said."""
    replace = msgspec.structs.replace
    for at, scene in enumerate(trial.scenes):
        if scene.closes:
            continue
        if scene.when != ALWAYS:
            yield _with(trial, at, replace(scene, when=ALWAYS))
        for place, dosed in enumerate(scene.faults):
            if dosed.dose != ONCE:
                once = (*scene.faults[:place], Dosed(dosed.fault, ONCE), *scene.faults[place + 1 :])
                yield _with(trial, at, replace(scene, faults=once))


_WAYS = (_fewer_questions, _no_calm, _fewer_scenes, _fewer_faults, _fewer_words)
"""To be smaller: each yields all that is a step smaller in its way, the largest steps first."""


def _parts(things: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Each half of many things, and then all but one of them; never none."""
    half = len(things) // 2
    if half > 1:
        yield from (things[:half], things[half:])
    if len(things) > 1:
        yield from ((*things[:at], *things[at + 1 :]) for at in range(len(things)))


def _with(trial: Trial, at: int, scene: Scene) -> Trial:
    return msgspec.structs.replace(trial, scenes=(*trial.scenes[:at], scene, *trial.scenes[at + 1 :]))


def _earlier(scene: Scene, seconds: float) -> Scene:
    when = scene.when
    moved = msgspec.structs.replace(when, start=when.start - seconds, end=when.end - seconds)
    return msgspec.structs.replace(scene, when=moved)
